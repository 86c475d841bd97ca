"""gunicorn's dirty arbiter alone: `python -m benchmarks.contenders.stash SOCKET`.

gunicorn starts it as a child and gives its workers the path of the socket. So does this program,
with one worker that has nothing to do, and without a web server. The arbiter ends with its parent.
"""

import os
import sys

from gunicorn.app.base import BaseApplication
from gunicorn.dirty import DirtyApp, DirtyArbiter
from gunicorn.glogging import Logger


class Nothing(DirtyApp):
    """What the arbiter wants a worker to have."""

    def __call__(self, action, *args, **kwargs):  # type: ignore[no-untyped-def]
        return None


class Settings(BaseApplication):
    def load_config(self) -> None:
        self.cfg.set("dirty_apps", ["benchmarks.contenders.stash:Nothing"])
        self.cfg.set("dirty_workers", 1)

    def load(self) -> None:
        raise NotImplementedError


if __name__ == "__main__":
    cfg = Settings().cfg
    arbiter = DirtyArbiter(cfg, Logger(cfg), socket_path=sys.argv[1])
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        arbiter.run()
