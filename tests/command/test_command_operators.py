"""What operators do in their first hour: keys from a pipe, pages of a scan, columns, options."""

import json
import logging

import pytest
from command import failed, run

import sharedmap
from sharedmap._cli import arguments, errors, output, quick


def lines(done):
    assert (done.code, done.err) == (0, ""), done
    return done.out.splitlines()


def objects(done):
    return [json.loads(line) for line in lines(done)]


@pytest.fixture
def letters(name):
    sharedmap.share({f"{a}{b}": ord(b) for a in "abc" for b in "xyz"}, name)
    return name


# ---- get --stdin -----------------------------------------------------------------------------


def test_get_reads_keys_from_standard_input(letters):
    done = run("get", letters, "--stdin", data=b"cz\nax\nby")
    assert done == (0, b"cz\t122\nax\t120\nby\t121\n", b"")


def test_get_prints_the_key_of_a_single_line_too(letters):
    assert run("get", letters, "--stdin", data=b"cz\n").out == b"cz\t122\n"
    assert run("get", letters, "--stdin", data=b"").out == b""


def test_get_from_standard_input_names_the_first_keys_that_are_missing(letters):
    keys = [f"none {number}" for number in range(12)]
    done = run("get", letters, "--stdin", data="\n".join([*keys, "ax"]).encode())
    assert (done.code, done.out) == (errors.ABSENT, b"ax\t120\n")
    assert done.err.endswith(b"'none 8', 'none 9' and 2 more\n")


def test_get_finds_each_key_that_scan_prints_as_json(name):
    sharedmap.share({"\ud800": 1, "": 2, " a ": 3, "红": 4}, name)
    data = "\n".join(sharedmap.sharedmap(name)).encode("utf-8", "surrogatepass") + b"\n"
    done = run("get", name, "--stdin", "--json", data=data)
    assert done.out == run("scan", name, "--json").out


def test_key_on_standard_input_that_is_not_utf8_is_told_with_its_line(letters):
    done = run("get", letters, "--stdin", data=b"ax\n\xff\n")
    assert (done.code, done.out) == (errors.BAD_DATA, b"ax\t120\n")
    assert done.err == b"sharedmap: line 2: the key is not valid UTF-8\n"


@pytest.mark.parametrize("keys", [(), ("ax", "--stdin")])
def test_get_needs_keys_or_standard_input(command, letters, keys):
    assert failed(command("get", letters, *keys), errors.USAGE, "--stdin")


# ---- scan ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (("--after", "by"), "bz cx cy cz"),
        (("--after", "bya"), "bz cx cy cz"),
        (("--after", "az", "--to", "bz"), "bx by"),
        (("--after", "bx", "--prefix", "b", "--limit", "1"), "by"),
        (("--after", "cx", "--reverse"), "cz cy"),
        (("--after", "cz"), ""),
    ],
)
def test_scan_and_export_begin_after_a_key(command, letters, options, keys):
    assert lines(command("scan", letters, *options, "--keys")) == keys.split()
    exported = [key for key, _ in map(list_of, lines(command("export", letters, *options)))]
    assert exported == keys.split()


def list_of(line):
    entry = json.loads(line)
    return entry["key"], entry["value"]


def test_scan_in_pages_misses_and_repeats_nothing(command, name):
    keys = ["a", "a\0", "a\0\0", "a\x01", "ab", "b", "\ud800", "\U0010ffff"]
    sharedmap.share(dict.fromkeys(keys), name)
    found, after = [], ()
    while page := objects(command("scan", name, "--keys", "--json", "--limit", "3", *after)):
        found += [entry["key"] for entry in page]
        after = ("--after", found[-1])
    assert found == keys


def test_scan_prints_only_the_values(command, letters):
    assert lines(command("scan", letters, "--prefix", "b", "--values")) == ["120", "121", "122"]
    options = ("--limit", "1", "--values", "--json")
    assert objects(command("scan", letters, *options)) == [{"value": 120}]


@pytest.mark.parametrize(
    ("columns", "printed"), [(1, "…"), (6, "key\tv…"), (8, "key\tval…"), (9, "key\tvalue")]
)
def test_scan_truncates_lines_to_a_width(command, name, columns, printed):
    sharedmap.share({"key": "value"}, name)
    assert lines(command("scan", name, "--max-width", str(columns))) == [printed]


# ---- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("ü", 1),
        ("u\u0308", 1),
        ("红", 2),
        ("Ａ", 2),
        ("🙂", 2),
        ("\u1112\u1161\u11ab", 2),
        ("กี่", 1),
        ("±", 1),
    ],
)
def test_width_of_text_is_that_of_a_terminal(text, columns):
    assert output.width(text) == columns


@pytest.mark.parametrize("columns", range(1, 9))
def test_clipped_text_fits(columns):
    for text in ("红红红", "a红b红", "u\u0308" * 6, "abcdefgh"):
        found = output.clipped(text, columns)
        assert output.width(found) <= columns
        assert found == text or (found[-1] == "…" and text.startswith(found[:-1]))


def test_columns_of_a_table_are_aligned_for_wide_names(command, names):
    given = [names("{}-红红"), names("{}-u\u0308"), names("{}-ascii")]
    for name in given:
        sharedmap.share({"a": 1}, name)
    told = lines(command("ls", "--prefix", given[0].partition(".")[0]))
    assert len(told) == 4
    assert len({output.width(line) for line in told}) == 1


# ---- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--", "-name"], ["-f", "--", "-name"], ["--", "--json"]])
def test_name_that_begins_with_a_dash_follows_two_dashes(command, words):
    assert failed(command("stat", *words), errors.ABSENT, words[-1])


def test_keys_that_begin_with_a_dash_follow_two_dashes(command, name):
    sharedmap.share({"-a": 1, "--": 2}, name)
    assert lines(command("get", name, "--json", "--", "-a", "--")) == [
        '{"key": "-a", "value": 1}',
        '{"key": "--", "value": 2}',
    ]


def test_error_about_what_follows_two_dashes_shows_it_as_it_is(command):
    done = command("stat", "--", "-a", "-b")
    assert done.code == errors.USAGE
    assert done.err.endswith("unrecognized arguments: -b\n")


@pytest.mark.parametrize(
    "words",
    [
        ["scan", "m", "--limit", "1", "--limit=2"],
        ["stat", "-f", "m", "--file"],
        ["export", "m", "-oa", "--output", "b"],
        ["get", "m", "--json", "a", "--json"],
    ],
)
def test_option_that_is_repeated_is_refused(command, words):
    done = command(*words)
    assert done.code == errors.USAGE
    assert "can be given only once" in done.err


def test_option_for_several_keys_can_be_repeated():
    assert arguments.parse(["update", "m", "--remove", "a", "--remove", "b"]).remove == ["a", "b"]


@pytest.mark.parametrize(
    "words",
    [
        ["get", "m", "a", "--raw", "--json"],
        ["scan", "m", "--keys", "--values"],
        ["diff", "m", "n", "--quiet", "--json"],
        ["diff", "m", "n", "--file", "--old-file"],
        ["scan", "m", "--keys", "--count"],
        ["scan", "m", "--from", "a", "--after", "b"],
        ["scan", "m", "--max-width", "9", "--json"],
        ["scan", "m", "--max-width", "9", "--count"],
        ["scan", "m", "--reverse", "--count"],
        ["export", "m", "--type", "text"],
        ["export", "m", "-o", "m.json", "--type", "text"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_apply_are_refused(command, words):
    done = command(*words)
    assert (done.code, done.out) == (errors.USAGE, "")


# ---- update ----------------------------------------------------------------------------------


@pytest.fixture
def typed(name):
    tree = sharedmap.rbtree(encode=lambda value: NotImplemented if type(value) is list else b"{}")
    tree.update(int=1, float=1.5, bool=True, none=None, str="x", bytes=b"x", list=[1])
    tree["encoded"] = object()
    tree.share(name)
    return name


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("int=5", 5),
        ("int=-7", -7),
        ("int=123456789012345678901234567890", 123456789012345678901234567890),
        ("float=2.5", 2.5),
        ("float=2", 2.0),
        ("bool=false", False),
        ("none=5", "5"),
        ("new=5", "5"),
        ("str=5", "5"),
        ("str=", ""),
        ("bytes=5ü", "5ü".encode()),
        ('list=[2, "a"]', [2, "a"]),
        ('int:="5"', "5"),
        ("str:=5", 5),
        ("str=a=b", "a=b"),
    ],
)
def test_update_keeps_the_type_that_is_present(command, typed, assignment, expected):
    assert command("update", typed, assignment).code == 0
    key = assignment.partition("=")[0].rstrip(":")
    with sharedmap.sharedmap(typed, decode=bytes) as opened:
        assert opened[key] == expected
        assert type(opened[key]) is type(expected)


@pytest.mark.parametrize(
    "assignment",
    ["int=5x", "int=5.0", "int=", "int=true", "float=x", "bool=1", "list=1", "encoded=x"],
)
def test_update_refuses_text_that_does_not_fit_the_type(command, typed, assignment):
    key = assignment.partition("=")[0]
    assert failed(command("update", typed, assignment), errors.USAGE, repr(key), f"{key}:=JSON")
    assert sharedmap.sharedmap(typed, decode=bytes).generation == 1


def test_update_reads_a_value_from_a_file(command, typed, tmp_path):
    text, data, table = tmp_path / "text", tmp_path / "data", tmp_path / "json"
    text.write_text("two\nlines ü\n")
    data.write_bytes(b"\x89PNG\xff")
    table.write_text('{"a": [1]}\n')
    given = [f"new=@{text}", f"image=@{data}", f"bytes=@{text}", f"list:=@{table}"]
    assert command("update", typed, *given).code == 0
    with sharedmap.sharedmap(typed, decode=bytes) as opened:
        assert opened["new"] == "two\nlines ü\n"
        assert opened["image"] == b"\x89PNG\xff"
        assert opened["bytes"] == "two\nlines ü\n".encode()
        assert opened["list"] == {"a": [1]}


def test_update_reads_a_value_from_standard_input(typed):
    assert run("update", typed, "new=@-", data=b"piped").code == 0
    assert sharedmap.sharedmap(typed, decode=bytes)["new"] == "piped"


def test_update_from_a_file_that_does_not_fit_changes_nothing(command, typed, tmp_path):
    data = tmp_path / "data"
    data.write_bytes(b"\xff")
    assert failed(command("update", typed, f"str=@{data}"), errors.USAGE, "'str' contains text")
    assert failed(command("update", typed, f"str:=@{data}"), errors.USAGE, "UTF-8")
    assert failed(command("update", typed, "str=@/no/file"), errors.ABSENT, "/no/file")
    assert failed(command("update", typed, "new=1", "new:=2"), errors.USAGE, "twice")
    assert sharedmap.sharedmap(typed, decode=bytes).generation == 1


# ---- the quick way of get --------------------------------------------------------------------

SIMPLE = {"a": "1", "b c": 2, "ü": 0.5, "big": 10**4000, "red": "红 text", "empty": ""}
OTHER = {"none": None, "bool": True, "bytes": b"x", "list": [1], "tab": "\t", "slash": "\\"}
OTHER |= {"inf": float("inf"), "nan": float("nan")}
OTHER |= {"k\n": "1", "k\\": "1", "bidi": "\u202e", "lone": "\ud800"}


@pytest.fixture
def both(name):
    sharedmap.share(SIMPLE | OTHER, name)
    return name


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("keys", [*([key] for key in SIMPLE), ["a", "big"], [*SIMPLE]], ids=ascii)
def test_quick_answer_is_what_the_command_prints(command, both, monkeypatch, keys, options):
    answer = quick.quick_answer(["get", *options, both, *keys])
    assert answer is not None
    assert command("get", both, *keys, *options) == (0, answer, "")
    monkeypatch.setattr(sharedmap._cli, "quick_answer", lambda arguments: None)
    assert command("get", both, *keys, *options) == (0, answer, "")


def test_quick_answer_from_a_file(command, tmp_path):
    path = tmp_path / "map"
    sharedmap.rbtree(a=1).save(path)
    for words in (["-f", str(path), "a"], [str(path), "a", "--file"]):
        assert quick.quick_answer(["get", *words]) == command("get", *words).out == "1\n"


@pytest.mark.parametrize("key", OTHER)
def test_what_is_not_simple_has_no_quick_answer(both, key):
    assert quick.quick_answer(["get", both, key]) is None
    assert quick.quick_answer(["get", both, "a", key]) is None
    assert quick.quick_answer(["get", both, key, "--json"]) is None


def test_quotes_have_no_quick_answer_in_json(command, name):
    sharedmap.share({'say "x"': "1", "says": '"x"'}, name)
    for key in ('say "x"', "says"):
        assert quick.quick_answer(["get", name, key, "--json"]) is None
        assert quick.quick_answer(["get", name, key]) == command("get", name, key).out


@pytest.mark.parametrize(
    "words",
    [
        ["get"],
        ["get", "{}"],
        ["get", "{}", "absent"],
        ["get", "{}.absent", "a"],
        ["get", "", "a"],
        ["get", "{}", "a", "--json", "--json"],
        ["get", "{}", "a", "--raw"],
        ["get", "{}", "--json"],
        ["get", "--json", "--json"],
        ["get", "-f", "{}", "a"],
        ["get", "-f", "{}", "a", "--file"],
        ["get", "{}", "--", "a"],
        ["stat", "{}", "a"],
    ],
)
def test_options_and_errors_have_no_quick_answer(both, words):
    assert quick.quick_answer([word.format(both) for word in words]) is None


def test_quick_answer_to_a_pipe_that_is_closed_and_to_a_full_disk(both):
    with open("/dev/full", "wb") as full:
        done = run("get", both, "a", stdout=full)
    assert done == (errors.NO_SPACE, None, b"sharedmap: No space left on device\n")


def test_log_of_follow_escapes_what_a_terminal_obeys():
    pytest.importorskip("redis")
    from sharedmap._cli import following

    record = logging.makeLogRecord({"msg": "no answer from %s", "args": ("a\x1b[31m\u202e\nb",)})
    told = following._Formatter("sharedmap: %(message)s").format(record)
    assert told == "sharedmap: no answer from a\\x1b[31m\\u202e\\nb"
