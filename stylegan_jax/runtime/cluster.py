"""The processes of a run: how they join, and what they exchange outside the training steps.

One process is enough for one machine. With several, process 0 alone reads and writes the run's folder.
"""

import collections
import collections.abc
import hashlib
import os
import typing

import jax
import numpy as np
from jax.experimental import multihost_utils

from stylegan_jax.errors import UserError

_LONGEST_MESSAGE = 1000  # bytes; processes exchange messages as arrays of one size

_Result = typing.TypeVar('_Result')


def join(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> None:
    """Joins the processes of a run; does nothing for a process that runs alone.

    Args:
      coordinator: HOST:PORT of process 0; None asks Slurm, if this is one of several tasks of a step.
      num_processes: how many processes there are.
      process_id: the number of this process, from 0.

    Raises:
      UserError: only some of the three are given, or the others cannot be reached.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError('coordinator, num_processes and process_id go together', remedy='give all three or none')
    if (not any(given) and int(os.environ.get('SLURM_STEP_NUM_TASKS', 1)) < 2) or num_processes == 1:
        return
    if num_processes is not None and not 0 <= process_id < num_processes:
        raise UserError(
            f'with num_processes={num_processes} give 0 to {num_processes - 1}', field='process_id', value=process_id
        )
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')  # CPUs have no other way to exchange arrays.
    jax.config.update('jax_enable_preemption_service', False)  # see `stop_requests`
    try:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, local_device_ids=None if any(given) else _devices_of_task()
        )
    except (RuntimeError, ValueError) as error:
        message = ' '.join(str(error).split())
        raise UserError(
            f'the processes of this run do not find one another ({message})',
            remedy=f'check coordinator={coordinator} and that all of them were started',
        ) from error


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
    text = ' '.join((str(error) or type(error).__name__).split()).encode()[:_LONGEST_MESSAGE] if error else b''
    texts = multihost_utils.process_allgather(np.frombuffer(text.ljust(_LONGEST_MESSAGE), np.uint8))
    failed = [
        (number, bytes(text).decode(errors='replace').strip())
        for number, text in enumerate(texts)
        if bytes(text).strip()
    ]
    if error is not None:
        raise error
    if failed:
        raise UserError(f'process {failed[0][0]}: {failed[0][1]}')
    return result


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


def _devices_of_task():
    """Returns the numbers of the devices of a Slurm task that is alone on its node; None for other tasks.

    JAX gives each task one device. That is right if there is a task per device, and wrong if there is one per node.
    """
    visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
    if os.environ.get('SLURM_STEP_NUM_TASKS') != os.environ.get('SLURM_STEP_NUM_NODES') or not visible:
        return None
    return list(range(len(visible.split(','))))
