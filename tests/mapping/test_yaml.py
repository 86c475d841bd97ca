"""PyYAML: what it refuses, and what docs/guide/trees.md tells it."""

import pytest
from servers import needs

import sharedmap

VALUES = {"a": 1, "b": "x", "c": None, "d": b"\x00", "e": 0.5, "f": True}


@pytest.fixture(params=["tree", "map"])
def mapping(request, name):
    needs("yaml")
    tree = sharedmap.rbtree(VALUES)
    if request.param == "tree":
        return tree
    tree.share(name)
    return sharedmap.sharedmap(name)


def test_safe_dump_of_a_mapping_is_refused_and_that_of_a_dict_is_loaded_again(mapping):
    import yaml

    with pytest.raises(yaml.representer.RepresenterError, match="cannot represent an object"):
        yaml.safe_dump(mapping)
    assert yaml.safe_load(yaml.safe_dump(dict(mapping))) == VALUES


def test_dump_of_a_mapping_is_loaded_again_as_what_it_was(mapping):
    import yaml

    for copy in (mapping, sharedmap.frombuffer(sharedmap.rbtree(mapping).dump())):
        loaded = yaml.unsafe_load(yaml.dump({"in": [copy]}))["in"][0]
        assert type(loaded) is type(copy)
        assert dict(loaded) == VALUES


@pytest.mark.parametrize("base", ["Dumper", "SafeDumper"])
def test_dump_with_the_representer_of_the_guide_is_loaded_again(mapping, base):
    import yaml

    class Dumper(getattr(yaml, base)):
        """Has representers of its own, so that other tests see PyYAML as it was."""

    yaml.add_multi_representer(sharedmap.rbtree.__base__, Dumper.represent_dict, Dumper=Dumper)
    for part in (mapping, mapping[:], mapping.prefix("")):
        assert yaml.safe_load(yaml.dump({"in": [part]}, Dumper=Dumper)) == {"in": [VALUES]}
    assert yaml.dump(mapping["e":], Dumper=Dumper) == "e: 0.5\nf: true\n"


@pytest.mark.parametrize("base", ["Dumper", "SafeDumper"])
def test_nested_values_are_loaded_again(name, base):
    needs("yaml")
    import yaml

    class Dumper(getattr(yaml, base)):
        """Has representers of its own, so that other tests see PyYAML as it was."""

    yaml.add_multi_representer(sharedmap.rbtree.__base__, Dumper.represent_dict, Dumper=Dumper)
    values = {"db": {"ports": [5432, {"a": None}]}, "é": ["\0", 2**70]}
    sharedmap.share(values, name)
    dumped = yaml.dump(sharedmap.sharedmap(name), Dumper=Dumper)
    assert yaml.safe_load(dumped) == values


@pytest.mark.parametrize("part", ["prefix", "keys", "items"])
def test_dump_of_a_part_is_an_error(mapping, part):
    import yaml

    part = mapping.prefix("a") if part == "prefix" else getattr(mapping, part)()
    with pytest.raises(TypeError, match="cannot pickle"):
        yaml.dump(part)
