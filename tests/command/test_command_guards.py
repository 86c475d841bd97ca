"""Guards of load, publish and update: a good map is not replaced by mistake."""

import json

import pytest
from command import failed

import sharedmap
from sharedmap._cli import errors


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("key,value\na,1\nb,2\nd,4\n")
    return path


OLD = {"a": "1", "b": "x", "c": "3"}


def version(name):
    with sharedmap.sharedmap(name) as opened:
        return opened.id, dict(opened)


def test_dry_run_tells_what_would_change_and_changes_nothing(command, name, path):
    done = command("load", name, path, "--dry-run")
    assert done.out == f"would publish {name}: 3 entries (3 added, 0 changed, 0 removed)\n"
    assert name not in sharedmap.names()
    sharedmap.share(OLD, name)
    before = version(name)
    done = command("load", name, path, "--dry-run", "--force")
    assert done.out == f"would publish {name}: 3 entries (1 added, 1 changed, 1 removed)\n"
    done = command("load", name, path, "--dry-run", "--force", "--json")
    assert json.loads(done.out) == {
        "would_publish": name,
        "entries": 3,
        "added": 1,
        "changed": 1,
        "removed": 1,
    }
    assert version(name) == before


def test_dry_run_fails_where_publishing_would(command, name, path):
    sharedmap.share(OLD, name)
    assert failed(command("load", name, path, "--dry-run"), errors.CONFLICT, "--force")
    words = ("load", name, path, "--dry-run", "--force")
    assert failed(command(*words, "--expect", "9"), errors.CONFLICT, "--expect")
    assert failed(command(*words, "--min-entries", "4"), errors.BAD_DATA, "--min-entries")
    path.write_text("key,value\na\n")
    assert failed(command(*words), errors.BAD_DATA, "line 2")


def test_dry_run_of_a_file(command, tmp_path, path):
    saved = tmp_path / "map"
    done = command("load", "--save", saved, path, "--dry-run")
    assert done.out == f"would save {saved}: 3 entries (3 added, 0 changed, 0 removed)\n"
    assert not saved.exists()
    sharedmap.rbtree(OLD).save(saved)
    done = command("load", "--save", saved, path, "--dry-run", "--force")
    assert done.out == f"would save {saved}: 3 entries (1 added, 1 changed, 1 removed)\n"


def test_too_few_entries_are_refused(command, name, path):
    sharedmap.share(OLD, name)
    before = version(name)
    done = command("load", name, path, "--force", "--min-entries", "4")
    assert failed(done, errors.BAD_DATA, "only 3 entries", "--min-entries 4")
    assert version(name) == before
    assert command("load", name, path, "--force", "--min-entries", "3").code == 0


@pytest.mark.parametrize(("most", "is_refused"), [("50%", True), ("0.7", False), ("70%", False)])
def test_map_that_shrinks_is_refused(command, name, path, most, is_refused):
    sharedmap.share({str(n): n for n in range(10)}, name)
    before = version(name)
    done = command("load", name, path, "--force", "--max-shrink", most)
    if is_refused:
        assert failed(done, errors.BAD_DATA, "only 3 entries instead of 10", "50%")
        assert version(name) == before
    else:
        assert done.code == 0


def test_map_that_is_compared_is_the_one_that_is_replaced(command, name, path, monkeypatch):
    """Another process publishes between the comparison and the publication."""
    sharedmap.share(OLD, name)
    from sharedmap._cli import guards

    check = guards.check

    def check_and_publish(*arguments):
        expected = check(*arguments)
        sharedmap.share({str(n): n for n in range(100)}, name, force=True)
        return expected

    monkeypatch.setattr(guards, "check", check_and_publish)
    done = command("load", name, path, "--force", "--max-shrink", "50%")
    assert failed(done, errors.CONFLICT)
    assert len(version(name)[1]) == 100


def test_only_the_expected_version_is_replaced(command, name, path):
    assert command("load", name, path, "--expect", "0").code == 0
    first = version(name)[0]
    assert failed(command("load", name, path, "--expect", first), errors.USAGE, "--force")
    assert failed(command("load", name, path, "--force", "--expect", "0"), errors.CONFLICT)
    assert command("load", name, path, "--force", "--expect", first).code == 0
    assert failed(command("load", name, path, "--force", "--expect", first), errors.CONFLICT)
    assert command("load", name, path, "--force", "--expect", "2").code == 0
    saving = ("load", "--save", path.parent / "map", path, "--expect", "0")
    assert failed(command(*saving), errors.USAGE, "not for files")


def test_publish_has_guards(command, name, tmp_path):
    saved = tmp_path / "map"
    sharedmap.rbtree({"a": "1"}).save(saved)
    sharedmap.share(OLD, name)
    words = ("publish", saved, name, "--force")
    done = command(*words, "--dry-run")
    assert done.out == f"would publish {name}: 1 entry (0 added, 0 changed, 2 removed)\n"
    assert failed(command(*words, "--max-shrink", "50%"), errors.BAD_DATA, "instead of 3")
    assert failed(command(*words, "--min-entries", "2"), errors.BAD_DATA, "only 1 entry")
    assert failed(command(*words, "--expect", "7"), errors.CONFLICT)
    assert command(*words, "--expect", version(name)[0]).code == 0
    assert version(name)[1] == {"a": "1"}


def test_update_can_be_tried(command, name):
    sharedmap.share({"a": 1, "b": 2, "c": 3}, name)
    before = version(name)
    done = command("update", name, "a=1", "b:=2.0", "d=x", "--remove", "c", "--dry-run")
    assert done.out == f"would update {name}: 3 entries (1 added, 1 changed, 1 removed)\n"
    assert version(name) == before
    done = command("update", name, "c=1", "--remove", "c", "--dry-run")
    assert failed(done, errors.FAILED, "'c'")


def test_only_the_expected_version_is_updated(command, name):
    sharedmap.share({"a": 1}, name)
    first = version(name)[0]
    assert command("update", name, "a=2", "--expect", first).code == 0
    for expect in (first, "1", "0"):
        words = ("update", name, "a=3", "--expect", expect)
        assert failed(command(*words), errors.CONFLICT, name)
        assert failed(command(*words, "--dry-run"), errors.CONFLICT, "--expect")
    assert version(name)[1] == {"a": 2}
    assert command("update", name, "a=3", "--expect", "2", "--dry-run").code == 0
    assert command("update", name, "a=3", "--expect", "2").code == 0
    assert version(name)[1] == {"a": 3}
    sharedmap.remove(name)
    assert failed(command("update", name, "a:=4", "--expect", "3"), errors.CONFLICT, "nothing")


def test_update_from_a_table_keeps_the_types_that_are_there(command, name, tmp_path):
    sharedmap.share({"a": 1, "b": 2.0, "c": "x", "d": True}, name)
    path = tmp_path / "changes.csv"
    path.write_text("key,value\na,5\nb,7\nc,8\nd,false\ne,9\n")
    assert command("update", name, "--from", path).code == 0
    assert repr(version(name)[1]) == repr({"a": 5, "b": 7.0, "c": "8", "d": False, "e": "9"})
    path.write_text("key,value\na,many\n")
    before = version(name)
    assert failed(command("update", name, "--from", path), errors.USAGE, "'a'", "an int")
    assert version(name) == before
    assert command("update", name, "--from", path, "--type", "str").code == 0
    assert version(name)[1]["a"] == "many"


@pytest.mark.parametrize("options", [["--format", "csv"], ["--type", "int"], ["--skip-null"]])
def test_options_of_a_file_need_a_file(command, name, options):
    sharedmap.share({"a": 1}, name)
    done = command("update", name, "a=2", *options)
    assert failed(done, errors.USAGE, options[0], "--from")
