"""What can go wrong between machines."""

from __future__ import annotations


class ReplicationError(Exception):
    """What is on the server cannot be used: missing, damaged, or not made by push()."""


class ServerError(ReplicationError):
    """The server cannot be reached, or refuses."""


class NothingPushed(ReplicationError):
    """There is no such map, or no such version of it, on the server."""
