"""Which columns or members of a record are the key and the value of an entry.

--key id --value name       one column or member each
--key a,b --join :          a key of several
--value x,y                 a dict of several
--row                       a dict of all but the key
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ..errors import USAGE, CommandError
from ..maps import Options
from .values import converter, key_text

Pick = Callable[[Any], tuple[str, Any]]


def is_given(options: Options) -> bool:
    return options.key is not None or options.value is not None or bool(options.row)


_MOST_NAMES: Final = 8


def some(names: Iterable[Any]) -> str:
    """The first of the names, for a message."""
    found = [str(name) for name in itertools.islice(names, _MOST_NAMES + 1)]
    more = [*found[:_MOST_NAMES], "..."] if len(found) > _MOST_NAMES else found
    return ", ".join(more) or "none"


def _separator(options: Options) -> str:
    return ":" if options.join is None else options.join


def _joined(parts: list[str], join: str) -> str:
    """Parts that contain the separator could make the same key of two records."""
    for part in parts:
        if join and join in part:
            raise ValueError(f"{part!r} contains {join!r}; --join sets another separator")
    return join.join(parts)


# ---- objects ---------------------------------------------------------------------------------


def _no_member(name: Any, record: dict[str, Any]) -> ValueError:
    return ValueError(
        f"the object has no member {name!r}; it has {some(record)};"
        " --key and --value choose others, --row stores all"
    )


def of_members(options: Options, *, is_keyed: bool = False) -> Pick:
    """Of objects. With is_keyed they have a key already, and --key is optional."""
    keys: list[str] = options.key or ([] if is_keyed else ["key"])
    names: list[str] = options.value or ["value"]
    join = _separator(options)

    def key_of(record: Any) -> str:
        parts = [key_text(record[name]) for name in keys]
        return parts[0] if len(parts) == 1 else _joined(parts, join)

    def value_of(record: Any) -> Any:
        if options.row:
            return {name: value for name, value in record.items() if name not in keys}
        if len(names) == 1:
            return record[names[0]]
        return {name: record[name] for name in names}

    def pick(record: Any) -> tuple[str, Any]:
        if not isinstance(record, dict):
            raise ValueError(f"an object is expected, not {_kind_of(record)}")
        try:
            return (key_of(record) if keys else ""), value_of(record)
        except KeyError as error:
            raise _no_member(error.args[0], record) from None

    if len(keys) != 1 or len(names) != 1 or options.row:
        return pick
    key_name, value_name = keys[0], names[0]

    def pick_one(record: Any) -> tuple[str, Any]:
        try:
            key = record[key_name]
            return (key if type(key) is str else key_text(key)), record[value_name]
        except (KeyError, TypeError):
            return pick(record)

    return pick_one


def _kind_of(value: Any) -> str:
    kinds = {list: "an array", dict: "an object", type(None): "null", str: "a string"}
    return kinds.get(type(value), "a number" if type(value) is not bool else "true or false")


# ---- rows ------------------------------------------------------------------------------------


class Columns:
    """The columns of a table: their indices, and the type of each.

    Without a header, columns have numbers from 1.
    """

    def __init__(self, header: list[str] | None, width: int, options: Options) -> None:
        self.header = header
        if options.ragged and header is None:
            numbers = [*(options.key or ["1"]), *(options.value or ["2"])]
            width = max(width, *(int(text) for text in numbers if text.isdecimal()))
        self.width = width
        self.options = options
        self.names = header or [str(number + 1) for number in range(self.width)]
        self.keys = [self.index("key", name) for name in options.key or [None]]
        if options.row:
            self.values = [i for i in range(self.width) if i not in self.keys]
            for index in self.values:
                self.index("row", self.names[index])
        else:
            self.values = [self.index("value", name) for name in options.value or [None]]

    def index(self, option: str, given: str | None) -> int:
        if self.header is None:
            return self._by_number(option, given)
        wanted = option if given is None else given
        count = self.header.count(wanted)
        if count == 1:
            return self.header.index(wanted)
        if count:
            raise ValueError(f"the header has the column {wanted!r} {count} times")
        raise ValueError(self._no_column(option, wanted))

    def _by_number(self, option: str, given: str | None) -> int:
        if given is None:
            number = 1 if option == "key" else 2
        elif not (given.isascii() and given.isdecimal() and int(given)):
            raise ValueError(
                f"with --no-header, --{option} must be a column number from 1 on, not {given!r}"
            )
        else:
            number = int(given)
        if number > self.width:
            raise ValueError(
                f"the row has only {self.width} of {number} required columns;"
                " --key and --value choose others"
            )
        return number - 1

    def _no_column(self, option: str, wanted: str) -> str:
        header = self.names
        message = f"the header has no column {wanted!r}; it has {some(header)}"
        if any(name.strip() == wanted for name in header):
            return message + "; --trim removes spaces around cells"
        for delimiter, name in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
            if len(header) == 1 and delimiter in header[0]:
                return message + f"; --delimiter {name} divides it"
        if "\0" in "".join(header):
            return message + "; this may be UTF-16: --encoding utf-16-le"
        if option == "value":
            return message + "; --value NAME chooses one, --row stores all"
        return message + f"; --{option} NAME chooses one"

    def types(self) -> list[Callable[[str], Any]]:
        """The converter of each column."""
        given: dict[str | None, str] = self.options.type or {}
        for name in given:
            if name is not None and name not in self.names:
                raise ValueError(f"--type: there is no column {name!r}")
        default = given.get(None, "str")
        return [converter(given.get(name, default), self.options) for name in self.names]


def of_rows(columns: Columns, types: list[Callable[[str], Any]] | None) -> Pick:
    """Of rows with these columns; their cells are converted if there are types."""
    keys, values, names = columns.keys, columns.values, columns.names
    join = _separator(columns.options)
    is_dict = columns.options.row or len(values) != 1

    def converted(row: Sequence[Any], index: int) -> Any:
        if types is None:
            return row[index]
        try:
            return types[index](row[index])
        except ValueError as error:
            raise ValueError(f"column {names[index]!r}: {error}") from None

    def pick(row: Sequence[Any]) -> tuple[str, Any]:
        parts = [key_text(row[index]) for index in keys]
        key = parts[0] if len(parts) == 1 else _joined(parts, join)
        if is_dict:
            return key, {names[index]: converted(row, index) for index in values}
        return key, converted(row, values[0])

    if len(keys) != 1 or is_dict or types is None or types[values[0]] is not str:
        return pick
    # The usual case, without a call for each cell.
    key_index, value_index = keys[0], values[0]
    return lambda row: (row[key_index], row[value_index])


def check(options: Options) -> None:
    if options.row and options.value is not None:
        raise CommandError("--row and --value exclude each other", USAGE)
    if options.join is not None and (options.key is None or len(options.key) < 2):
        raise CommandError("--join is for a --key of several columns: --key a,b", USAGE)
    if options.flatten is not None and options.nested:
        raise CommandError("--flatten and --nested exclude each other", USAGE)
