"""The command line as a program: pipes, signals, terminals, full disks, kills."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest
from command import PROGRAM, Done, failed, run, start
from helpers import HANG
from live import wait_until

import sharedmap
from sharedmap._cli import errors


def text(done):
    return Done(done.code, done.out.decode(), done.err.decode())


# ---- pipes -----------------------------------------------------------------------------------


def test_load_reads_standard_input(name):
    done = run("load", name, data=b'["a", 1]\n["b", 2]\n')
    assert text(done) == (0, f"published {name}: 2 entries\n", "")
    with sharedmap.sharedmap(name) as opened:
        assert dict(opened) == {"a": 1, "b": 2}


def test_export_of_one_is_input_of_another(names):
    first, second = names(), names()
    sharedmap.share({"a": b"\xff", "b": 2**70}, first)
    with start("export", first) as out:
        done = run("load", second, "-", stdin=out.stdout)
        assert (out.wait(HANG), done.code) == (0, 0)
    assert sharedmap.sharedmap(second) == sharedmap.sharedmap(first)


def test_whoever_has_read_enough_ends_it_without_a_word(name):
    sharedmap.share({f"{number:06}": "x" * 50 for number in range(20_000)}, name)
    with start("scan", name) as process:
        assert process.next_line() == b"000000\t" + b"x" * 50 + b"\n"
        process.stdout.close()
        assert process.wait(HANG) == -signal.SIGPIPE
        assert process.stderr.read() == b""


def test_output_that_nobody_reads_at_all(name):
    sharedmap.share({"a": 1}, name)
    read, write = os.pipe()
    os.close(read)
    assert run("get", name, "a", stdout=write) == (-signal.SIGPIPE, None, b"")
    os.close(write)


def test_output_to_a_full_disk_is_one_line(name):
    sharedmap.share({f"{number:06}": "x" * 50 for number in range(2_000)}, name)
    with open("/dev/full", "wb") as full:
        for what in (("scan", name), ("get", name, "000001"), ("export", name, "--format", "csv")):
            done = run(*what, stdout=full)
            assert done.code == errors.NO_SPACE
            assert done.err == b"sharedmap: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_closed_standard_streams_do_no_harm(name, closed):
    sharedmap.share({"a": 1}, name)
    done = run("get", name, "a", prefix=("sh", "-c", f'exec "$0" "$@" {closed}'))
    assert (done.code, done.err) == (0, b"")
    assert done.out == (b"" if closed.startswith(">") else b"1\n")


def test_closed_standard_input_is_told(name):
    done = run("load", name, prefix=("sh", "-c", 'exec "$0" "$@" <&-'))
    assert failed(text(done), errors.FAILED, "Bad file descriptor")


# ---- signals ---------------------------------------------------------------------------------


def feed_half(name):
    """A load that has had some entries and waits for more."""
    process = start("load", name, stdin=subprocess.PIPE)
    process.stdin.write(b'["a", 1]\n' * 200_000)
    process.stdin.flush()
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_load_that_is_ended_has_published_nothing(names, number, code):
    name = names()
    with feed_half(name) as process:
        process.send_signal(number)
        process.stdin.close()
        assert process.wait(HANG) == code
        assert process.stderr.read() == b""
    assert names.files() == []


def test_load_that_fails_late_has_published_nothing(names):
    name = names()
    done = run("load", name, data=b'["a", 1]\n' * 50_000 + b"[\n")
    assert failed(text(done), errors.BAD_DATA, "line 50001: ")
    assert names.files() == []


def test_export_that_is_terminated_leaves_no_file(name, tmp_path):
    sharedmap.share({f"{number:06}": "x" * 50 for number in range(100_000)}, name)
    with start("export", name, "-o", tmp_path / "out.json") as process:
        wait_until(lambda: list(tmp_path.iterdir()), "writing")
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) in (128 + signal.SIGTERM, 0)
    left = [path.name for path in tmp_path.iterdir()]
    assert left == (["out.json"] if process.returncode == 0 else [])


def test_hangup_does_not_end_what_nohup_has_started(name):
    sharedmap.share({}, name)
    with start("watch", name, prefix=("nohup",), stdin=subprocess.DEVNULL) as process:
        assert b"generation 1" in process.next_line()
        process.send_signal(signal.SIGHUP)
        sharedmap.share({}, name, force=True)
        assert b"generation 2" in process.next_line()
        process.terminate()
        assert process.wait(HANG) == 128 + signal.SIGTERM


def test_watch_tells_of_each_publication_until_ctrl_c(name):
    with start("watch", name, "--json") as process:
        for value in range(1, 4):
            sharedmap.share({"value": value}, name, force=True)
            assert json.loads(process.next_line())["generation"] == value
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG) == -signal.SIGINT
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


# ---- terminals -------------------------------------------------------------------------------


def run_in_terminal(*arguments, program=PROGRAM):
    """What somebody sees who types this; with the exit code."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execv(sys.executable, [*program, *map(os.fspath, arguments)])
    told = b""
    while select.select([terminal], [], [], HANG)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is gone
            break
        told += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told.decode()


@pytest.fixture
def lines_file(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(f'["{number}", "{"x" * 100}"]\n' for number in range(20_000)))
    return path


def test_load_shows_a_progress_bar_on_a_terminal(name, lines_file):
    code, told = run_in_terminal("load", name, lines_file)
    assert code == 0
    assert re.search(r"reading: 100%\|.*2\.\d+M/2\.\d+M", told)
    assert told.endswith(f"published {name}: 20,000 entries\r\n")


def test_load_shows_no_progress_bar_elsewhere(names, lines_file):
    assert run("load", names(), lines_file).err == b""
    assert "reading" not in run_in_terminal("load", names(), lines_file, "--quiet")[1]


WITHOUT_TQDM = """
import sys
sys.modules["tqdm"] = None
from sharedmap._cli import run
sys.exit(run())
"""


def test_load_on_a_terminal_works_without_tqdm(name, lines_file):
    program = (sys.executable, "-c", WITHOUT_TQDM)
    code, told = run_in_terminal("load", name, lines_file, program=program)
    assert (code, told) == (0, f"published {name}: 20,000 entries\r\n")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["ls", "--prefix"], 0, "NAME"),
        (["stat"], 0, "generation  1"),
        (["get"], errors.ABSENT, "no such key"),
        (["scan"], 0, "a\t1"),
        (["export"], 0, '"value": 1'),
        (["verify"], 0, ", valid"),
        (["watch", "--count", "1"], 0, "generation 1"),
        (["update"], 0, "generation 2"),
        (["rm"], 0, "removed"),
        (["doctor"], None, "/dev/shm: "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_command_works_on_a_terminal(name, arguments, code, expected):
    sharedmap.share({"a": 1}, name)
    more = {"get": [name, "none"], "update": [name, "b=2"], "doctor": []}
    found, told = run_in_terminal(*arguments, *more.get(arguments[0], [name]))
    assert expected in told
    assert found == code or (code is None and found in (0, errors.FINDINGS))


# ---- a full /dev/shm -------------------------------------------------------------------------

SMALL = 'mount -t tmpfs -o mode=1777,size=1m tmpfs /dev/shm && exec "$0" "$@"'


@pytest.mark.parametrize("what", ["load", "publish"])
def test_full_shm_is_one_line_and_leaves_nothing(as_root, tmp_path, what):
    source = tmp_path / "big.jsonl"
    source.write_text(json.dumps(["a", "x" * 2**21]))
    saved = tmp_path / "map"
    sharedmap.rbtree(a="x" * 2**21).save(saved)
    words = {"load": f"load big {source}", "publish": f"publish {saved} big"}[what]
    program = " ".join(PROGRAM)
    script = f"{program} {words}; code=$?; ls -A /dev/shm; exit $code"
    prefix = ("unshare", "--mount", "sh", "-c", SMALL, "sh", "-c", script)
    done = run(prefix=prefix)
    assert failed(text(done), errors.NO_SPACE, "big: ", "remove maps")


def test_module_and_script_are_the_same_program():
    script = os.path.join(os.path.dirname(sys.executable), "sharedmap")
    if not os.path.exists(script):
        pytest.skip("NOT TESTED the script `sharedmap`: it is not beside this interpreter")
    assert run("--help", prefix=(script, "--help"))[1] == run("--help").out


def test_two_updates_at_the_same_time_both_happen(name):
    sharedmap.share({}, name)
    threads = [
        threading.Thread(target=run, args=("update", name, f"key{number}={number}"))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sharedmap.sharedmap(name) as opened:
        assert dict(opened) == {f"key{number}": str(number) for number in range(4)}
        assert opened.generation == 5
