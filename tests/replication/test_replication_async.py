"""Maps on many machines, in an event loop."""

import asyncio
import contextlib
import threading

import machines
import pytest
from helpers import HANG
from live import content

import sharedmap
from sharedmap import replication
from sharedmap.replication import _state, aio

server, shared_server = machines.server, machines.shared_server


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, HANG))


def test_everything_is_there_for_event_loops_too(server, names, tmp_path):
    name, local = names(), names()
    here = {"local": local, "directory": tmp_path}

    async def main():
        for number in range(2):
            sharedmap.share({"number": number}, name, force=True)
            version = await aio.push(server.url, name)
            assert await aio.pull(server.url, name, **here) == version._replace(
                transferred=version.transferred
            )
        assert content(local) == {"number": 1}
        await aio.rollback(server.url, name)
        await aio.pull(server.url, name, **here)
        assert content(local) == {"number": 0}

    run(main())


def test_loop_does_other_things_while_it_follows(server, names, tmp_path):
    name, local = names(), names()
    told = []

    async def publish():
        for number in range(3):
            sharedmap.share({"number": number}, name, force=True)
            await aio.push(server.url, name)
            while len(told) <= number:
                await asyncio.sleep(0)

    async def main():
        publisher = asyncio.ensure_future(publish())
        follower = aio.follow(server.url, name, local=local, directory=tmp_path)
        async with contextlib.aclosing(follower) as versions:
            async for _ in versions:
                told.append(content(local)["number"])
                if len(told) == 3:
                    break
        await publisher

    run(main())
    assert told == [0, 1, 2]


def test_follower_that_is_cancelled_lets_go_of_its_directory(server, names, tmp_path):
    name, local = names(), names()
    sharedmap.share({"a": 1}, name)
    replication.push(server.url, name)
    here = {"local": local, "directory": tmp_path}

    async def follow(is_there):
        async for _ in aio.follow(server.url, name, **here):
            is_there.set()

    async def main():
        is_there = asyncio.Event()
        task = asyncio.ensure_future(follow(is_there))
        await is_there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert replication.pull(server.url, name, **here).is_new is False


def test_files_are_not_closed_while_a_thread_still_writes_to_them(
    server, names, tmp_path, monkeypatch
):
    """They would be somebody else's files a moment later."""
    name, local = names(), names()
    sharedmap.share({"a": 1}, name)
    replication.push(server.url, name)
    is_writing, may_go_on = threading.Event(), threading.Event()
    seen = []

    def put(incoming, chunk, offset, data):
        is_writing.set()
        assert may_go_on.wait(HANG)
        seen.append(original(incoming, chunk, offset, data))
        return seen[-1]

    def close(incoming):
        seen.append("closed")
        original_close(incoming)

    original, original_close = _state.Incoming.put, _state.Incoming.close
    monkeypatch.setattr(_state.Incoming, "put", put)
    monkeypatch.setattr(_state.Incoming, "close", close)

    async def main():
        task = asyncio.ensure_future(aio.pull(server.url, name, local=local, directory=tmp_path))
        await asyncio.to_thread(is_writing.wait, HANG)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # an impatient caller
        await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == [True, "closed"]
    assert local not in sharedmap.names()


def test_errors_are_the_same(server, name, tmp_path):
    with pytest.raises(replication.NothingPushed):
        run(aio.pull(server.url, name, directory=tmp_path))
    with pytest.raises(FileNotFoundError):
        run(aio.push(server.url, name))
    with pytest.raises(replication.ServerError):
        run(aio.rollback(f"unix://{tmp_path}/none", name))
