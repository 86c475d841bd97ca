r"""An asyncio service that prepares something whenever the settings change.

    python examples/async_service.py
    printf 'my card is 1234\n' | nc localhost 8765
    sharedmap update example:patterns card='card is \d+'

It masks what is secret in each line that it is sent. The patterns are a shared map; compiling them
takes too long to do for each line, so it is done once for each version, in a task that sleeps until
there is a new one. No thread, no timer, and requests never wait for it.
"""

import asyncio
import contextlib
import os
import re

import sharedmap

NAME = os.environ.get("PATTERNS", "example:patterns")
PORT = int(os.environ.get("PORT", "8765"))
DEFAULTS = {"number": r"\b\d{4,}\b"}


class Masker:
    def __init__(self) -> None:
        self.pattern = re.compile(r"(?!)")
        self.version = 0
        self.is_ready = asyncio.Event()

    async def follow(self) -> None:
        async for patterns in sharedmap.watch(NAME):
            try:
                self.pattern = re.compile("|".join(f"(?:{p})" for p in patterns.values()))
            except re.error as error:
                # A pattern is wrong: the last version that worked stays in use.
                print(f"version {patterns.generation} is not used: {error}", flush=True)
                continue
            self.version = patterns.generation
            self.is_ready.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            masked = self.pattern.sub("***", line.decode(errors="replace").rstrip("\n"))
            writer.write(f"{self.version}: {masked}\n".encode())
            await writer.drain()
        writer.close()


async def main() -> None:
    # The first process publishes; the settings of the last start are kept.
    sharedmap.share(DEFAULTS, NAME, exist_ok=True)
    masker = Masker()
    follower = asyncio.create_task(masker.follow())
    await masker.is_ready.wait()
    server = await asyncio.start_server(masker.serve, "127.0.0.1", PORT)
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        # Ends with the first of them, and with its exception.
        await asyncio.wait(
            [asyncio.create_task(server.serve_forever()), follower],
            return_when=asyncio.FIRST_COMPLETED,
        )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
