"""A client of Python's websockets: URL NUMBER.

It sends `client NUMBER`, answers pings by itself, and prints `open NUMBER`,
`heard NUMBER TEXT` and `end NUMBER CODE`. Its own pings are off: whether the connection
lives is the server's business.
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

url, number = sys.argv[1:]


def say(*words):
    print(*words, flush=True)


async def main():
    async with connect(url, ping_interval=None, compression=None) as socket:
        say("open", number)
        try:
            await socket.send(f"client {number}")
            async for message in socket:
                say("heard", number, message)
        except ConnectionClosed:
            pass
        say("end", number, socket.close_code)


asyncio.run(main())
