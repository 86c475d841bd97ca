"""What users read is in the field's words: pages, messages, docstrings, the help of the commands.

Each text is collected from its source: docstrings from the imported package, messages of C from
the string literals of the files that raise, those of Python from syntax trees, help from the
parser. Comments of the core are held to the same words and some more. Comments of the binding and
the package, and private docstrings, are held to fewer words: those that are wrong in any sense.
Identifiers and code on pages are not held to any. Pages and docstrings have a bound on the length
of their sentences, too: a sentence that is too long is two.
"""

import ast
import importlib
import inspect
import io
import re
import tokenize
import types

import pages
import pytest
from helpers import TOP
from prose import length, sentences

from sharedmap._cli.arguments import make_parser
from sharedmap._cli.manual import commands

if not (TOP / "src" / "core").is_dir():
    pytest.skip(
        "an installed package is tested, its sources are elsewhere", allow_module_level=True
    )

MODULES = ("sharedmap", "sharedmap.replication", "sharedmap.replication.aio")
C_FILES = [*sorted((TOP / "src" / "binding").glob("*.c")), TOP / "src/core/base/status.c"]
PYTHON_FILES = sorted((TOP / "src" / "sharedmap").rglob("*.py"))
COMMENTED_FILES = [*sorted((TOP / "src" / "binding").glob("*.[ch]")), *PYTHON_FILES]
CORE_FILES = sorted((TOP / "src" / "core").rglob("*.[ch]"))

# What a reader would not search for, and what to say. Only words that are wrong in any sentence.
WORDS = {
    r"whoever|somebody|anybody|nobody|such a one": "the subject: the publisher, another user",
    r"(?<!\bin )places?": "index, rank, slot or offset",
    r"whole": "valid, intact or complete",
    r"cut short": "truncated",
    r"in one step|from one moment to the next": "atomic, atomically",
    r"unpack(s|ed|ing)?": "deserialization",
    r"without a lock": "lock-free",
    r"without a copy": "zero-copy",
    r"nameless": "unnamed, anonymous",
    r"doubles": "duplicates",
    r"contestants?": "library, contender",
    r"fore(tells?|told)": "predict",
    r"travel(s|led)?": "transfer",
    r"mov(e|es|ed|ing) on": "advance, switch",
    r"look(s|ed|ing)?(?! (\w+ )?up\b)": "look up, check, inspect",
    r"patience": "backoff",
    r"restart of the machine": "reboot",
    r"unforked": "fork-closed",
    r"(?<!there )(is|are) (no|none)(?! longer\b)": "is not a, are not",
    r"le(ave|aves|ft|aving) out": "omit, remove",
    r"functions of yours": "hooks, encoder and decoder",
    r"the ending": "status code",
}
# What pages must not say, besides: code and comments have other uses for these.
WORDS_OF_PAGES = [
    *WORDS,
    r"everybody|everyone",
    r"neighbours?",  # predecessor, successor
    r"the house",  # architecture, layers
    r"shape [A-U]",  # a data set, by its name
    r"asked for",  # looked up, requested
    r"travell(ed|ing|er)",
]
# What comments must not say either: these have no second meaning that a comment could need.
WORDS_OF_COMMENTS = [
    r"whoever|somebody|anybody|nobody|such a one",
    r"cut short",
    r"nameless",
    r"doubles",
    r"contestants?",
    r"fore(tells?|told)",
    r"patience",
    r"restart of the machine",
    r"unforked",
    r"functions of yours",
]
# And what comments of the core say with a term instead.
WORDS_OF_THE_CORE = [
    *WORDS,
    r"everybody|everyone",
    r"(?:^|(?<=[.;:] ))who",  # as the subject of a sentence
    r"pieces?",  # block, chunk, key prefix word
    r"neighbours?",  # predecessor, successor
    r"deal(s|t|ing)?",  # counting-sort pass, partition
    r"reach of",  # max probe distance
    r"asks? for|asked for",  # prefetch, request
]
SAMPLES = {
    "the map is kept by whoever has it open": "whoever",
    "The pair at a place in the order.": "place",
    "when it is no\n  whole snapshot": "whole",
    "a file that was cut short": "cut short",
    "published in\n    one step": "in one step",
    "readable without\n unpacking": "unpacking",
    "looks for leftovers": "looks",
    "Look at the maps": "Look",
    "owner is no uid": "is no",
    "'x' is none of these": "is none",
    "index='tree' leaves out": "leaves out",
    "readers move on": "move on",
    "only chunks travel": "travel",
    "Nobody notices": "Nobody",
}
GOOD = (
    "Look up a key; lookups are lock-free. The name is no longer used. There is no error.",
    "replace the placeholder; unambiguous wholesale prices are not a placement",
)


def home_made(text, words=WORDS):
    """The words of the text that are in `words`, line breaks between them or not."""
    text = " ".join(text.split())
    found = [match[0] for word in words for match in re.finditer(rf"(?i)\b(?:{word})\b", text)]
    return sorted(found, key=text.index)


# ---- where texts come from -------------------------------------------------------------------


def docstrings():
    """Of the public modules, of what they export, and of all members that have their own."""
    found = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        found[module_name] = inspect.getdoc(module)
        for name in module.__all__:
            thing = getattr(module, name)
            if not isinstance(thing, str):
                found[f"{module_name}.{name}"] = inspect.getdoc(thing)
            if isinstance(thing, type):
                found |= members(f"{module_name}.{name}", thing)
    extension = importlib.import_module("sharedmap._sharedmap")
    tree = extension.rbtree(a=1)
    shared = extension.sharedmap.frombuffer(tree.dump())
    for thing in (tree["a":], shared["a":], tree.keys(), tree.values(), tree.items()):
        kind = type(thing)
        found[kind.__name__] = inspect.getdoc(kind)
        found |= members(kind.__name__, kind)
    return {name: text for name, text in found.items() if text}


def members(owner, kind):
    """Interpreters document slots themselves, and what a NamedTuple has comes from tuple."""
    return {
        f"{owner}.{name}": inspect.getdoc(member)
        for base in kind.__mro__
        if base.__module__.split(".")[0] == "sharedmap"
        for name, member in vars(base).items()
        if (not name.startswith("_") or isinstance(member, types.MethodDescriptorType))
        and callable(getattr(member, "__get__", None))
    }


STRING = r'"(?:[^"\\\n]|\\.)*"'
COMMENT = re.compile(rf"/\*.*?\*/|//[^\n]*|^[ \t]*#[^\n]*|'(?:[^'\\]|\\.)'|({STRING})", re.S | re.M)


def c_literals(source):
    """(line, text) for all string literals; those that stand side by side are one."""
    # What is no string gives way to as many line feeds.
    code = COMMENT.sub(lambda found: found[1] or "\n" * found[0].count("\n"), source)
    for match in re.finditer(rf"{STRING}(?:\s*{STRING})*", code):
        text = "".join(part[1:-1] for part in re.findall(STRING, match[0]))
        yield code.count("\n", 0, match.start()) + 1, text.replace("\\n", "\n")


def python_literals(source):
    """(line, text) for all string constants but docstrings; an f-string is one text."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            skipped |= {id(each.value) for each in body if isinstance(each, ast.Expr)}
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(each) for each in node.values}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [
                each.value if isinstance(each, ast.Constant) else "..." for each in node.values
            ]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def messages():
    """All texts of more than one word that a message can be made of, by file and line."""
    found = {}
    for paths, literals in ((C_FILES, c_literals), (PYTHON_FILES, python_literals)):
        for path in paths:
            for line, text in literals(path.read_text()):
                if " " in text.strip():
                    found[f"{path.relative_to(TOP)}:{line}"] = text
    return found


def helps():
    parser = make_parser()
    found = {"sharedmap": parser.format_help()}
    return found | {name: each.format_help() for name, (_, each) in commands(parser).items()}


C_COMMENT = re.compile(rf"/\*.*?\*/|(?://[^\n]*(?:\n[ \t]*)?)+|'(?:[^'\\]|\\.)'|{STRING}", re.S)


def c_comments(source):
    """(line, text) for all comments; lines of // below each other are one."""
    for match in C_COMMENT.finditer(source):
        if match[0].startswith("/"):
            text = re.sub(r"(?m)^[ \t]*(//|/?\*)", "", match[0]).removesuffix("*/")
            yield source.count("\n", 0, match.start()) + 1, text


def python_comments(source):
    """(line, text) for all comments and docstrings; comments below each other are one."""
    begin = end = 0
    text = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if text and token.start[0] != end + 1:
                yield begin, text
                text = ""
            begin = begin if text else token.start[0]
            end = token.start[0]
            text += token.string.lstrip("#") + "\n"
    if text:
        yield begin, text
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield node.body[0].lineno, docstring


def comments(paths=COMMENTED_FILES):
    """All comments, by file and line."""
    return {
        f"{path.relative_to(TOP)}:{line}": text
        for path in paths
        for line, text in (python_comments if path.suffix == ".py" else c_comments)(
            path.read_text()
        )
    }


TEXTS = {"docstrings": docstrings, "messages": messages, "help": helps}


def long_sentences(text):
    """Sentences of 30 words and more in the prose of a docstring."""
    prose = [part for part in text.split("\n\n") if not part.startswith((">>>", "    "))]
    sentences = [
        sentence for part in prose for sentence in re.split(r"(?<=[.:;])\s", " ".join(part.split()))
    ]
    return [sentence for sentence in sentences if len(sentence.split()) >= 30]


# Readability, for each page. SQLite's and sortedcontainers' pages stay below.
LONG = 30  # words of a sentence: few have as many
LONGEST = 35  # none has more
SHARE_OF_LONG = 0.02
MEAN = 16

PAGES = {str(path.relative_to(TOP)): path.read_text() for path in pages.pages()}
each_page = pytest.mark.parametrize("page", PAGES)


def hard_to_read(text):
    """What is wrong with the lengths of the sentences of a page; empty if nothing is."""
    lengths = {each: length(each) for each in sentences(text)}
    found = [each for each, words in lengths.items() if words > LONGEST]
    long = [each for each, words in lengths.items() if LONG <= words <= LONGEST]
    if len(long) > max(1, SHARE_OF_LONG * len(lengths)):
        found += long
    mean = sum(lengths.values()) / len(lengths) if lengths else 0
    # A page of a few sentences is too short for a mean.
    return found + ([f"{mean:.1f} words on average"] if mean > MEAN and len(lengths) > 8 else [])


# ---- tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", TEXTS)
def test_users_read_the_words_of_the_field(source):
    wrong = [
        f"{where}: {', '.join(words)}"
        for where, text in TEXTS[source]().items()
        if (words := home_made(text))
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_comments_have_no_words_that_are_wrong_in_any_sense():
    wrong = [
        f"{where}: {', '.join(words)}"
        for where, text in comments().items()
        if (words := home_made(text, WORDS_OF_COMMENTS))
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_comments_of_the_core_have_the_words_of_the_field():
    wrong = [
        f"{where}: {', '.join(words)}"
        for where, text in comments(CORE_FILES).items()
        if (words := home_made(text, WORDS_OF_THE_CORE))
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


@each_page
def test_page_has_the_words_of_the_field(page):
    shown = re.sub(r"\]\([^()\s]+\)", "]", pages.prose(pages.COMMENT.sub("", PAGES[page])))
    assert home_made(shown, WORDS_OF_PAGES) == []


@each_page
def test_page_is_easy_to_read(page):
    assert hard_to_read(PAGES[page]) == []


def test_long_sentences_of_a_page_are_found():
    short, long, longest = "It is short. ", "word " * 29 + "word. ", "word " * 36 + "word."
    assert hard_to_read(20 * short + long) == []
    assert hard_to_read(20 * short + long + "Another " + long) != []
    assert hard_to_read(short + longest) == [longest]
    many = "\n\n".join(f"{number} " + "words " * 20 for number in range(9))
    assert hard_to_read(many) == ["21.0 words on average"]


def test_sentences_of_a_page_are_its_prose():
    text = "# Not this\n\n| nor that |\n\n    x = 1 + 2\n\nCall `f(a, b)` to\n[see more](x.md). Two"
    text += " words:\n\n- one more item\n- another item here\n\n```python\nx = 2 + 2\n```\n"
    assert sentences(text) == ["Call code to see more.", "one more item", "another item here"]


def test_sentences_of_docstrings_are_short():
    wrong = [
        f"{name}: {each}" for name, text in docstrings().items() for each in long_sentences(text)
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


@pytest.mark.parametrize(("text", "word"), SAMPLES.items())
def test_home_made_word_is_found(text, word):
    assert word in home_made(text)


@pytest.mark.parametrize("text", GOOD)
def test_good_words_are_left_alone(text):
    assert home_made(text) == []


def test_long_sentence_is_found():
    assert long_sentences("Short.\n\n" + "word " * 30 + ".") != []
    assert long_sentences("Short.\n\n" + "word " * 28 + "word. " + "word " * 29) == []


def test_literals_of_c_are_found_and_comments_are_not():
    source = '/* "one" */\n#include "two"\nf(\'"\', "a \\"b\\" "  // "three"\n  "c");\ng("d");\n'
    assert list(c_literals(source)) == [(3, 'a \\"b\\" c'), (5, "d")]


def test_literals_of_python_are_found_and_docstrings_are_not():
    source = 'def f():\n    "doc"\n    raise E("a " "b", f"{x} is no c")\n'
    assert sorted(python_literals(source)) == [(3, "... is no c"), (3, "a b")]


def test_comments_of_c_are_found_and_literals_are_not():
    code = 'f("// two");  // three\n    // cut\n    // short\nint c = \'"\'; // d\n'
    found = dict(c_comments(f"/* one\n * nobody */\n{code}"))
    assert {line: text.split() for line, text in found.items()} == {
        1: ["one", "nobody"],
        3: ["three", "cut", "short"],
        6: ["d"],
    }
    assert home_made(found[1], WORDS_OF_COMMENTS) == ["nobody"]
    assert home_made(found[3], WORDS_OF_COMMENTS) == ["cut short"]


def test_comments_of_python_are_found_and_literals_are_not():
    source = 'x = "# one"  # two\n# cut\n# short\n\n# four\ndef f():\n    """Nobody."""\n'
    found = dict(python_comments(source))
    assert {line: text.split() for line, text in found.items()} == {
        1: ["two", "cut", "short"],
        5: ["four"],
        7: ["Nobody."],
    }
    assert home_made(found[1], WORDS_OF_COMMENTS) == ["cut short"]
    assert home_made(found[7], WORDS_OF_COMMENTS) == ["Nobody"]


@pytest.mark.parametrize(
    ("text", "words"),
    {
        "Who reads takes no lock.": ["Who"],
        "whole\n pieces of memory, asked for": ["whole", "pieces", "asked for"],
        "The keys are dealt; compare the neighbours": ["dealt", "neighbours"],
        "It says who owns the reach of a home.": ["reach of"],
    }.items(),
)
def test_word_of_the_core_is_found(text, words):
    assert home_made(text, WORDS_OF_THE_CORE) == words


@pytest.mark.parametrize("word", WORDS_OF_COMMENTS)
def test_word_of_comments_is_one_of_all_words(word):
    assert word in WORDS


def test_texts_of_all_kinds_are_collected():
    """So that the tests above cannot pass by reading nothing."""
    found = {source: collect() for source, collect in TEXTS.items()}
    names = {
        "sharedmap",
        "sharedmap.share",
        "sharedmap.rbtree.popitem",
        "sharedmap.sharedmap.stale",
        "sharedmap.sharedmap.__copy__",
        "sharedmap.replication.aio.pull",
        "sharedmap.replication.Version",
        "KeysView.mapping",
        "_sharedmap_range.index",
    }
    assert names <= found["docstrings"].keys()
    texts = "\n".join(found["messages"].values())
    for part in (
        "the name must not contain NUL",  # the table of the core
        "mode must be 0o600",  # the binding
        "remove maps, or save(path) to a disk instead",  # two literals side by side
        "unknown user",  # a raise
        "no sticky bit",  # what doctor prints
        "no version was pushed",  # replication
    ):
        assert part in texts
    text = "\n".join(comments().values())
    for part in (
        "binding/guard.h",  # the head of a header
        "Otherwise a decoder could find the list",  # a remark
        "Cleared before the check",  # of Python
        "Logs a problem once",  # a private docstring
    ):
        assert part in text
    text = "\n".join(comments(CORE_FILES).values())
    for part in ("core/tree/rbtree.h", "core/base/hash.c", "core/segment/open.c", "Case 4:"):
        assert part in text
    assert {"sharedmap", "load", "doctor", "follow"} <= found["help"].keys()
    assert "replace an existing map" in " ".join(found["help"]["load"].split())
