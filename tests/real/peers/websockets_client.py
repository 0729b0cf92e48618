"""A client of Python's websockets: URL.

It sends `hello`, answers pings by itself, and prints `ready`, `heard 0 TEXT` and `end 0
CODE`. Its own pings are off: whether the connection lives is the server's business.
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

[url] = sys.argv[1:]


def say(*words):
    print(*words, flush=True)


async def main():
    async with connect(url, ping_interval=None, compression=None) as socket:
        say("ready")
        try:
            await socket.send("hello")
            async for message in socket:
                say("heard", 0, message)
        except ConnectionClosed:
            pass
        say("end", 0, socket.close_code)


asyncio.run(main())
