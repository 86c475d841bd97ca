"""A large tree: keys that are put wait for each other, and nobody notices.

Whatever is asked right after a put has to take it into account, so each test puts and asks one
thing. The tree is larger than what is small enough not to wait.
"""

import copy
import pickle
import random
import threading

import pytest

import sharedmap

COUNT = 20_000
KEYS = [f"{number:05}" for number in range(0, 2 * COUNT, 2)]


@pytest.fixture(scope="module")
def template():
    return sharedmap.rbtree(dict.fromkeys(KEYS, "old"))


@pytest.fixture
def tree(template):
    """With three puts that wait: a new key, an old one, and the new one again."""
    tree = template.copy()
    tree["00001"] = "first"
    tree["00002"] = "changed"
    tree["00001"] = "new"
    return tree


EXPECTED = dict(sorted({**dict.fromkeys(KEYS, "old"), "00001": "new", "00002": "changed"}.items()))

# What is asked, of a tree and of the dict that it has to agree with.
QUESTIONS = {
    "len": len,
    "bool": bool,
    "item": lambda m: m["00001"],
    "item of a key that was there": lambda m: m["00002"],
    "get": lambda m: m.get("00001"),
    "in": lambda m: "00001" in m,
    "list": list,
    "reversed": lambda m: list(reversed(m)),
    "items": lambda m: list(m.items()),
    "values": lambda m: list(m.values()),
    "keys are like a set": lambda m: m.keys() & {"00001", "00003"},
    "equality": lambda m: m == EXPECTED,
    "pop": lambda m: (m.pop("00001"), len(m)),
    "pop of an absent key": lambda m: (m.pop("x", None), len(m)),
    "setdefault": lambda m: (m.setdefault("00001", "x"), len(m)),
    "setdefault of an absent key": lambda m: (m.setdefault("00003", "x"), len(m)),
    "del": lambda m: (m.__delitem__("00001"), list(m)),
    "update": lambda m: (m.update({"00001": "x", "00005": "y"}), dict(m)),
    "clear": lambda m: (m.clear(), len(m)),
    "or": lambda m: dict(m | {"00007": "z"}) == {**EXPECTED, "00007": "z"},
    "copy": lambda m: dict(m.copy()),
    "copy.copy": lambda m: dict(copy.copy(m)),
    "copy.deepcopy": lambda m: dict(copy.deepcopy(m)),
    "pickle": lambda m: dict(pickle.loads(pickle.dumps(m))),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_first_question_after_a_put_takes_it_into_account(tree, ask):
    assert ask(tree) == ask(dict(EXPECTED))


SORTED_QUESTIONS = {
    "first": (lambda m: m["0000":].first(), ("00000", "old")),
    "floor": (lambda m: m.floor("00001"), "00001"),
    "ceiling": (lambda m: m.ceiling("000001"), "00001"),
    "last below": (lambda m: m[:"00002"].last(), ("00001", "new")),
    "slice": (lambda m: list(m["00001":"00003"].items()), [("00001", "new"), ("00002", "changed")]),
    "length of a slice": (lambda m: len(m["00000":"00004"]), 3),
    "prefix": (lambda m: list(m.prefix("00001")), ["00001"]),
    "popitem": (lambda m: (m.popitem(1), len(m)), (("00001", "new"), COUNT)),
}


@pytest.mark.parametrize(("ask", "answer"), SORTED_QUESTIONS.values(), ids=SORTED_QUESTIONS.keys())
def test_first_sorted_question_after_a_put_takes_it_into_account(tree, ask, answer):
    assert ask(tree) == answer


PUBLISHERS = {
    "share": lambda tree, name, path: (tree.share(name), sharedmap.sharedmap(name))[1],
    "save": lambda tree, name, path: (tree.save(path), sharedmap.sharedmap.open(path))[1],
    "dump": lambda tree, name, path: sharedmap.sharedmap.frombuffer(tree.dump()),
}


@pytest.mark.parametrize("publish", PUBLISHERS.values(), ids=PUBLISHERS.keys())
def test_publication_after_a_put_has_it(tree, name, tmp_path, publish):
    with publish(tree, name, tmp_path / "map") as shared:
        assert dict(shared) == EXPECTED
        assert shared.verify() is None


def test_view_and_range_made_before_a_put_have_it(template):
    tree = template.copy()
    items, part = tree.items(), tree["00000":"00003"]
    tree["00001"] = "new"
    assert ("00001", "new") in items
    assert list(part) == ["00000", "00001", "00002"]


def test_new_key_while_iterating_raises_runtime_error(template):
    tree = template.copy()
    keys = iter(tree)
    next(keys)
    tree["00001"] = "new"
    with pytest.raises(RuntimeError, match="changed"):
        next(keys)


@pytest.mark.parametrize("length", [0, 3, 100, 5000])
def test_values_may_be_replaced_while_iterating(template, length):
    tree = template.copy()
    for number, key in enumerate(tree):
        tree[key] = str(number % 10) * length
    assert list(tree) == KEYS
    assert all(value == str(number % 10) * length for number, value in enumerate(tree.values()))


def test_refused_value_leaves_what_waits_and_the_rest_alone(tree):
    with pytest.raises(TypeError):
        tree["00003"] = object()
    with pytest.raises(TypeError):
        tree[5] = "x"
    assert tree == EXPECTED


@pytest.mark.parametrize("seed", range(3))
def test_random_operations_agree_with_a_dict(seed):
    chance = random.Random(seed)
    expected = {f"{number}": number for number in range(20_000)}
    tree = sharedmap.rbtree(expected)
    for _ in range(20_000):
        key = f"{chance.randrange(30_000)}"
        what = chance.random()
        if what < 0.9:
            value = chance.choice([1, 1.5, "short", "long" * chance.randrange(200), b"", None])
            tree[key] = expected[key] = value
        elif what < 0.94:
            assert tree.pop(key, "absent") == expected.pop(key, "absent")
        elif what < 0.98:
            assert tree.get(key, "absent") == expected.get(key, "absent")
        else:
            assert len(tree) == len(expected)
    assert list(tree.items()) == sorted(expected.items())


def test_threads_put_into_one_tree(template):
    tree = template.copy()

    def put(number):
        for step in range(3_000):
            tree[f"thread {number} {step:04}"] = step
            if step % 100 == 0:
                assert tree[f"thread {number} {step:04}"] == step

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert list(tree.prefix(f"thread {number} ").values()) == list(range(3_000))
    assert len(tree) == COUNT + 4 * 3_000
