"""The server of the viewer: hands out the page, draws for each page through a socket, takes photos, makes files."""

import asyncio
import contextlib
import dataclasses
import importlib.resources
import json
import os
import secrets
import urllib.parse

import aiohttp
import numpy as np
from aiohttp import web

from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.errors import UserError
from stylegan_jax.viewer import guard, saving
from stylegan_jax.viewer.drawing import Drawing, finished
from stylegan_jax.viewer.networks import ShownNetwork
from stylegan_jax.viewer.pages import LANES, Page, Request
from stylegan_jax.viewer.projecting import MOST_STEPS, Projector
from stylegan_jax.viewer.sources import Sources

_TYPES = {'html': 'text/html', 'css': 'text/css', 'js': 'text/javascript', 'svg': 'image/svg+xml'}
_MOST_PAGES = 64
_HEARTBEAT = 20.0  # seconds after which a browser that does not answer counts as gone
_GRACE = 60.0  # seconds in which a page that was lost or loaded again finds what it asked for
_MOST_TOLD = 8  # photos of a page that it is told of once more
_LONGEST_UPLOAD = 120.0  # seconds
_LOOK = 2.0  # seconds between two looks at the files of networks


class Viewer:
    """The application, and all that lives as long as it does.

    Attributes:
      application: of aiohttp.
      guard: the Guard.
    """

    def __init__(self, networks: list[ShownNetwork], sources: Sources, *, host: str = '127.0.0.1'):
        """Starts to compile in a thread; serves nothing yet.

        Args:
          networks: one, or two that are shown side by side.
          sources: the files that pages may name.
          host: the address that the server will listen at.
        """
        self._networks, self._sources, self.guard = networks, sources, guard.Guard(host)
        self._pages: dict[str, Page] = {}
        self._told = {}  # the last news of photos, {name of a page: {number of the job: (values, picture)}}
        self._leaving = {}  # timers of pages that were lost, by their names
        self._tasks = set()
        self._files = _page_files()
        self._loop = self._drawing = self._projector = self._saving = self._decoding = None
        self._work = None  # what is compiled, in words
        self.application = web.Application(middlewares=[self.guard.middleware], client_max_size=guard.MOST_SAID)
        self.application.add_routes([
            web.get('/', self._file),
            web.get('/page/{name}', self._file),
            web.get('/socket', self._socket),
            web.post('/project', self._project),
            web.post('/save', self._save),
        ])  # fmt: skip
        self.application.cleanup_ctx.append(self._life)

    def runner(self) -> web.AppRunner:
        """Returns what serves the application: a file that is made is dropped where its browser has gone."""
        return web.AppRunner(self.application, handler_cancellation=True, access_log=None, shutdown_timeout=0)

    def finish_files(self) -> None:
        """Waits until a file that is being written is whole; the process may be ended afterwards."""
        self._sources.close()

    async def _life(self, application):
        """Everything that works beside the requests."""
        self._loop = asyncio.get_running_loop()
        self._drawing = Drawing(self._networks, lambda text: self._from_thread(self._working, text))
        self._projector = Projector(self._sources, self._progress)
        self._saving, self._decoding = saving.Saving(self._drawing), asyncio.Lock()
        watch = asyncio.create_task(self._watch())
        yield
        watch.cancel()
        for timer in self._leaving.values():
            timer.cancel()
        self._drawing.close()
        self._projector.close()
        for task in list(self._tasks):
            task.cancel()

    # Files of the page.

    async def _file(self, request):
        name = request.match_info.get('name', 'index.html')
        if name not in self._files:  # a table in memory: nothing that is asked for becomes a path
            raise web.HTTPNotFound
        return web.Response(body=self._files[name], content_type=_TYPES[name.rpartition('.')[2]], charset='utf-8')

    # The socket of a page.

    async def _socket(self, request):
        if len(self._pages) >= _MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f'{_MOST_PAGES} pages are open already')
        socket = web.WebSocketResponse(max_msg_size=guard.MOST_SAID, heartbeat=_HEARTBEAT, compress=False)
        await socket.prepare(request)
        page = Page(self._name_of_page(request.query.get('page', '')), socket)
        self._pages[page.name] = page
        lanes = [asyncio.create_task(self._draw_lane(page, lane)) for lane in LANES]
        try:
            await page.say({'kind': 'welcome', 'page': page.name, 'most_steps': MOST_STEPS} | self._described())
            for values, picture in list(self._told.get(page.name, {}).values()):
                await self._tell(page, values, picture)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._heard(page, message.data)
        finally:
            page.is_open = False
            for lane in lanes:
                lane.cancel()
            if self._pages.get(page.name) is page:  # and no other socket has taken its place
                del self._pages[page.name]
                if page.name in self._told:
                    self._leaving[page.name] = self._loop.call_later(_GRACE, self._forget, page.name)
        return socket

    def _name_of_page(self, before):
        """The name that a page had before it was lost or loaded again, if that is still known; or a new one."""
        if before in self._leaving:
            self._leaving.pop(before).cancel()
            return before
        if before in self._pages:  # its old socket is broken, which nobody has noticed yet
            self._later(self._pages[before].close())
            return before
        return secrets.token_urlsafe(12)

    def _forget(self, name):
        """Ends what a page has asked for that did not come back."""
        self._leaving.pop(name, None)
        self._told.pop(name, None)
        self._projector.cancel(name)

    async def _heard(self, page, text):
        """Does what a page says; what makes no sense is left alone."""
        try:
            said = json.loads(text)
            kind = said['kind']
            if kind == 'draw':
                network, number = int(said['network']), int(said['number'])
                if 0 <= network < len(self._networks):
                    lane = 'small' if said.get('small') else 'moving' if said['moving'] else 'resting'
                    page.ask(Request(str(said['view']), number, network, lane, said['recipe']))
            elif kind == 'cancel':
                self._projector.cancel(page.name, int(said['job']))
            elif kind == 'read':
                try:
                    recipe = self._sources.with_names(Recipe.parse(str(said['text'])))
                    await page.say({'kind': 'recipe', 'recipe': recipe.to_dict()})
                except UserError as error:
                    await page.say({'kind': 'recipe', 'recipe': Recipe().to_dict(), 'problem': str(error)})
        except _SENSELESS:
            await page.say({'kind': 'problem', 'text': 'the viewer did not understand a message of this page'})

    async def _draw_lane(self, page, lane):
        """Answers the requests of a page, one after another."""
        while True:
            request = await page.take(lane)
            try:
                await self._draw(page, request)
            except Exception as error:  # a request must not end the lane that draws the next one
                text = str(error) if isinstance(error, UserError) else f'{type(error).__name__}: {error}'
                values = {'kind': 'problem', 'view': request.view, 'number': request.number}
                await page.say(values | {'text': ' '.join(text.split())})

    async def _draw(self, page, request):
        network, recipe = self._networks[request.network], Recipe.from_dict(request.recipe)
        own = self._own(network, recipe)
        drawn = await self._drawing.draw(network, own, request.lane == 'moving', request.lane == 'small')
        values = {
            'kind': 'picture',
            'stage': drawn.stage,
            'wanted': drawn.wanted,
            'seconds': drawn.seconds,
            'text': str(recipe),
            'nimg': drawn.nimg,
            'waiting': drawn.waiting is not None,
        }
        if request.lane == 'resting':
            # The checkpoint is that of the picture, even if the run has a newer one by now.
            pinned = dataclasses.replace(own, nimg=drawn.nimg)
            values['command'] = saving.command_line(network, pinned, self._sources)
        await page.show(request, values, drawn.picture)
        if drawn.waiting is not None:
            self._later(self._ask_again(page, request, drawn.waiting))

    def _own(self, network, recipe):
        """The part of a recipe that is for one of two networks: a class is for the one that has classes."""
        if network.label_dim or not any(one.label_dim for one in self._networks):
            return recipe
        return dataclasses.replace(recipe, class_=None, label=None)

    async def _ask_again(self, page, request, waiting):
        """Asks once more when a program is compiled, unless the page has gone on to something else."""
        with contextlib.suppress(Exception):  # the request itself tells of what went wrong
            await finished(waiting)
        if page.is_open and page.is_newest(request):
            page.ask(request)

    # Photos and files.

    async def _project(self, request):
        """Takes a photo: its bytes are the body, everything else is in the address."""
        page = self._pages.get(request.query.get('page', ''))
        if page is None:
            raise web.HTTPForbidden(text='no such page')
        try:
            box = tuple(float(request.query.get(edge, share)) for edge, share in _WHOLE.items())
            steps, number = int(request.query.get('steps', 300)), int(request.query.get('network', 0))
            network = self._networks[max(number, 0)]
            recipe = self._own(network, network.pinned(Recipe.parse(request.query.get('recipe', ''))))
        except _SENSELESS as error:
            return _refused(error)
        # The title is printed: no sign of it may control a terminal.
        title = ''.join(filter(str.isprintable, request.query.get('title', '')))[:100] or 'photo'
        try:
            painter = await asyncio.to_thread(network.painter, recipe.nimg)
            image, stage = painter.config.image, painter.stage_and_alpha(recipe)[0]
            shape = *image.stage_shape(stage), image.channels
            with self._projector.place(network, recipe):
                async with asyncio.timeout(_LONGEST_UPLOAD):
                    content = await _body(request)
                if content is None:
                    return _refused(f'a photo has {guard.MOST_UPLOADED >> 20} MB at most', 413)
                async with self._decoding:  # one at a time: a photo may have many pixels
                    target = await asyncio.to_thread(guard.fitted_photo, content, box, shape)
                if page.name not in self._pages:
                    return _refused('the page has gone')
                job = self._projector.start(network, target, recipe, client=page.name, title=title, steps=steps)
        except UserError as error:
            return _refused(error)
        except TimeoutError:
            return _refused(f'the photo did not arrive within {_LONGEST_UPLOAD:.0f} seconds', 408)
        return web.json_response({'job': job.number})

    async def _save(self, request):
        """Makes a file of a recipe."""
        try:
            said = await request.json()
            network = self._networks[max(int(said['network']), 0)]
            recipe = self._own(network, Recipe.from_dict(said['recipe']))
            kind, page, number = str(said['kind']), str(said.get('page')), int(said.get('number', 0))
        except _SENSELESS as error:
            return _refused(error)

        def said_of_file(values):
            if page in self._pages:
                self._later(self._pages[page].say({'kind': 'file', 'number': number} | values))

        try:
            title = os.path.basename(network.path) if len(self._networks) > 1 else ''
            file = await self._saving.file(kind, network, recipe, title=title, said=said_of_file)
        except UserError as error:
            return _refused(error)
        except Exception as error:  # such as a disk without room for a file that is being made
            print(f'{kind}: {type(error).__name__}: {" ".join(str(error).split())}', flush=True)
            return _refused(f'the {kind} could not be made ({type(error).__name__}: {error})', 500)
        disposition = f"attachment; filename*=UTF-8''{urllib.parse.quote(file.name)}"
        return web.Response(body=file.content, content_type=file.type, headers={'Content-Disposition': disposition})

    # What all pages hear.

    def _described(self):
        return {
            'networks': [network.described() for network in self._networks],
            'sources': self._sources.listed(),
            'work': self._work,
        }

    async def _tell_all(self, values):
        await asyncio.gather(*(page.say(values) for page in list(self._pages.values())))

    async def _working(self, text):
        self._work = text
        await self._tell_all({'kind': 'work', 'text': text})

    def _progress(self, job, values, picture: np.ndarray | None):
        """Tells the page of a job how it goes; called in the projector's thread."""
        about = {'kind': 'job', 'job': job.number, 'title': job.title, 'network': self._networks.index(job.network)}
        self._from_thread(self._tell_of_job, job, about | values, picture)

    async def _tell_of_job(self, job, values, picture):
        if values['state'] == 'done':
            await self._tell_all({'kind': 'news', 'sources': self._sources.listed()})
        page = self._pages.get(job.client)
        if page or job.client in self._leaving:
            told = self._told.setdefault(job.client, {})
            before = told.pop(job.number, (None, None))[1]
            told[job.number] = values, before if picture is None else picture
            while len(told) > _MOST_TOLD:
                del told[next(iter(told))]
        if page:
            await self._tell(page, values, picture)

    async def _tell(self, page, values, picture):
        await (page.say(values) if picture is None else page.send_picture(values, picture))

    async def _watch(self):
        """Looks at the files of networks: newer checkpoints of runs are taken up, missing files are named once."""
        while True:
            await asyncio.sleep(_LOOK)
            for network in self._networks:
                try:
                    changed, line = await asyncio.to_thread(network.refresh)
                except Exception as error:  # such as a folder that is no longer what it was; the next look may see more
                    changed, line = False, f'{network.path}: {type(error).__name__}: {error}'
                if line:
                    print(line, flush=True)
                if changed:
                    await self._tell_all({'kind': 'news', 'networks': [one.described() for one in self._networks]})

    def _from_thread(self, function, *arguments):
        """Runs a coroutine function in the loop of the server."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody listens any longer
            self._loop.call_soon_threadsafe(lambda: self._later(function(*arguments)))

    def _later(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)


# What reading the values of a request may raise. UserError is a ValueError.
_SENSELESS = ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError
_WHOLE = {'left': 0.0, 'top': 0.0, 'right': 1.0, 'bottom': 1.0}


async def _body(request):
    """Returns the bytes of a photo; None where they are too many, of which no more are read."""
    if (request.content_length or 0) > guard.MOST_UPLOADED:
        return None
    content = bytearray()
    async for piece in request.content.iter_any():
        content += piece
        if len(content) > guard.MOST_UPLOADED:
            return None
    return bytes(content)


def _refused(error, status=400):
    return web.json_response({'problem': ' '.join(str(error).split())}, status=status)


def _page_files():
    """Reads the files of the page, {name: bytes}."""
    folder = importlib.resources.files('stylegan_jax.viewer') / 'page'
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition('.')[2] in _TYPES}
