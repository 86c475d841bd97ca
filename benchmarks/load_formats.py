"""A million rows of each format: `sharedmap load` beside pandas or json and a dict.

    python benchmarks/load_formats.py [--rows N] [--repeat N] [FORMAT ...]

Each runs in a process of its own, in turn. The other way is what people write without a shared map:
for tables `pandas.read_csv` and the like, for JSON the json module, and a dict of key to value.
Memory is the largest resident set of the process; of `load` it contains the snapshot, which all
processes share. Formats whose library is not installed are omitted.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile

import sharedmap

NAME = f"benchmark:formats:{os.getpid()}"

PRELUDE = """
import json, sys, time
begin = time.perf_counter()
"""
REPORT = """
seconds = time.perf_counter() - begin
fields = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
print(json.dumps([seconds, int(fields["VmHWM"].split()[0]) * 1024]))
"""
LOAD = """
from sharedmap._cli import main
assert main(["load", sys.argv[2], sys.argv[1], "--force", "--quiet", *sys.argv[3:]]) == 0
"""
PANDAS = """
import pandas
frame = pandas.{}
d = dict(zip(frame["key"].tolist(), frame["value"].tolist()))
"""
JSON = """
d = json.load(open(sys.argv[1], "rb"))
"""
ARRAY = """
d = {row["key"]: row["value"] for row in json.load(open(sys.argv[1], "rb"))}
"""
LINES = """
d = {}
for line in open(sys.argv[1], "rb"):
    row = json.loads(line)
    d[row["key"]] = row["value"]
"""
IJSON = """
import ijson
d = dict(ijson.kvitems(open(sys.argv[1], "rb"), ""))
"""
MSGSPEC = """
import msgspec
d = msgspec.json.decode(open(sys.argv[1], "rb").read())
"""
SQLITE = """
import sqlite3
d = dict(sqlite3.connect(sys.argv[1]).execute("SELECT key, value FROM t"))
"""
YAML = """
import yaml
d = yaml.load(open(sys.argv[1], "rb"), yaml.CSafeLoader)
"""
TOML = """
import tomllib
d = tomllib.load(open(sys.argv[1], "rb"))
"""


def rows(count):
    for number in range(count):
        yield f"user:{number * 2654435761 % 2**32:010}", f"{number:032}"


def write_csv(path, count, delimiter=",", opened=open):
    with opened(path, "wt", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(("key", "value"))
        writer.writerows(rows(count))


def write_tsv(path, count):
    write_csv(path, count, "\t")


def write_csv_gz(path, count):
    write_csv(path, count, opened=gzip.open)


def write_json(path, count):
    with open(path, "w") as file:
        json.dump(dict(rows(count)), file)


def write_array(path, count):
    with open(path, "w") as file:
        json.dump([{"key": key, "value": value} for key, value in rows(count)], file)


def write_lines(path, count):
    with open(path, "w") as file:
        for key, value in rows(count):
            file.write(json.dumps({"key": key, "value": value}) + "\n")


def write_sqlite(path, count):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE t (key TEXT, value TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows(count))
    connection.close()


def write_yaml(path, count):
    with open(path, "w") as file:
        for key, value in rows(count):
            file.write(f"'{key}': '{value}'\n")


def write_toml(path, count):
    with open(path, "w") as file:
        for key, value in rows(count):
            file.write(f"'{key}' = '{value}'\n")


def write_parquet(path, count):
    import pyarrow
    import pyarrow.parquet

    keys, values = zip(*rows(count), strict=True)
    table = pyarrow.table({"key": keys, "value": values})
    pyarrow.parquet.write_table(table, path)


TEXT = "read_csv(sys.argv[1], dtype=str, keep_default_na=False{})"
# The suffix, what writes the file, {contender: source}, the packages that these need.
FORMATS = {
    "csv": (".csv", write_csv, {"pandas": PANDAS.format(TEXT.format(""))}),
    "tsv": (".tsv", write_tsv, {"pandas": PANDAS.format(TEXT.format(", sep='\\t'"))}),
    "csv.gz": (".csv.gz", write_csv_gz, {"pandas": PANDAS.format(TEXT.format(""))}),
    "json": (".json", write_json, {"json": JSON, "ijson": IJSON, "msgspec": MSGSPEC}),
    "array": (".json", write_array, {"json": ARRAY}),
    "jsonl": (".jsonl", write_lines, {"json": LINES}),
    "sqlite": (".db", write_sqlite, {"sqlite3": SQLITE}),
    "parquet": (".parquet", write_parquet, {"pandas": PANDAS.format("read_parquet(sys.argv[1])")}),
    "yaml": (".yaml", write_yaml, {"yaml": YAML}),
    "toml": (".toml", write_toml, {"tomllib": TOML}),
}


def is_there(package):
    return importlib.util.find_spec(package) is not None


def measure(source, path):
    program = [sys.executable, "-c", PRELUDE + source + REPORT, path, NAME]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(form, count, repeat, folder):
    suffix, write, others = FORMATS[form]
    if form == "parquet" and not is_there("pyarrow"):
        return
    path = os.path.join(folder, f"{form}{suffix}")
    write(path, count)
    ways = {"sharedmap load": LOAD}
    ways |= {name: source for name, source in others.items() if is_there(name)}
    found = {way: [] for way in ways}
    for _ in range(repeat):
        for way, source in ways.items():
            found[way].append(measure(source, path))
    print(f"{form}, {os.path.getsize(path) / 2**20:.1f} MiB")
    for way, results in found.items():
        seconds = [result[0] for result in results]
        peak = statistics.median(result[1] for result in results) / 2**20
        print(
            f"  {way:16} {statistics.median(seconds):6.2f} s"
            f" [{min(seconds):.2f} to {max(seconds):.2f}], {peak:7.1f} MiB at most"
        )
    os.remove(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("formats", metavar="FORMAT", nargs="*", help=", ".join(FORMATS))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for form in options.formats or FORMATS:
                compare(form, options.rows, options.repeat, folder)
        finally:
            sharedmap.remove(NAME)


if __name__ == "__main__":
    main()
