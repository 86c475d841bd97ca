"""Which names a map can have, and the file each one stands for."""

import contextlib
import fcntl
import os
import socket

import pytest
from helpers import SHM, segment_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import content, wait_until

import sharedmap

LEGAL = [
    "a/b {}",
    "/{}",
    "{}/",
    "../{}",
    "/dev/shm/{}",
    ". {}",
    "..{}",
    "%{}",
    "%2F{}",
    "a~{}",
    "{}~",
    "~{}",
    "{}.",
    "{}%2F",
    "{}\n\x7f",
    " {} ",
    "-rf {}",
    "\n{}",
    "\x01{}\x1f",
    "\x7f{}",
    "\\{}",
    "*?{}",
    "é{}",
    "红{}",
    "\U0001f600{}",
    "\ud800{}",
    "\udcff{}",
    "e\u0301{}",
]

# Each operation that takes a name, with the name as its only argument that matters.
OPERATIONS = {
    "share": lambda name: sharedmap.rbtree().share(name),
    "share with force": lambda name: sharedmap.rbtree().share(name, force=True),
    "share with an expectation": lambda name: sharedmap.rbtree().share(name, expect=0),
    "share by the function": lambda name: sharedmap.share({}, name),
    "update": lambda name: sharedmap.update(name, {}),
    "open": sharedmap.sharedmap,
    "open that follows": lambda name: sharedmap.sharedmap(name, follow=True),
    "remove": sharedmap.rbtree.remove,
    "remove by the function": sharedmap.remove,
}

each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


@pytest.mark.parametrize("template", LEGAL, ids=ascii)
def test_legal_name_works_for_share_open_and_remove(names, template):
    name = names(template)
    tree = sharedmap.rbtree()
    tree["a"] = name
    assert tree.share(name) is True
    with sharedmap.sharedmap(name) as shared:
        assert shared["a"] == name
    assert sharedmap.rbtree.remove(name) is True


@pytest.mark.parametrize("template", LEGAL, ids=ascii)
def test_legal_name_is_the_documented_file(names, template):
    name = names(template)
    sharedmap.rbtree().share(name)
    assert [SHM + file for file in names.files()] == [segment_path(name)]


@pytest.mark.parametrize("template", LEGAL, ids=ascii)
def test_legal_name_works_from_another_process(names, template, other):
    name = names(template)
    sharedmap.rbtree().share(name)
    assert other.eval("len(sharedmap.sharedmap(name))", name=name) == 0


@pytest.fixture
def alone():
    """While one such test runs, the same one of other users and versions waits."""
    shm = os.open(SHM, os.O_RDONLY | os.O_DIRECTORY)

    def is_ours():
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(shm, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True

    wait_until(is_ours, "alone on this machine")
    yield
    os.close(shm)


@pytest.mark.parametrize("name", [".", "..", "/", "%", "~", "a/b"])
def test_short_special_name_is_a_name_like_others(name, alone):
    # These cannot hold a test's token, so this test must not meet a map of somebody else.
    path = segment_path(name)
    assert not os.path.lexists(path), "in use on this machine"
    try:
        assert sharedmap.rbtree().share(name) is True
        assert os.path.isfile(path)
        with sharedmap.sharedmap(name) as shared:
            assert len(shared) == 0
        assert sharedmap.rbtree.remove(name) is True
        assert not os.path.lexists(path)
    finally:
        if os.path.lexists(path):
            os.unlink(path)


def test_names_that_would_encode_alike_are_different_maps(names):
    token = names()
    alike = [
        template.format(token) for template in ("a/{}", "a%2F{}", "a%2f{}", "a%252F{}", "A/{}")
    ]
    assert len({segment_path(name) for name in alike}) == len(alike)
    tree = sharedmap.rbtree()
    try:
        for name in alike:
            tree["name"] = name
            tree.share(name)
        for name in alike:
            with sharedmap.sharedmap(name) as shared:
                assert shared["name"] == name
    finally:
        removed = [sharedmap.rbtree.remove(name) for name in alike]
    assert removed == [True] * len(alike)


def test_composed_and_decomposed_names_are_different_maps(names):
    composed, decomposed = names("é{}"), names("e\u0301{}")
    sharedmap.rbtree().share(composed)
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(decomposed)


def test_upper_and_lower_case_names_are_different_maps(names):
    sharedmap.rbtree().share(names("a{}"))
    with pytest.raises(FileNotFoundError):
        sharedmap.sharedmap(names("A{}"))


def test_name_that_ends_like_a_temporary_file_is_left_alone(names):
    """Publishing `name` again passes through the file `name~`; the map "name~" is another."""
    name = names()
    tree = sharedmap.rbtree()
    tree["a"] = "with tilde"
    tree.share(name + "~")
    try:
        tree["a"] = "without"
        tree.share(name)
        tree.share(name, force=True)
        with sharedmap.sharedmap(name + "~") as shared:
            assert shared["a"] == "with tilde"
    finally:
        sharedmap.rbtree.remove(name + "~")


# The file name may hold 228 bytes of encoded name: 255, less "sharedmap.", "~" and 16 digits.
LONGEST = 228


@pytest.mark.parametrize("character", ["x", "é", "红", "\U0001f600", "/", "%"], ids=ascii)
def test_longest_name_works(names, character):
    token = names()
    each = len(segment_path(character)) - len(segment_path(""))
    room = LONGEST - len(token)
    name = token + character * (room // each) + "x" * (room % each)
    tree = sharedmap.rbtree()
    try:
        tree.share(name)
        # Replacing needs the longer temporary name as well.
        tree.share(name, force=True)
        assert os.path.isfile(segment_path(name))
        assert len(segment_path(name)) - len(segment_path("")) == LONGEST
        sharedmap.sharedmap(name).close()
    finally:
        assert sharedmap.rbtree.remove(name) is True


@each_operation
@pytest.mark.parametrize("character", ["x", "é", "红", "\U0001f600", "/", "%"], ids=ascii)
def test_name_one_byte_too_long_raises_value_error(operation, character):
    each = len(segment_path(character)) - len(segment_path(""))
    name = character * ((LONGEST + 1) // each) + "x" * ((LONGEST + 1) % each)
    with pytest.raises(ValueError, match="long"):
        operation(name)


@each_operation
def test_name_of_300_characters_raises_value_error(operation):
    with pytest.raises(ValueError, match="long"):
        operation("x" * 300)


@each_operation
def test_name_of_a_mebibyte_raises_value_error_that_can_be_read(operation):
    with pytest.raises(ValueError, match="long") as caught:
        operation("x" * 2**20)
    assert len(str(caught.value)) < 1000


@each_operation
def test_empty_name_raises_value_error(operation):
    with pytest.raises(ValueError, match="empty"):
        operation("")


@each_operation
@pytest.mark.parametrize("name", ["\0", "\0a", "a\0", "a\0b"], ids=ascii)
def test_name_with_nul_raises_value_error(operation, name):
    with pytest.raises(ValueError, match="NUL"):
        operation(name)


@each_operation
@pytest.mark.parametrize("name", [b"bytes", 1, None, 1.5, ["a"]], ids=repr)
def test_name_that_is_no_str_raises_type_error(operation, name):
    with pytest.raises(TypeError):
        operation(name)


@pytest.mark.parametrize("template", ["{}", "a/{}", "红{}", "\udc80{}"], ids=ascii)
def test_error_carries_the_name_as_filename(names, template):
    name = names(template)
    with pytest.raises(FileNotFoundError) as caught:
        sharedmap.sharedmap(name)
    assert caught.value.filename == name


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(suffix=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text))
def test_any_text_without_nul_is_a_name(names, suffix):
    name = names.token + suffix
    tree = sharedmap.rbtree()
    tree["name"] = name
    try:
        tree.share(name)
        assert [SHM + file for file in names.files()] == [segment_path(name)]
        assert [listed for listed in sharedmap.names() if names.token in listed] == [name]
        with sharedmap.sharedmap(name) as shared:
            assert shared["name"] == name
    finally:
        assert sharedmap.rbtree.remove(name) is True


# --- the names that are taken -----------------------------------------------------------------


def listed(names):
    return [name for name in sharedmap.names() if names.token in name]


def test_names_lists_what_is_published_and_nothing_else(names):
    several = [names(template) for template in LEGAL]
    assert listed(names) == []
    for name in several:
        sharedmap.share({}, name)
    assert listed(names) == sorted(several)
    for name in several[::2]:
        sharedmap.remove(name)
    assert listed(names) == sorted(several[1::2])


def test_names_is_a_sorted_list_of_str(names):
    for template in ("b{}", "a{}", "é{}", "\U0001f600{}", "\uffff{}", "A{}"):
        sharedmap.share({}, names(template))
    taken = sharedmap.names()
    assert type(taken) is list
    assert {type(name) for name in taken} == {str}
    assert taken == sorted(taken)


def test_names_lists_a_name_once_however_often_it_is_published(name, names):
    for _ in range(3):
        sharedmap.share({}, name, force=True)
    with sharedmap.sharedmap(name):
        assert listed(names) == [name]


def test_every_name_that_is_listed_is_the_one_that_was_given(names):
    for template in LEGAL:
        name = names(template)
        sharedmap.share({"name": name}, name)
    for name in listed(names):
        assert content(name) == {"name": name}
        assert sharedmap.remove(name) is True
    assert listed(names) == []


# What lies in the same directory and has a token, but is not what a map's name becomes.
NO_MAPS = [
    b"sharedmap.%b~",
    b"sharedmap.%b~0123456789abcdef",
    b"sharedmap.a~%b",
    b"sharedmap.%b%%41",
    b"sharedmap.%b%%2f",
    b"sharedmap.%b%%",
    b"sharedmap.%b%%2",
    b"sharedmap.%b%%zz",
    b"sharedmap.%b%%00",
    b"sharedmap.%b\x01",
    b"sharedmap.%b\n",
    b"sharedmap.%b\x7f",
    b"sharedmap.%b\xff",
    b"sharedmap.%b\xed\xa0",
    b"sharedmap.%b" + b"x" * 208,
    b"sharedmap%b",
    b"Sharedmap.%b",
    b".sharedmap.%b",
    b"xsharedmap.%b",
    b"sem.sharedmap.%b",
    b"%b",
]


@pytest.mark.parametrize("template", NO_MAPS, ids=repr)
def test_names_skips_temporary_files_and_those_of_others(names, template):
    name = names()
    sharedmap.share({}, name)
    path = SHM + template % names.token.encode()
    with open(path, "xb"):
        pass
    try:
        assert listed(names) == [name]
    finally:
        os.unlink(path)


def test_names_skips_the_temporary_file_of_a_publisher_at_work(name, names, workers):
    """It is there for a moment only, so this looks often while another process publishes."""
    sharedmap.share({}, name)
    publisher = workers()
    publisher.send(
        "run",
        "t = sharedmap.rbtree()\nfor _ in range(3000): t.share(name, force=True)",
        {"name": name},
    )
    seen = set()
    for _ in range(200):
        seen.update(listed(names))
    publisher.answer()
    assert seen == {name}


def test_names_works_in_another_process(names, other):
    several = [names(template) for template in LEGAL]
    for name in several:
        sharedmap.share({}, name)
    found = other.eval("[n for n in sharedmap.names() if token in n]", token=names.token)
    assert found == sorted(several)


def test_names_of_another_process_are_listed(names, other):
    name = names()
    other.run("sharedmap.share({}, name)", name=name)
    assert listed(names) == [name]


def test_names_are_listed_whatever_is_behind_them(names, plant, plant_bytes):
    """Who is allowed to open what, and what is a snapshot, is found out by opening."""
    broken, folder, nothing = names(), names(), names()
    plant_bytes(broken, b"no snapshot")
    plant(folder, os.mkdir)
    plant(nothing, lambda path: os.symlink(b"nowhere", path))
    assert listed(names) == sorted([broken, folder, nothing])


def test_names_takes_no_argument():
    with pytest.raises(TypeError):
        sharedmap.names("")


def test_names_leaves_no_descriptor_open(names):
    sharedmap.share({}, names())
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        sharedmap.names()
    assert os.listdir("/proc/self/fd") == before


def test_socket_of_another_program_does_not_get_in_the_way(names, plant):
    def bind(path):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)

    name = names()
    plant(name, bind)
    assert listed(names) == [name]
    with pytest.raises(sharedmap.SnapshotError, match="not a regular file"):
        sharedmap.sharedmap(name)
