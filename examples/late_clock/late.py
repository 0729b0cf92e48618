"""What becomes of healthy peers of Python's websockets when its loop is blocked.

Arguments: URL, number of connections, seconds of interval, timeout and block.
"""

import asyncio
import logging
import sys
import time

import websockets
from websockets.asyncio.client import connect

PATIENCE = 30


async def main(url, connections, interval, timeout, block):
    dials = [
        connect(url, ping_interval=interval, ping_timeout=timeout, proxy=None)
        for _ in range(connections)
    ]
    sockets = await asyncio.gather(*dials)
    end = time.monotonic() + PATIENCE
    while not all(socket.pending_pings for socket in sockets):
        if time.monotonic() > end:
            sys.exit("the pings are not out together")
        await asyncio.sleep(0.001)

    time.sleep(block)

    # A verdict comes at once, or a whole round later at the latest.
    await asyncio.sleep(interval + timeout)
    sent = [socket.protocol.close_sent for socket in sockets]
    convicted = sum(close is not None and close.code == 1011 for close in sent)
    name = f"websockets {websockets.__version__}:"
    print(f"{name:<18}convicted {convicted} of {connections}")
    for socket in sockets:
        socket.transport.abort()


if __name__ == "__main__":
    logging.disable()
    url, connections, *times = sys.argv[1:]
    asyncio.run(main(url, int(connections), *map(int, times)))
