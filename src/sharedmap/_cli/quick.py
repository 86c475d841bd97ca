"""`get NAME KEY ...` when the answer is simple, without the imports of all other commands.

Scripts call it in loops, and parsing the command line takes longer than the lookup. What is not
simple has no quick answer: most options, errors, values that need an escape. The command runs then.
"""

from __future__ import annotations

from .._sharedmap import sharedmap

TYPE_CHECKING = False  # typing takes too long to import
if TYPE_CHECKING:
    from collections.abc import Sequence


_FILE = {"-f", "--file"}
_KNOWN = {"--json", *_FILE}


def quick_answer(arguments: Sequence[str]) -> str | None:
    """What the command line prints; None if it takes more than this to know."""
    if len(arguments) < 3 or arguments[0] != "get":
        return None
    options = [each for each in arguments if each.startswith("-")]
    if not _KNOWN.issuperset(options) or len(options) != len({*options}) or _FILE.issubset(options):
        return None
    name, *keys = [each for each in arguments[1:] if not each.startswith("-")] or [""]
    try:
        with sharedmap(name) if _FILE.isdisjoint(options) else sharedmap.open(name) as opened:
            values = [opened[key] for key in keys]
    except Exception:
        return None
    is_json = "--json" in options
    answer = ""
    for key, value in zip(keys, values, strict=True):
        line = _line(key, value, is_json, len(keys) > 1)
        if line is None:
            return None
        answer += line
    return answer or None


def _line(key: str, value: object, is_json: bool, has_key: bool) -> str | None:
    if type(value) not in (str, int, float):
        return None
    text = str(value)
    # JSON has no number for these.
    if type(value) is float and text in ("nan", "inf", "-inf"):
        return None
    for each in (key, text):
        if not each.isprintable() or "\\" in each or (is_json and '"' in each):
            return None
    if is_json:
        quote = '"' if type(value) is str else ""
        return f'{{"key": "{key}", "value": {quote}{text}{quote}}}\n'
    return f"{key}\t{text}\n" if has_key else f"{text}\n"
