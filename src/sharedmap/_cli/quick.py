"""`get NAME KEY ...` when the answer is simple, without the imports of all other commands.

Scripts call it in loops, and parsing the command line takes longer than the lookup. What is not
simple returns None here: options, errors, values that need an escape. The command answers then.
"""

from __future__ import annotations

from .._sharedmap import sharedmap

TYPE_CHECKING = False  # typing takes too long to import
if TYPE_CHECKING:
    from collections.abc import Sequence


def quick_answer(arguments: Sequence[str]) -> str | None:
    """What the command line prints; None if it takes more than this to know."""
    if len(arguments) < 3 or arguments[0] != "get":
        return None
    if any(each.startswith("-") for each in arguments):
        return None
    _, name, *keys = arguments
    try:
        with sharedmap(name) as opened:
            values = [opened[key] for key in keys]
    except Exception:
        return None
    texts = []
    for value in values:
        if type(value) not in (str, int, float):
            return None
        texts.append(value if type(value) is str else repr(value))
    if not all(each.isprintable() and "\\" not in each for each in (*keys, *texts)):
        return None
    if len(keys) == 1:
        return f"{texts[0]}\n"
    return "".join(f"{key}\t{text}\n" for key, text in zip(keys, texts, strict=True))
