"""One process per folder: while one works in it a second one is refused, and the lock of a dead one is recognised.

The kernel's lock on the file FOLDER/lock ends with the process that holds it, in whatever way that process ends.
Cluster file systems may hide such a lock from other hosts, or not support locks at all. For them the holder touches
the file every few seconds, and a newcomer watches it for a while.
"""

import collections.abc
import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import time

from stylegan_jax.errors import UserError, unwritable

BEAT = 5  # seconds between two touches of the file, the holder's signs of life
_WATCHED_BEATS = 3  # A newcomer watches for this many beats, because a host under load may be late with one.


class FolderLock:
    """Context in which no other process has the folder.

    A child made by os.fork without exec shares the kernel's lock, and keeps the folder if its parent is killed; other
    children do not inherit the lock.

    Attributes:
      folder: its path.
      stale: after entering, who held the folder and ended without releasing it, such as 'process 123 on node7'; None
        if nobody did.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        say: collections.abc.Callable[[str], object] | None = None,
        *,
        field: str = 'workdir',
    ):
        """Names the folder; the `with` statement takes it.

        Args:
          folder: its path; it exists.
          say: takes one line that tells the user why there is a wait; None prints the line on stderr.
          field: the setting that names the folder, for errors.
        """
        self.folder, self.stale = os.fspath(folder), None
        self._path, self._say, self._field = os.path.join(self.folder, 'lock'), say or _print_on_stderr, field

    def __enter__(self) -> 'FolderLock':
        """Takes the folder.

        Raises:
          UserError: another process has it, or it cannot be written.
        """
        self._line = json.dumps({'host': socket.gethostname(), 'pid': os.getpid()}) + '\n'
        try:
            # The stack undoes what was done so far if one of the steps fails; otherwise __exit__ undoes all of it.
            with contextlib.ExitStack() as stack:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, self._file)
                self.stale = self._claim()
                stack.callback(self._release)
                _overwrite(self._file, self._line)
                stack.callback(_start_beating(self._file))
                self._stack = stack.pop_all()
        except OSError as error:
            raise unwritable(self._field, self.folder, error) from None
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _claim(self):
        """Returns a description of the dead process that the file names, or None; raises UserError if it lives."""
        locked = self._lock()
        line = _read(self._file)
        if not line:  # The file is new, or its last holder released the folder.
            return None
        if _may_live(line, locked) and self._shows_life(line):
            raise self._in_use(line)
        return _described(line)

    def _lock(self):
        """Takes the kernel's lock; returns False where the file system has no locks."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use(_read(self._file)) from None
        except OSError:
            return False
        return True

    def _shows_life(self, line):
        """Tells whether somebody touches the file while this process watches it."""
        self._say(
            f'{self._path} names {_described(line)}; watching for {_WATCHED_BEATS * BEAT:g} seconds whether '
            'that still runs'
        )
        first = _touched(self._path)
        for _ in range(_WATCHED_BEATS):
            time.sleep(BEAT)
            if _touched(self._path) != first:  # The times are only compared for equality: clocks of hosts differ.
                return True
        return False

    def _release(self):
        # The file is emptied, so that a restart on another host need not watch it. It is not deleted: one process
        # could then hold the lock of the deleted file, and another one the lock of a new file of the same name. If
        # another host has taken the folder in the meantime, its line stays.
        with contextlib.suppress(OSError):
            if _read(self._file) == self._line:
                os.ftruncate(self._file, 0)
        with contextlib.suppress(OSError):
            # Closing the file would not release the lock while a forked child has the file open.
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _in_use(self, line):
        remedy = 'wait for it or stop it, or choose another folder'
        return UserError(f'is in use by {_described(line)}', field=self._field, value=self.folder, remedy=remedy)


def _read(file):
    # A disk that was full, or a host that crashed, may leave zero bytes behind.
    return os.pread(file, 1024, 0).partition(b'\0')[0].decode(errors='replace')


def _overwrite(file, line):
    data = line.encode()
    os.pwrite(file, data, 0)  # This comes before truncation, so that nobody sees the file empty.
    os.ftruncate(file, len(data))
    os.fsync(file)  # Without it other hosts would see the line only when this host writes its cache back.


def _holder(line):
    """Returns (host, process id) from the line of a lock's file; None if it cannot be read."""
    try:
        content = json.loads(line.partition('\n')[0])
        return str(content['host']), int(content['pid'])
    except (ValueError, TypeError, KeyError):
        return None


def _described(line):
    holder = _holder(line)
    return 'an unknown process' if holder is None else f'process {holder[1]} on {holder[0]}'


def _may_live(line, locked):
    """Tells whether the holder may still run, given whether this process got the kernel's lock."""
    holder = _holder(line)
    if holder is None:
        return not locked
    host, pid = holder
    if host != socket.gethostname():  # Its lock may not reach this host, and its processes cannot be looked up.
        return True
    return not locked and _exists(pid)


def _exists(pid):
    try:
        os.kill(pid, 0)  # Signal 0 only asks whether the process exists.
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # It exists, and belongs to another user.
        pass
    return True


def _touched(path):
    """Returns when a file was touched, in its server's time."""
    # The file is opened because NFS may answer a plain stat from its cache for a minute.
    file = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(file).st_mtime_ns
    finally:
        os.close(file)


def _start_beating(file):
    """Touches a file every BEAT seconds, in a thread; returns a function that ends the thread."""
    ended = threading.Event()

    def beat():
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(file)

    def end():
        ended.set()
        thread.join()

    thread = threading.Thread(target=beat, name='folder_lock', daemon=True)
    thread.start()
    return end


def _print_on_stderr(line):
    print(line, file=sys.stderr, flush=True)
