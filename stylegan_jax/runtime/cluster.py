"""The processes of a run: how they join, and what they exchange outside the training steps.

One process is enough for one machine. With several, process 0 alone reads and writes the run's folder.
"""

import collections
import collections.abc
import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import typing

import jax
import numpy as np
from jax.experimental import multihost_utils

from stylegan_jax.errors import UserError
from stylegan_jax.runtime import slurm

_LONGEST_MESSAGE = 1000  # bytes; processes exchange messages as arrays of one size

_Result = typing.TypeVar('_Result')


def join(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> None:
    """Joins the processes of a run; does nothing for a process that runs alone.

    Args:
      coordinator: HOST:PORT of process 0; None asks Slurm, if this is one of several tasks of a step.
      num_processes: how many processes there are.
      process_id: the number of this process, from 0.

    Raises:
      UserError: only some of the three are given, the others cannot be reached, or there are too few GPUs.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError('coordinator=HOST:PORT, num_processes=N and process_id=I go together; give all three or none')
    if (not any(given) and slurm.num_tasks(os.environ) < 2) or num_processes == 1:
        return
    if num_processes is not None and not 0 <= process_id < num_processes:
        raise UserError(
            f'with num_processes={num_processes} give 0 to {num_processes - 1}', field='process_id', value=process_id
        )
    if coordinator is not None and not re.fullmatch(r'.+:\d{1,5}', coordinator):
        raise UserError('give HOST:PORT', field='coordinator', value=coordinator)
    devices = slurm.devices_of_task(os.environ)
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')  # CPUs have no other way to exchange arrays.
    jax.config.update('jax_enable_preemption_service', False)  # see `stop_requests`
    print(f'waiting for the other processes{f" at {coordinator}" if coordinator else ""}', flush=True)
    try:
        with _ended_by_signals():
            jax.distributed.initialize(coordinator, num_processes, process_id, local_device_ids=devices)
    except (RuntimeError, ValueError) as error:
        message = ' '.join(str(error).split())
        raise UserError(
            f'the processes of this run do not find one another ({message})',
            remedy=f'check coordinator={coordinator} and that all of them were started',
        ) from error


@contextlib.contextmanager
def _ended_by_signals():
    """Context in which Ctrl-C and SIGTERM end the process at once: handlers of Python would wait for JAX."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gathered(text):
    """Returns the text of each process, in the order of their numbers."""
    padded = text.encode()[:_LONGEST_MESSAGE].ljust(_LONGEST_MESSAGE)
    texts = multihost_utils.process_allgather(np.frombuffer(padded, np.uint8))
    return [bytes(each).decode(errors='replace').strip() for each in texts]


def is_primary() -> bool:
    """Tells whether this is process 0, which alone touches the run's folder."""
    return jax.process_index() == 0


def agree(function: collections.abc.Callable[[], _Result]) -> _Result:
    """Calls a function in every process; if it fails in some of them, this raises an error in all.

    Without that, the processes in which it did not fail would wait forever for the others in the next step.

    Returns:
      The function's result in this process.

    Raises:
      UserError: the function raised something in another process.
      Exception: any error that it raised in this process.
    """
    if jax.process_count() == 1:
        return function()
    result, error = None, None
    try:
        result = function()
    except Exception as own:  # Every kind of error counts: the others must not wait.
        error = own
    text = ' '.join((str(error) or type(error).__name__).split()) if error else ''
    failed = [(number, text) for number, text in enumerate(_gathered(text)) if text]
    if error is not None:
        raise error
    if failed:
        raise UserError(f'process {failed[0][0]}: {failed[0][1]}')
    return result


def describe_processes() -> list[str]:
    """Returns a line about the devices of each process, and one about GPUs of Slurm that nobody uses.

    Every process calls it. A process that runs alone has no lines.
    """
    if jax.process_count() == 1:
        return []
    mine = jax.local_devices()
    gpus = slurm.gpus_of_step(os.environ) if mine[0].platform == 'gpu' else 0
    facts = [platform.node(), len(mine), mine[0].device_kind, gpus]
    return process_lines([json.loads(text) for text in _gathered(json.dumps(facts))])


def process_lines(facts: collections.abc.Sequence[tuple[str, int, str, int]]) -> list[str]:
    """Returns the lines of `describe_processes`.

    Args:
      facts: (host, number of devices, kind of device, GPUs that Slurm gave on the host or 0) of each process.
    """
    lines, used, given = [], collections.Counter(), {}
    for number, (host, count, kind, gpus) in enumerate(facts):
        lines.append(f'process {number} on {host}: {count} x {kind}')
        used[host] += count
        given[host] = gpus
    for host, gpus in given.items():
        if gpus > used[host]:
            lines.append(
                f'warning: {gpus - used[host]} of the {gpus} GPUs that Slurm gave on {host} are idle; '
                'start a number of tasks a node that divides them'
            )
    return lines


def from_primary(tree: typing.Any) -> typing.Any:
    """Returns process 0's values of a pytree of numpy arrays; other processes pass any arrays of the same shapes."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def check_same(what: str, text: str) -> None:
    """Raises a UserError in all processes if a text is not the same in all of them.

    Args:
      what: a name for the text.
      text: of this process.
    """
    if jax.process_count() > 1:
        digest = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), np.uint8)
        digests = multihost_utils.process_allgather(digest)
        different = [number for number, other in enumerate(digests) if not np.array_equal(other, digests[0])]
        if different:
            raise UserError(
                f'process {different[0]} has another {what} than process 0',
                remedy='start all of them with the same command and the same data',
            )


def stop_requests(lag: int = 0) -> collections.abc.Callable[[int], int]:
    """Makes a function by which processes tell one another that they have to stop.

    JAX's own preemption service does this for SIGTERM alone, and takes the signal from a program that wants to count
    it; this function serves Ctrl-C as well.

    Args:
      lag: with several processes, the function returns the answer of so many calls before. The answer takes a moment
        to arrive, so that reading it later costs no time.

    Returns:
      A function to be called by all processes in the same turn. It takes the number of the signal that this process got
      (0 for none), and returns the highest that any process got: the same in all of them.
    """
    if jax.process_count() == 1:
        return int
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('device',))
    cut, whole = (jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in (('device',), ()))
    highest = jax.jit(lambda numbers: numbers.max(), out_shardings=whole)

    asked = collections.deque()

    def ask(number):
        numbers = np.full(jax.local_device_count(), number, np.int32)
        asked.append(highest(jax.make_array_from_process_local_data(cut, numbers)))
        return int(asked.popleft()) if len(asked) > lag else 0

    return ask
