"""load of YAML, TOML, INI, .env, SQLite, Parquet, Arrow, and of compressed files."""

import bz2
import datetime
import gzip
import io
import lzma
import sqlite3
import subprocess
import sys

import pytest
from command import failed

import sharedmap
from sharedmap._cli import errors
from sharedmap._cli.formats import compression

# ---- YAML --------------------------------------------------------------------------------------


def test_yaml_is_read(loaded):
    text = "a: 1\nb: [1.5, null]\nc: {d: x}\n7: yes\nday: 2024-05-06\ndata: !!binary AP8=\n"
    assert loaded("a.yaml", text) == {
        "a": 1,
        "b": [1.5, None],
        "c": {"d": "x"},
        "7": True,
        "day": "2024-05-06",
        "data": b"\x00\xff",
    }
    assert loaded("a.yml", "- {id: 1, n: x}\n- {id: 2, n: y}\n", "--key", "id", "--value", "n") == {
        "1": "x",
        "2": "y",
    }
    assert loaded("a.yaml", "x: {y: {z: 1}}\n", "--at", "/x", "--flatten", ".") == {"y.z": 1}
    merged = "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\n"
    assert loaded("a.yaml", merged) == {"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: [1\n", ["line 2"]),
        ("a: 1\na: 2\n", ["line 2", "'a' occurs twice"]),
        ("NO: Norway\n", ["the key is not a string but true or false"]),
        ("a: .nan\n", ["'a'", "--allow-nan"]),
        ("a: !!python/object:os.system {}\n", ["line 1"]),
        ("a: !!set {x, y}\n", ["'a'", "type set"]),
        ("a: 2024-13-45\n", []),
        ("just text\n", ["neither a mapping nor a list"]),
        ("a: 1\n---\nb: 2\n", ["single document"]),
        ("a: &a [*a]\n", ["levels deep"]),
    ],
)
def test_yaml_with_a_fault_is_refused(refused, text, parts):
    refused("a.yaml", text, *parts)


def test_yaml_whose_aliases_grow_without_end_is_refused(refused):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    refused("a.yaml", "\n".join(lines), "too large")


# ---- TOML, INI, .env ---------------------------------------------------------------------------


def test_toml_is_read(loaded, refused):
    text = 'title = "x"\nday = 2024-05-06\n[a]\nb = [1, 2.5]\n[a.c]\nis_d = true\n'
    assert loaded("a.toml", text) == {
        "title": "x",
        "day": "2024-05-06",
        "a": {"b": [1, 2.5], "c": {"is_d": True}},
    }
    assert loaded("a.toml", text, "--flatten", ".")["a.c.is_d"] is True
    refused("a.toml", "a = 1\na = 2\n", "line 2")
    refused("a.toml", "a = nan\n", "--allow-nan")


def test_ini_is_read(loaded, refused):
    text = "[Server]\nHost = x\nrate = 50%\n[DEFAULT]\na = 1\n"
    assert loaded("a.ini", text) == {"Server": {"Host": "x", "rate": "50%"}, "DEFAULT": {"a": "1"}}
    assert loaded("a.cfg", text, "--flatten", ".")["Server.Host"] == "x"
    assert loaded("a.ini", text, "--at", "/Server") == {"Host": "x", "rate": "50%"}
    refused("a.ini", "[a]\nx = 1\nx = 2\n", "line 3", "'x'")
    refused("a.ini", "x = 1\n", "line 1")


def test_env_is_read(loaded, refused):
    text = (
        "# made by hand\n\nA=1\nexport B = two words # why\nC='$A # x\ny'\n"
        'D="a\\n\\"b\\" \\$A" # no\nE=\nF=a#b\nG=http://x/?a=b\n'
    )
    assert loaded(".env", text) == {
        "A": "1",
        "B": "two words",
        "C": "$A # x\ny",
        "D": 'a\n"b" $A',
        "E": "",
        "F": "a#b",
        "G": "http://x/?a=b",
    }
    refused("a.env", "A=1\nno equals\n", "line 2")
    refused("a.env", "A=1\nA=2\n", "line 2", "'A' occurs twice")
    refused("a.env", "A='open\n", "line 1", "not closed")
    refused("a.env", "A='x' y\n", "line 1", "after the quote")


# ---- SQLite ------------------------------------------------------------------------------------


def database(path, *statements):
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path.read_bytes()


SHOP = (
    "CREATE TABLE prices (id INTEGER, name TEXT, price REAL, picture BLOB)",
    "INSERT INTO prices VALUES (1, 'apple', 1.5, x'00ff'), (2, 'pear', NULL, NULL)",
)


def test_sqlite_is_read(loaded, refused, tmp_path):
    data = database(tmp_path / "shop", *SHOP)
    assert loaded("a.db", data, "--key", "id", "--value", "name") == {"1": "apple", "2": "pear"}
    assert loaded("a.sqlite", data, "--key", "name", "--row") == {
        "apple": {"id": 1, "price": 1.5, "picture": b"\x00\xff"},
        "pear": {"id": 2, "price": None, "picture": None},
    }
    query = ["--query", "SELECT name AS key, price * 2 AS value FROM prices WHERE price > 1"]
    assert loaded("a", data, *query) == {"apple": 3.0}  # by its first bytes
    refused("a.db", data, "no column 'key'; it has id, name, price, picture")
    refused("a.db", data, "no table 'x'; the tables are: prices", options=["--table", "x"])
    refused("a.db", data, "SQLite", options=["--query", "SELECT nope FROM prices"])
    refused("a.db", data, "SQLite", options=["--query", "DELETE FROM prices"])
    refused("a.db", data, "2 times", options=["--query", "SELECT 1 AS key, 2 AS value, 3 AS value"])
    refused("a.db", "no database", "SQLite")
    refused("a.json", data, "this is a file of sqlite")


def test_table_of_several_is_named(loaded, refused, tmp_path):
    data = database(tmp_path / "shop", *SHOP, 'CREATE TABLE "other ""one" (key, value)')
    refused("a.db", data, '--table or --query is needed; the tables are: other "one, prices')
    table = ["--table", "prices", "--key", "name", "--value", "id"]
    assert loaded("a.db", data, *table) == {"apple": 1, "pear": 2}
    assert loaded("a.db", data, "--table", 'other "one', "--allow-empty") == {}


def test_sqlite_is_not_changed_by_reading(command, name, tmp_path):
    path = tmp_path / "a.db"
    data = database(path, *SHOP)
    assert command("load", name, path, "--key", "id", "--row").code == 0
    assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


# ---- Parquet, Arrow ----------------------------------------------------------------------------


@pytest.fixture
def table():
    arrow = pytest.importorskip("pyarrow", reason="NOT TESTED Parquet: pyarrow is not installed")
    columns = {
        "id": [1, 2, 3],
        "name": ["apple", "pear", None],
        "tags": [["a", "b"], [], None],
        "day": [datetime.date(2024, 5, 6), None, None],
    }
    return arrow.table(columns)


def written(table, form):
    file = io.BytesIO()
    if form == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, file, row_group_size=2)
    else:
        import pyarrow.ipc

        new = pyarrow.ipc.new_stream if form == "stream" else pyarrow.ipc.new_file
        with new(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "file"),
    [("parquet", "a.parquet"), ("file", "a.arrow"), ("file", "a.feather"), ("stream", "a.arrow")],
)
def test_columnar_files_are_read(loaded, refused, table, form, file):
    data = written(table, form)
    expected = {"1": "apple", "2": "pear", "3": None}
    chosen = ["--key", "id", "--value", "name"]
    assert loaded(file, data, *chosen) == expected
    assert loaded(file + ".gz", gzip.compress(data), *chosen) == expected
    assert loaded(file, data, "--key", "id", "--row")["1"] == {
        "name": "apple",
        "tags": ["a", "b"],
        "day": "2024-05-06",
    }
    refused(file, data, "no column 'key'; it has id, name, tags, day")
    refused(file, data, "row 3: the key", options=["--key", "name", "--value", "id"])
    refused(file, data[:-20], "not a valid", options=chosen)


def test_columnar_files_are_read_from_a_pipe(command, name, table):
    words = [sys.executable, "-m", "sharedmap", "load", name, "--key", "id", "--value", "name"]
    done = subprocess.run(words, input=written(table, "parquet"), capture_output=True, check=True)
    assert done.stdout.decode() == f"published {name}: 3 entries\n"


# ---- compression -------------------------------------------------------------------------------

ENTRIES = "".join(f'["key {n}", "{n * 7919 % 100_003:032}"]\n' for n in range(5000)).encode()


def zstd(data):
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.compress(data)
    library = pytest.importorskip("zstandard", reason="NOT TESTED zstd: it is not installed")
    return library.compress(data)


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_are_read(loaded, suffix):
    data = COMPRESS[suffix](ENTRIES)
    expected = loaded("a.jsonl", ENTRIES)
    assert len(expected) == 5000
    assert loaded(f"a.jsonl{suffix}", data) == expected
    assert loaded("renamed", data) == expected
    half = len(ENTRIES) // 2
    parts = COMPRESS[suffix](ENTRIES[:half]) + COMPRESS[suffix](ENTRIES[half:])
    assert loaded(f"a.jsonl{suffix}", parts) == expected


@pytest.mark.parametrize("suffix", COMPRESS)
def test_truncated_and_damaged_files_are_refused_at_every_cut(refused, suffix):
    data = COMPRESS[suffix](ENTRIES[:3000])
    for size in {*range(0, len(data), max(1, len(data) // 40)), len(data) - 1}:
        refused(f"a.jsonl{suffix}", data[:size])
    refused(f"a.jsonl{suffix}", data[: len(data) // 2], "truncated")
    damaged = bytearray(data)
    for at in range(len(data) // 2, len(data) // 2 + 8):
        damaged[at] ^= 0x55
    refused(f"a.jsonl{suffix}", bytes(damaged))


def test_compressed_text_of_another_encoding_is_read(loaded):
    data = gzip.compress("key,value\na,é\n".encode("utf-16"))
    assert loaded("a.csv.gz", data) == {"a": "é"}


def test_missing_package_is_named(command, name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for file, package in (("a.yaml", "PyYAML"), ("a.parquet", "pyarrow")):
        path = tmp_path / file
        path.write_text("PAR1" if file == "a.parquet" else "a: 1\n")
        assert failed(command("load", name, path), errors.FAILED, package, "pip install")
    if sys.version_info < (3, 14):
        monkeypatch.setitem(sys.modules, "zstandard", None)
        path.write_bytes(b"\x28\xb5\x2f\xfd")
        done = command("load", name, path, "--format", "csv")
        assert failed(done, errors.FAILED, "zstandard", "sharedmap[zstd]")


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
def test_export_compresses_by_the_suffix(command, names, tmp_path, form, suffix):
    COMPRESS[suffix](b"")  # skips where there is no library
    first, second = names(), names()
    entries = {f"key {n}": f'text\t"{n}"\n' for n in range(1000)}
    sharedmap.share(entries, first)
    path = tmp_path / f"a.{form}{suffix}"
    assert command("export", first, "-o", path).code == 0
    assert compression.compression_of(path.read_bytes()[:16]) is not None
    done = command("load", second, path)
    assert done.code == 0, done
    with sharedmap.sharedmap(second) as opened:
        assert dict(opened) == entries


def test_export_refuses_a_suffix_that_it_cannot_write(command, name, tmp_path):
    sharedmap.share({"a": 1}, name)
    done = command("export", name, "-o", tmp_path / "a.yaml")
    assert failed(done, errors.USAGE, "a.yaml", "export does not write yaml", ".json")
    assert [*tmp_path.iterdir()] == []


# ---- what a file is taken for ------------------------------------------------------------------


def test_what_cannot_be_read_is_named(command, name, refused, tmp_path):
    assert failed(command("load", name, tmp_path), errors.FAILED, f"{tmp_path} is a directory")
    refused("a.csv", b"PK\x03\x04rest", "zip archive", "export it as CSV")
    refused("a.txt", "key,value\na,1\n", "line 1", "taken for JSON Lines", "--format")
    saved = tmp_path / "saved.map"
    sharedmap.rbtree({"a": 1}).save(saved)
    done = command("load", name, saved)
    assert failed(done, errors.BAD_DATA, "this is a saved map", "sharedmap publish")


def test_several_files_are_one_input(command, name, tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.jsonl"
    one.write_text("key,value\na,1\nb,2\n")
    two.write_text('["b", 3]\n["c", 4]\n')
    done = command("load", name, one, two)
    assert done.out == (
        f"published {name}: 3 entries (4 read, 1 duplicate, of which the last is stored)\n"
    )
    with sharedmap.sharedmap(name) as opened:
        assert dict(opened) == {"a": "1", "b": 3, "c": 4}
    two.write_text("[")
    assert failed(command("load", name, one, two, "--force"), errors.BAD_DATA, f"{two}: line 1")
    assert failed(command("load", name, "-", "-", "--force"), errors.USAGE, "only once")
