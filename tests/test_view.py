"""The command of the viewer: what it says, what it refuses, and that it ends at once."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import PIL.Image
import pytest

import tiny
from stylegan_jax import view
from test_suite import is_running, until

GENERATOR = tiny.generator(tiny.generator_config(resolution=32))


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return tiny.saved(GENERATOR, tmp_path_factory)


def children_of(pid):
    """The processes that a process started, and theirs."""
    listed = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(pid)], text=True, capture_output=True).stdout.split()
    return listed + [one for child in listed for one in children_of(child)]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_a_signal_ends_it_at_once(network, tmp_path, tmp_path_factory, number):
    """Also while it compiles, which nothing can interrupt; nothing is left running, and nothing in the folder."""
    pytest.importorskip('aiohttp', reason='the view extra is not installed')
    browser = tmp_path_factory.mktemp('browser') / 'browser'
    browser.write_text(f'#!/bin/sh\necho "$1" > {browser}.opened\n')
    browser.chmod(0o700)
    environment = os.environ | {'DISPLAY': ':9', 'BROWSER': f'{browser} %s', 'SSH_CONNECTION': ''}
    process = subprocess.Popen(
        [sys.executable, '-m', 'stylegan_jax.view', f'--network={network}', '--port=0', '--compilation_cache=none'],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    try:
        address = process.stdout.readline().split()[-1]
        second = process.stdout.readline()
        assert address.startswith('http://127.0.0.1:')
        port = address.strip('/').rpartition(':')[2]
        assert second.startswith(f'from another machine: ssh -N -L {port}:localhost:{port} ')
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b'<title>stylegan_jax viewer</title>' in page.read()
        opened = browser.with_suffix('.opened')
        assert until(lambda: opened.exists() and opened.read_text() == f'{address}\n', 10)
        children = children_of(process.pid)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=10) == 128 + number
        assert time.monotonic() - start < 2
    finally:
        process.kill()
    assert process.stdout.read().splitlines()[-1] == 'stopped'
    assert not [child for child in children if is_running(child)]
    assert not os.listdir(tmp_path)
    with pytest.raises(OSError):
        socket.create_connection(('127.0.0.1', int(port)), timeout=2).close()


async def busy_page(address, work, go_on):
    """Has a viewer do some work through a page, and calls `go_on` in the middle of it."""
    import aiohttp

    origin = address.strip('/')
    async with (
        aiohttp.ClientSession(origin, headers={'Origin': origin}) as session,
        session.ws_connect('/socket') as page,
    ):
        name = (await page.receive_json())['page']
        if work != 'saving':
            file = io.BytesIO()
            PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(file, 'PNG')
            query = {'page': name, 'steps': '2000'}
            async with session.post('/project', params=query, data=file.getvalue()) as answer:
                assert answer.status == 200
        else:
            recipe = {'source': 'loop:0-40@0'}
            said = {'kind': 'film', 'network': 0, 'recipe': recipe, 'page': name, 'number': 1}
            asking = asyncio.ensure_future(session.post('/save', json=said))
        signs = {'compiling': b'"beginning"', 'projecting': b'"running"', 'saving': b'"count"'}
        while True:
            message = await page.receive(timeout=60)
            if signs[work] in (message.data if isinstance(message.data, bytes) else message.data.encode()):
                break
        await asyncio.to_thread(go_on)
        if work == 'saving':
            asking.cancel()


@pytest.mark.parametrize(
    ('work', 'number'),
    [
        ('compiling', signal.SIGTERM),
        ('projecting', signal.SIGINT),
        ('saving', signal.SIGTERM),
        ('saving', signal.SIGINT),
    ],
)
def test_a_signal_ends_it_in_the_middle_of_work_and_nothing_is_left(network, tmp_path, work, number):
    pytest.importorskip('aiohttp', reason='the view extra is not installed')
    (tmp_path / 'temporary').mkdir()
    (tmp_path / 'here').mkdir()
    command = [sys.executable, '-m', 'stylegan_jax.view', f'--network={network}', '--port=0', '--nobrowser']
    process = subprocess.Popen(
        command, cwd=tmp_path / 'here', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {'TMPDIR': str(tmp_path / 'temporary')},
    )  # fmt: skip
    try:
        address = process.stdout.readline().split()[-1]

        def end():
            process.send_signal(number)
            assert process.wait(timeout=5) == 128 + number

        asyncio.run(asyncio.wait_for(busy_page(address, work, end), 90))
    finally:
        process.kill()
    assert process.stdout.read().splitlines()[-2:] == ['Ctrl-C ends it', 'stopped']
    assert not os.listdir(tmp_path / 'temporary') and not os.listdir(tmp_path / 'here')


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        ([], '--network or --run is missing; see --help'),
        (['--network=toyfaces'] * 3, '3 networks were named; give 1 to 2'),
        (['--network=none.npz'], 'none.npz: No such file'),
        (['--run=none'], '--run=none: there is no such folder'),
        (['--network=toyfaces', '--latents=none.npz'], 'none.npz'),
        (['--network=toyfaces', '--directions=none.npz'], 'none.npz'),
        (
            ['--network=toyfaces', '--host=no.such.host.invalid'],
            '--host=no.such.host.invalid: there is no such address',
        ),
    ],
)
def test_what_it_refuses(run_command, arguments, error):
    pytest.importorskip('aiohttp', reason='the view extra is not installed')
    code, _, err = run_command(view, *arguments)
    assert code == 2 and err.startswith('error: ') and error in err and err.count('\n') == 1


def test_a_port_that_is_taken(run_command):
    pytest.importorskip('aiohttp', reason='the view extra is not installed')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run_command(view, '--network=toyfaces', f'--port={port}')
    assert code == 2 and err == f'error: --port={port}: another program listens there; choose another one\n'


def test_without_its_package(run_command, monkeypatch):
    monkeypatch.setitem(sys.modules, 'aiohttp', None)
    code, _, err = run_command(view, '--network=toyfaces')
    assert code == 2 and err == "error: the viewer needs aiohttp: pip install -e '.[view]'\n"
