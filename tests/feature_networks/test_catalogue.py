"""Finding weights, and fetching them from a server that is real, whatever it does."""

import contextlib
import hashlib
import http.server
import os
import pathlib
import threading

import numpy as np
import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks import catalogue
from stylegan_jax.feature_networks.catalogue import KNOWN, Weights, find

CONTENT = np.random.default_rng(0).bytes(3_000_000)
FILE = f'tiny-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of weights, not made yet."""
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'weights'


@contextlib.contextmanager
def serving(content, *, announced=None, status=200):
    """A server that answers each request with some content, and the number of requests that it had."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(status)
            if announced != 'nothing':
                self.send_header('Content-Length', str(announced or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    paths = []
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}', paths
        finally:
            server.shutdown()
            thread.join()


def table(url, file=FILE):
    return {'tiny': Weights(file, f'{url}/{file}', 'some')}


@pytest.mark.parametrize('announced', [None, 'nothing'])
def test_download_once(cache, announced):
    with serving(CONTENT, announced=announced) as (url, paths):
        first = find('tiny', download=True, known=table(url))
        assert find('tiny', download=True, known=table(url)) == first
    assert first == str(cache / FILE) and paths == [f'/{FILE}']
    assert pathlib.Path(first).read_bytes() == CONTENT
    assert os.listdir(cache) == [FILE]
    assert find('tiny', known=table('http://nowhere.invalid')) == first


def test_nothing_is_fetched_unasked(cache):
    with serving(CONTENT) as (url, paths):
        with pytest.raises(UserError, match=f'=some --download`, or put {FILE} .it is {url}/{FILE}. into {cache}'):
            find('tiny', known=table(url))
    assert not paths and not cache.exists()


def refused_download(cache, url, words, file=FILE):
    with pytest.raises(UserError, match=words) as caught:
        find('tiny', download=True, known=table(url, file))
    assert '\n' not in str(caught.value)
    assert os.listdir(cache) == []


def test_torn_download_leaves_nothing(cache):
    with serving(CONTENT[:2_000_000], announced=len(CONTENT)) as (url, _):
        refused_download(cache, url, f'ended after 2000000 of 3000000 bytes.; put {FILE} into')


@pytest.mark.parametrize('content', [CONTENT[:-1], b'<html>please log in</html>', b''])
def test_other_files_leave_nothing(cache, content):
    with serving(content) as (url, _):
        refused_download(cache, url, 'its SHA-256 begins with .*; nothing was kept')


def test_servers_that_refuse_or_are_not_there(cache):
    with serving(b'not here', status=404) as (url, _):
        refused_download(cache, url, '404')
    refused_download(cache, url, 'could not be fetched')


def test_path_of_the_user_wins(cache, tmp_path):
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(b'from the cache')
    own = tmp_path / 'own.pth'
    with pytest.raises(UserError, match='own.pth: no such file; give the weights of tiny'):
        find('tiny', own, known=table('http://nowhere.invalid'))
    own.write_bytes(b'own')
    assert find('tiny', own, known=table('http://nowhere.invalid')) == str(own)


def test_unknown_names():
    with pytest.raises(UserError, match="weights 'vgg19' are not known; known are inception-2015, vgg16, "):
        find('vgg19')


def test_classifiers_of_nvidia_are_found_by_number(cache):
    with pytest.raises(UserError, match=r'put celebahq-classifier-07\*.pkl into'):
        find('celebahq-classifier-07', download=True)
    cache.mkdir(parents=True)
    for name in ('celebahq-classifier-06-x.pkl', 'celebahq-classifier-07-bags-under-eyes.pkl'):
        (cache / name).touch()
    assert find('celebahq-classifier-07') == str(cache / 'celebahq-classifier-07-bags-under-eyes.pkl')


def test_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv('STYLEGAN_JAX_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert catalogue.folder() == str(tmp_path / 'stylegan_jax' / 'weights')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert catalogue.folder() == os.path.expanduser('~/.cache/stylegan_jax/weights')


@pytest.mark.parametrize('name', [name for name, weights in KNOWN.items() if weights.url])
def test_names_of_known_files_end_in_a_checksum(name):
    weights = KNOWN[name]
    assert weights.url.startswith('https://') and weights.url.endswith('/' + weights.file)
    int(weights.file.removesuffix('.pth')[-8:], 16)


def test_linear_layers_of_lpips_come_with_their_licence():
    path = pathlib.Path(find('lpips-vgg-0.1'))
    assert path.stat().st_size < 10_000
    licence = path.with_name('lpips_vgg_v0.1.LICENSE.txt').read_text()
    assert 'Copyright (c) 2018, Richard Zhang' in licence and 'Redistributions of source code must' in licence
