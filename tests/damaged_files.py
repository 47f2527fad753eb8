"""Files of networks that went through random damage, and a process that reads many of them and says what it took.

The damage is that of disks, transfers and editors: nothing here is made to do harm.
"""

import copy
import itertools
import json
import os
import pathlib
import pickletools
import random
import re
import resource
import sys
import time

_UNLIKELY = (
    *(None, True, False, -1, 0, 1, 7, 0.5, 1e9, 1e300, float('nan'), float('inf'), 10**9, 10**18, '', '8', 'relu'),
    *([], [1], [1, 2], [[1]], [1.5] * 3, {}, {'1': 2}, 'x' * 1000, [0] * 1000),
)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)  # where sizes and signs end


def structure_of(content: bytes) -> list[int]:
    """The bytes of a pickle that are not the values of arrays, where damage is more than another weight."""
    places, begins = [], [place for _, _, place in pickletools.genops(content)] + [len(content)]
    for begin, end in itertools.pairwise(begins):
        places += range(begin, min(end, begin + 40))
    return places


def damaged(content: bytes, places: list[int], chance: random.Random) -> bytes:
    """A copy of a file with one to three faults, most of them at the given places."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place = chance.choice(places) if chance.random() < 0.9 else chance.randrange(len(content))
        place = min(place, len(content) - 1)
        kind = chance.randrange(9)
        if kind == 0:  # a bit
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1:  # a byte
            content[place] = chance.randrange(256)
        elif kind == 2:  # a number in four bytes
            content[place : place + 4] = chance.choice(_NUMBERS).to_bytes(4, 'little')
        elif kind == 3:  # a byte that is elsewhere in the structure, such as another opcode
            content[place] = content[min(chance.choice(places), len(content) - 1)]
        elif kind == 4:  # a piece is missing
            del content[place : place + chance.randint(1, 64)]
        elif kind == 5:  # a piece is there twice
            content[place:place] = content[place : place + chance.randint(1, 64)]
        elif kind == 6:  # a piece of another place
            begin, size = min(chance.choice(places), len(content)), chance.randint(1, 64)
            content[place : place + size] = content[begin : begin + size]
        elif kind == 7:  # zeros, as a crash leaves them
            content[place : place + chance.choice((4, 512))] = bytes(4)
        elif chance.random() < 0.2:  # the end is missing
            del content[place:]
        if not content:
            content = bytearray(1)
    return bytes(content)


def miswritten(header: dict, chance: random.Random) -> dict:
    """A copy of a header in which one to three entries, at any depth, have an unlikely value."""
    header = json.loads(json.dumps(header))
    for _ in range(chance.randint(1, 3)):
        table = header
        while True:
            name = chance.choice(list(table))
            if not isinstance(table[name], dict) or not table[name] or chance.random() < 0.1:
                break
            table = table[name]
        table[name] = copy.deepcopy(chance.choice(_UNLIKELY))
    return header


def main() -> None:
    """Reads files that are named on standard input; prints a line of JSON for each.

    A line has the path, the network, and the module of `storage` whose `load` reads it, such as `loading`. The answer
    is [path, 'network' or the error, seconds of the processor, most memory so far in MiB].
    """
    from stylegan_jax import UserError
    from stylegan_jax.storage import genforce, loading, rosinality

    # A fault of the bounds must not take the machine's memory.
    size = int(open('/proc/self/statm').read().split()[0]) * os.sysconf('SC_PAGE_SIZE') + (6 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    for line in sys.stdin:
        path, which, reader = line.split()
        load = {'loading': loading, 'rosinality': rosinality, 'genforce': genforce}[reader].load
        start, outcome = time.process_time(), 'network'
        try:
            load(path, which)
        except UserError as error:
            outcome = str(error)
        except BaseException as error:
            outcome = f'{type(error).__name__}!'
        print(json.dumps([path, outcome, time.process_time() - start, peak_memory()]), flush=True)


def peak_memory():
    """Returns the most memory that this process has had [MiB]."""
    try:  # of this program alone; what `resource` says begins with the memory of the process that started it
        status = pathlib.Path('/proc/self/status').read_text()
        return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) / 2**10
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == '__main__':
    main()
