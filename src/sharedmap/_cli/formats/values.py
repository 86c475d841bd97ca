"""What a map stores of a value of JSON, of a document, of a database or of a cell.

Values without an equivalent in JSON:

    {"base64": "..."}     bytes
    {"encoded": "..."}    the result of a user's encode(), in base64, too
    [...] and {...}       list and dict; with --nested their JSON, to be read with decode=json.loads

And in lists and dicts:

    {"$base64": "..."}    bytes
    {"$tuple": [...]}     a tuple
    {"$dict": {...}}      a dict whose only key is one of these words

A value on its own or inside:

    {"$float": "nan"}     a float that JSON has no number for: nan, inf, -inf
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from ..._encoded import Encoded
from ..maps import Options

# How deep a map stores containers.
_MOST_DEPTH: Final = 200
_PLAIN: Final = (str, int, bool, type(None))
_NOT_FINITE: Final = {"nan", "inf", "-inf"}
_SPACE: Final = " \t\n\r"


class Deep(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(f"the value of {key!r} is nested more than {_MOST_DEPTH} levels deep")


def _check_finite(key: str, value: float, allow_nan: bool) -> float:
    if not allow_nan and not math.isfinite(value):
        raise ValueError(
            f"the value of {key!r} is {value}, not a finite number; --allow-nan stores it"
        )
    return value


# ---- of JSON ---------------------------------------------------------------------------------


def storable(key: str, value: Any, options: Options) -> Any:
    """The value that a map stores for this JSON value. ValueError if it cannot store it."""
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return _check_finite(key, value, options.allow_nan)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, text),) = value.items()
        if kind in ("base64", "encoded") and isinstance(text, str):
            data = _from_base64(key, text)
            return data if kind == "base64" else Encoded(data)
    if not options.nested or (isinstance(value, dict) and _is_tagged_float(value)):
        return _untagged(key, value, options.allow_nan)
    return _as_json(key, value, options.allow_nan)


def _as_json(key: str, value: Any, allow_nan: bool) -> Encoded:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=allow_nan)
    except ValueError as error:
        raise ValueError(f"the value of {key!r}: {error}; --allow-nan stores it") from None
    return Encoded(text.encode("utf-8", "surrogatepass"))


def _from_base64(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"the value of {key!r} is not valid base64") from None


def _is_tagged_float(value: dict[str, Any]) -> bool:
    text = value.get("$float") if len(value) == 1 else None
    return isinstance(text, str) and text in _NOT_FINITE


def _untagged(key: str, value: Any, allow_nan: bool, depth: int = 0) -> Any:
    """The container of which export has made this."""
    if not isinstance(value, (list, dict)):
        return _check_finite(key, value, allow_nan) if type(value) is float else value
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if _is_tagged_float(value):
            return float(inner)
        if kind == "$base64" and isinstance(inner, str):
            return _from_base64(key, inner)
    depth += 1
    if depth > _MOST_DEPTH:
        raise Deep(key)
    if isinstance(value, list):
        return [_untagged(key, item, allow_nan, depth) for item in value]
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "$tuple" and isinstance(inner, list):
            return tuple([_untagged(key, item, allow_nan, depth) for item in inner])
        if kind == "$dict" and isinstance(inner, dict):
            value = inner
    return {name: _untagged(key, item, allow_nan, depth) for name, item in value.items()}


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not valid JSON; --allow-nan reads it")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the member {again!r} twice; --duplicates last reads it")
    return members


def scanner(options: Options) -> Callable[[str, int], tuple[Any, int]]:
    """scan(text, at): the JSON value that begins there, and where it ends.

    StopIteration where there is no value. Much faster than json.loads(), which matches the space
    around the value with a regular expression.
    """
    decoder = json.JSONDecoder(
        parse_constant=None if options.allow_nan else _refuse_constant,
        object_pairs_hook=_unique if options.duplicates in (None, "error") else None,
    )
    scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once  # type: ignore[attr-defined]
    return scan


def parse_json(text: str, scan: Callable[[str, int], tuple[Any, int]]) -> Any:
    """One JSON value. The ValueError has no line number; the caller knows the line."""
    text = text.strip(_SPACE)
    try:
        value, end = scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"column {error.value + 1}: Expecting value") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("arrays or objects are nested too deeply") from None
    if end != len(text):
        raise ValueError(f"column {end + 1}: Extra data")
    return value


def json_value(key: str, text: str, nested: bool) -> Any:
    """What is stored for this text of JSON, without any options of the input."""
    options = Options(nested=nested, allow_nan=False, duplicates=None)
    return storable(key, parse_json(text, scanner(options)), options)


def key_text(key: Any) -> str:
    """A key as text: a number has its digits."""
    kind = type(key)
    if kind is str:
        return key  # type: ignore[no-any-return]
    if kind is int or (kind is float and math.isfinite(key)):
        return repr(key)
    what = {bool: "true or false", type(None): "null", list: "an array", dict: "an object"}
    raise ValueError(f"the key is not a string but {what.get(kind, f'{kind.__name__}')}")


# ---- of other sources ------------------------------------------------------------------------


class Native:
    """Values of documents and databases, as a map stores them.

    Dates and decimal numbers become their usual text. An alias of YAML can make a document of a
    few lines into one of gigabytes, so the number of values is limited.
    """

    def __init__(self, options: Options, most: int | None = None) -> None:
        self.options = options
        self.most = most

    def __call__(self, key: str, value: Any) -> Any:
        value = self._native(key, value, 0)
        if self.options.nested and isinstance(value, (list, dict, tuple)):
            return _as_json(key, value, self.options.allow_nan)
        return value

    def _native(self, key: str, value: Any, depth: int) -> Any:
        if self.most is not None:
            self.most -= 1
            if self.most < 0:
                raise ValueError("aliases make this document too large")
        if type(value) in _PLAIN or type(value) is bytes:
            return value
        if type(value) is float:
            return _check_finite(key, value, self.options.allow_nan)
        if depth > _MOST_DEPTH:
            raise Deep(key)
        if isinstance(value, (list, tuple)):
            return [self._native(key, item, depth + 1) for item in value]
        if isinstance(value, dict):
            members = {
                key_text(name): self._native(key, item, depth + 1) for name, item in value.items()
            }
            if len(members) != len(value):
                raise ValueError(f"the value of {key!r} has two members with the same name")
            return members
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, (decimal.Decimal, uuid.UUID)):
            return str(value)
        raise ValueError(f"the value of {key!r} is of the type {type(value).__name__}")


# ---- of cells --------------------------------------------------------------------------------

_INT: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_BOOL: Final = {"true": True, "false": False}


def _int(text: str) -> int:
    # int() alone takes 1_000, spaces and the digits of all scripts.
    if not _INT.fullmatch(text):
        raise ValueError(f"{text!r} is not an int")
    return int(text)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        special = text.lower().lstrip("+-") in ("nan", "inf", "infinity")
        more = "; --allow-nan stores it" if special else ""
        raise ValueError(f"{text!r} is not a finite float{more}")
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text!r} is too large for a float; --allow-nan stores it as infinity")
    return number


def _any_float(text: str) -> float:
    is_special = text.lower().lstrip("+-") in ("nan", "inf", "infinity")
    return float(text) if is_special or _FLOAT.fullmatch(text) else _float(text)


def _bool(text: str) -> bool:
    try:
        return _BOOL[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def converter(kind: str, options: Options) -> Callable[[str], Any]:
    """From the text of a cell to a value of this type, a null included."""
    scan = scanner(options)

    def from_json(text: str) -> Any:
        value = parse_json(text, scan)
        try:
            return storable("", value, options)
        except ValueError as error:
            raise ValueError(str(error).replace("the value of ''", "the value", 1)) from None

    kinds: dict[str, Callable[[str], Any]] = {
        "str": str,
        "int": _int,
        "float": _any_float if options.allow_nan else _float,
        "bool": _bool,
        "json": from_json,
    }
    convert = kinds[kind]
    nulls = frozenset(options.null)
    return (lambda text: None if text in nulls else convert(text)) if nulls else convert
