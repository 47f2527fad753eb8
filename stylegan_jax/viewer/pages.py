"""One page that is open in a browser: what it asks to be drawn, and its socket.

Of each view only the newest request counts; one that was overtaken before its turn is never drawn.
"""

import asyncio
import collections
import json
import struct
import typing

import aiohttp
import numpy as np
from aiohttp import web

_MOST_VIEWS = 128  # of a page: pictures and thumbnails


class Request(typing.NamedTuple):
    """A picture that a page asks for.

    Attributes:
      view: where the page shows it.
      number: rises with each request of the page.
      network: number of the network.
      moving: whether a hand is moving.
      recipe: plain values, see `Recipe.from_dict`.
    """

    view: str
    number: int
    network: int
    moving: bool
    recipe: object


class Page:
    """A page, which draws with `take` and is told with `say` and `show`.

    Attributes:
      name: unknown to other pages.
      is_open: whether the browser is still there, as far as is known.
    """

    def __init__(self, name: str, socket: web.WebSocketResponse):
        self.name, self.is_open = name, True
        self._socket = socket
        self._newest: dict[str, int] = {}  # number of the newest request of each view
        self._shown: dict[str, int] = {}  # and of the newest one that was answered
        # Hands that move have a lane of their own, so that a large picture at rest does not hold them up.
        self._lanes = {moving: collections.OrderedDict() for moving in (True, False)}
        self._events = {moving: asyncio.Event() for moving in (True, False)}

    def ask(self, request: Request) -> None:
        """Takes in a request, which overtakes those of the same view that have not begun."""
        if request.view not in self._newest and len(self._newest) >= _MOST_VIEWS:
            return
        if request.number < self._newest.get(request.view, 0):
            return
        self._newest[request.view] = request.number
        self._lanes[not request.moving].pop(request.view, None)
        self._lanes[request.moving][request.view] = request  # a view that waits keeps its place in the row
        self._events[request.moving].set()

    async def take(self, moving: bool) -> Request:
        """Returns the next request of a lane; the views take turns."""
        lane, event = self._lanes[moving], self._events[moving]
        while not lane:
            event.clear()
            await event.wait()
        return lane.popitem(last=False)[1]

    def is_newest(self, request: Request) -> bool:
        """Tells whether nothing newer was asked for in the view of a request."""
        return self._newest.get(request.view) == request.number

    async def show(self, request: Request, values: dict, picture: np.ndarray) -> None:
        """Sends a picture, unless a newer one of its view was sent before."""
        if request.number >= self._shown.get(request.view, 0):
            self._shown[request.view] = request.number
            await self.send_picture(values | {'view': request.view, 'number': request.number}, picture)

    async def send_picture(self, values: dict, picture: np.ndarray) -> None:
        """Sends values and pixels in one message: the length of the JSON, the JSON, and the rows of the picture."""
        header = json.dumps(values | {'shape': list(picture.shape)}).encode()
        await self._send(self._socket.send_bytes, struct.pack('<I', len(header)) + header + picture.tobytes())

    async def say(self, values: dict) -> None:
        """Sends values."""
        await self._send(self._socket.send_str, json.dumps(values))

    async def _send(self, send, message):
        if not self.is_open:
            return
        try:
            await send(message)
        except (ConnectionError, aiohttp.ClientConnectionError, RuntimeError):
            self.is_open = False  # the loop that reads the socket finds out as well, and takes the page away
