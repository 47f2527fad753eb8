"""The main memory that this process may still take."""

import os
import pathlib

_GROUP = pathlib.Path('/sys/fs/cgroup')  # of the container, version 2 and then version 1
_GROUP_FILES = (('memory.max', 'memory.current'), ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'))


def available_bytes() -> int:
    """Returns how much memory is free, or could be, for this process: within the machine and its container."""
    free = [_of_machine()]
    for limit, used in _GROUP_FILES:
        try:
            free.append(int((_GROUP / limit).read_text()) - int((_GROUP / used).read_text()))
        except (OSError, ValueError):  # no such version, or no limit ('max')
            continue
    return max(0, min(free))


def _of_machine():
    try:
        with open('/proc/meminfo') as file:
            return next(int(line.split()[1]) for line in file if line.startswith('MemAvailable:')) << 10
    except (OSError, StopIteration):  # not Linux
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2
