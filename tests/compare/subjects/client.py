"""Python's websockets, as its documentation shows: `async for`.

Arguments: NAME, URL, MODE, and what is the same for all subjects: interval, timeout,
number of messages, time between them, size of the upload; times in ms.
"""

import asyncio
import json
import logging
import os
import sys
import threading
import time

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

_, url, mode, *numbers = sys.argv[1:]
interval, timeout, messages, every, upload = map(int, numbers)


def say(event, **line):
    print(json.dumps({"t": time.time() * 1000, "event": event, **line}), flush=True)


def end():
    sys.stdin.buffer.read()
    os._exit(0)


class Application:
    """Sends; what raised is sent again on the next connection."""

    def __init__(self):
        self.number = 1

    async def send(self, websocket):
        if mode == "upload" and self.number == 1:
            self.number += 1
            await websocket.send(bytes([7]) * upload)
        if mode == "messages":
            while self.number <= messages:
                await websocket.send(f"m{self.number}")
                self.number += 1
                await asyncio.sleep(every / 1000)


async def main():
    python = ".".join(map(str, sys.version_info[:3]))
    say("start", version=f"{websockets.__version__} on Python {python}")
    application = Application()
    dials = connect(
        url, ping_interval=interval / 1000, ping_timeout=timeout / 1000, proxy=None
    )
    async for websocket in dials:
        say("open")
        sending = asyncio.create_task(application.send(websocket))
        try:
            while True:
                message = await websocket.recv()
                if isinstance(message, str):
                    say("message", text=message)
                else:
                    say("message", size=len(message))
        except ConnectionClosed as closed:
            say("down", why=str(closed))
            await asyncio.gather(sending, return_exceptions=True)


logging.disable()
threading.Thread(target=end, daemon=True).start()
asyncio.run(main())
