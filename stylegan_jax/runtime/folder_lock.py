"""One run per folder: a live run refuses a second one there, and what a dead one left behind is recognised.

The kernel's lock on the file RUN/lock ends with the process that holds it, in whatever way that ends. Cluster file
systems may keep such a lock from other hosts, or not know it at all; for them the holder touches the file every few
seconds, and a newcomer watches it for a while.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import time

from stylegan_jax.errors import UserError

BEAT = 5  # seconds between two signs of life
_WATCHED_BEATS = 3  # for which a newcomer waits; a host under load may be late with one


class WorkdirLock:
    """Context in which no other process has the run's folder.

    A child made by os.fork without exec shares the kernel's lock, and keeps the folder if its parent is killed; other
    children do not inherit it.

    Attributes:
      stale: once entered, who held the folder and ended without letting go of it, such as 'process 123 on node7'; or
        None.
    """

    def __init__(self, workdir, say=None):
        """Names the folder; `with` takes it.

        Args:
          workdir: the run's folder, which exists.
          say: takes one line about what the user waits for; None prints it on stderr.
        """
        self.workdir, self.stale = os.fspath(workdir), None
        self._path, self._say = os.path.join(self.workdir, 'lock'), say or _print_on_stderr

    def __enter__(self):
        """Takes the folder.

        Raises:
          UserError: another process has it, or it cannot be written.
        """
        self._line = json.dumps({'host': socket.gethostname(), 'pid': os.getpid()}) + '\n'
        try:
            with contextlib.ExitStack() as stack:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, self._file)
                self.stale = self._claim()
                stack.callback(self._let_go)
                _overwrite(self._file, self._line)
                stack.callback(_start_beating(self._file))
                self._stack = stack.pop_all()
        except OSError as error:
            raise UserError(
                f'--workdir={self.workdir}: cannot be written ({error.strerror}); choose another folder'
            ) from None
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _claim(self):
        """Returns the dead process that the file names, or None; raises UserError if it lives."""
        locked = self._lock()
        line = _read(self._file)
        if not line:
            return None
        if _may_live(line, locked) and self._shows_life(line):
            raise self._in_use(line)
        return _described(line)

    def _lock(self):
        """Takes the kernel's lock; False where the file system has none."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use(_read(self._file)) from None
        except OSError:
            return False
        return True

    def _shows_life(self, line):
        """Whether somebody touches the file while this process watches it."""
        self._say(
            f'{self._path} names {_described(line)}; watching for {_WATCHED_BEATS * BEAT:g} seconds whether '
            'that still runs'
        )
        first = _touched(self._path)
        for _ in range(_WATCHED_BEATS):
            time.sleep(BEAT)
            if _touched(self._path) != first:  # only whether, not when: clocks differ between hosts
                return True
        return False

    def _let_go(self):
        # Emptied, so that a restart on another host need not watch it, and not deleted: one process might hold the
        # lock of the deleted file and another one that of a new file by the same name. Not touched if another host
        # has taken the folder in the meantime.
        with contextlib.suppress(OSError):
            if _read(self._file) == self._line:
                os.ftruncate(self._file, 0)
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing would not do while a forked child has the file open

    def _in_use(self, line):
        return UserError(
            f'--workdir={self.workdir}: is in use by {_described(line)}; wait for it or stop it, '
            'or choose another --workdir'
        )


def _read(file):
    return os.pread(file, 1024, 0).partition(b'\0')[0].decode(errors='replace')


def _overwrite(file, line):
    data = line.encode()
    os.pwrite(file, data, 0)  # before the file is cut, so that it is never seen empty
    os.ftruncate(file, len(data))
    os.fsync(file)  # other hosts would see it only when this one writes its cache back


def _holder(line):
    """The host and the process that a lock's file names, or None."""
    try:
        content = json.loads(line.partition('\n')[0])
        return str(content['host']), int(content['pid'])
    except (ValueError, TypeError, KeyError):
        return None


def _described(line):
    holder = _holder(line)
    return 'an unknown process' if holder is None else f'process {holder[1]} on {holder[0]}'


def _may_live(line, locked):
    """Whether a file's holder may run, given whether this process got the kernel's lock."""
    holder = _holder(line)
    if holder is None:
        return not locked
    host, pid = holder
    if host != socket.gethostname():
        return True
    return not locked and _exists(pid)


def _exists(pid):
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def _touched(path):
    """When a file was touched, in its server's time."""
    file = os.open(path, os.O_RDONLY)  # by opening it: NFS may answer a plain stat from its cache for a minute
    try:
        return os.fstat(file).st_mtime_ns
    finally:
        os.close(file)


def _start_beating(file):
    """Touches a file again and again, in a thread; returns a function that ends this."""
    ended = threading.Event()

    def beat():
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(file)

    def end():
        ended.set()
        thread.join()

    thread = threading.Thread(target=beat, name='workdir_lock', daemon=True)
    thread.start()
    return end


def _print_on_stderr(line):
    print(line, file=sys.stderr, flush=True)
