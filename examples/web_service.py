"""A web service whose workers serve every change of the settings with the next request.

    gunicorn --chdir examples --config examples/web_service.py web_service:app
    curl localhost:8000
    sharedmap update example:web greeting='Good evening' limit:=20
    curl localhost:8000

One file is application and configuration of gunicorn. The settings are a shared map that each
worker follows: no worker is restarted or notified. A request sees one version of all
settings, whatever is published while it is being answered.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import sharedmap

NAME = os.environ.get("SETTINGS", "example:web")
DEFAULTS = {"greeting": "Hello", "limit": 100}

# ---- what gunicorn reads ----------------------------------------------------------------------

workers = 4
bind = os.environ.get("BIND", "127.0.0.1:8000")
# The map is opened once, before the fork, and has the same memory in all workers.
preload_app = True

# ---- the application --------------------------------------------------------------------------

# The first process publishes; the settings of the last start are kept.
sharedmap.share(DEFAULTS, NAME, exist_ok=True)

settings = sharedmap.sharedmap(NAME, follow=True)


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    with settings.snapshot() as now:
        text = f"{now['greeting']}, limit {now['limit']}, version {now.generation}"
    body = f"{text}, worker {os.getpid()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
