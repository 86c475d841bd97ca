"""follow: the agent of a machine, its signals, and what it tells systemd and probes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ..replication import AgentStatus, Version
from ..replication._agent.agent import Agent
from ..replication._agent.health import HealthFile, to_bytes
from ..replication._agent.metrics import HttpServer
from ..replication._agent.notify import Notifier
from .errors import DONE, FAILED, USAGE, CommandError, explain
from .machines import replication_error, report_version, server_url, translated_errors
from .maps import Options
from .output import printable

log = logging.getLogger("sharedmap.replication")

# Changes that come together are told together.
_TOGETHER: Final = 0.05
_SHORTEST_LIFETIME: Final = 10.0


class _Formatter(logging.Formatter):
    """Names and answers of the server contain any character."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _log_to_standard_error() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Formatter("sharedmap: %(message)s"))


def _allow_many_files() -> None:
    """Each map has a file that is locked, and two connections or more are open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _names_of(options: Options) -> list[str]:
    """Those of the command line, and those that the file has now."""
    names = [*options.maps]
    if options.names is not None:
        lines = Path(options.names).read_text(encoding="utf-8").splitlines()
        names += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return names


def follow_maps(options: Options) -> int:
    if not options.maps and options.names is None:
        raise CommandError("pass a name, a pattern, or --names FILE", USAGE)
    if options.once and (options.health is not None or options.metrics is not None):
        raise CommandError(
            "--health and --metrics are for an agent that keeps running, without --once", USAGE
        )
    names = _names_of(options)
    if not names:
        raise CommandError(f"{options.names}: no name or pattern in this file", FAILED)
    if options.local is not None and (len(names) > 1 or any(c in names[0] for c in "*?[")):
        raise CommandError("--map is for one name without a pattern", USAGE)
    _log_to_standard_error()
    _allow_many_files()
    with translated_errors():
        agent = Agent(
            server_url(options),
            names,
            local=options.local,
            directory=options.state,
            poll=options.poll,
            mode=options.mode,
            namespace=options.namespace,
            parallel=options.parallel,
        )
        if options.once:
            return asyncio.run(_follow_once(agent, options))
        # SIGTERM is the usual way to stop an agent, not a failure.
        signal.signal(signal.SIGTERM, _end)
        return asyncio.run(_Service(agent, options).run())


def _end(number: int, frame: FrameType | None) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    raise SystemExit(DONE)


async def _follow_once(agent: Agent, options: Options) -> int:
    failed: list[tuple[str, CommandError]] = []
    count = 0
    async for name, result in agent.once():
        count += 1
        if isinstance(result, Version):
            report_version("published", result, options)
        else:
            failed.append((name, _as_command_error(result)))
    if count == 1 and failed:
        raise failed[0][1]
    for name, error in failed:
        text = str(error)
        log.error("%s", text if text.startswith(f"{name}:") else f"{name}: {text}")
    return failed[0][1].code if failed else DONE


def _as_command_error(error: Exception) -> CommandError:
    return replication_error(error) or CommandError(*explain(error))


def _summary(status: AgentStatus) -> str:
    """One line, for `systemctl status`."""
    counts = Counter(each.state for each in status.maps)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    text = f"{len(status.maps)} map{'' if len(status.maps) == 1 else 's'}"
    text = f"{text}: {states}" if states else text
    return text if status.error is None else f"{text}; {status.error}"


class _Service:
    """The agent as a process: it is told by signals, and tells others how it is doing."""

    def __init__(self, agent: Agent, options: Options) -> None:
        self.agent = agent
        self.options = options
        self.notifier = Notifier()
        # Longer than the time between two files of an agent that works.
        self.lifetime = max(3 * options.poll, _SHORTEST_LIFETIME)
        self.health = None if options.health is None else HealthFile(options.health)
        self.http = _make_http(agent, options, self.lifetime)
        self.is_stopping = False
        self.is_reloading = False
        self.failure: BaseException | None = None
        self.main: asyncio.Task[Any] | None = None
        self.last_problem: str | None = None

    async def run(self) -> int:
        self.main = asyncio.current_task()
        tasks: list[asyncio.Task[None]] = []
        try:
            if self.health is not None:
                self.health.write(to_bytes(self.agent.status(), self.lifetime))
            if self.http is not None:
                log.info("metrics at %s/metrics", await self.http.start(*self.options.metrics))
            self._take_signals()
            tasks = [self._start(self._tell()), self._start(self._stay_alive())]
            async with contextlib.aclosing(self.agent.versions()) as versions:
                async for version in versions:
                    verb = "published" if version.is_new else "still published"
                    report_version(verb, version, self.options)
        except asyncio.CancelledError:
            if self.failure is not None:
                raise self.failure from None
            if not self.is_stopping:
                raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.http is not None:
                await self.http.close()
            if self.health is not None:
                self.health.remove()
        return DONE

    # ---- signals -------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        """Has a thread wait for them, so that they interrupt nothing, however many come.

        All threads block them until the process is gone. Handlers would be gone before: the loop
        removes its own, the interpreter all others, and then the next signal kills.
        """
        taken = {signal.SIGTERM}
        # A signal that nohup ignores stays ignored.
        if self.options.names is not None and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            taken.add(signal.SIGHUP)
        signal.pthread_sigmask(signal.SIG_BLOCK, taken)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._wait_for_signals, args=(taken, loop), daemon=True).start()

    def _wait_for_signals(
        self, taken: set[signal.Signals], loop: asyncio.AbstractEventLoop
    ) -> None:
        # The loop is closed when it has failed.
        with contextlib.suppress(RuntimeError):
            while signal.sigwait(taken) != signal.SIGTERM:
                if not self.is_reloading:
                    self.is_reloading = True
                    loop.call_soon_threadsafe(self._reload)
            loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.is_stopping = True
        self.notifier.stopping()
        if self.main is not None:
            self.main.cancel()

    def _reload(self) -> None:
        self.is_reloading = False
        self.notifier.reloading()
        try:
            self.agent.set_names(_names_of(self.options))
        except (OSError, ValueError) as error:
            log.warning("%s; the names stay the same", explain(error)[0])
        else:
            log.info("%s: read again", self.options.names)
        self.notifier.ready()

    # ---- what others are told ------------------------------------------------------------------

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._notice_end)
        return task

    def _notice_end(self, task: asyncio.Task[None]) -> None:
        """These tasks do not end by themselves, unless they have a bug."""
        if not task.cancelled() and self.main is not None:
            self.failure = task.exception()
            self.main.cancel()

    async def _tell(self) -> None:
        is_ready = False
        told = ""
        while True:
            self.agent.changed.clear()
            status = self.agent.status()
            self._write_health(status)
            summary = _summary(status)
            if summary != told:
                self.notifier.status(summary)
                told = summary
            if self.agent.ready.is_set() and not is_ready:
                self.notifier.ready()
                is_ready = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.poll):
                    await self.agent.changed.wait()
                    await asyncio.sleep(_TOGETHER)

    def _write_health(self, status: AgentStatus) -> None:
        if self.health is None:
            return
        try:
            self.health.write(to_bytes(status, self.lifetime))
        except OSError as error:
            problem = explain(error)[0]
            if problem != self.last_problem:
                log.warning("%s", problem)
            self.last_problem = problem
        else:
            self.last_problem = None

    async def _stay_alive(self) -> None:
        """In the loop that does everything else: if that hangs, systemd is not told."""
        while self.notifier.interval is not None:
            self.notifier.alive()
            await asyncio.sleep(self.notifier.interval)
        await asyncio.get_running_loop().create_future()


def _make_http(agent: Agent, options: Options, lifetime: float) -> HttpServer | None:
    if options.metrics is None:
        return None
    try:
        return HttpServer(agent.status, lifetime)
    except ImportError as error:
        raise CommandError(
            f"--metrics needs prometheus_client; run: pip install 'sharedmap[metrics]' ({error})"
        ) from None
