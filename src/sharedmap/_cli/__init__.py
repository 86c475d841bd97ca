"""The command line: `sharedmap` and `python -m sharedmap`.

    arguments        the commands, their arguments and the help
    input_arguments  the arguments of what is read and published
    argument_types   the parser of one command
    errors           exceptions become one line and an exit code
    maps             opening, publishing and saving the map of a command
    formats          files of all formats become entries
    output           entries and results become text
    exporting        all entries become a file
    progress         the bar while input is read
    quick            get without the imports of the others
    reading          ls, stat, get, scan, export, verify
    comparing        diff
    history          history
    watching         watch
    loading          load
    guards           what is checked before a map is replaced
    assignments      KEY=TEXT and the like of update
    changing         update, save, publish, cp, rm
    doctor           doctor
    manual           the manual page, completion
    machines         push, rollback
    following        follow
    stored           server ls, server stat, server rm

A command is a function of the parsed options; what it returns is the exit code. Only the module of
the command that runs is imported.
"""

from __future__ import annotations

import os
import sys

from .quick import quick_answer

TYPE_CHECKING = False  # typing takes too long to import
if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence
    from types import FrameType

__all__ = ["main", "run"]


def run() -> int:
    """The program: sets up the process, then main()."""
    if hasattr(sys, "set_int_max_str_digits"):
        # A map holds int of any size, which must be printed and read without a limit.
        sys.set_int_max_str_digits(0)
    # Either is None if the parent process has closed it.
    sys.stdout = sys.stdout or _no_output()
    sys.stderr = sys.stderr or _no_output()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    code = 1
    try:
        code = main(sys.argv[1:], _handle_signals)
    except KeyboardInterrupt:
        _die_of("SIGINT")
    except BrokenPipeError:
        # The reader of our output has closed the pipe.
        _die_of("SIGPIPE")
    finally:
        _give_up_output()
    return code


def main(arguments: Sequence[str], prepare: Callable[[], None] | None = None) -> int:
    """Runs the command; every failure is a line on standard error and an exit code.

    prepare() is called before a command that may have to clean up.
    """
    try:
        answer = quick_answer(arguments)
        if answer is None:
            if prepare is not None:
                prepare()
            code = _run_command(arguments)
        else:
            sys.stdout.write(answer)
            code = 0
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except Exception as error:
        code = _report_failure(error)
    return code


def _run_command(arguments: Sequence[str]) -> int:
    import importlib

    from .arguments import parse

    options = parse(arguments)
    module, function = options.run.split(".")
    command = getattr(importlib.import_module(f".{module}", __name__), function)
    code: int = command(options)
    return code


def _report_failure(error: Exception) -> int:
    import contextlib

    from .errors import explain
    from .output import printable

    message, code = explain(error)
    # Output before the error message, unless standard output itself has failed.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    # One line, even when a name contains line feeds.
    print(f"sharedmap: {printable(message)}", file=sys.stderr)
    return code


def _no_output() -> io.TextIOWrapper:
    # Like the streams of the interpreter, it does not own its descriptor.
    return open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)


def _give_up_output() -> None:
    """Discards output that cannot be written, or the interpreter would fail on it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _handle_signals() -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGHUP):
        # A signal that nohup ignores stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leaves by way of all `finally`, so that no temporary file stays."""
    import signal

    # Another one would leave that way, too; one that is ignored is told of if it was on its way.
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    raise SystemExit(128 + number)


def _die_of(name: str) -> None:
    """Is killed by the signal, as without a handler: shells check that status."""
    import signal

    number = signal.Signals[name]
    _give_up_output()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
