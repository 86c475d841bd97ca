"""load of CSV and TSV: no cell vanishes, shifts or changes its type without an error.

The kinds of cases are those of csv-spectrum and of public reports about similar tools.
"""

import pytest

# What csv-spectrum is about, each as a table and what is in it.
SPECTRUM = {
    "comma in quotes": ('key,value\na,"1, 2"\n', {"a": "1, 2"}),
    "empty cells": ("key,value\na,\nb,\n", {"a": "", "b": ""}),
    "empty cells, CRLF": ("key,value\r\na,\r\nb,\r\n", {"a": "", "b": ""}),
    "quoted empty cells": ('key,value\na,""\n', {"a": ""}),
    "escaped quotes": ('key,value\na,"a ""b"""\nb,"""c"""\n', {"a": 'a "b"', "b": '"c"'}),
    "JSON": (
        'key,value\na,"{""type"": ""Point"", ""at"": [1, 2]}"\n',
        {"a": '{"type": "Point", "at": [1, 2]}'},
    ),
    "line feed in quotes": ('key,value\n"a\nb","1\n2"\n', {"a\nb": "1\n2"}),
    "CRLF in quotes": ('key,value\r\na,"x\r\ny"\r\n', {"a": "x\r\ny"}),
    "line feeds and quotes": ('key,value\na,"x\n""y"" \nz"\n', {"a": 'x\n"y" \nz'}),
    "no line feed at the end": ("key,value\na,1", {"a": "1"}),
    "only carriage returns": ("key,value\ra,1\rb,2\r", {"a": "1", "b": "2"}),
    "blank lines": ("key,value\n\na,1\n\n\nb,2\n\n", {"a": "1", "b": "2"}),
    "Unicode": ("key,value\nà,ʤ\n红,\U0001f600\n", {"à": "ʤ", "红": "\U0001f600"}),
    "byte order mark": ('\ufeff"key",value\na,1\n', {"a": "1"}),
    "quoted header": ('"key","value"\na,1\n', {"a": "1"}),
    "quote in a cell": ('key,value\na,5" screen\n', {"a": '5" screen'}),
    "spaces": ("key,value\n a , b \n", {" a ": " b "}),
    "NUL": ("key,value\na,x\0y\n", {"a": "x\0y"}),
    "separator line": ("sep=;\nkey;value\na;1,5\n", {"a": "1,5"}),
}


@pytest.mark.parametrize("case", SPECTRUM)
def test_csv_is_read_as_it_is_written(loaded, case):
    content, expected = SPECTRUM[case]
    assert loaded("a.csv", content) == expected


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("key,value\na,1\nb,2,3\n", ["line 3", "the row has 3 columns, the header has 2"]),
        ("key,value\na,1\nb\n", ["line 3", "the row has 1 column, the header has 2"]),
        ('key,value\na,"open\nb,2\n', ["line 2", "a quote is not closed", "--quote ''"]),
        ('key,value\na,"x"y\n', ["line 2", "--quote ''"]),
        ("key,value,value\na,1,2\n", ["line 1", "'value' 2 times"]),
        ("iata,name\nLHR,London\n", ["no column 'key'", "it has iata, name", "--key NAME"]),
        ("key,name\nLHR,London\n", ["no column 'value'", "--value NAME", "--row"]),
        ("key;value\na;1\n", ["--delimiter ';'"]),
        ("key\tvalue\na\t1\n", ["--delimiter tab"]),
        ("key, value\na, 1\n", ["--trim"]),
        ("key,value\na,1\n".encode("utf-16-le"), ["--encoding utf-16-le"]),
        ("key,value\na,café\n".encode("latin-1"), ["line 2", "byte 6", "--encoding"]),
        ("key,value\n", ["no entries", "--allow-empty"]),
        ("", ["no entries", "--allow-empty"]),
    ],
)
def test_table_with_a_fault_is_refused_with_a_way_on(refused, content, parts):
    refused("a.csv", content, *parts)


def test_empty_input_does_not_replace_a_map(command, refused, loaded, name):
    for file in ("a.csv", "a.json", "a.jsonl", "a.yaml", "a.env", "a.csv.gz"):
        assert refused(file, "{}" if file == "a.json" else "", code=5)
    assert loaded("a.csv", "key,value\n", "--allow-empty") == {}
    assert loaded("a.jsonl", "", "--allow-empty") == {}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("key;value\na;1\n", ["--delimiter", ";"]),
        ("key|value\na|1\n", ["--delimiter", "|"]),
        ("key\tvalue\na\t1\n", ["--delimiter", "tab"]),
        ("key, value\na, 1\n", ["--trim"]),
        ("title\nsource\nkey,value\na,1\n", ["--skip-lines", "2"]),
        ("# made by hand\nkey,value\n# more\na,1\n", ["--comment", "#"]),
        ("key,value\na,'1'\n", ["--quote", "'"]),
        ("key,value\na,1\n".encode("utf-16-le"), ["--encoding", "utf-16-le"]),
        ("key,value\na,1\n".encode("utf-16"), []),
        ("key,value\na,1\n".encode("utf-32"), []),
        (b"\xff\xfe\0\0" + "key,value\na,1\n".encode("utf-32-le"), []),
        (b"\xfe\xff" + "key,value\na,1\n".encode("utf-16-be"), []),
        ("\ufeffkey,value\na,1\n", ["--encoding", "utf-8"]),
        ("a,1\n", ["--no-header"]),
    ],
)
def test_tables_of_other_programs_are_read_with_an_option(loaded, content, options):
    assert loaded("a.csv", content, *options) == {"a": "1"}


def test_encoding_of_a_table_can_be_given(loaded, refused):
    content = "key,value\na,café\n".encode("latin-1")
    assert loaded("a.csv", content, "--encoding", "latin-1") == {"a": "café"}
    refused("a.csv", content, "not valid", options=["--encoding", "ascii"])
    refused("a.csv", content, "unknown encoding 'nope'", options=["--encoding", "nope"], code=2)
    refused("a.csv", content, "unknown encoding 'hex'", options=["--encoding", "hex"], code=2)


def test_rows_of_any_width_are_read_when_that_is_wanted(loaded, refused):
    content = "key,value,more\na,1\nb,2,3,4\nc\n"
    refused("a.csv", content, "line 2", "--ragged adds empty cells")
    assert loaded("a.csv", content, "--ragged") == {"a": "1", "b": "2", "c": ""}
    assert loaded("a.csv", content, "--ragged", "--row")["b"] == {"value": "2", "more": "3"}
    chosen = ["--ragged", "--no-header", "--key", "1", "--value", "4"]
    assert loaded("a.tsv", "a\t1\nb\t2\t3\t4\n", *chosen) == {"a": "", "b": "4"}


def test_comment_inside_of_quotes_is_text(loaded):
    content = '# no\nkey,value\na,"x\n# yes\ny"\n#b,2\nc,3\n'
    assert loaded("a.csv", content, "--comment", "#") == {"a": "x\n# yes\ny", "c": "3"}


def test_quotes_can_be_text(loaded):
    assert loaded("a.csv", 'key,value\na,"x\n', "--quote", "") == {"a": '"x'}


# ---- TSV ---------------------------------------------------------------------------------------


def test_tsv_has_no_quotes(loaded):
    content = 'key\tvalue\na\t"open\nb\tit\'s 5"\nc\t"x"\n'
    assert loaded("a.tsv", content) == {"a": '"open', "b": "it's 5\"", "c": '"x"'}
    quoted = 'key\tvalue\na\t"x\ty\nz"\n'
    assert loaded("a.tsv", quoted, "--quote", '"') == {"a": "x\ty\nz"}


def test_tsv_has_escapes(loaded):
    content = "key\tvalue\na\t1\\t2\\n3\\r4\\\\5\nb\tC:\\dir\n"
    assert loaded("a.tsv", content) == {"a": "1\t2\n3\r4\\5", "b": "C:\\dir"}
    nulls = "key\tvalue\na\t\\N\nb\t\\\\N\n"
    assert loaded("a.tsv", nulls, "--null", "\\N") == {"a": None, "b": "\\N"}


def test_tsv_with_rows_of_other_widths_is_refused(refused):
    refused("a.tsv", "key\tvalue\na\t1\t2\n", "line 2", "3 columns")
    refused("a.tsv", "key\tvalue\na\n", "line 2", "1 column,")


# ---- types and nulls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "-007", -7),
        ("int", "1" + "0" * 40, 10**40),
        ("float", "1e3", 1000.0),
        ("float", ".5", 0.5),
        ("float", "-0", -0.0),
        ("bool", "TRUE", True),
        ("bool", "false", False),
        ("json", "[1]", [1]),
        ("json", " null ", None),
    ],
)
def test_cells_have_the_type_that_is_given(loaded, kind, text, value):
    found = loaded("a.csv", f"key,value\na,{text}\n", "--type", kind)["a"]
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    ("kind", "text", "part"),
    [
        ("int", "1_000", "'1_000' is not an int"),
        ("int", " 12 ", "' 12 ' is not an int"),
        ("int", "١٢", "is not an int"),
        ("int", "1.5", "is not an int"),
        ("int", "", "'' is not an int"),
        ("float", "nan", "--allow-nan"),
        ("float", "infinity", "--allow-nan"),
        ("float", "1_0.5", "is not a finite float"),
        ("float", "1e400", "too large for a float"),
        ("float", '"1,5"', "is not a finite float"),
        ("bool", "1", "neither true nor false"),
        ("json", "NaN", "--allow-nan"),
        ("json", "1e400", "--allow-nan"),
        ("json", "[1", "column 3"),
    ],
)
def test_cell_of_another_type_is_refused(refused, kind, text, part):
    refused("a.csv", f"key,value\nb,0\na,{text}\n", part, options=["--type", "str,value=" + kind])


def test_error_of_a_cell_names_line_and_column(refused):
    content = "key,price,stock\na,1.5,2\nb,x,3\n"
    options = ["--row", "--type", "price=float,stock=int"]
    refused("a.csv", content, "line 3: column 'price': 'x'", options=options)


def test_nan_is_stored_when_it_is_wanted(loaded):
    content = "key,value\na,nan\nb,-Infinity\nc,1e400\n"
    found = loaded("a.csv", content.replace("c,1e400\n", ""), "--type", "float", "--allow-nan")
    assert repr(found) == "{'a': nan, 'b': -inf}"


def test_cells_can_be_null(loaded):
    content = "key,value\na,1.5\nb,\nc,n/a\n"
    nulls = ["--type", "float", "--null", "", "--null", "n/a"]
    assert loaded("a.csv", content, *nulls) == {"a": 1.5, "b": None, "c": None}
    assert loaded("a.csv", content, *nulls, "--skip-null") == {"a": 1.5}
    assert loaded.out == "1 entry (3 read, 2 skipped)\n"


def test_columns_have_types_of_their_own(loaded):
    content = "key,price,stock,on\na,1.5,2,true\n"
    types = ["--type", "price=float,stock=int,on=bool"]
    assert loaded("a.csv", content, "--row", *types) == {
        "a": {"price": 1.5, "stock": 2, "on": True}
    }
    assert loaded("a.csv", content, "--value", "stock", *types) == {"a": 2}
    rows = ["--no-header", "--row", "--type", "2=int"]
    assert loaded("a.csv", "a,1,x\n", *rows) == {"a": {"2": 1, "3": "x"}}


def test_type_of_a_column_that_is_not_there_is_refused(refused):
    refused("a.csv", "key,value\na,1\n", "no column 'x'", options=["--type", "x=int"])
    refused("a.csv", "", "'x' is not one of", options=["--type", "value=x"], code=2)


# ---- keys ------------------------------------------------------------------------------------

AIRPORTS = "icao,iata,name\nAAAA,,First\nBBBB,,Second\nCCCC,CCC,Third\n"


def test_empty_keys_do_not_vanish_silently(loaded, refused):
    chosen = ["--key", "iata", "--value", "name"]
    assert loaded("a.csv", AIRPORTS, *chosen) == {"": "Second", "CCC": "Third"}
    assert loaded.out == (
        "2 entries (3 read, 1 duplicate, of which the last is stored, 2 with an empty key)\n"
    )
    assert loaded("a.csv", AIRPORTS, *chosen, "--empty-key", "skip") == {"CCC": "Third"}
    assert loaded.out == "1 entry (3 read, 2 skipped)\n"
    refused(
        "a.csv", AIRPORTS, "entry 1: the key is empty", options=[*chosen, "--empty-key", "error"]
    )


def test_duplicates_are_told_or_refused(loaded, refused):
    content = "key,value\na,1\nb,2\na,3\n"
    assert loaded("a.csv", content) == {"a": "3", "b": "2"}
    assert loaded.out == "2 entries (3 read, 1 duplicate, of which the last is stored)\n"
    assert loaded("a.csv", content, "--duplicates", "first") == {"a": "1", "b": "2"}
    assert loaded.out == "2 entries (3 read, 1 duplicate, of which the first is stored)\n"
    refused("a.csv", content, options=["--duplicates", "error"])
    refused("a.jsonl", '["a", 1]\n["a", 2]\n', options=["--duplicates", "error"])


def test_key_of_several_columns(loaded, refused):
    content = "country,city,people\nFR,Paris,2\nFR,Lyon,1\n"
    chosen = ["--key", "country,city", "--value", "people"]
    assert loaded("a.csv", content, *chosen) == {"FR:Paris": "2", "FR:Lyon": "1"}
    assert loaded("a.csv", content, *chosen, "--join", "/") == {"FR/Paris": "2", "FR/Lyon": "1"}
    assert loaded("a.csv", content, *chosen, "--join", "") == {"FRParis": "2", "FRLyon": "1"}
    # Without an error "a:b" and "c" would be the same key as "a" and "b:c".
    refused(
        "a.csv", "a,b,c\nx:y,z,1\n", "'x:y' contains ':'", options=["--key", "a,b", "--value", "c"]
    )
    assert loaded("a.csv", '"a,b",c\nx,1\n', "--key", '"a,b"', "--value", "c") == {"x": "1"}


def test_value_of_several_columns_is_a_dict(loaded):
    content = "key,lat,lon,name\na,1,2,x\n"
    assert loaded("a.csv", content, "--value", "lat,lon") == {"a": {"lat": "1", "lon": "2"}}
    assert loaded("a.csv", content, "--row") == {"a": {"lat": "1", "lon": "2", "name": "x"}}
    assert loaded("a.csv", content, "--key", "name", "--row") == {
        "x": {"key": "a", "lat": "1", "lon": "2"}
    }
    assert loaded("a.csv", content, "--row", "--flatten", ".") == {
        "a.lat": "1",
        "a.lon": "2",
        "a.name": "x",
    }
    assert loaded("a.csv", content, "--row", "--nested") == {
        "a": {"lat": "1", "lon": "2", "name": "x"}
    }


@pytest.mark.parametrize(
    ("file", "options", "part"),
    [
        ("a.json", ["--no-header"], "--no-header does not apply to JSON"),
        ("a.json", ["--type", "int"], "--type does not apply to JSON"),
        ("a.jsonl", ["--delimiter", ";"], "--delimiter does not apply to JSON Lines"),
        ("a.jsonl", ["--at", "/a"], "--at does not apply to JSON Lines"),
        ("a.csv", ["--at", "/a"], "--at does not apply to CSV"),
        ("a.csv", ["--table", "x"], "--table does not apply to CSV"),
        ("a.yaml", ["--null", ""], "--null does not apply to yaml"),
        ("a.env", ["--key", "a"], "--key does not apply to env"),
        ("a.db", ["--encoding", "latin-1"], "--encoding does not apply to sqlite"),
        ("a.csv", ["--row", "--value", "a"], "exclude"),
        ("a.csv", ["--join", "/"], "--key of several"),
        ("a.csv", ["--flatten", ".", "--nested"], "exclude"),
        ("a.csv", ["--key", "a", "--key", "b"], "only once"),
        ("a.csv", ["--key", "a,a"], "a name twice"),
        ("a.csv", ["--expect", "x"], "neither an id nor a generation"),
        ("a.csv", ["--max-shrink", "200%"], "not a percentage"),
        ("a.csv", ["--delimiter", "ab"], "not one character"),
        ("a.json", ["--at", "a"], "not a JSON pointer"),
        ("a.csv", ["-f"], "--save"),
        ("a.csv", ["--file"], "--save"),
    ],
)
def test_option_that_does_not_apply_is_refused(refused, file, options, part):
    refused(file, "", part, options=options, code=2)
