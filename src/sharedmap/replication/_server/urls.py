"""The URL of a server: what may be in it, and what redis-py needs to connect.

    redis://[USER[:PASSWORD]@]HOST[:PORT][/DB][?OPTION=VALUE&...]     one server; rediss:// with TLS
    unix://[USER[:PASSWORD]@]/PATH[?db=DB&...]                        its socket
    redis+cluster://[...@]HOST[:PORT],...[?...]                       some nodes of a cluster
    redis+sentinel://[...@]HOST[:PORT],.../SERVICE[/DB][?...]         the sentinels of a service

valkey and valkeys are synonyms of redis and rediss. A password is part of the URL, so no message
repeats any part of it. redis-py's own parser takes a # in a password for the end of the URL, and
an option that it does not know for an argument of a class.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

Address = tuple[str, int]

PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_SCHEMES: Final = re.compile(r"(?:(redis|valkey)(s?)(?:\+(cluster|sentinel))?|(unix))://")
_TRUE: Final = ("true", "yes", "1")
_FALSE: Final = ("false", "no", "0")
_ENCODE: Final = (
    "percent-encode #, /, ?, @, : and % in the user name and the password (%23 %2F %3F %40 %3A %25)"
)
_MOST_PORT: Final = 65535


def _text(value: str) -> str:
    return value


def _count(value: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError
    return int(value)


def _seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) or not float(value):
        raise ValueError
    return float(value)


def _switch(value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError
    return value.lower() in _TRUE


def _cert_reqs(value: str) -> str:
    if value not in ("required", "optional", "none"):
        raise ValueError
    return value


_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "db": _count,
    "username": _text,
    "password": _text,
    "client_name": _text,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _switch,
}
_TLS_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "ssl_cert_reqs": _cert_reqs,
    "ssl_check_hostname": _switch,
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
}
_SENTINEL_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "sentinel_username": _text,
    "sentinel_password": _text,
}


@dataclass(frozen=True)
class Target:
    """What a URL says. Each of `settings` is an argument of redis-py's connections."""

    kind: str  # "server", "cluster" or "sentinel"
    has_tls: bool
    addresses: tuple[Address, ...]  # empty: the socket at `path`
    path: str
    service: str
    settings: dict[str, Any] = field(repr=False)
    sentinel_settings: dict[str, Any] = field(repr=False)

    @property
    def location(self) -> str:
        """The same for every user of the server: without user, password and options."""
        place = self.path or ",".join(f"{host}:{port}" for host, port in sorted(self.addresses))
        return f"{self.kind} {place} {self.service} {self.settings.get('db', 0)}"


def parse(url: str) -> Target:
    """Raises ValueError, whose message has no part of the URL, if it is not valid."""
    match = _SCHEMES.match(url)
    if match is None:
        raise ValueError(
            "the URL is not valid: it must begin with redis://, rediss://, unix://,"
            " redis+cluster://, rediss+cluster://, redis+sentinel:// or rediss+sentinel://"
        )
    if re.search(r"[\s#\x00-\x1f]", url):
        raise _invalid("it has a # or a space")
    kind = match[3] or "server"
    rest, _, query = url[match.end() :].partition("?")
    authority, slash, path = rest.partition("/")
    user_part, at, hosts = authority.rpartition("@")
    # A slash or question mark in a password ends the part that ought to have the @.
    if (not match[4] and "@" in path + query) or (match[4] and authority and not at):
        raise _invalid("it has an @ behind a / or ?, or no @ behind the password")
    has_tls = bool(match[2])
    options = _read_query(query, kind, has_tls)
    credentials = _read_user(user_part) if at else {}
    settings = {**credentials, **options}
    sentinel = {
        name.removeprefix("sentinel_"): settings.pop(name)
        for name in _SENTINEL_OPTIONS
        if name in settings
    }
    if has_tls:
        # redis-py 5 does not check the host name unless it is told to.
        settings.setdefault("ssl_cert_reqs", "required")
        settings.setdefault("ssl_check_hostname", settings["ssl_cert_reqs"] != "none")
    if match[4]:
        if hosts or not path:
            raise _invalid(
                "unix:// is followed by an absolute path, such as unix:///run/redis.sock"
            )
        return Target(kind, False, (), _decoded(slash + path), "", settings, {})
    service = ""
    if kind == "sentinel":
        service, _, path = path.partition("/")
        service = _decoded(service)
        if not service:
            raise _invalid("the sentinels are followed by a service: redis+sentinel://HOST/SERVICE")
    if path:
        if not re.fullmatch("[0-9]{1,9}", path):
            raise _invalid("the part behind the / is not the number of a database")
        settings["db"] = int(path)
    if kind == "cluster" and settings.pop("db", 0):
        raise _invalid("a cluster has only database 0")
    port = _SENTINEL_PORT if kind == "sentinel" else PORT
    names = hosts.split(",") if kind != "server" else [hosts]
    addresses = tuple(_read_host(name, port) for name in names)
    sentinel.update({key: value for key, value in settings.items() if key.startswith("ssl_")})
    return Target(kind, has_tls, addresses, "", service, settings, sentinel)


def _invalid(what: str) -> ValueError:
    return ValueError(f"the URL is not valid: {what}; {_ENCODE}")


def _decoded(text: str) -> str:
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise _invalid("a % is not followed by two hexadecimal digits")
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise _invalid("what is percent-encoded is not UTF-8")


def _read_user(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    found = {"username": _decoded(user), "password": _decoded(password)}
    return {name: value for name, value in found.items() if value}


def _read_host(text: str, port: int) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::([0-9]{1,5}))?", text)
    if match is None or (match[3] and not 0 < int(match[3]) <= _MOST_PORT):
        raise _invalid("a host is not of the form HOST or HOST:PORT, with a port up to 65535")
    return match[1] or _decoded(match[2]) or "localhost", int(match[3] or port)


def _read_query(query: str, kind: str, has_tls: bool) -> dict[str, Any]:
    known = {**_OPTIONS, **(_TLS_OPTIONS if has_tls else {})}
    if kind == "sentinel":
        known |= _SENTINEL_OPTIONS
    found: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name not in known:
            raise _invalid(f"what is behind the ? is not one of the options {', '.join(known)}")
        try:
            found[name] = known[name](_decoded(value.replace("+", " ")))
        except ValueError:
            raise _invalid(f"the value of the option {name} is not valid") from None
    return found
