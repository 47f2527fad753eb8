"""The server of the viewer: pictures, overtaken requests, many pages, photos, files, runs, and who may ask."""

import asyncio
import io
import os
import pathlib
import shlex
import time

import numpy as np
import PIL.Image
import pytest

pytest.importorskip('aiohttp', reason='the view extra is not installed')

import aiohttp
from serving import run, serving
from viewed import GENERATOR, OTHER, painted, photo, save_checkpoint, until

import tiny
from stylegan_jax import generate
from stylegan_jax.editing import directions as editing
from stylegan_jax.editing import latent_file
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.sampling import grid
from stylegan_jax.viewer import guard
from stylegan_jax.viewer import server as server_module
from stylegan_jax.viewer.sources import Sources


@pytest.fixture(scope='module')
def other(tmp_path_factory):
    return tiny.saved(OTHER, tmp_path_factory)


def test_a_page_gets_the_pictures_of_its_recipes(network):
    async def test():
        async with serving([network]) as served, served.page() as page:
            described = page.welcome['networks'][0]
            assert described['shape'] == [16, 16, 3] and len(described['layers']) == 6
            assert [layer['group'] for layer in described['layers']] == ['coarse'] * 2 + ['middle'] * 2 + ['fine'] * 2
            for text in (
                'seed:5',
                'walk:3.5,0.25;psi=0.4',
                'seed:1;coarse=seed:2;noise=random:1;grid=2x1',
                'seed:3;lod=1',
            ):
                answer = await page.draw(text)
                np.testing.assert_array_equal(answer['pixels'], painted(text))
                assert answer['text'] == text and answer['stage'] == answer['wanted'] == (1 if 'lod' in text else 2)
            problem = await page.draw('seed:1;move:glasses=1')
            assert problem['kind'] == 'problem' and "'glasses' does not exist" in problem['text']

    run(test())


def test_the_command_line_makes_the_same_bytes(network, run_command, in_folder):
    """For a mix with steered and projected sources; the page's file is the command's, byte for byte."""
    moments = editing.statistics(GENERATOR, 500)
    found = editing.Directions(('wide smile',), np.eye(GENERATOR.w_dim)[:1], moments)
    latent_file.save_directions('my directions.npz', found)
    taken = {}

    async def test():
        async with serving([network], directions=['my directions.npz']) as served, served.page() as page:
            assert page.welcome['sources']['directions'] == [{'file': 'my directions.npz', 'names': ['wide smile']}]
            status, _ = await served.project(page, photo())
            assert status == 200
            done = await page.hear('job', state='done')
            text = f'seed:5;coarse={done["source"]};4-5=seed:8;move:wide%20smile@2-4=1.5;move:pc0=-1;psi=0.6'
            text += f';noise={done["source"]};noise@4=0.5;directions=my%20directions.npz'
            taken['command'] = (await page.draw(text))['command']
            taken['status'], taken['png'] = await served.save('picture', text)

    run(test())
    words = shlex.split(taken['command'])
    assert words[:3] == ['python', '-m', 'stylegan_jax.generate'] and '--precision=float32' in words
    code, out, err = run_command(generate, *words[3:])
    assert code is None, err
    assert taken['status'] == 200
    assert pathlib.Path('out/recipe.png').read_bytes() == taken['png']
    assert 'coarse=out/projected-0001.npz#0' in taken['command'] and '#' not in out


def test_files_that_are_saved(network, in_folder):
    async def test():
        async with serving([network]) as served:
            status, content = await served.save('latents', 'seed:5;coarse=seed:2;noise=random:1')
            assert status == 200
            pathlib.Path('x.npz').write_bytes(content)
            ws = RecipePainter(GENERATOR).latents(Recipe.parse('seed:5;coarse=seed:2'))
            np.testing.assert_array_equal(Latents.load('x.npz').ws, ws)
            status, content = await served.save('film', 'loop:0,3@0;psi=0.5')
            video = PIL.Image.open(io.BytesIO(content))
            assert status == 200 and (video.n_frames, video.size, video.format) == (48, (256, 256), 'WEBP')
            status, content = await served.save('figure', 'seed:5;coarse=seed:2;move:pc0=1')
            figure = np.asarray(PIL.Image.open(io.BytesIO(content)))
            # Each picture of the row is in the figure, eight times as large.
            for text in ('seed:5', 'seed:2', 'seed:5;coarse=seed:2', 'seed:5;coarse=seed:2;move:pc0=1'):
                assert contains(figure, grid.enlarge(painted(text), 8)), text
            assert (await served.save('film', 'seed:5'))[0] == 400
            assert (await served.save('house', 'seed:5'))[0] == 400

    run(test())


def contains(figure, image):
    """Whether an image is somewhere in a figure."""
    height, width = image.shape[:2]
    corner = np.flatnonzero((figure[:, :, :3] == image[0, 0]).all(axis=2).ravel())
    places = (divmod(int(place), figure.shape[1]) for place in corner)
    return any(np.array_equal(figure[y : y + height, x : x + width, :3], image) for y, x in places)


def test_of_a_view_only_the_newest_request_is_drawn(network):
    async def test():
        async with serving([network]) as served, served.page() as page:
            await page.draw('seed:0')
            painter = served.viewer._networks[0].painter()
            drawn, plain = [], painter.picture

            def slow(recipe, most=None):
                time.sleep(0.05)
                drawn.append(str(recipe))
                return plain(recipe, most)

            painter.picture = slow
            for number in range(40):
                await page.ask(f'seed:{number}', view='thumb:a', moving=True)
                last = await page.ask(f'walk:{number / 100},0', moving=True)
            answer = await page.hear('picture', number=last)
            assert answer['text'] == 'walk:0.39,0'
            assert 2 <= len(drawn) < 8, drawn

    run(test())


def test_two_networks_with_one_latent(network, other):
    async def test():
        async with serving([network, other]) as served, served.page() as page:
            assert [one['name'] for one in page.welcome['networks']] == [network, other]
            first, second = [
                await page.draw('seed:5;psi=0.5', view=f'view{number}', network=number) for number in range(2)
            ]
            np.testing.assert_array_equal(first['pixels'], painted('seed:5;psi=0.5'))
            np.testing.assert_array_equal(second['pixels'], painted('seed:5;psi=0.5', OTHER))
            assert f'--network={other}' in second['command']

    run(test())


def test_twenty_pages_at_once_and_some_that_vanish(network):
    """Each gets its own pictures; those that go in the middle of it keep nobody waiting."""

    async def visit(served, number):
        async with served.page() as page:
            for step in range(6):
                if number % 4 == 3 and step == 3:
                    page.socket._response.connection.transport.abort()  # as a phone that lost its network
                    return
                for few in range(3):
                    await page.ask(f'walk:{number},{few}', moving=True)
                answer = await page.draw(f'walk:{number + 0.5},{step}')
                np.testing.assert_array_equal(answer['pixels'], painted(f'walk:{number + 0.5},{step}'))

    async def test():
        async with serving([network]) as served:
            async with served.page() as page:
                await page.draw('seed:0')
            await asyncio.gather(*(visit(served, number) for number in range(20)))
            async with served.page() as page:
                await page.draw('seed:0')
                await until(lambda: len(served.viewer._pages) == 1)

    run(test())


def test_photos_wait_for_one_another_and_can_be_cancelled(network, in_folder, capsys):
    async def test():
        async with serving([network]) as served, served.page() as page, served.page() as second:
            statuses = [
                await served.project(page, photo(), title='first.png', steps='2000'),
                await served.project(second, photo(kind='JPEG'), title='second.jpg', steps='5'),
                await served.project(page, photo(), title='third.png', steps='5'),
            ]
            assert [status for status, _ in statuses] == [200] * 3
            running = await page.hear('job', state='running', title='first.png')
            assert running['pixels'].shape == (16, 16, 3) and running['steps'] == 2000
            assert (await second.hear('job', state='waiting'))['before'] == 1
            # Pictures are drawn while a photo is projected.
            np.testing.assert_array_equal((await second.draw('seed:4'))['pixels'], painted('seed:4'))
            await second.say(kind='cancel', job=running['job'])  # a page cannot cancel the photos of another one
            await page.hear('job', state='running', title='first.png')
            await page.say(kind='cancel', job=running['job'])
            await page.hear('job', state='cancelled', title='first.png')
            done = await second.hear('job', state='done', title='second.jpg')
            assert (await page.hear('job', state='done', title='third.png'))['source'] == 'projected-0002.npz#0'
            answer = await page.draw(f'{done["source"]};noise={done["source"]}')
            assert np.abs(answer['pixels'].astype(int) - done['pixels']).max() <= 1
            # All pages hear of it, and so do those that open it later, also after a new start.
            async with served.page() as third:
                assert [one['title'] for one in third.welcome['sources']['latents']] == ['second.jpg', 'third.png']
        assert [one['id'] for one in Sources('out').listed()['latents']] == [
            'projected-0001.npz#0',
            'projected-0002.npz#0',
        ]

    run(test())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'first.png: cancelled' and len(lines) == 3 and lines[1].startswith('second.jpg: projected in ')


def test_a_page_that_vanishes_leaves_no_photo_behind(network, in_folder, monkeypatch, capsys):
    monkeypatch.setattr(server_module, '_GRACE', 0.1)

    async def test():
        async with serving([network]) as served:
            async with served.page() as page:
                await served.project(page, photo(), steps='2000')
                await served.project(page, photo(), steps='2000')
                await page.hear('job', state='running')
            async with served.page() as page:
                await served.project(page, photo(), title='next.png', steps='5')
                await page.hear('job', state='done', title='next.png')

    run(test())
    assert capsys.readouterr().out.splitlines()[:2] == ['photo.png: cancelled'] * 2
    assert os.listdir('out') == ['projected-0001.npz']


BAD_PHOTOS = {
    'no picture': (b'x' * 1000, 'this photo cannot be used: not a PNG'),
    'nothing': (b'', 'this photo cannot be used'),
    'cut off': (photo()[:200], 'this photo cannot be used'),
    'too small': (photo(8), 'its 16x8 pixels are too few for 16x16'),
    'a bomb': (b'', 'megapixels'),
}


@pytest.mark.parametrize('name', BAD_PHOTOS)
def test_photos_that_cannot_be_used(network, in_folder, name):
    content, problem = BAD_PHOTOS[name]
    if name == 'a bomb':
        file = io.BytesIO()
        PIL.Image.new('L', (9000, 9000)).save(file, 'PNG')
        content = file.getvalue()
    assert content is not None

    async def test():
        async with serving([network]) as served, served.page() as page:
            status, said = await served.project(page, content)
            assert status == 400 and problem in said['problem'] and '\n' not in said['problem']
            assert (await served.project(page, photo(), right='0'))[0] == 400
            assert (await served.project(page, photo(), left='x'))[0] == 400
            assert (await served.project(page, photo(), network='9'))[0] == 400
            assert (await served.project(page, photo(), page='other'))[0] == 403

    run(test())
    assert not os.path.exists('out')


def test_uploads_are_bounded(network, in_folder, monkeypatch):
    monkeypatch.setattr(guard, 'MOST_UPLOADED', 10_000)

    async def pieces():
        for _ in range(20):
            yield b'x' * 1000

    async def test():
        async with serving([network]) as served, served.page() as page:
            for content in (b'x' * 20_000, pieces()):  # with a length, and without
                assert (await served.project(page, content))[0] == 413
            async with served.session.post('/save', data=b'{' * 10**6) as answer:
                assert answer.status == 413
            await page.socket.send_str('x' * 10**6)
            message = await page.socket.receive(timeout=20)
            while message.type == aiohttp.WSMsgType.TEXT:  # what the server said before
                message = await page.socket.receive(timeout=20)
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

    run(test())


def test_the_crop_is_the_one_that_was_asked_for():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, 'PNG')
    target = guard.fitted_photo(file.getvalue(), (0.25, 0.1, 0.25 + 32 / 60, 0.9), (16, 16, 3))
    wanted = pixels[4:36, 15:47].reshape(16, 2, 16, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(target - wanted).max() <= 0.5


NONSENSE = [
    *(
        '',
        'x',
        '[]',
        '3',
        '{}',
        '{"kind":"draw"}',
        '{"kind":"draw","view":1,"number":1,"network":7,"moving":0,"recipe":0}',
    ),
    '{"kind":"draw","view":"v","number":"1e9","network":0,"moving":0,"recipe":{}}',
    *(
        '{"kind":"cancel","job":99}',
        '{"kind":"cancel","job":[]}',
        '[' * 5000,
        '{"kind":"read"}',
        '{"kind":"read","text":"%%"}',
    ),
    '{"kind":"draw","view":"v","number":5,"network":0,"moving":true,"recipe":{"source":"../../etc/passwd#0"}}',
    '{"kind":"draw","view":"v","number":6,"network":0,"moving":true,"recipe":{"directions":"/etc/passwd","moves":'
    '[["a",1,null]]}}',
]


def test_nonsense_does_no_harm_and_no_path_reaches_the_disk(network, in_folder, monkeypatch):
    """Names of files that the viewer was not given are only looked up in a table."""
    opened = []
    monkeypatch.setattr(Latents, 'load', lambda path: opened.append(path))
    monkeypatch.setattr(latent_file, 'load_directions', lambda path: opened.append(path))

    async def test():
        async with serving([network]) as served, served.page() as page:
            for text in NONSENSE:
                await page.socket.send_str(text)
            await page.socket.send_bytes(b'\0' * 100)
            said = []
            for source in (
                'projected-0001.npz#0',
                '/etc/passwd#0',
                '..%2Fx.npz#0',
                'seed:1;move:x=1;directions=..%2Fx.npz',
            ):
                said.append((await page.draw(source))['text'])
            assert all('is not among the files that the viewer knows' in text for text in said)
            for name in ('..%2F..%2Fview.py', 'main.py', '%2Fetc%2Fpasswd', 'index.html%00', '.'):
                async with served.session.get(f'/page/{name}') as answer:
                    assert answer.status == 404
            np.testing.assert_array_equal((await page.draw('seed:4'))['pixels'], painted('seed:4'))

    run(test())
    assert not opened


def test_requests_from_elsewhere_are_refused(network):
    async def status(served, method='GET', path='/', **headers):
        headers = {name.replace('_', '-'): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as session:
            try:
                async with session.request(method, served.address + path, headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientError as error:
                return error

    async def test():
        async with serving([network]) as served:
            port = served.address.rpartition(':')[2]
            own = {'Origin': served.address}
            assert await status(served) == 200
            assert await status(served, Host=f'localhost:{port}') == 200
            assert await status(served, Host='localhost:9') == 200  # another port at the near end of an ssh tunnel
            assert await status(served, Host='evil.example') == 403  # a name that was pointed at this machine
            assert await status(served, Host='evil.example:80', Origin='http://evil.example:80') == 403
            assert await status(served, Host='127.0.0.1.evil.example') == 403
            assert await status(served, Host='') in (400, 403)
            assert await status(served, Origin='http://evil.example') == 403
            assert await status(served, Origin='http://localhost:1') == 403  # another page of this machine
            assert await status(served, Origin='null') == 403
            for path in ('/save', '/project'):
                assert await status(served, 'POST', path) == 403
                assert await status(served, 'POST', path, Origin='http://evil.example') == 403
                assert await status(served, 'POST', path, **own) in (400, 403)
            upgrade = {'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec_WebSocket_Version': '13'}
            upgrade['Sec_WebSocket_Key'] = 'AAAAAAAAAAAAAAAAAAAAAA=='
            assert await status(served, path='/socket', **upgrade) == 403
            assert await status(served, path='/socket', Origin='http://evil.example', **upgrade) == 403
            async with served.session.get('/') as answer:
                assert "default-src 'none'" in answer.headers['Content-Security-Policy']
                assert answer.headers['X-Content-Type-Options'] == 'nosniff'

    run(test())


def test_other_machines_need_the_token(network):
    async def test():
        async with serving([network], host='0.0.0.0') as served:
            token = served.viewer.guard.token
            async with aiohttp.ClientSession(served.address) as session:
                for path in ('/', '/page/main.js', '/?token=', f'/?token={token[:-1]}', '/?token=%C3%A9'):
                    async with session.get(path) as answer:
                        assert answer.status == 403, path
            jar = aiohttp.CookieJar(unsafe=True)  # also cookies of addresses that are numbers
            async with aiohttp.ClientSession(served.address, cookie_jar=jar) as session:
                async with session.get(f'/?token={token}', allow_redirects=False) as answer:
                    assert answer.status == 303 and answer.headers['Location'] == '/'
                    cookie = answer.headers['Set-Cookie']
                    assert 'HttpOnly' in cookie and 'SameSite=Strict' in cookie
                async with session.get('/page/main.js') as answer:
                    assert answer.status == 200
                async with session.get('/', headers={'Host': 'evil.example'}) as answer:
                    assert answer.status == 403

    run(test())


def test_a_network_file_that_disappears_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(server_module, '_LOOK', 0.05)
    path = tmp_path / 'n.npz'
    GENERATOR.save(path)

    async def test():
        async with serving([path]) as served, served.page() as page:
            path.rename(tmp_path / 'm.npz')
            news = await page.hear('news')
            assert news['networks'][0]['problem'] == f'{path} is gone; it is drawn from memory'
            np.testing.assert_array_equal((await page.draw('seed:4'))['pixels'], painted('seed:4'))
            await asyncio.sleep(0.3)
            (tmp_path / 'm.npz').rename(path)
            assert (await page.hear('news'))['networks'][0]['problem'] is None

    run(test())
    assert capsys.readouterr().out == f'{path} is gone; it is drawn from memory\n{path} is there again\n'


def test_a_run_is_followed_and_earlier_checkpoints_are_shown(tmp_path, monkeypatch, capsys, run_command):
    monkeypatch.setattr(server_module, '_LOOK', 0.05)
    folder, generators = tmp_path / 'run', {}
    save_checkpoint(folder, 40, generators)
    taken = []

    async def test():
        async with serving([folder], follow=True) as served, served.page() as page:
            assert page.welcome['networks'][0]['nimgs'] == [40]
            first = await page.draw('seed:1')
            np.testing.assert_array_equal(first['pixels'], painted('seed:1', generators[40]))
            await asyncio.to_thread(save_checkpoint, folder, 80, generators)
            while (await page.hear('news'))['networks'][0]['newest'] != 80:
                pass
            second = await page.draw('seed:1')
            assert second['nimg'] == 80 and 'nimg=80' in second['command']
            np.testing.assert_array_equal(second['pixels'], painted('seed:1', generators[80]))
            np.testing.assert_array_equal((await page.draw('seed:1;nimg=40'))['pixels'], first['pixels'])
            assert (await page.draw('seed:1;nimg=60'))['kind'] == 'problem'
            taken.append(shlex.split((await page.draw('seed:1;nimg=40'))['command']))
            taken.append((await served.save('picture', 'seed:1;nimg=40'))[1])
            folder.rename(tmp_path / 'gone')
            news = await page.hear('news')
            assert 'the checkpoint in memory is drawn' in news['networks'][0]['problem']
            np.testing.assert_array_equal((await page.draw('seed:1'))['pixels'], second['pixels'])
            (tmp_path / 'gone').rename(folder)
            await page.hear('news')

    run(test())
    assert len(capsys.readouterr().out.splitlines()) == 2
    code, _, err = run_command(generate, *taken[0][3:])
    assert code is None, err
    assert pathlib.Path('out/recipe.png').read_bytes() == taken[1]
