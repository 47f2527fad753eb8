"""The page of docs/browser.md in a real browser: its faces are those that `generate` draws, and nothing is fetched.

It takes Chromium and the npm package onnxruntime-web, whose folder STYLEGAN_JAX_ONNXRUNTIME_WEB names.
"""

import functools
import http.server
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from stylegan_jax import convert, generate
from stylegan_jax.sampling.latents import latents

pytestmark = pytest.mark.browser
pytest.importorskip('onnx')

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'browser.md'
SEEDS = range(8)
MOST_LEVELS = 2
FLAGS = (
    *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'),
    *('--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'),
    # What the browser itself asks its maker for, such as updates, has no address then.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
)
# Draws these latents rather than random ones, and sends what is then on the canvas.
SEND = """
<script>
(async () => {
  let answer;
  try {
    await draw(Float32Array.from(LATENTS));
    answer = Array.from(faces.getContext('2d').getImageData(0, 0, faces.width, faces.height).data);
  } catch (error) { answer = String(error); }
  await fetch('answer', {method: 'POST', body: JSON.stringify(answer)});
})();
</script>
"""


@pytest.fixture
def browser():
    """Path of Chromium."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip('Chromium is not installed')
    return found


@pytest.fixture
def runtime():
    """The folder with the scripts of onnxruntime-web."""
    package = os.environ.get('STYLEGAN_JAX_ONNXRUNTIME_WEB')
    if not package:
        pytest.skip('STYLEGAN_JAX_ONNXRUNTIME_WEB does not name the folder of the npm package onnxruntime-web')
    return pathlib.Path(package) / 'dist'


@pytest.fixture
def site(tmp_path, runtime):
    """A folder with the page of the document and the files that the document puts beside it."""
    folder, text = tmp_path / 'site', PAGE.read_text()
    folder.mkdir()
    page = re.search(r'```html\n(.*?)```', text, re.DOTALL)[1]
    z = json.dumps(latents(SEEDS, 128).ravel().tolist())
    (folder / 'index.html').write_text(page + SEND.replace('LATENTS', z))
    for name in re.search(r'dist/{(.*?)}', text)[1].split(','):
        shutil.copy(runtime / name, folder)
    return folder


@pytest.fixture
def address(site):
    """(Address of a server of the folder, queue of what the page sent)."""
    answers = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):
            answers.put(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}/', answers
    server.shutdown()
    thread.join()
    server.server_close()


def requests_of_page(log, address):
    """The addresses that a page itself asked for, by the log of the browser's network stack."""
    found = re.findall(r'"initiator":"([^"]*)"[^\n]*"url":"([^"]*)"', log)
    return {url for initiator, url in found if f'{initiator}/' == address}


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_page_draws_the_faces_of_generate(dtype, browser, site, address, tmp_path, run_command):
    code, _, errors = run_command(generate, '--network=toyfaces', '--outdir=out', '--seeds=0-7')
    assert not code, errors
    expected = [np.asarray(Image.open(tmp_path / 'out' / f'seed{seed:04d}.png')) for seed in SEEDS]
    arguments = '--network=toyfaces', f'--out={site / "toyfaces.onnx"}', f'--dtype={dtype}'
    code, _, errors = run_command(convert, *arguments)
    assert not code, errors
    address, answers = address
    net_log = tmp_path / 'net.json'
    own = [f'--user-data-dir={tmp_path / "profile"}', f'--log-net-log={net_log}', address]
    process = subprocess.Popen([browser, *FLAGS, *own], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answer = answers.get(timeout=60)
    finally:
        process.terminate()
        process.wait(30)
    assert isinstance(answer, list), answer
    canvas = np.array(answer).reshape(32, 8, 32, 4).swapaxes(0, 1)
    assert np.abs(canvas[..., :3] - np.array(expected, int)).max() <= MOST_LEVELS
    assert np.all(canvas[..., 3] == 255)
    log = net_log.read_text()
    asked = requests_of_page(log, address)
    assert {f'{address}toyfaces.onnx', f'{address}ort-wasm-simd-threaded.wasm', f'{address}answer'} <= asked
    assert not {url for url in asked if not url.startswith((address, 'data:', 'blob:'))}
    connected = re.findall(r'"address_list":\[(.*?)\]', log)
    assert connected and all(re.fullmatch(r'"127\.0\.0\.1:\d+"', addresses) for addresses in connected)
