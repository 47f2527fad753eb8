"""The documentation site builds without a warning, and shows without a network."""

import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip('mkdocs', reason='the docs extra is not installed')
pytest.importorskip('mkdocstrings', reason='the docs extra is not installed')

ROOT = pathlib.Path(__file__).parents[1]
# Where a page, a style sheet or a script says that the browser is to load something by itself.
LOADS = re.compile(
    r'''<(?:img|script|iframe|source)[^>]*\ssrc="([^"]*)"|<link[^>]*\shref="([^"]*)"'''
    r"""|url\(["']?([^"')]*)|@import\s+["']([^"']*)|\bfetch\(["']([^"']*)"""
)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The folder of a site that was built with links checked."""
    folder = tmp_path_factory.mktemp('docs') / 'site'
    build = [sys.executable, '-m', 'mkdocs', 'build', '--strict', f'--site-dir={folder}']
    done = subprocess.run(build, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_there_is_a_page_for_every_part_of_the_package(site):
    parts = {path.parent.name for path in (ROOT / 'stylegan_jax').glob('*/__init__.py')}
    assert parts <= {path.stem for path in (site / 'api').glob('*.html')}
    assert 'r1_gamma' in (site / 'api' / 'config.html').read_text()


def test_nothing_is_loaded_from_elsewhere(site):
    files = [path for path in site.rglob('*') if path.suffix in ('.html', '.css', '.js')]
    loaded = {address for path in files for found in LOADS.findall(path.read_text()) for address in found if address}
    assert 'css/bootstrap.min.css' in loaded
    assert not [address for address in loaded if re.match(r'(https?:)?//', address)]
