"""Python's websockets, which echoes: ADDRESS PORT [LIMIT_MS [CERTIFICATE KEY]].

With a limit it pings at half of it, and ends with 1011 who does not answer in the other.
It prints `ready`, `heard CONNECTION TEXT` and `end CONNECTION CODE`.
"""

import asyncio
import itertools
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

address, port, limit, certificate, key = (sys.argv[1:] + [""] * 3)[:5]
half = int(limit) / 2000 if limit else None
numbers = itertools.count()


def say(*words):
    print(*words, flush=True)


async def echo(socket):
    number = next(numbers)
    say("open", number)
    try:
        async for message in socket:
            say("heard", number, message[:100])
            await socket.send(message)
    except ConnectionClosed:
        pass
    say("end", number, socket.close_code)


async def main():
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    pings = {"ping_interval": half, "ping_timeout": half}
    async with serve(echo, address, int(port), ssl=tls, max_size=None, **pings):
        say("ready")
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
