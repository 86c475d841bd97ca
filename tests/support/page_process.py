"""Runs a block of Python as a page shows it, and compares what happens with what the page says.

    m["apple"]  # 1.25                          the value, as repr() shows it
    print(len(m))  # 3                          what is printed
    m["plum"]  # KeyError: 'plum'               what is raised
    settings["limit"]  # 100: what is set now   the same, and a remark

    for key in m: print(key)
    # apple                                     what a statement at the edge prints, if it is more
    # pear                                      than a line

What stands behind an expression that is None and prints nothing is a remark. `...` is anything.
"""

import ast
import builtins
import doctest
import io
import sys
import tokenize

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
CHECKER = doctest.OutputChecker()


def agrees(shown, comment):
    said = [comment]
    said += [comment[:i] for i, letter in enumerate(comment) if letter in ":;" and i]
    return any(CHECKER.check_output(each + "\n", shown + "\n", FLAGS) for each in said)


def is_exception(comment):
    kind = getattr(builtins, comment.split(":")[0].split()[0], None) if comment else None
    own = comment.startswith(("SnapshotError", "StaleError", "RepresenterError"))
    return own or (isinstance(kind, type) and issubclass(kind, BaseException))


class Watcher:
    """What a block prints and what its expressions are."""

    def __init__(self, names):
        self.names = names  # the page's names, by those that are used in their place
        self.printed = io.StringIO()
        self.begin = 0
        self.wrong = []
        self.reached = set()

    def as_shown(self, text):
        for used, shown in self.names.items():
            text = text.replace(used, shown)
        return text

    def since_begin(self):
        return self.as_shown(self.printed.getvalue()[self.begin :].rstrip("\n"))

    def start(self):
        self.begin = len(self.printed.getvalue())

    def compare(self, line, comment, value):
        self.reached.add(line)
        shown = self.since_begin()
        if not shown and value is not None:
            self.printed.write(repr(value))
            shown = self.since_begin()
        if shown and not agrees(shown, comment):
            self.wrong.append(f"line {line}: the page says {comment!r}, it was {shown!r}")
        self.start()

    def raised(self, line, comment, error):
        self.reached.add(line)
        self.start()
        kind = type(error).__name__
        self.printed.write(f"{kind}: {error}")
        shown = self.since_begin()
        if comment != kind and not agrees(shown, comment):
            self.wrong.append(f"line {line}: the page says {comment!r}, it was {shown!r}")
        self.start()

    def not_raised(self, line, comment):
        self.wrong.append(f"line {line}: the page says {comment!r}, nothing was raised")


class Instrument(ast.NodeTransformer):
    """Puts the watcher around statements that have a comment behind them."""

    def __init__(self, comments):
        self.comments = comments
        self.expected = set()

    def visit(self, node):
        node = self.generic_visit(node)
        is_simple = isinstance(node, ast.stmt) and not hasattr(node, "body")
        comment = self.comments.get(getattr(node, "end_lineno", None)) if is_simple else None
        if comment is None:
            return node
        line = node.end_lineno
        if is_exception(comment):
            self.expected.add(line)
            whole = ast.parse(
                "try:\n    pass\n"
                f"except BaseException as _error:\n    _page.raised({line}, {comment!r}, _error)\n"
                f"else:\n    _page.not_raised({line}, {comment!r})"
            ).body[0]
            whole.body = [node]
            return whole
        if isinstance(node, ast.Expr):
            self.expected.add(line)
            start, compare = ast.parse(f"_page.start()\n_page.compare({line}, {comment!r})").body
            compare.value.args.append(node.value)
            return [start, compare]
        return node


def comments_of(source):
    """Those behind code, by line, and those that have the line for themselves."""
    behind, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            is_alone = not token.line[: token.start[1]].strip()
            (alone if is_alone else behind)[token.start[0]] = token.string[1:].strip()
    return behind, alone


def run(source, first_line, space, names):
    """Runs the block in the namespace; what is wrong with it, as a list of sentences."""
    shift = first_line - 1
    page = space["_page"] = Watcher(names)
    behind, alone = (
        {line: page.as_shown(text) for line, text in comments.items()}
        for comments in comments_of(source)
    )
    instrument = Instrument({line: text for line, text in behind.items() if text})
    module = ast.parse(source)
    ends = [statement.end_lineno for statement in module.body]
    before, sys.stdout = sys.stdout, page.printed
    try:
        for statement, end in zip(list(module.body), ends, strict=True):
            made = instrument.visit(statement)
            whole = ast.Module(made if isinstance(made, list) else [made], [])
            page.start()
            exec(compile(ast.fix_missing_locations(whole), "<page>", "exec"), space)
            below = []
            while end + 1 + len(below) in alone:
                below.append(alone[end + 1 + len(below)])
            if below and page.since_begin() and not agrees(page.since_begin(), "\n".join(below)):
                page.wrong.append(f"line {end}: {below} is shown, it was {page.since_begin()!r}")
    except BaseException as error:
        page.wrong.append(f"line {statement.lineno}: {type(error).__name__}: {error}")
    finally:
        sys.stdout = before
    never = sorted(instrument.expected - page.reached)
    page.wrong += [f"line {line}: never got there" for line in never if not page.wrong]
    return [f"block from line {shift + 1}, {text}" for text in page.wrong]
