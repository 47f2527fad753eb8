"""A viewer that serves, and pages that ask it, for tests: all in the event loop of the test."""

import asyncio
import contextlib
import itertools
import json
import struct

import aiohttp
import numpy as np
from aiohttp import web

from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.viewer.networks import ShownNetwork
from stylegan_jax.viewer.server import Viewer
from stylegan_jax.viewer.sources import Sources


@contextlib.asynccontextmanager
async def serving(paths, *, outdir='out', host='127.0.0.1', latents=(), directions=(), **options):
    """Gives the address of a viewer of some networks, with a `session` of a client."""
    sources = Sources(str(outdir), latents, directions)
    networks = [ShownNetwork(str(path), sources, precision='float32', **options) for path in paths]
    viewer = Viewer(networks, sources, host=host)
    runner = viewer.runner()
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    address = f'http://127.0.0.1:{runner.addresses[0][1]}'
    try:
        async with aiohttp.ClientSession(address, headers={'Origin': address}) as session:
            yield Served(viewer, session, address)
    finally:
        await runner.cleanup()


class Served:
    """A viewer, and a browser's session with it."""

    def __init__(self, viewer, session, address):
        self.viewer, self.session, self.address = viewer, session, address

    @contextlib.asynccontextmanager
    async def page(self, before=''):
        async with self.session.ws_connect('/socket', params={'page': before}, max_msg_size=0) as socket:
            page = OpenPage(self, socket)
            page.welcome = await page.hear('welcome')
            yield page

    async def save(self, kind, text, network=0):
        """Returns (status, bytes) of a file."""
        said = {'kind': kind, 'network': network, 'recipe': Recipe.parse(text).to_dict()}
        async with self.session.post('/save', json=said) as answer:
            return answer.status, await answer.read()

    async def project(self, page, content, /, **query):
        """Sends a photo; returns (status, JSON or text)."""
        query = {'page': page.welcome['page'], 'title': 'photo.png', 'steps': '10'} | query
        async with self.session.post('/project', params=query, data=content) as answer:
            return answer.status, await (answer.json() if 'json' in answer.content_type else answer.text())


class OpenPage:
    """A page of the viewer, as its JavaScript is one."""

    def __init__(self, served, socket):
        self.served, self.socket, self._numbers = served, socket, itertools.count(1)

    async def say(self, **values):
        await self.socket.send_str(json.dumps(values))

    async def ask(self, text, *, view='view0', network=0, moving=False, small=False):
        """Asks for a picture; returns the number of the request."""
        recipe = Recipe.parse(text).to_dict() if isinstance(text, str) else text
        number = next(self._numbers)
        flags = {'moving': moving, 'small': small}
        await self.say(kind='draw', view=view, number=number, network=network, recipe=recipe, **flags)
        return number

    async def next(self):
        """Returns the next message, as values; pixels are 'pixels' among them."""
        message = await self.socket.receive(timeout=100)
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        length = struct.unpack('<I', message.data[:4])[0]
        values = json.loads(message.data[4 : 4 + length])
        pixels = np.frombuffer(message.data[4 + length :], np.uint8).reshape(values['shape'])
        return values | {'pixels': pixels}

    async def hear(self, kind, **wanted):
        """Returns the next message of a kind with some values; others are passed over."""
        while True:
            values = await self.next()
            if values['kind'] == kind and all(values.get(name) == value for name, value in wanted.items()):
                return values

    async def draw(self, text, **options):
        """Returns the picture of a recipe at its full size."""
        number = await self.ask(text, **options)
        while True:
            values = await self.next()
            if values.get('number') == number and not values.get('waiting'):
                return values


def run(test):
    """Runs a test that is a coroutine, with a limit of time."""
    return asyncio.run(asyncio.wait_for(test, 110))
