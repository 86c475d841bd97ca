"""Columns of pandas as keys, and as entries: what docs/guide/data-frames.md tells."""

import pytest
from servers import needs

import sharedmap

VALUES = {"a": 1.5, "b": 2.0, "é": -1.0}
KEYS = ["b", "absent", "é", None, "a"]
NAN = float("nan")


@pytest.fixture
def pd():
    needs("pandas")
    import pandas

    return pandas


@pytest.fixture(params=["tree", "map", "range of a tree", "range of a map"])
def mapping(request, name):
    tree = sharedmap.rbtree(VALUES)
    if "map" in request.param:
        tree.share(name)
    whole = sharedmap.sharedmap(name) if "map" in request.param else tree
    return whole[:] if "range" in request.param else whole


def series_of(pd, dtype):
    if "pyarrow" in dtype:
        needs("pyarrow")
    if dtype == "object with NaN":
        return pd.Series([NAN if key is None else key for key in KEYS], dtype=object)
    return pd.Series(KEYS, dtype=dtype, index=range(10, 15))


def plain(series):
    """A list with None for what is missing."""
    return [
        None if missing else value for value, missing in zip(series, series.isna(), strict=True)
    ]


each_dtype = pytest.mark.parametrize(
    "dtype", ["object", "object with NaN", "str", "string[python]", "string[pyarrow]", "category"]
)


@each_dtype
def test_series_map_looks_up_each_cell(pd, mapping, dtype):
    series = series_of(pd, dtype)
    found = series.map(mapping, na_action="ignore")
    assert plain(found) == [2.0, None, -1.0, None, 1.5]
    assert list(found.index) == list(series.index)
    assert plain(series.map(mapping.get, na_action="ignore")) == plain(found)
    if dtype != "category":
        assert plain(series.map(mapping)) == plain(found)


def test_index_map_looks_up_each_label(pd, mapping):
    assert pd.Index(["a", "b"]).map(mapping).tolist() == [1.5, 2.0]


@each_dtype
def test_get_many_takes_a_column_with_missing_cells(pd, mapping, dtype):
    series = series_of(pd, dtype)
    expected = [2.0, None, -1.0, None, 1.5]
    assert mapping.get_many(series, missing="default") == expected
    assert mapping.get_many(series.array, missing="default") == expected
    assert mapping.get_many(pd.Index(series), missing="default") == expected
    with pytest.raises(TypeError, match=r"element #3 is .*; pass missing='default'"):
        mapping.get_many(series)
    assert mapping.get_many(series.dropna()) == [2.0, None, -1.0, 1.5]


def test_get_many_takes_arrays_of_arrow(mapping):
    needs("pyarrow")
    import pyarrow

    for array in (pyarrow.array(KEYS), pyarrow.array(KEYS, pyarrow.large_string())):
        assert mapping.get_many(array, missing="default") == [2.0, None, -1.0, None, 1.5]
        chunks = pyarrow.chunked_array([array, array])
        assert mapping.get_many(chunks.to_pylist(), 0, missing="default")[:2] == [2.0, 0]


@pytest.mark.parametrize(
    "values",
    [[1, 2**40, -3], [0.5, NAN, float("inf")], [True, False, True], ["x", "", "é"]],
    ids=["int", "float", "bool", "str"],
)
def test_series_is_published_by_its_items_and_comes_back(pd, name, values):
    series = pd.Series(values, index=["b", "c", "a"])
    sharedmap.share(series.items(), name)
    with sharedmap.sharedmap(name) as shared:
        assert {type(value) for value in shared.values()} == {type(values[0])}
        back = pd.Series(shared.to_dict())
    pd.testing.assert_series_equal(back, series.sort_index())


def test_series_with_a_missing_label_is_not_published(pd, name):
    with pytest.raises(TypeError, match="key"):
        sharedmap.share(pd.Series([1, 2], index=["a", None]).items(), name)
    assert name not in sharedmap.names()
