"""The entries that all contenders hold, and what they are asked for.

users    user:000123456      ids in random order
hex      16 random hex characters
paths    paths and URLs of 20 to 80 bytes, most of which is prefix they share
unicode  the character names of Unicode

Values are 32 characters: random hex, or for unicode the character itself, its number and hex.
Everything comes from a fixed seed, so every run asks the same.
"""

import bisect
import random
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TITLES = {
    "users": "`user:000123456`, ids in random order",
    "hex": "16 random hex characters",
    "paths": "paths and URLs of 20 to 80 bytes with shared prefixes",
    "unicode": "character names of Unicode",
}
SEPARATOR = "\0"  # in no key and no value
ROOTS = (
    "https://www.example.com/shop/en/",
    "https://static.example.org/images/",
    "https://api.example.net/v2/",
    "/srv/data/projects/",
    "/usr/share/resources/",
    "/var/lib/objects/",
)
WORD_LIST = """
account archive article asset audio backup basket billing board book branch cache camera
catalogue category channel chart client cloud code comment config contact content country
customer data delivery design device document draft event export feature feedback field file
font forum gallery garden group guide history home icon image import index invoice item journal
kernel label language layout library license list login map media message
"""
WORDS = WORD_LIST.split()
ENDINGS = ("html", "json", "png", "py", "txt", "xml")


@dataclass
class Data:
    """Keys, their values, and keys that are missing."""

    name: str
    size: int  # what was asked for; differs from len(keys) for unicode only
    keys: list[str]
    values: list[str]
    missing: list[str]

    @property
    def raw_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.keys) + sum(
            len(text.encode()) for text in self.values
        )


def make(name: str, size: int) -> Data | None:
    """The entries of a data set; unicode has one size, of all names, and is None at others."""
    generator = random.Random(f"{name} {size}")
    if name == "unicode":
        return unicode_names(size, generator)
    extra = max(1000, min(size, 250_000))  # few ones would stay in the caches
    keys = {"users": users, "hex": hexes, "paths": paths}[name](size + extra, generator)
    digits = generator.randbytes(16 * size).hex()
    values = [digits[start : start + 32] for start in range(0, 32 * size, 32)]
    return Data(name, size, keys[:size], values, keys[size:])


def users(count: int, generator: random.Random) -> list[str]:
    return [f"user:{number:09d}" for number in generator.sample(range(count), count)]


def hexes(count: int, generator: random.Random) -> list[str]:
    keys: dict[str, None] = {}
    while len(keys) < count:
        digits = generator.randbytes(8 * (count - len(keys))).hex()
        keys.update(dict.fromkeys(digits[at : at + 16] for at in range(0, len(digits), 16)))
    return list(keys)


def paths(count: int, generator: random.Random) -> list[str]:
    keys: dict[str, None] = {}
    uniform = generator.random
    while len(keys) < count:
        # Squaring makes the first ones more frequent, as some folders are fuller than others.
        words = [WORDS[int(len(WORDS) * uniform() ** 2)] for _ in range(2 + int(3 * uniform()))]
        root = ROOTS[int(len(ROOTS) * uniform())]
        ending = ENDINGS[int(len(ENDINGS) * uniform())]
        key = f"{root}{'/'.join(words)}-{int(1_000_000 * uniform()):06d}.{ending}"
        if 20 <= len(key) <= 80:
            keys[key] = None
    return list(keys)


def unicode_names(size: int, generator: random.Random) -> Data | None:
    named = {}
    for number in range(sys.maxunicode + 1):
        if name := unicodedata.name(chr(number), ""):
            named[name] = number
    if not 50_000 < size <= len(named):
        return None
    keys = generator.sample(list(named), len(named))
    values = []
    for key in keys:
        start = f"{chr(named[key])} U+{named[key]:04X} "
        values.append(start + generator.randbytes(16).hex()[: 32 - len(start)])
    missing = []
    while len(missing) < 100_000:
        key = generator.choice(keys)
        at = generator.randrange(len(key))
        key = key[:at] + generator.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") + key[at + 1 :]
        if key not in named:
            missing.append(key)
    return Data("unicode", size, keys, values, missing)


def sample_chunks(keys: list[str], chunks: int, length: int, generator: random.Random) -> list[str]:
    """Random keys, joined: whoever splits a chunk has new str objects, also for equal keys."""
    return [SEPARATOR.join(generator.choices(keys, k=length)) for _ in range(chunks)]


def sample_prefixes(data: Data, count: int, generator: random.Random) -> tuple[list[str], float]:
    """Prefixes that 20 to 400 keys have, and how many these are on average."""
    ordered = sorted(data.keys)
    prefixes, matches = [], []
    for _ in range(100 * count):
        first = generator.randrange(len(ordered) - 20)
        prefix = common_prefix(ordered[first], ordered[first + 19])
        start = bisect.bisect_left(ordered, prefix)
        found = bisect.bisect_left(ordered, prefix + chr(sys.maxunicode)) - start
        if found <= 400:
            prefixes.append(prefix)
            matches.append(found)
            if len(prefixes) == count:
                break
    return prefixes, sum(matches) / max(1, len(matches))


def common_prefix(one: str, other: str) -> str:
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if len({*pair}) > 1), 0)
    return one[:at]


def save(data: Data, folder: Path) -> None:
    """Writes what publishers and readers load by themselves."""
    folder.joinpath("keys").write_text(SEPARATOR.join(data.keys), "utf-8", newline="")
    folder.joinpath("values").write_text(SEPARATOR.join(data.values), "utf-8", newline="")


def load(folder: Path, name: str) -> list[str]:
    """New str objects, one after the other in memory."""
    return folder.joinpath(name).read_bytes().decode().split(SEPARATOR)


def load_chunks(folder: Path, length: int) -> Iterator[list[str]]:
    """All keys, a few at a time, so that no process needs memory for all of them."""
    rest = ""
    with folder.joinpath("keys").open(encoding="utf-8", newline="") as file:
        while text := file.read(64 * length):
            *chunk, rest = (rest + text).split(SEPARATOR)
            yield chunk
    yield [rest]
