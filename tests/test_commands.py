"""The list of commands, and what git makes of the files that commands leave."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from test_architecture import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text().replace('\\\n', ' ')
LEFT = [
    *re.findall(r'stylegan_jax\.\w+ [^\n]*--(?:out|outdir|plot|json|results|workdir)=([\w./-]+)', README),
    *('runs/quickstart', 'metrics.jsonl', 'runs/quickstart/metrics.jsonl', 'data/mine/contact_sheet.png'),
]


def test_the_package_lists_its_commands():
    done = subprocess.run([sys.executable, '-m', 'stylegan_jax'], text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr
    listed = dict(re.findall(r'^    python -m stylegan_jax\.(\w+) +(\S.*)$', done.stdout, re.M))
    assert listed.keys() == {name for name in COMMANDS if name != '__main__'} | {'figures', 'report'}
    assert listed['main'] == 'Train a StyleGAN'


def test_the_list_takes_no_arguments_and_no_jax():
    done = subprocess.run([sys.executable, '-m', 'stylegan_jax', 'generate'], text=True, capture_output=True)
    assert done.returncode == 2 and done.stderr.startswith('error: ') and done.stderr.count('\n') == 1
    code = "import sys, runpy; sys.argv = ['x']; runpy.run_module('stylegan_jax.__main__'); print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], text=True, capture_output=True).stdout == 'False\n'


@pytest.mark.skipif(not shutil.which('git') or not (ROOT / '.git').exists(), reason='needs a checkout')
def test_git_ignores_what_commands_leave_and_nothing_of_the_project():
    assert len(LEFT) > 12

    def ignored(paths):
        command = ['git', 'check-ignore', '--no-index', '--stdin']
        return subprocess.run(command, cwd=ROOT, input='\n'.join(paths), text=True, capture_output=True).stdout.split()

    assert ignored(LEFT) == LEFT
    tracked = subprocess.run(['git', 'ls-files'], cwd=ROOT, text=True, capture_output=True).stdout.splitlines()
    assert not ignored(tracked)
