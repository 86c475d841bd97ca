"""What interactive shells and schedulers ask of a map, by methods of their own conventions."""

import copy

import pytest

import sharedmap
from sharedmap import rbtree


def map_of(data):
    return sharedmap.frombuffer(rbtree(data).dump())


@pytest.mark.parametrize("make", [rbtree, map_of, lambda data: map_of(data)["b":]])
def test_ipython_is_offered_the_keys(make):
    assert make({"b": 1, "c": 2})._ipython_key_completions_() == ["b", "c"]


def test_ipython_is_offered_some_keys_of_a_large_map():
    m = map_of(dict.fromkeys(map(str, range(10_100))))
    offered = m._ipython_key_completions_()
    assert offered == list(m)[: len(offered)]
    assert 1000 <= len(offered) < len(m)


def test_dask_takes_versions_for_inputs(name):
    sharedmap.share({"a": 1}, name)
    with sharedmap.sharedmap(name) as m, sharedmap.sharedmap(name, follow=True) as following:
        token = m.__dask_tokenize__()
        assert token == ("sharedmap", m.id)
        assert following.__dask_tokenize__() == copy.copy(m).__dask_tokenize__() == token
        sharedmap.update(name, {"a": 2})
        assert m.__dask_tokenize__() == token
        assert following.__dask_tokenize__() != token


def test_module_opens_files_and_buffers(tmp_path):
    tree = rbtree(a=1)
    tree.save(tmp_path / "a.map")
    with sharedmap.open(tmp_path / "a.map") as m, sharedmap.frombuffer(tree.dump()) as other:
        assert type(m) is type(other) is sharedmap.sharedmap
        assert m == other == tree
