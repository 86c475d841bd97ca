"""load of JSON and JSON Lines: shapes as they are found, and nothing that is not JSON.

The kinds of cases are those of JSONTestSuite: what has to be refused, and what has to be read.
"""

import json

import pytest

# Each is one value, which is refused as a document, as a line and inside of a value.
INVALID = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "overflow": "1e400",
    "minus overflow": "-1e400",
    "leading zero": "012",
    "leading plus": "+1",
    "leading point": ".5",
    "trailing point": "1.",
    "no exponent": "1e",
    "hexadecimal": "0x1",
    "minus alone": "-",
    "fullwidth digit": "１",
    "comma at the end": "[1,]",
    "comma at the end of an object": '{"a": 1,}',
    "two commas": "[1,,2]",
    "no comma": "[1 2]",
    "no colon": '{"a" 1}',
    "no quotes around a name": "{a: 1}",
    "single quotes": "'a'",
    "comment": "[1 /* one */]",
    "open array": "[1",
    "open object": '{"a": 1',
    "open string": '"a',
    "wrong bracket": "[1}",
    "control character": '"a\tb"',
    "NUL": '"a\0b"',
    "escape": '"\\x41"',
    "short escape": '"\\u00"',
    "capital literal": "True",
    "short literal": "nul",
    "no-break space": "[1,\u00a02]",
    "form feed": "[1,\f2]",
    "member twice": '{"a": 1, "a": 2}',
}
VALID = {
    "numbers": "[0, -0, 1e5, 1E+5, -1.5e-7, 123456789012345678901234567890]",
    "escapes": '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00"',
    "lone surrogate": '"\\ud800"',
    "noncharacter": '"\uffff\U0010ffff"',
    "line separators": '"\u2028\u2029"',
    "spaces": "[ \t1 ,\r2 ]",
    "empty": '[[], {}, "", {"": 0}]',
    "literals": "[true, false, null]",
    "deep": "[" * 200 + "]" * 200,
    "underflow": "1e-400",
}


@pytest.mark.parametrize("case", INVALID)
def test_what_is_not_json_is_refused(refused, case):
    text = INVALID[case]
    refused("a.json", '{"ok": 1,\n"a": ' + text + "}", "line 2")
    refused("a.jsonl", '["ok", 1]\n["a", ' + text + "]\n", "line 2")
    refused("a.json", '{"a": [{"b": ' + text + "}]}", "line 1")


@pytest.mark.parametrize("case", VALID)
def test_what_is_json_is_read(loaded, case):
    text = VALID[case]
    expected = {"a": json.loads(text)}
    assert repr(loaded("a.json", '{"a": ' + text + "}")) == repr(expected)
    assert repr(loaded("a.jsonl", '["a", ' + text + "]\n")) == repr(expected)
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        assert loaded("a.json", ('{"a": ' + text + "}").encode(encoding)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": "\xc0\xaf"}',  # overlong
        b'{"a": "\xed\xa0\x80"}',  # a surrogate
        b'{"a": "\xf4\xbf\xbf\xbf"}',  # beyond Unicode
        b'{"a": "\xe9"}',
        b'{"a": "\xff"}',
    ],
)
def test_what_is_not_utf8_is_refused(refused, data):
    refused("a.json", data, "line 1", "UTF-8", "--encoding")
    refused("a.jsonl", b'["a", "' + data[7:-2] + b'"]\n', "line 1", "UTF-8", "--encoding")


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": [Infinity]}', '{"a": 1e400}'])
def test_nan_is_read_when_it_is_wanted(loaded, text):
    assert repr(loaded("a.json", text, "--allow-nan")) == repr(json.loads(text))


def test_member_that_occurs_twice_is_told(loaded, refused):
    assert loaded("a.json", '{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}
    assert loaded.out == "2 entries (3 read, 1 duplicate, of which the last is stored)\n"
    refused("a.jsonl", '{"key": "a", "key": "b", "value": 1}\n', "'key' twice")
    inner = '{"a": {"x": 1, "x": 2}}'
    refused("a.json", inner, "'x' twice", "--duplicates last")
    assert loaded("a.json", inner, "--duplicates", "last") == {"a": {"x": 2}}


# ---- shapes ------------------------------------------------------------------------------------


def test_array_of_objects_is_read(loaded, refused):
    text = '[{"id": 1, "name": "x"}, {"name": "y", "id": 2.5}]'
    assert loaded("a.json", text, "--key", "id", "--value", "name") == {"1": "x", "2.5": "y"}
    assert loaded("a.json", text, "--key", "id", "--row") == {
        "1": {"name": "x"},
        "2.5": {"name": "y"},
    }
    assert loaded("a.json", '[["a", 1], {"key": "b", "value": 2}]') == {"a": 1, "b": 2}
    refused("a.json", text, "no member 'key'", "it has id, name", "--key")
    refused("a.json", '[{"id": 1}, 5]', "neither an object nor", options=["--key", "id", "--row"])


def test_numbers_as_keys_become_their_digits(loaded, refused):
    lines = '{"id": 7, "name": "x"}\n{"id": 12345678901234567890, "name": "y"}\n'
    found = loaded("a.jsonl", lines, "--key", "id", "--value", "name")
    assert found == {"7": "x", "12345678901234567890": "y"}
    assert loaded("a.jsonl", "[1, 2]\n") == {"1": 2}
    for key in ("null", "true", "[1]", "{}", "1e400"):
        refused("a.jsonl", f"[{key}, 2]\n", "line 1: the key is not a string")


def test_part_of_a_document_is_read(loaded, refused):
    text = '{"about": [1, {"x": 2}], "data": {"a/b": [{"key": "k", "value": 1}], "~": {"c": 2}}}'
    assert loaded("a.json", text, "--at", "/data/a~1b") == {"k": 1}
    assert loaded("a.json", text, "--at", "/data/~0") == {"c": 2}
    assert loaded("a.json", text, "--at", "/about/1") == {"x": 2}
    assert loaded("a.json", text, "--at", "") == json.loads(text)
    refused("a.json", text, "there is no 'none'; there is about, data", options=["--at", "/none"])
    refused("a.json", text, "there is no '2'", options=["--at", "/about/2"])
    refused("a.json", text, "neither an object nor an array", options=["--at", "/about/0"])


def test_rest_of_a_document_is_read_too(refused):
    """Otherwise a truncated file would be published."""
    for text in ('{"a": {"b": 1}, "c": ', '{"a": {"b": 1}} x', '{"a": {"b": 1}, "a": {}}'):
        refused("a.json", text, "line 1", options=["--at", "/a"])


def test_object_of_objects_is_read(loaded, refused):
    text = '{"FR": {"name": "France", "n": 33}, "JP": {"name": "Japan", "n": 81}}'
    assert loaded("a.json", text, "--value", "name") == {"FR": "France", "JP": "Japan"}
    assert loaded("a.json", text, "--key", "n", "--value", "name") == {
        "33": "France",
        "81": "Japan",
    }
    assert loaded("a.json", text, "--flatten", ".") == {
        "FR.name": "France",
        "FR.n": 33,
        "JP.name": "Japan",
        "JP.n": 81,
    }
    assert loaded("a.json", text) == json.loads(text)
    options = ["--key", "code", "--row"]
    refused("a.json", '{"list": [{"code": 1}]}', "--at /list reads its items", options=options)


def test_empty_objects_and_arrays_are_kept_when_flattened(loaded):
    text = '{"a": {"b": {}, "c": [{"d": 1}], "e": {"f": null}}, "g": {"base64": "AA=="}}'
    assert loaded("a.json", text, "--flatten", "/") == {
        "a/b": {},
        "a/c": [{"d": 1}],
        "a/e/f": None,
        "g": b"\0",
    }


def test_json_lines_in_a_json_file_are_recognized(refused):
    refused("a.json", '{"a": 1}\n{"b": 2}\n', "line 2", "--format jsonl")


def test_null_values_can_be_skipped(loaded):
    assert loaded("a.json", '{"a": null, "b": [null]}', "--skip-null") == {"b": [None]}
    assert loaded.out == "1 entry (2 read, 1 skipped)\n"


@pytest.mark.parametrize("text", ['{"$float": "nan"}', '[{"$float": "inf"}, {"$float": "-inf"}]'])
def test_exported_floats_are_read_without_an_option(loaded, text):
    found = loaded("a.json", '{"a": ' + text + "}")
    assert repr(found) in ("{'a': nan}", "{'a': [inf, -inf]}")


def test_json_that_is_printed_is_always_valid(command, names, name):
    import sharedmap

    sharedmap.share({"a": float("nan"), "b": [float("-inf")], "c": {"$float": "nan"}}, name)

    def refuse(text):
        raise AssertionError(text)

    for words in (["scan", name, "--json"], ["get", name, "a", "--json"], ["export", name]):
        for line in command(*words).out.splitlines():
            json.loads(line, parse_constant=refuse)
