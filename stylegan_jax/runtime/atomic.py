"""Files that appear whole or not at all, whatever ends the writing."""

import collections.abc
import contextlib
import errno
import os
import typing


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, mode: str = 'w', *, suffix: str = '.part', to_disk: bool = False
) -> collections.abc.Iterator[typing.IO]:
    """Opens a file that takes its name once everything in it is written; a file of that name is kept until then.

    Args:
      path: where the file will be; an existing one is replaced.
      mode: 'w' or 'wb'.
      suffix: end of its name while it is written; processes that may write the same file at the same time need
        different ones.
      to_disk: whether the file must survive if the machine loses its power right afterwards.

    Yields:
      The open file.
    """
    temporary = os.fspath(path) + suffix
    try:
        with open(temporary, mode) as file:
            yield file
            if to_disk:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)  # a single operation of the file system: readers see the old file or the new one
    except BaseException:  # also Ctrl-C and the end of the process by sys.exit
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def append_lines(path: str | os.PathLike, lines: bytes) -> None:
    """Appends lines to a file, all of them or none; a line that was torn before stays a line of its own.

    Args:
      path: of the file, which is created if it does not exist.
      lines: text that ends with a newline.

    Raises:
      OSError: the file cannot be written, or there is no room for all lines.
    """
    # One unbuffered write: the process cannot be killed between two halves that the system has already taken.
    with open(path, 'a+b', buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end and file.seek(end - 1) >= 0 and file.read(1) != b'\n':
            lines = b'\n' + lines
        if file.write(lines) != len(lines):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
