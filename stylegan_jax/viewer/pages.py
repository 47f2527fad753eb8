"""One page that is open in a browser: what it asks to be drawn, and its socket.

Of each view only the newest request counts; one that was overtaken before its turn is never drawn. Requests wait in
lanes, so that a large picture at rest does not hold up a hand that moves, and thumbnails hold up neither.
"""

import asyncio
import collections
import json
import struct
import typing

import aiohttp
import numpy as np
from aiohttp import web

from stylegan_jax.runtime.recent import Recent

LANES = 'moving', 'resting', 'small'
_MOST_WAITING = 128  # views of a page that wait in a lane
_MOST_VIEWS = 512  # views of a page whose newest request is remembered


class Request(typing.NamedTuple):
    """A picture that a page asks for.

    Attributes:
      view: where the page shows it.
      number: rises with each request of the page.
      network: number of the network.
      lane: one of LANES: a hand is moving, the picture is at rest, or it is a thumbnail.
      recipe: plain values, see `Recipe.from_dict`.
    """

    view: str
    number: int
    network: int
    lane: str
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
        # Numbers of the newest request of a view, and of the newest one that was answered.
        self._views: Recent[str, tuple[int, int]] = Recent(_MOST_VIEWS)
        self._lanes = {lane: collections.OrderedDict() for lane in LANES}
        self._events = {lane: asyncio.Event() for lane in LANES}

    def ask(self, request: Request) -> None:
        """Takes in a request, which overtakes those of the same view that have not begun."""
        newest, shown = self._numbers(request.view)
        if request.number < newest:
            return
        self._views.keep(request.view, (request.number, shown))
        for name in LANES:
            if name != request.lane:
                self._lanes[name].pop(request.view, None)
        lane = self._lanes[request.lane]
        lane[request.view] = request  # a view that waits keeps its place in the row
        if len(lane) > _MOST_WAITING:
            lane.popitem(last=False)
        self._events[request.lane].set()

    async def take(self, name: str) -> Request:
        """Returns the next request of a lane; the views take turns."""
        lane, event = self._lanes[name], self._events[name]
        while not lane:
            event.clear()
            await event.wait()
        return lane.popitem(last=False)[1]

    def is_newest(self, request: Request) -> bool:
        """Tells whether nothing newer was asked for in the view of a request."""
        return self._numbers(request.view)[0] == request.number

    async def show(self, request: Request, values: dict, picture: np.ndarray) -> None:
        """Sends a picture, unless a newer one of its view was sent before."""
        newest, shown = self._numbers(request.view)
        if request.number >= shown:
            self._views.keep(request.view, (newest, request.number))
            await self.send_picture(values | {'view': request.view, 'number': request.number}, picture)

    async def send_picture(self, values: dict, picture: np.ndarray) -> None:
        """Sends values and pixels in one message: the length of the JSON, the JSON, and the rows of the picture."""
        header = json.dumps(values | {'shape': list(picture.shape)}).encode()
        await self._send(self._socket.send_bytes, struct.pack('<I', len(header)) + header + picture.tobytes())

    async def say(self, values: dict) -> None:
        """Sends values."""
        await self._send(self._socket.send_str, json.dumps(values))

    def _numbers(self, view):
        return self._views.found(view) or (0, 0)

    async def close(self) -> None:
        """Closes the socket, as another one has taken its place."""
        self.is_open = False
        await self._socket.close()

    async def _send(self, send, message):
        if not self.is_open:
            return
        try:
            await send(message)
        except (ConnectionError, aiohttp.ClientConnectionError, RuntimeError):
            self.is_open = False  # the loop that reads the socket finds out as well, and takes the page away
