"""For the tests of `load`: a file of this content is loaded, or refused."""

import json

import pytest
from command import failed

import sharedmap
from sharedmap._cli import errors


def _written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def loaded(command, name, tmp_path):
    """loaded("a.csv", text, *options): the entries that are published, as a dict."""

    def loaded(file, content, *options):
        done = command("load", name, _written(tmp_path / file, content), "--force", *options)
        assert (done.code, done.err) == (0, ""), done
        loaded.out = done.out.removeprefix(f"published {name}: ")
        with sharedmap.sharedmap(name, decode=json.loads) as opened:
            return dict(opened)

    return loaded


@pytest.fixture
def refused(command, name, tmp_path):
    """refused("a.csv", text, *parts, options=()): exit 5 with these parts, and nothing changed."""

    def refused(file, content, *parts, options=(), code=errors.BAD_DATA):
        sharedmap.share({"old": 1}, name, force=True)
        with sharedmap.sharedmap(name) as opened:
            before = opened.id
        path = _written(tmp_path / file, content)
        done = command("load", name, path, "--force", *options)
        if code == errors.USAGE:
            assert (done.code, done.out) == (code, ""), done
            assert all(part in done.err for part in parts), done
        else:
            assert failed(done, code, *parts, *([str(path)] if parts else []))
        with sharedmap.sharedmap(name) as opened:
            assert (dict(opened), opened.id) == ({"old": 1}, before)
        return done.err

    return refused
