"""load, update, export, save, publish, rm: what comes in comes out, or is told with its line."""

import base64
import io
import json
import os
import random
import stat

import pytest
from command import failed
from hypothesis import given, settings
from strategies import ALL_VALUES, exact_items

import sharedmap
from sharedmap._cli import arguments, errors, formats, output

VALUES = {
    "": "empty key",
    "big": 2**200,
    "bytes": b"\x00\xff",
    "false": False,
    "float": 1.5e300,
    "lone \ud800": "\udfff",
    "minus": -1,
    "none": None,
    "text": 'quo"te, comma\nline\ttab',
    "红": "32是",
}


def read(name):
    with sharedmap.sharedmap(name, decode=json.loads) as opened:
        return dict(opened)


@pytest.fixture
def load(command, name, tmp_path):
    """load("a.json", text): loads what is in a file of that name; gives what was published."""

    def load(file, text, *options):
        path = tmp_path / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = command("load", name, path, "--force", *options)
        assert (done.code, done.err) == (0, ""), done
        return read(name)

    return load


@pytest.fixture
def refuse(command, name, tmp_path):
    """refuse("a.json", text, line, part): it is refused, and what was published stays."""

    def refuse(file, text, line, part, *options):
        sharedmap.share({"old": 1}, name, force=True)
        path = tmp_path / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = command("load", name, path, "--force", *options)
        assert failed(done, errors.BAD_DATA, f"line {line}: ", part)
        assert read(name) == {"old": 1}
        with sharedmap.sharedmap(name) as opened:
            assert opened.generation == 1

    return refuse


# ---- formats ---------------------------------------------------------------------------------


def test_json_object_is_loaded(load):
    assert load("a.json", '{"a": 1, "b": [], "c": {"x": null}}', "--nested") == {
        "a": 1,
        "b": [],
        "c": {"x": None},
    }


def test_arrays_and_objects_are_lists_and_dicts(load):
    assert load("a.json", '{"a": [1, {"b": []}], "c": {}}') == {"a": [1, {"b": []}], "c": {}}
    assert load("a.csv", 'key,value\na,"[1, null]"\n', "--type", "json") == {"a": [1, None]}


# What JSON cannot say by itself, and what looks as if it said that.
CONTAINERS = {
    "tuple": (1, (), [(2,)]),
    "bytes": [b"\x00\xff", {"a": b""}],
    "floats": [float("inf"), -0.0, 1e300],
    "text": {"\ud800": "\0\u202e", "": ["\U0001f600"]},
    "int": [2**100, -(2**64)],
    "like bytes": {"base64": "AA=="},
    "like encoded": {"encoded": "AA=="},
    "in a list": [{"base64": "AA=="}, {"$base64": "AA=="}, {"$tuple": [1]}, {"$dict": {"a": 1}}],
    "like itself": {"$dict": {"$dict": {"$tuple": ()}}},
    "two": {"$tuple": [1], "$dict": {}},
}


@pytest.mark.parametrize("file", ["out.json", "out.jsonl", "out.csv"])
def test_containers_are_exported_and_loaded_as_what_they_are(command, names, tmp_path, file):
    first, second = names(), names()
    entries = dict(CONTAINERS)
    if file == "out.csv":
        del entries["text"]  # its lone surrogate is escaped, but that is for another test
    sharedmap.share(entries, first)
    path = tmp_path / file
    typed = ("--type", "json") if file == "out.csv" else ()
    assert command("export", first, "-o", path, *typed).code == 0
    assert command("load", second, path, *typed).code == 0
    with sharedmap.sharedmap(second) as opened:
        assert exact_items(opened.items()) == exact_items(sorted(entries.items()))


def read_json(file, *words):
    return formats.read_json(file, arguments.make_parser().parse_args(["load", "x", *words]))


@settings(max_examples=100, deadline=None, print_blob=True)
@given(value=ALL_VALUES)
def test_any_value_is_read_from_its_json(value):
    line = output.value_to_json(value).encode("utf-8", "surrogatepass")
    (found,) = read_json(io.BytesIO(b'{"a": ' + line + b"}"))
    assert repr(found[1]) == repr(value)  # which tells all apart but NaNs


def test_containers_are_copied_beside_values_that_somebody_encoded(command, names, tmp_path):
    first, second = names(), names()
    path = tmp_path / "map"
    tree = sharedmap.rbtree({"list": [1, (2,)]})
    tree.__init__(encode=lambda value: b"encoded", decode=bytes)
    tree["object"] = object()
    tree.share(first)
    assert command("save", first, path).code == 0
    assert command("publish", path, second).code == 0
    assert command("update", second, "more:=[1]").code == 0
    with sharedmap.sharedmap(second, decode=bytes) as opened:
        assert dict(opened) == {"list": [1, (2,)], "object": b"encoded", "more": [1]}


@pytest.mark.parametrize("text", ["{}", " {\n} \n", "\ufeff{}"])
def test_empty_json_object_is_an_empty_map(load, text):
    assert load("a.json", text, "--allow-empty") == {}


def test_json_lines_are_loaded(load):
    text = '["a", 1]\n\n{"key": "b", "value": "x", "more": 2}\r\n["c", null]'
    assert load("a.jsonl", text) == {"a": 1, "b": "x", "c": None}


def test_members_of_json_lines_can_have_other_names(load):
    text = '{"id": "7", "name": "Ada"}\n{"name": "Bob", "id": "8"}\n'
    assert load("a.ndjson", text, "--key", "id", "--value", "name") == {"7": "Ada", "8": "Bob"}


def test_table_with_a_header_is_loaded(load):
    text = '\ufeffkey,value,other\na,"x, ""y""",1\n"b\nc",,2\n'
    assert load("a.csv", text) == {"a": 'x, "y"', "b\nc": ""}


def test_columns_of_a_table_can_have_other_names(load):
    assert load("a.tsv", "n\tid\n1\ta\n2\tb\n", "--key", "id", "--value", "n") == {
        "a": "1",
        "b": "2",
    }


def test_table_without_a_header_is_loaded(load):
    assert load("a.csv", "a,1\nb,2\n", "--no-header") == {"a": "1", "b": "2"}
    more = ["--no-header", "--key", "3", "--value", "1"]
    assert load("a.csv", "1,x,a\n2,y,b\n", *more) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("str", "01", "01"), ("int", "-7", -7), ("float", "2", 2.0), ("json", "true", True)],
)
def test_values_of_a_table_have_the_type_that_is_asked_for(load, kind, text, value):
    found = load("a.tsv", f"key\tvalue\na\t{text}\n", "--type", kind)["a"]
    assert (found, type(found)) == (value, type(value))


def test_last_line_of_equal_keys_counts(load):
    assert load("a.jsonl", '["a", 1]\n["b", 2]\n["a", 3]\n') == {"a": 3, "b": 2}


def test_format_can_be_told(load):
    assert load("a.txt", '{"a": 1}', "--format", "json") == {"a": 1}


@pytest.mark.parametrize(
    ("path", "form"),
    [("a.JSON", "json"), ("b.csv", "csv"), ("c.tab", "tsv"), ("d", "jsonl"), (None, "jsonl")],
)
def test_format_follows_from_the_name(path, form):
    assert formats.format_of(path, None) == form


def test_bytes_and_encoded_values_have_a_form_in_json(load, name):
    load("a.json", '{"b": {"base64": "AP8="}, "e": {"encoded": "WzFd"}}')
    with sharedmap.sharedmap(name, decode=lambda data: ("encoded", data)) as opened:
        assert dict(opened) == {"b": b"\x00\xff", "e": ("encoded", b"[1]")}


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data, random):
        self.data, self.at, self.random = data, 0, random

    def read(self, size=-1):
        size = self.random.choice([1, 2, 3, 7])
        self.at += size
        return self.data[self.at - size : self.at]


@pytest.mark.parametrize("seed", range(5))
def test_json_object_is_read_the_same_however_it_is_cut(seed):
    value = {"a": [1, -2.5e-7, 'x\\"\u2028\U0001f600'], "é": None, "n": 1234567890, "t": True}
    value |= {str(index): index for index in range(50)}
    text = json.dumps(value, indent=seed or None, ensure_ascii=bool(seed % 2)).encode()
    assert dict(read_json(Trickle(text, random.Random(seed)))) == value


# ---- broken input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ('["a", 1]\n["b" 2]\n', 2, "delimiter"),
        ('["a", 1]\n\n\n["a", 1, 2]\n', 4, "neither"),
        ('{"key": "a"}\n', 1, "'value'"),
        ('["a", 1]\n[null, 2]\n', 2, "key is not a string"),
        ('["a", ' + "[" * 201 + "]" * 201 + "]\n", 1, "200 levels"),
        ('["a", [{"$base64": "?"}]]\n', 1, "base64"),
        ('["a", {"base64": "?"}]\n', 1, "base64"),
        (b'["a", 1]\n["\xff", 2]\n', 2, "UTF-8"),
        ('["a", ' + "[" * 100_000, 1, "nested"),
        ("x\n", 1, "column 1"),
    ],
)
def test_broken_json_lines_are_told_with_their_number(refuse, text, line, part):
    refuse("a.jsonl", text, line, part)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 1, "unexpected end"),
        ("1", 1, "neither an object nor an array"),
        ('{"a": 1,\n"b": 2\n"c": 3}', 3, "expected ',' or '}'"),
        ('{"a": 1,\n}', 2, "expected '\"'"),
        ('{"a": tru', 1, "Expecting value"),
        ('{"a":\n"open', 2, "Unterminated"),
        ('{"a": 1}\n\n{"b": 2}', 3, "after the document"),
        ('{"a": 1,\n"b": [{"$base64": "?"}]}', 2, "base64"),
        ('{"a": "x",\n' + '"b": nope,' + " " * 100, 2, "Expecting value"),
        (b'{"a": 1,\n"b": "\xc3("}', 2, "UTF-8"),
        (b'{"a": 1,\n"b": "\xc3', 2, "UTF-8"),
        ("{1: 2}", 1, "expected '\"'"),
        ('{"a": ' + "[" * 100_000, 1, "nested"),
    ],
)
def test_broken_json_is_told_with_the_line(refuse, text, line, part):
    refuse("a.json", text, line, part)


@pytest.mark.parametrize(
    ("text", "line", "part", "options"),
    [
        ("a,b\n", 1, "no column 'key'", ()),
        ("key,value\na,1\nb\n", 3, "the row has 1 column, the header has 2", ()),
        ('key,value\n"a\nb",1\nc,x\n', 4, "'x'", ("--type", "int")),
        ('key,value\na,"open\n', 2, "end of data", ()),
        ('key,value\na,"x"y\n', 2, "expected", ()),
        ("key,value\na,1\nb,{\n", 3, "column", ("--type", "json")),
        ('key,value\na,"[{""$base64"": ""?""}]"\n', 2, "base64", ("--type", "json")),
        (b"key,value\na,1\n\xff,2\n", 3, "UTF-8", ()),
        ("a,b\n", 1, "must be a column number", ("--no-header", "--key", "x")),
    ],
)
def test_broken_tables_are_told_with_the_line(refuse, text, line, part, options):
    refuse("a.csv", text, line, part, *options)


def test_missing_input_is_told(command, name, tmp_path):
    done = command("load", name, tmp_path / "none.json")
    assert failed(done, errors.ABSENT, str(tmp_path / "none.json"))
    assert failed(command("load", name, tmp_path), errors.FAILED, "directory")


# ---- publishing ------------------------------------------------------------------------------


def test_load_replaces_only_by_force(command, name, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a", 2]\n')
    sharedmap.share({"a": 1}, name)
    assert failed(command("load", name, path), errors.CONFLICT, name, "--force")
    assert read(name) == {"a": 1}
    assert command("load", name, path, "--force").code == 0
    assert read(name) == {"a": 2}


def test_load_publishes_with_mode_and_index(command, name, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a", 2]\n')
    done = command("load", name, path, "--mode", "644", "--index", "tree", "--json")
    counts = {"read": 1, "stored": 1, "replaced": 0, "skipped": 0, "entries": 1}
    assert json.loads(done.out) == {"published": name, **counts}
    found = json.loads(command("stat", name, "--json").out)
    assert (found["mode"], found["index"]) == ("0644", "tree")


def test_load_can_save_to_a_file_instead(command, tmp_path):
    source, path = tmp_path / "a.jsonl", tmp_path / "map"
    source.write_text('["a", 2]\n')
    assert command("load", "--save", path, source).out == f"saved {path}: 1 entry\n"
    assert failed(
        command("load", "--save", path, source),
        errors.CONFLICT,
        f"{path}: the file already exists",
        "--force",
    )
    with sharedmap.sharedmap.open(path) as opened:
        assert dict(opened) == {"a": 2}


def test_update_changes_and_removes_at_once(command, name):
    sharedmap.share({"a": "1", "b": 2, "c": 3}, name)
    nested = ("--nested", "--remove", "c")
    done = command("update", name, "a=x=y", "d:=[1]", "e:=null", "--remove", "b", *nested)
    assert done.out == f"updated {name}: generation 2\n"
    assert read(name) == {"a": "x=y", "d": [1], "e": None}


def test_update_removes_one_key_for_each_option(command, name):
    sharedmap.share({"a": 1, "b": 2}, name)
    assert command("update", name, "--remove", "b", "c=x").code == 0
    assert read(name) == {"a": 1, "c": "x"}


def test_options_stand_anywhere_between_arguments(command, name, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("key,value\na,1\n")
    for order in (
        (name, "--force", path, "--type", "int"),
        ("--force", name, "--type", "int", path),
        (name, path, "--type", "int", "--force"),
    ):
        assert command("load", *order).code == 0
        assert read(name) == {"a": 1}
    assert command("update", name, "--json", "b=x").code == 0
    assert command("update", name, "--from", path, "c=y").code == 0
    assert read(name) == {"a": 1, "b": "x", "c": "y"}
    assert command("get", name, "--raw", "b", "--owner", "root", "c").out == "xy"


def test_argument_that_nobody_takes_is_refused(command, name):
    done = command("rm", "--json", "--forse", name)
    assert (done.code, done.out) == (errors.USAGE, "")
    assert "unrecognized arguments: --forse" in done.err


def test_update_takes_a_file_and_the_command_line_over_it(command, name, tmp_path):
    sharedmap.share({"a": 1, "b": 2}, name)
    path = tmp_path / "changes.json"
    path.write_text('{"b": 5, "c": 6}')
    done = command("update", name, "c:=7", "--from", path, "--json")
    expected = {"updated": name, "generation": 2, "changes": 2, "removals": 0}
    assert json.loads(done.out) == expected
    assert read(name) == {"a": 1, "b": 5, "c": 7}


@pytest.mark.parametrize("wrong", ["a", "a:=", "a:=x", "a:=[1"])
def test_update_that_cannot_be_understood_changes_nothing(command, name, wrong):
    sharedmap.share({"a": 1}, name)
    assert failed(command("update", name, "b=2", wrong), errors.USAGE, repr(wrong))
    assert read(name) == {"a": 1}


def test_update_of_a_key_that_is_also_removed_is_refused(command, name):
    sharedmap.share({"a": 1}, name)
    assert failed(command("update", name, "a=2", "--remove", "a"), errors.FAILED, "'a'")
    assert read(name) == {"a": 1}


def test_map_is_saved_and_published_again_as_it_was(command, names, tmp_path):
    first, second = names(), names()
    tree = sharedmap.rbtree(VALUES, encode=lambda value: b"encoded")
    tree["object"] = object()
    tree.share(first)
    path = tmp_path / "map"
    assert command("save", first, path).code == 0
    assert failed(command("save", first, path), errors.CONFLICT, str(path))
    assert command("publish", path, second).code == 0
    assert failed(command("publish", path, second), errors.CONFLICT, second)
    with sharedmap.sharedmap(second, decode=bytes.upper) as opened:
        assert dict(opened) == {**VALUES, "object": b"ENCODED"}


def test_damaged_file_is_not_published(command, name, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(VALUES).save(path)
    data = bytearray(path.read_bytes())
    data[530] ^= 1
    path.write_bytes(data)
    assert failed(command("publish", path, name), errors.BAD_DATA, "checksum")
    assert name not in sharedmap.names()


def test_rm_removes_what_is_there_and_names_what_is_not(command, names):
    one, two, none = names(), names(), names()
    for name in (one, two):
        sharedmap.share({}, name)
    done = command("rm", one, none, two)
    assert (done.code, done.out) == (errors.ABSENT, f"removed {one}\nremoved {two}\n")
    assert done.err == f"sharedmap: no such map: {none!r}\n"
    assert command("rm", "--force", none) == (0, "", "")


# ---- out and in again ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
def test_what_is_exported_can_be_loaded_again(command, names, tmp_path, form):
    first, second = names(), names()
    expected = VALUES
    if form in ("csv", "tsv"):
        # Of a table of text only these come back, as a file of UTF-8 has no lone surrogates.
        expected = {key: value for key, value in VALUES.items() if "lone" not in key}
    sharedmap.share(expected, first)
    path = tmp_path / f"out.{form}"
    more = ("--type", "json") if form in ("csv", "tsv") else ()
    assert command("export", first, "-o", path, *more).code == 0
    done = command("load", second, path, *more)
    assert done.code == 0, done
    found = read(second)
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in expected.items()
    }


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_text_of_a_table_comes_back_with_every_line_end(command, names, tmp_path, form):
    first, second = names(), names()
    texts = {"a": "x\ry", "b\r": "", "c": "x\r\ny\n", "d": ' "\r", '}
    sharedmap.share(texts, first)
    path = tmp_path / f"out.{form}"
    assert command("export", first, "-o", path).code == 0
    assert command("load", second, path).code == 0
    assert read(second) == texts


@pytest.mark.parametrize("entry", [("a", "x\ud800"), ("k\udfff", "x")])
@pytest.mark.parametrize("to_file", [False, True])
def test_table_refuses_a_lone_surrogate(command, name, tmp_path, entry, to_file):
    sharedmap.share([entry], name)
    where = ("-o", tmp_path / "out.csv") if to_file else ("--format", "csv")
    done = command("export", name, *where)
    assert (done.code, done.err.count("\n")) == (errors.BAD_DATA, 1)
    assert "lone surrogate" in done.err
    assert [*tmp_path.iterdir()] == []


def test_encoded_values_are_exported_and_loaded_again(command, names, tmp_path):
    first, second = names(), names()
    tree = sharedmap.rbtree(encode=lambda value: value[0])
    for key, data in {"json": b"[1,2]", "no": b"\x80", "like": b'{"base64":"x"}'}.items():
        tree[key] = (data,)
    tree.share(first)
    path = tmp_path / "out.json"
    command("export", first, "-o", path)
    assert command("load", second, path, "--nested").code == 0
    with sharedmap.sharedmap(second, decode=bytes) as opened:
        assert dict(opened) == {"json": b"[1,2]", "no": b"\x80", "like": b'{"base64":"x"}'}


def test_export_writes_the_selection_to_standard_output(command, name):
    sharedmap.share({"a": 1, "b": "x", "c": None}, name)
    assert command("export", name, "--from", "b").out == (
        '{"key": "b", "value": "x"}\n{"key": "c", "value": null}\n'
    )
    assert command("export", name, "--format", "csv", "--limit", "2").out == "key,value\na,1\nb,x\n"
    assert command("export", name, "--format", "json", "--prefix", "q").out == "{}\n"


def test_export_that_fails_leaves_what_was_there(command, name, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    sharedmap.share({"a": "x", "b": "\ud800"}, name)

    def fail(value):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sharedmap._cli.exporting.to_text", fail)
        assert failed(command("export", name, "-o", path), errors.NO_SPACE)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_export_through_a_link_replaces_what_it_leads_to(command, name, tmp_path):
    sharedmap.share({"a": 1}, name)
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    assert command("export", name, "-o", link).code == 0
    assert link.is_symlink()
    assert target.read_text() == "key,value\na,1\n"


def test_export_writes_into_a_pipe_that_has_a_name(command, name, tmp_path):
    sharedmap.share({"a": 1}, name)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert command("export", name, "-o", path).code == 0
        assert os.read(reader, 100) == b'{"key": "a", "value": 1}\n'
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_export_to_a_folder_that_is_not_there_is_told(command, name, tmp_path):
    sharedmap.share({}, name)
    path = tmp_path / "none" / "out.csv"
    assert failed(command("export", name, "-o", path), errors.ABSENT, str(path))


def test_base64_is_what_everybody_calls_so(command, name):
    sharedmap.share({"b": bytes(range(256))}, name)
    (line,) = command("scan", name, "--json").out.splitlines()
    assert base64.b64decode(json.loads(line)["value"]["base64"]) == bytes(range(256))
