"""One run per folder: who is refused, who takes over, with real processes and with file systems that lack locks."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

import stylegan_jax
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import folder_lock
from stylegan_jax.runtime.folder_lock import FolderLock

# Holds a folder until its standard input ends. An empty package stands in for stylegan_jax, whose __init__ imports
# JAX. Elsewhere is a host whose locks do not reach this one.
HOLDER = """
import fcntl, os, socket, subprocess, sys, types
package, workdir, elsewhere = sys.argv[1:]
sys.modules['stylegan_jax'] = types.ModuleType('stylegan_jax')
sys.modules['stylegan_jax'].__path__ = [package]
from stylegan_jax.runtime import folder_lock
if elsewhere:
    folder_lock.BEAT = 0.05
    fcntl.flock = lambda file, operation: None
    socket.gethostname = lambda: elsewhere
with folder_lock.FolderLock(workdir):
    child = subprocess.Popen(['sleep', '10'], close_fds=False, stdout=subprocess.DEVNULL)
    print('held', flush=True)
    sys.stdin.read()
    child.kill()
"""


@contextlib.contextmanager
def holder(workdir, elsewhere=''):
    """A process that holds the folder, and has a child of its own; ends it by force if need be."""
    package = pathlib.Path(stylegan_jax.__file__).parent
    with subprocess.Popen(
        [sys.executable, '-c', HOLDER, package, workdir, elsewhere],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout.readline() == 'held\n'
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def short_beats(monkeypatch):
    monkeypatch.setattr(folder_lock, 'BEAT', 0.2)


@pytest.fixture
def said():
    """What the user was told."""
    return []


@pytest.fixture
def no_flock(monkeypatch):
    """A file system without locks."""

    def flock(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, 'flock', flock)


def leave(workdir, host, pid):
    (workdir / 'lock').write_text(json.dumps({'host': host, 'pid': pid}) + '\n')


def dead_process():
    process = subprocess.Popen(['true'])
    process.wait()
    return process.pid


def test_live_run_refuses_a_second_one(tmp_path, said):
    with holder(tmp_path) as process:
        for _ in range(2):
            with pytest.raises(UserError) as error, FolderLock(tmp_path, said.append):
                pass
            assert str(error.value) == (
                f'workdir={tmp_path}: is in use by process {process.pid} on {socket.gethostname()}; wait for it or '
                'stop it, or choose another folder'
            )
    assert said == []


def test_killed_holder_is_recognised(tmp_path, said):
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        with FolderLock(tmp_path, said.append) as lock:
            assert lock.stale == f'process {process.pid} on {socket.gethostname()}'
    assert said == []


def test_clean_exit_leaves_nothing(tmp_path, said):
    with holder(tmp_path) as process:
        process.communicate()
        assert process.returncode == 0
        for _ in range(2):
            with FolderLock(str(tmp_path), said.append) as lock:
                assert lock.stale is None
                assert json.loads((tmp_path / 'lock').read_text()) == {'host': socket.gethostname(), 'pid': os.getpid()}
    assert said == []


def test_second_lock_in_one_process_is_refused(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(UserError, match=f'in use by process {os.getpid()} '), FolderLock(tmp_path):
            pass


def test_live_run_on_another_host_refuses(tmp_path, said):
    with holder(tmp_path, elsewhere='node7') as process:
        with pytest.raises(UserError, match=f'in use by process {process.pid} on node7; '):
            FolderLock(tmp_path, said.append).__enter__()
    assert said == [
        f'{tmp_path}/lock names process {process.pid} on node7; watching for 0.6 seconds whether that still runs'
    ]


def test_dead_run_on_another_host_is_taken_over(tmp_path, capsys):
    with holder(tmp_path, elsewhere='node7'):
        pass
    with FolderLock(tmp_path) as lock:
        assert lock.stale.endswith(' on node7')
        assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()
    assert 'watching' in capsys.readouterr().err


def test_clean_exit_on_another_host_needs_no_watching(tmp_path, said):
    with holder(tmp_path, elsewhere='node7') as process:
        process.communicate()
    with FolderLock(tmp_path, said.append) as lock:
        assert lock.stale is None
    assert said == []


def test_refused_newcomer_gives_no_sign_of_life(tmp_path):
    """Nor does it keep the kernel's lock, or a descriptor."""
    descriptors, threads = len(os.listdir('/proc/self/fd')), threading.active_count()
    with holder(tmp_path, elsewhere='node7') as process:
        with pytest.raises(UserError):
            FolderLock(tmp_path, str).__enter__()
        process.kill()
        process.wait()
        assert threading.active_count() == threads
        with FolderLock(tmp_path, str) as lock:
            assert lock.stale == f'process {process.pid} on node7'
    assert len(os.listdir('/proc/self/fd')) == descriptors


@pytest.mark.parametrize(
    'content, stale',
    [
        (b'', None),
        (bytes(100), None),
        (b'\xff{', 'an unknown process'),
        (b'[1]', 'an unknown process'),
        (b'{"host": "here"}', 'an unknown process'),
    ],
)
def test_unreadable_lock_is_stale(content, stale, tmp_path, said):
    (tmp_path / 'lock').write_bytes(content)
    with FolderLock(tmp_path, said.append) as lock:
        assert lock.stale == stale
    assert said == []


def test_longer_line_is_replaced_whole(tmp_path):
    leave(tmp_path, 'a-very-long-name-of-a-host' * 10, 1)
    with FolderLock(tmp_path, str):
        assert json.loads((tmp_path / 'lock').read_text()) == {'host': socket.gethostname(), 'pid': os.getpid()}


def test_folder_that_another_host_took_is_left_to_it(tmp_path):
    with FolderLock(tmp_path):
        leave(tmp_path, 'node7', 9)
    assert json.loads((tmp_path / 'lock').read_text()) == {'host': 'node7', 'pid': 9}


def test_without_flock_a_live_run_refuses(no_flock, tmp_path, said):
    with holder(tmp_path, elsewhere=socket.gethostname()) as process:
        with pytest.raises(UserError, match=f'in use by process {process.pid} on '):
            FolderLock(tmp_path, said.append).__enter__()
    assert len(said) == 1


def test_without_flock_a_dead_process_is_stale_at_once(no_flock, tmp_path, said):
    pid = dead_process()
    leave(tmp_path, socket.gethostname(), pid)
    with FolderLock(tmp_path, said.append) as lock:
        assert lock.stale == f'process {pid} on {socket.gethostname()}'
    assert said == [] and (tmp_path / 'lock').read_bytes() == b''


def test_without_flock_another_process_by_that_number_is_watched(no_flock, tmp_path, said):
    leave(tmp_path, socket.gethostname(), os.getpid())
    with FolderLock(tmp_path, said.append) as lock:
        assert lock.stale == f'process {os.getpid()} on {socket.gethostname()}'
    assert len(said) == 1


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='^out=.*/file/run: cannot be written .Not a directory.; choose another'):
        FolderLock(tmp_path / 'file' / 'run', field='out').__enter__()


def test_folder_without_rights(tmp_path, without_rights):
    with without_rights(), pytest.raises(UserError, match='cannot be written .Permission denied.; choose another'):
        FolderLock(tmp_path, field='out').__enter__()


def test_full_disk(tmp_path, monkeypatch):
    def fsync(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    descriptors = len(os.listdir('/proc/self/fd'))
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', fsync)
        with pytest.raises(UserError, match='No space left'):
            FolderLock(tmp_path).__enter__()
    with FolderLock(tmp_path) as lock:
        assert lock.stale is None
    assert len(os.listdir('/proc/self/fd')) == descriptors
