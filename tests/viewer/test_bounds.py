"""What a viewer holds is bounded: films, files that are made at one time, latents of photos, views of a page."""

import asyncio
import gc
import io
import os
import threading
import time
import weakref

import numpy as np
import PIL.Image
import pytest

pytest.importorskip('aiohttp', reason='the view extra is not installed')

from serving import run, serving
from viewed import GENERATOR, OTHER, painted, photo, save_checkpoint, until

import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.config.label_meaning import LabelMeaning
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.editing.projection import Projection
from stylegan_jax.editing.recipe import Recipe
from stylegan_jax.editing.recipe_painter import RecipePainter
from stylegan_jax.errors import UserError
from stylegan_jax.viewer import drawing, guard, projecting, saving, sources
from stylegan_jax.viewer import server as server_module
from stylegan_jax.viewer.sources import Sources


class FakeDrawing:
    """Draws frames of 1024x1024, and counts those that are in memory."""

    def __init__(self):
        self.alive, self.most, self.drawn = 0, 0, 0

    async def picture(self, network, recipe):
        frame = np.zeros((1024, 1024, 3), np.uint8)
        self.alive, self.drawn = self.alive + 1, self.drawn + 1
        self.most = max(self.most, self.alive)
        weakref.finalize(frame, self._gone)
        return frame

    def _gone(self):
        self.alive -= 1


class FakeNetwork:
    def pinned(self, recipe):
        return recipe


LOOP = Recipe.parse('loop:0-5@0')


def test_a_film_of_a_large_network_takes_one_frame_after_another(monkeypatch):
    fake = FakeDrawing()

    def encoded(file, frames, count, fps):
        assert count == sum(1 for _ in frames) == 144
        file.write(b'film')

    monkeypatch.setattr(saving.film, 'write_webp', encoded)
    file = run(saving.Saving(fake).file('film', FakeNetwork(), LOOP))
    gc.collect()
    assert file.content == b'film' and fake.drawn == 144
    assert fake.most < 6, 'frames that were encoded are dropped'
    with pytest.raises(UserError, match='1536 frames of 1024x1024 are too many'):
        run(saving.Saving(fake).file('film', FakeNetwork(), Recipe.parse('loop:0-63@0')))


def test_a_film_that_nobody_waits_for_ends_and_the_next_one_begins(monkeypatch):
    fake, news = FakeDrawing(), []

    def encoded(file, frames, count, fps):
        for _ in frames:
            time.sleep(0.05)

    monkeypatch.setattr(saving.film, 'write_webp', encoded)

    async def test():
        files = saving.Saving(fake)
        first = asyncio.create_task(files.file('film', FakeNetwork(), LOOP))
        await until(lambda: fake.drawn > 3)
        second = asyncio.create_task(files.file('film', FakeNetwork(), LOOP, said=news.append))
        await asyncio.sleep(0.1)
        assert news == [{'state': 'waiting'}]
        first.cancel()
        await until(lambda: {'state': 'making'} in news)
        second.cancel()
        await asyncio.sleep(0.2)
        drawn = fake.drawn
        await asyncio.sleep(0.3)
        assert fake.drawn == drawn < 144

    run(test())


def test_files_that_wait_are_said_and_bounded(network, monkeypatch):
    go_on, draw = threading.Event(), RecipePainter.picture

    def held(painter, recipe, most=None):
        if recipe.source.kind == 'loop':
            assert go_on.wait(30)
        return draw(painter, recipe, most)

    monkeypatch.setattr(RecipePainter, 'picture', held)
    monkeypatch.setattr(saving, '_MOST_WAITING', 1)

    async def test():
        async with serving([network]) as served, served.page() as page:
            first = asyncio.create_task(served.save('film', 'loop:0@0'))
            await until(lambda: served.viewer._saving._films.locked())
            said = {'kind': 'film', 'network': 0, 'recipe': Recipe.parse('loop:1@0').to_dict(), 'number': 7}
            second = asyncio.create_task(
                served.session.post('/save', json=said | {'page': page.welcome['page']})  # as the page does
            )
            await page.hear('file', state='waiting', number=7)
            status, content = await served.save('film', 'loop:2@0')
            assert status == 400 and b'1 files are waiting' in content
            second.cancel()  # its page was closed
            await until(lambda: served.viewer._saving._waiting == 0)
            go_on.set()
            status, content = await first
            assert status == 200 and PIL.Image.open(io.BytesIO(content)).format == 'WEBP'

    run(test())


# Sources.


def found(value):
    """A Projection of one image."""
    ws = np.full((1, GENERATOR.num_ws, GENERATOR.w_dim), value, np.float32)
    return Projection(np.zeros((1, 16, 16, 3), np.uint8), *np.zeros((3, 1)), ws, ())


def test_two_viewers_in_one_folder_write_files_of_two_names(in_folder, monkeypatch):
    """Both are about to write when neither has a file yet."""
    both, save = threading.Barrier(2), Latents.save
    viewers = [Sources('out'), Sources('out')]

    def save_together(latents, path):
        both.wait(10)
        save(latents, path)

    monkeypatch.setattr(Latents, 'save', save_together)
    threads = [
        threading.Thread(target=viewer.keep, args=(found(number), str(number), 0.0))
        for number, viewer in enumerate(viewers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir('out')) == ['projected-0001.npz', 'projected-0002.npz']
    titles = [Latents.load(f'out/{name}').names[0] for name in sorted(os.listdir('out'))]
    assert sorted(titles) == ['0', '1']


def test_photos_leave_the_memory_and_are_read_again(in_folder, monkeypatch):
    monkeypatch.setattr(sources, '_MOST_BYTES', 2 * found(0).ws.nbytes)
    monkeypatch.setattr(sources, '_MOST_LISTED', 3)
    table = Sources('out')
    names = [table.keep(found(number), f'photo {number}', 0.0) for number in range(5)]
    assert len(table._recent) == 2
    assert [row['title'] for row in table.listed()['latents']] == ['photo 2', 'photo 3', 'photo 4']
    for number, name in enumerate(names):
        assert table.latents(name).ws[0, 0, 0] == number and len(table._recent) <= 2
    # The next viewer lists the newest ones, and finds all.
    later = Sources('out')
    assert [row['title'] for row in later.listed()['latents']] == [f'photo {n} (earlier)' for n in (2, 3, 4)]
    assert later.latents(names[0]).ws[0, 0, 0] == 0
    os.unlink(f'out/{names[1]}')
    with pytest.raises(UserError, match='the latents of a photo are no longer there: out/projected-0002.npz'):
        table.latents(names[1])


def test_a_folder_that_cannot_be_written_keeps_nothing(in_folder, monkeypatch):
    table, replace = Sources('out'), os.replace

    def full(source, place):
        if 'projected' in place:
            raise OSError(28, 'No space left on device')
        replace(source, place)

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(UserError, match='No space left'):
        table.keep(found(0), 'photo', 0.0)
    assert os.listdir('out') == [] and table.listed()['latents'] == []


def test_photos_beyond_the_bound_are_refused_before_they_are_read(network, in_folder, monkeypatch):
    monkeypatch.setattr(projecting, '_MOST_WAITING', 1)
    decoded, decode = [], guard.fitted_photo
    monkeypatch.setattr(guard, 'fitted_photo', lambda *given: (decoded.append(1), decode(*given))[1])
    sent = []

    async def slow():
        yield photo()[:50]
        sent.append(1)
        await asyncio.sleep(0.5)
        yield photo()[50:]

    async def test():
        async with serving([network]) as served, served.page() as page:
            first = asyncio.create_task(served.project(page, slow(), steps='2000'))
            await until(lambda: sent)
            status, said = await served.project(page, photo())
            assert status == 400 and said['problem'].startswith('1 photos are waiting') and not decoded
            assert (await first)[0] == 200
            await page.hear('job', state='running')
            assert (await served.project(page, photo()))[0] == 400 and len(decoded) == 1

    run(test())


def test_a_photo_that_does_not_arrive_keeps_no_place(network, in_folder, monkeypatch):
    monkeypatch.setattr(server_module, '_LONGEST_UPLOAD', 0.2)

    async def endless():
        while True:
            yield b'x'
            await asyncio.sleep(0.05)

    async def test():
        async with serving([network]) as served, served.page() as page:
            status, said = await served.project(page, endless())
            assert status == 408 and 'did not arrive' in said['problem']
            assert served.viewer._projector._arriving == 0

    run(test())


# Views of a page.


def test_a_page_may_have_any_number_of_views_one_after_another(network):
    async def test():
        async with serving([network]) as served, served.page() as page:
            for number in range(600):
                await page.ask('seed:1;lod=2', view=f'thumb:{number}', moving=True)
                if number % 100 == 99:
                    await page.hear('picture', view=f'thumb:{number}')
            (own,) = served.viewer._pages.values()
            assert len(own._views) <= 512

    run(test())


def test_thumbnails_wait_for_hands(network, monkeypatch):
    monkeypatch.setattr(drawing, '_REST', 1.0)  # a machine that has much to do is no hand at rest
    monkeypatch.setattr(drawing, '_LONGEST_MOVE', 60.0)
    drawn, draw = [], RecipePainter.picture

    def slow(painter, recipe, most=None):
        time.sleep(0.03)
        drawn.append((str(recipe), threading.current_thread().name))
        return draw(painter, recipe, most)

    async def test():
        async with serving([network]) as served, served.page() as page:
            await page.draw('seed:0')
            monkeypatch.setattr(RecipePainter, 'picture', slow)
            for number in range(8):
                await page.ask(f'seed:{100 + number}', view=f'thumb:{number}', small=True)
            for number in range(20):
                begun = time.monotonic()
                await page.draw(f'walk:{number / 10},0.5', moving=True)
                assert time.monotonic() < begun + 1
            await until(lambda: sum(text.startswith('seed') for text, _ in drawn) == 8)

    run(test())
    names = [name.rpartition('_')[0] for text, name in drawn if text.startswith('seed')]
    assert names == ['resting'] * 8
    moving = [place for place, (text, _) in enumerate(drawn) if text.startswith('walk')]
    assert sum(text.startswith('seed') for text, _ in drawn[: moving[-1]]) <= 1, 'one may have begun before the hand'


# Pages that come back.


def test_a_photo_survives_the_loss_of_its_page(network, in_folder):
    async def test():
        async with serving([network]) as served:
            async with served.page() as page:
                await served.project(page, photo(), title='quick.png', steps='5')
                await page.hear('job', state='done')
                await served.project(page, photo(), title='slow.png', steps='1500')
                await page.hear('job', state='running')
                page.socket._response.connection.transport.abort()
            name = page.welcome['page']
            await until(lambda: name in served.viewer._leaving)
            async with served.page(name) as page:
                assert page.welcome['page'] == name and not served.viewer._leaving
                told = [await page.hear('job') for _ in range(2)]
                assert [one['title'] for one in told] == ['quick.png', 'slow.png']
                assert [one['state'] for one in told] == ['done', 'running']
                assert all('pixels' in one for one in told)
                # A second socket takes the place of one that is broken and not yet missed.
                async with served.page(name) as again:
                    assert again.welcome['page'] == name
                    job = (await again.hear('job', state='running', title='slow.png'))['job']
                    await again.say(kind='cancel', job=job)
                    await again.hear('job', state='cancelled')
            async with served.page('unknown') as page:
                assert page.welcome['page'] != 'unknown'

    run(test())


# Which network, and which checkpoint.


def test_the_command_names_the_checkpoint_of_the_picture(tmp_path, monkeypatch):
    """Also where a newer one is taken up while the picture is drawn."""
    folder, generators = tmp_path / 'run', {}
    save_checkpoint(folder, 40, generators)

    async def test():
        async with serving([folder], follow=True) as served, served.page() as page:
            await page.draw('seed:1')
            (network,), draw = served.viewer._networks, RecipePainter.picture

            def slow(painter, recipe, most=None):
                if network.newest == 40 and 'seed:2' in str(recipe):
                    save_checkpoint(folder, 80, generators)
                    assert network.refresh()[0] and network.newest == 80
                return draw(painter, recipe, most)

            monkeypatch.setattr(RecipePainter, 'picture', slow)
            answer = await page.draw('seed:2')
            np.testing.assert_array_equal(answer['pixels'], painted('seed:2', generators[40]))
            assert answer['nimg'] == 40 and 'nimg=40' in answer['command']
            assert network.loaded(40), 'what a page shows can be saved without reading it again'
            assert (await page.draw('seed:2'))['nimg'] == 80

    run(test())


def test_a_photo_keeps_the_checkpoint_that_it_was_fitted_for(tmp_path):
    save_checkpoint(tmp_path / 'run', 40, {})

    async def test():
        async with serving([tmp_path / 'run'], outdir=tmp_path / 'out', follow=True) as served, served.page() as page:
            status, said = await served.project(page, photo())
            assert status == 200, said
            assert served.viewer._projector._jobs[said['job']].recipe.nimg == 40

    run(test())


def test_a_class_is_for_the_network_that_has_classes(network, tmp_path):
    import dataclasses

    generator = tiny.generator(tiny.generator_config(image=ImageConfig(16, label_dim=3)))
    generator = dataclasses.replace(generator, label_meaning=LabelMeaning(('ant', 'bee', 'cat'), (0, 2)))
    generator.save(tmp_path / 'classes.npz')
    text = 'seed:1;class=cat'

    async def test():
        async with serving([network, tmp_path / 'classes.npz']) as served, served.page() as page:
            plain, classes = [await page.draw(text, view=f'view{n}', network=n) for n in range(2)]
            np.testing.assert_array_equal(plain['pixels'], painted('seed:1'))
            np.testing.assert_array_equal(classes['pixels'], painted(text, generator))
            assert plain['text'] == text and 'class' not in plain['command'] and 'class=cat' in classes['command']
            assert (await served.save('picture', text))[0] == 200
        async with serving([network]) as served, served.page() as page:
            assert 'without labels' in (await page.draw(text))['text']

    run(test())


def test_a_figure_of_one_of_two_networks_says_which(network, tmp_path, monkeypatch):
    OTHER.save(tmp_path / 'second.npz')
    titles, table = [], saving.Look.table

    def noting(look, cells, **options):
        titles.append(options['title'])
        return table(look, cells, **options)

    monkeypatch.setattr(saving.Look, 'table', noting)

    async def test():
        async with serving([network, tmp_path / 'second.npz']) as served:
            assert (await served.save('figure', 'seed:5', network=1))[0] == 200
        async with serving([network]) as served:
            assert (await served.save('figure', 'seed:5'))[0] == 200

    run(test())
    assert titles == ['second.npz: seed:5', 'seed:5']
