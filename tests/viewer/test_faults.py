"""What goes wrong in a viewer is said in one line, and holds up nobody else."""

import asyncio
import shutil
import threading
import time

import numpy as np
import pytest

pytest.importorskip('aiohttp', reason='the view extra is not installed')

from aiohttp.test_utils import make_mocked_request
from serving import run, serving
from viewed import painted, save_checkpoint

from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.errors import UserError
from stylegan_jax.viewer import drawing, guard
from stylegan_jax.viewer import server as server_module
from stylegan_jax.viewer.networks import ShownNetwork
from stylegan_jax.viewer.sources import Sources

COMPILE, TOP = RecipePainter.compile, 2  # the stage of full size


@pytest.fixture
def held(monkeypatch):
    """An event for which the program of full size waits."""
    event = threading.Event()

    def compile_later(painter, stage):
        if stage == TOP:
            assert event.wait(30)
        COMPILE(painter, stage)

    monkeypatch.setattr(RecipePainter, 'compile', compile_later)
    yield event
    event.set()


async def next_of(page, number):
    while True:
        values = await page.next()
        if values.get('number') == number:
            return values


def test_a_page_that_goes_takes_no_program_from_the_others(network, held):
    async def test():
        async with serving([network]) as served:
            own = served.viewer._drawing
            own._compiling.clear()  # the small stages as well, so that one waits behind full size
            own._compiler.submit(held.wait, 30)
            async with served.page() as page:
                await page.ask('seed:1;lod=2', moving=True)
                await asyncio.sleep(0.3)
            held.set()
            async with served.page() as page:
                for text in ('seed:1;lod=2', 'seed:2;lod=1', 'seed:3'):
                    for moving in (True, False):
                        number = await page.ask(text, moving=moving)
                        assert (await next_of(page, number))['kind'] == 'picture'
                np.testing.assert_array_equal((await page.draw('seed:3'))['pixels'], painted('seed:3'))

    run(test())


def test_a_hand_waits_for_no_program(network, held, monkeypatch):
    monkeypatch.setattr(drawing, '_FIRST_SIDE', 8)

    async def test():
        async with serving([network]) as served, served.page() as page:
            number = await page.ask('seed:1', moving=True)
            assert (await next_of(page, number))['stage'] < TOP
            number = await page.ask('seed:1;move:pc0=1', moving=True)  # principal directions were not computed before
            assert (await next_of(page, number))['kind'] == 'picture'
            assert not held.is_set()
            held.set()

    run(test())


def test_a_lower_stage_is_never_taken_for_the_whole(network, held, monkeypatch):
    monkeypatch.setattr(drawing, '_FIRST_SIDE', 8)
    recipe, whole, drawings = Recipe.parse('seed:1;psi=0.5'), RecipePainter.picture, []

    def picture(painter, asked, most=None):
        drawn = whole(painter, asked, most)
        if asked == recipe and most in range(TOP):  # full size is compiled while this is drawn in its place
            held.set()
            drawings[0]._compiling[painter.config, TOP].result(30)
        return drawn

    monkeypatch.setattr(RecipePainter, 'picture', picture)

    async def test():
        async with serving([network]) as served:
            drawings.append(served.viewer._drawing)
            found = await drawings[0].picture(drawings[0].networks[0], recipe)
            np.testing.assert_array_equal(found, painted('seed:1;psi=0.5'))
            assert held.is_set()

    run(test())


def test_a_size_that_cannot_be_compiled_is_said_and_tried_again_when_asked(network, monkeypatch):
    tries = []

    def failing(painter, stage):
        if stage == TOP and len(tries) < 3:
            tries.append(stage)
            raise RuntimeError('RESOURCE_EXHAUSTED: out of memory')
        COMPILE(painter, stage)

    monkeypatch.setattr(RecipePainter, 'compile', failing)

    async def test():
        async with serving([network]) as served, served.page() as page:
            assert '16x16 cannot be compiled (RuntimeError: RESOURCE_EXHAUSTED' in (await page.draw('seed:1'))['text']
            await asyncio.sleep(0.5)
            assert len(tries) <= 2, 'nobody asked'
            status, content = await served.save('picture', 'seed:1')
            assert status == 400 and b'16x16 cannot be compiled' in content
            while (answer := await page.draw('seed:1'))['kind'] == 'problem':
                pass
            np.testing.assert_array_equal(answer['pixels'], painted('seed:1'))

    run(test())


def test_a_checkpoint_that_is_loaded_holds_up_nobody(tmp_path, monkeypatch):
    folder, generators = tmp_path / 'run', {}
    for nimg in (40, 80):
        save_checkpoint(folder, nimg, generators)
    begun, go_on, load = threading.Event(), threading.Event(), ShownNetwork._load

    def slow(network, nimg):
        if nimg == 40:
            begun.set()
            assert go_on.wait(30)
        return load(network, nimg)

    monkeypatch.setattr(ShownNetwork, '_load', slow)

    async def test():
        async with serving([folder]) as served, served.page() as page, served.page() as other:
            await page.draw('seed:1')
            number = await page.ask('seed:1;nimg=40')
            await asyncio.to_thread(begun.wait, 20)
            await other.ask('seed:2;nimg=40', moving=True)
            await asyncio.sleep(0.2)
            began = time.monotonic()
            async with served.session.get('/') as answer:
                assert answer.status == 200 and time.monotonic() < began + 2
            go_on.set()
            while (answer := await next_of(page, number)).get('waiting'):
                pass
            np.testing.assert_array_equal(answer['pixels'], painted('seed:1', generators[40]))

    run(test())


def test_a_damaged_checkpoint_of_a_run_is_opened_once_and_said(tmp_path, monkeypatch):
    folder, generators = tmp_path / 'run', {}
    save_checkpoint(folder, 40, generators)
    loads, load = [], ShownNetwork._load
    monkeypatch.setattr(ShownNetwork, '_load', lambda network, nimg: (loads.append(nimg), load(network, nimg))[1])
    monkeypatch.setattr(server_module, '_LOOK', 0.05)

    async def test():
        async with serving([folder], follow=True) as served, served.page() as page:
            shutil.copytree(folder / 'checkpoints' / '40', tmp_path / '80')
            shutil.rmtree(tmp_path / '80' / 'state')
            (tmp_path / '80').rename(folder / 'checkpoints' / '80')
            news = (await page.hear('news'))['networks'][0]
            assert news['newest'] == 40 and 'the checkpoint of 80 images cannot be read' in news['problem']
            await asyncio.sleep(0.5)
            assert loads == [None, None]
            np.testing.assert_array_equal((await page.draw('seed:1'))['pixels'], painted('seed:1', generators[40]))
            assert (await page.draw('seed:1;nimg=50'))['text'].endswith('there are those of 40, 80')

    run(test())


def test_a_checkpoint_that_could_not_be_read_once_is_read_at_the_next_look(tmp_path, monkeypatch):
    folder, generators, load = tmp_path / 'run', {}, ShownNetwork._load
    save_checkpoint(folder, 40, generators)
    network = ShownNetwork(str(folder), Sources('out', (), ()), precision='float32', follow=True)
    save_checkpoint(folder, 80, generators)

    def failing(network, nimg):
        monkeypatch.setattr(ShownNetwork, '_load', load)
        raise OSError('a network drive was away')

    monkeypatch.setattr(ShownNetwork, '_load', failing)
    assert network.refresh() == (True, f'{folder}: a network drive was away; the checkpoint in memory is drawn')
    assert network.refresh() == (True, f'{folder} is there again') and network.newest == 80


def test_a_look_at_the_files_that_fails_is_not_the_last_one(network, monkeypatch, capsys):
    monkeypatch.setattr(server_module, '_LOOK', 0.02)
    looks = []

    def refresh(network):
        looks.append(network)
        raise ValueError('another form')

    monkeypatch.setattr(ShownNetwork, 'refresh', refresh)

    async def test():
        async with serving([network]):
            while len(looks) < 3:
                await asyncio.sleep(0.01)

    run(test())
    assert 'ValueError: another form' in capsys.readouterr().out


def test_senseless_requests_are_refused_in_a_line(network):
    async def test():
        async with serving([network]) as served, served.page() as page:
            for body in (b'[' * 60_000, b'{"kind": "picture", "network": 1e999, "recipe": {}}', b'\xff'):
                async with served.session.post('/save', data=body) as answer:
                    assert answer.status == 400
            status, said = await served.project(page, b'', network='1e999')
            assert status == 400 and 'problem' in said
            await page.socket.send_str('{"kind": "draw", "view": "a", "number": 1e999, "network": 0, "moving": 0}')
            assert (await page.hear('problem'))['text'].endswith('did not understand a message of this page')
            for headers in ({'Host': '['}, {'Origin': 'http://['}):
                async with served.session.get('/', headers=headers) as answer:
                    assert answer.status in (400, 403)

    run(test())


def test_a_viewer_serves_the_address_that_it_listens_at(network):
    async def test():
        async with serving([network], host='127.0.0.2') as served:
            port = served.address.rpartition(':')[2]
            own = {'Host': f'127.0.0.2:{port}', 'Origin': f'http://127.0.0.2:{port}'}
            async with served.session.get('/', headers=own) as answer:
                assert answer.status == 200

    run(test())


def test_a_host_may_have_capitals():
    request = make_mocked_request('GET', '/', headers={'Host': 'mybox:8765'})
    assert guard.Guard('MyBox').refusal(request) is None
    assert guard.Guard('OtherBox').refusal(request) == 'this address is not one of the viewer'


def test_loops_are_bounded_before_they_are_made():
    began = time.monotonic()
    with pytest.raises(UserError, match='give at most 64 seeds'):
        Recipe.parse('loop:' + ','.join(['0-99999'] * 900))
    assert time.monotonic() < began + 1


def test_places_between_large_seeds_are_exact():
    text = 'walk:0.125,42949672.375'
    assert str(Recipe.parse(text)) == text
