"""The exceptions of replication."""

from __future__ import annotations


class ReplicationError(Exception):
    """The data on the server is not usable: missing, damaged, or not written by push()."""


class ServerError(ReplicationError):
    """The server is unreachable or refuses the request."""


class NothingPushed(ReplicationError):
    """The server has no such map, or no such version of it."""
