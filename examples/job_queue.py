r"""Jobs of RQ that need a big table: each finds it in shared memory, whichever worker runs it.

    echo '["Lyon", "France"]' | sharedmap load example:cities
    rq worker --path examples
    python -c 'import redis, rq; \
        rq.Queue(connection=redis.Redis()).enqueue("job_queue.greet", "Lyon")'

RQ forks a process for each job. Opening the table there takes microseconds, however large it is,
and all jobs of the machine have the same memory. A job that is started after a change sees the
change, and no worker is restarted.
"""

import functools
import os
from typing import Any

import sharedmap

NAME = os.environ.get("CITIES", "example:cities")


@functools.cache
def cities() -> "sharedmap.sharedmap[Any]":
    """Opened by the first who needs it, then kept: a worker that does not fork has many jobs."""
    return sharedmap.sharedmap(NAME, follow=True)


def greet(city: str) -> str:
    with cities().snapshot() as now:
        country = now.get(city)
        version = now.generation
    if country is None:
        return f"Where is {city}? (version {version})"
    return f"Greetings from {city} in {country}! (version {version})"
