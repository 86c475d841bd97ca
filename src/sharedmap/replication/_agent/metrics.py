"""An agent's status by HTTP: /health as JSON, /metrics as Prometheus reads it.

Clients are not trusted: each has a few seconds for one request of a few kilobytes, and there are
never more than a few at a time. There is nothing secret in an answer, but by default only this
machine can ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from .followed import AgentStatus
from .health import describe, to_bytes

_MOST_CLIENTS: Final = 16
_LARGEST_REQUEST: Final = 8192
_PATIENCE: Final = 5.0
_TEXT: Final = "text/plain; charset=utf-8"

# name, help, field
_GAUGES: Final = (
    ("version", "The version that is published here.", "version"),
    ("server_version", "The version that the server has.", "server_version"),
    ("entries", "The number of entries.", "entries"),
    ("size_bytes", "The size of the snapshot.", "size"),
    ("age_seconds", "Seconds since the version was pushed.", "age"),
    ("lag_seconds", "By how many seconds the version of the server was pushed later.", "lag"),
)
_COUNTERS: Final = (
    ("received_bytes", "Bytes that were received from the server.", "received"),
    ("failures", "Attempts that failed.", "failures"),
)


class Collector:
    """The metrics of one moment, for prometheus_client."""

    def __init__(self, status: Callable[[], AgentStatus]) -> None:
        core = importlib.import_module("prometheus_client.metrics_core")
        self.gauge: Any = core.GaugeMetricFamily
        self.counter: Any = core.CounterMetricFamily
        self.status = status

    def collect(self) -> Iterator[Any]:
        status = self.status()
        fields = describe(status, 0)
        for name, text, is_true in (
            ("ok", "Whether the server answers and each map is followed.", status.ok),
            ("server_reachable", "Whether the server answers.", status.reachable),
        ):
            yield self.gauge(f"sharedmap_agent_{name}", text, value=int(is_true))
        maps = [{**each, "label": _label(each["name"])} for each in fields["maps"]]
        for make, table in ((self.gauge, _GAUGES), (self.counter, _COUNTERS)):
            for name, text, field in table:
                family = make(f"sharedmap_map_{name}", text, labels=["name"])
                for each in maps:
                    if each[field] is not None:
                        family.add_metric([each["label"]], each[field])
                yield family
        family = self.gauge("sharedmap_map_state", "1 for its state.", labels=["name", "state"])
        for each in maps:
            family.add_metric([each["label"], each["state"]], 1)
        yield family


def _label(name: str) -> str:
    """Lone surrogates are not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


class HttpServer:
    """Answers GET /health and GET /metrics, in the event loop of the agent.

    Raises ImportError without prometheus_client, which is an extra.
    """

    def __init__(self, status: Callable[[], AgentStatus], lifetime: float) -> None:
        self.status, self.lifetime = status, lifetime
        self.registry: Any = importlib.import_module(
            "prometheus_client.registry"
        ).CollectorRegistry()
        self.registry.register(Collector(status))
        self.generate: Callable[[Any], bytes] = importlib.import_module(
            "prometheus_client.exposition"
        ).generate_latest
        self.clients = 0
        self.server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listens; returns the URL."""
        self.server = await asyncio.start_server(
            self._serve, host, port, limit=_LARGEST_REQUEST, backlog=_MOST_CLIENTS
        )
        address = self.server.sockets[0].getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"http://{shown}:{address[1]}"

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        try:
            # What a client does wrong is no failure of the agent.
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                if self.clients <= _MOST_CLIENTS:
                    async with asyncio.timeout(_PATIENCE):
                        request = await reader.readuntil(b"\r\n\r\n")
                        writer.write(self._answer(request))
                        await writer.drain()
        finally:
            self.clients -= 1
            # Without waiting for a client that does not read.
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            code, kind, body = "405 Method Not Allowed", _TEXT, b"only GET\n"
        elif path == b"/health":
            status = self.status()
            code = "200 OK" if status.ok else "503 Service Unavailable"
            kind, body = "application/json", to_bytes(status, self.lifetime)
        elif path == b"/metrics":
            code, kind = "200 OK", "text/plain; version=0.0.4; charset=utf-8"
            body = self.generate(self.registry)
        else:
            code, kind, body = "404 Not Found", _TEXT, b"/health or /metrics\n"
        head = (
            f"HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == b"HEAD" else body)
