"""The recipes in examples/ run, together with what they are recipes for."""

import configparser
import contextlib
import importlib.util
import json
import os
import pickle
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from command import PROGRAM, Program, output_of, run_other
from helpers import HANG, TOP, files_of_map
from live import content, wait_until
from redis_server import end_server, make_server
from servers import Unix, of_servers

import sharedmap
from sharedmap._cli import arguments

EXAMPLES = TOP / "examples"

if not EXAMPLES.is_dir():
    pytest.skip(
        "an installed package is tested, its examples are elsewhere", allow_module_level=True
    )


def needs(module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"NOT TESTED the recipe: {module} is not installed")


def load(program):
    """The example as a module, which is not what sys.modules has."""
    spec = importlib.util.spec_from_file_location(program, EXAMPLES / f"{program}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- gunicorn --------------------------------------------------------------------------------


@pytest.fixture
def web(name, tmp_path):
    """ask(): the status, and what one of four workers says."""
    needs("gunicorn")
    path = f"{tmp_path}/s"
    words = ["--chdir", EXAMPLES, "--config", EXAMPLES / "web_service.py", "web_service:app"]
    environment = {"SETTINGS": name, "BIND": f"unix:{path}"}

    def ask():
        with contextlib.closing(Unix(path)) as connection:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def answers():
        assert process.poll() is None, process.stderr.read().decode()
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return ask()

    with Program(
        [sys.executable, "-m", "gunicorn", *words],
        env={**of_servers(tmp_path), **environment},
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(answers, "gunicorn answers")
        yield ask
        process.terminate()
        process.communicate(timeout=HANG)
        assert process.returncode == 0


def workers_that_say(ask, expected):
    found = set()

    def are_all_found():
        status, text = ask()
        assert status == 200
        assert text.startswith(expected + ", worker "), text
        found.add(text.rpartition(" ")[2])
        return len(found) == 4

    wait_until(are_all_found, "each of the four has answered")
    return found


def test_all_workers_of_gunicorn_serve_a_change_without_a_restart(web, name):
    first = workers_that_say(web, "Hello, limit 100, version 1")
    sharedmap.update(name, {"greeting": "Good evening", "limit": 20})
    assert workers_that_say(web, "Good evening, limit 20, version 2") == first


def test_no_request_fails_and_none_is_mixed_while_settings_change(web, name):
    is_over = threading.Event()
    wrong, count = [], []

    def ask_on_and_on():
        last = 0
        while not is_over.is_set():
            status, text = web()
            limit, version = map(int, re.search(r"limit (\d+), version (\d+)", text).groups())
            if status != 200 or limit != 101 - version or version < last:
                wrong.append((status, text, last))
            last = version
            count.append(1)

    threads = [threading.Thread(target=ask_on_and_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 52):
            before = len(count)
            sharedmap.update(name, {"limit": 101 - version})
            wait_until(lambda before=before: len(count) > before, "a request")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(count) >= 50


# ---- processes -------------------------------------------------------------------------------


def test_worker_pool_adds_up():
    words = [EXAMPLES / "worker_pool.py", "--workers", "2", "--entries", "1000"]
    process, told = run_other(sys.executable, *words)
    expected = sum(number * 7 % 1000 / 100 + number for number in range(1000))
    assert told == f"1000 orders, {expected:,.2f} in all, by 2 processes\n"
    assert files_of_map(f"example:prices:{process}") == []


def test_samples_lie_in_shared_memory_and_travel_as_a_name(name, monkeypatch):
    module = load("data_loader")
    monkeypatch.setitem(sys.modules, "data_loader", module)
    sharedmap.share(module.samples(500), name)
    pickled = pickle.dumps(module.Samples(name))
    assert len(pickled) < 500
    dataset = pickle.loads(pickled)
    assert len(dataset) == 500
    assert list(dataset.view(123).cast("f")) == [23.0] * module.WIDTH
    assert dataset.view(123).readonly


def test_data_loader_of_pytorch_reads_every_sample_once():
    needs("torch")
    told = output_of(sys.executable, EXAMPLES / "data_loader.py", "--samples", "1000")
    assert told == f"1000 samples, sum {sum(number % 100 for number in range(1000))}\n"


def test_jobs_of_rq_find_the_table_and_its_changes(name):
    needs("rq")
    server = make_server()
    try:
        rq = importlib.import_module("rq")
        sharedmap.share({"Lyon": "France"}, name)
        queue = rq.Queue(connection=server.client)
        environment = {**os.environ, "CITIES": name}
        script = shutil.which("rq", path=os.path.dirname(sys.executable)) or "rq"
        worker = [script, "worker", "--burst", "--path", EXAMPLES, "--url", server.url]

        def answers(*cities):
            jobs = [queue.enqueue("job_queue.greet", city) for city in cities]
            output_of(*worker, env=environment)
            return [job.return_value(refresh=True) for job in jobs]

        assert answers("Lyon") == ["Greetings from Lyon in France! (version 1)"]
        sharedmap.update(name, {"Bern": "Switzerland"})
        assert answers("Bern", "Rome") == [
            "Greetings from Bern in Switzerland! (version 2)",
            "Where is Rome? (version 2)",
        ]
    finally:
        end_server(server)


# ---- asyncio ---------------------------------------------------------------------------------


def test_async_service_prepares_each_version_once(name):
    with Program(
        [sys.executable, EXAMPLES / "async_service.py"],
        env={**os.environ, "PATTERNS": name, "PORT": "0"},
        stdout=subprocess.PIPE,
    ) as process:
        port = int(process.next_line().rpartition(b" ")[2])
        with socket.create_connection(("127.0.0.1", port), HANG) as connection:
            stream = connection.makefile("rw")

            def ask(line):
                stream.write(line + "\n")
                stream.flush()
                return stream.readline()

            assert ask("my card is 1234, I am 30") == "1: my card is ***, I am 30\n"
            sharedmap.update(name, {"age": r"I am \d+"})
            wait_until(lambda: ask("x") == "2: x\n", "the second version")
            assert ask("my card is 1234, I am 30") == "2: my card is ***, ***\n"
            sharedmap.update(name, {"broken": "("})
            assert process.next_line().startswith(b"version 3 is not used: ")
            assert ask("I am 30") == "2: ***\n"
            sharedmap.update(name, {}, remove=["broken", "age"])
            wait_until(lambda: ask("x") == "4: x\n", "the fourth version")
            assert ask("I am 30") == "4: I am 30\n"
            stream.close()


# ---- flags -----------------------------------------------------------------------------------


def test_feature_flags_are_switched_on_for_more_and_more_users():
    told = output_of(sys.executable, EXAMPLES / "feature_flags.py").splitlines()
    assert told[0] == "beta: ['ada', 'bob']"
    counts = [int(re.search(r": (\d+) of", line)[1]) for line in told[1:5]]
    assert counts[0] == 0
    assert 50 < counts[1] < 150 < counts[2] < 250
    assert counts[3] == 1000
    assert told[5] == "switched off: True"


# ---- the agent as a service ------------------------------------------------------------------

UNIT = EXAMPLES / "sharedmap-follow.service"


def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(UNIT.read_text())
    return parser


def test_command_of_the_unit_is_the_agent(names, tmp_path):
    server = make_server()
    name = names("{} of/the machine")
    try:
        sharedmap.share({"a": 1}, name)
        output_of(*PROGRAM, "push", server.url, name)
        sharedmap.remove(name)
        (tmp_path / "names").write_text(f"{name}\n")
        line = unit()["Service"]["ExecStart"].replace("/etc/sharedmap/names", f"{tmp_path}/names")
        words = shlex.split(line.replace("/run/sharedmap/", f"{tmp_path}/"))
        assert words[:2] == ["/usr/bin/env", "sharedmap"]
        environment = {
            "STATE_DIRECTORY": os.fspath(tmp_path / "state"),
            "SHAREDMAP_URL": server.url,
        }
        with Program(
            [*PROGRAM, *words[2:]], env={**os.environ, **environment}, stdout=subprocess.PIPE
        ) as agent:
            assert agent.next_line().startswith(b"published ")
            assert content(name) == {"a": 1}
            assert (tmp_path / "health.json").exists()
            agent.terminate()
            assert agent.wait(HANG) == 0
        assert len(list((tmp_path / "state").iterdir())) == 1
    finally:
        end_server(server)


def test_unit_does_not_take_the_map_away():
    service = unit()["Service"]
    assert "DynamicUser" not in service
    assert "PrivateDevices" not in service
    assert service["Restart"] == "always"
    assert service["Type"] == "notify"


def test_systemd_accepts_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NOT TESTED what systemd says of the unit: there is no systemd-analyze")
    copy = tmp_path / "sharedmap-follow.service"
    # Users and files of the service are not there where it is only tested.
    copy.write_text(UNIT.read_text().replace("User=sharedmap", "User=daemon"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True
    )
    assert "sharedmap-follow" not in done.stderr, done.stderr


# ---- the agent in a container ----------------------------------------------------------------


def test_containers_run_commands_that_exist_and_share_memory(tmp_path):
    yaml = pytest.importorskip("yaml")
    lines = (EXAMPLES / "containers/Containerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", lines, re.M)[1])
    check = json.loads(re.search(r"HEALTHCHECK .*\n +CMD (.*)$", lines, re.M)[1])
    services = yaml.safe_load((EXAMPLES / "containers/compose.yaml").read_text())["services"]
    agent, worker = services["agent"], services["worker"]
    for words in (entry + agent["command"], check, worker["entrypoint"] + worker["command"]):
        assert words[0] == "sharedmap"
        arguments.parse(words[1:])
    assert check[-1] == entry[-1]
    assert (agent["ipc"], worker["ipc"]) == ("shareable", "service:agent")
    # Where the disk of the agent is, and the file that is built from.
    (state,) = re.findall(r"^ENV STATE_DIRECTORY=(.*)$", lines, re.M)
    assert agent["volumes"] == [f"versions:{state}"]
    build = agent["build"]
    top = EXAMPLES / "containers" / build["context"]
    for files, target in re.findall(r"^COPY (.*) /source(\S*)$", lines, re.M):
        assert all((top / file).exists() for file in files.split())
        assert target.strip("/") in ("", files)
    assert (top / build["dockerfile"]).samefile(EXAMPLES / "containers/Containerfile")
