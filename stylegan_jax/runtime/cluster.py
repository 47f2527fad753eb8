"""The processes of a run: joining them, and the little that they have to tell one another outside the steps.

One process is enough for one machine. With several, process 0 alone reads and writes the run's folder.
"""

import hashlib
import os

import jax
import numpy as np
from jax.experimental import multihost_utils

from stylegan_jax.errors import UserError

_LONGEST_MESSAGE = 1000  # bytes


def join(coordinator=None, num_processes=None, process_id=None):
    """Joins the processes of a run; does nothing for a process that runs alone.

    Args:
      coordinator: HOST:PORT of process 0; None asks Slurm, if this is one of several tasks of a step.
      num_processes: how many there are.
      process_id: which of them this is, from 0.

    Raises:
      UserError: only some of the three are given, or the others cannot be reached.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError('--coordinator, --num_processes and --process_id go together; give all three or none')
    if (not any(given) and int(os.environ.get('SLURM_STEP_NUM_TASKS', 1)) < 2) or num_processes == 1:
        return
    if num_processes is not None and not 0 <= process_id < num_processes:
        raise UserError(
            f'--process_id={process_id}: with --num_processes={num_processes} give 0 to {num_processes - 1}'
        )
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.config.update('jax_enable_preemption_service', False)  # see `stop_requests`
    try:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, local_device_ids=None if any(given) else _devices_of_task()
        )
    except (RuntimeError, ValueError) as error:
        message = ' '.join(str(error).split())
        raise UserError(
            f'the processes of this run do not find one another ({message}); check --coordinator='
            f'{coordinator} and that all of them were started'
        ) from error


def is_primary():
    """Whether this is process 0, which alone touches the run's folder."""
    return jax.process_index() == 0


def agree(function):
    """Calls a function that may fail in some processes only, and fails in all of them then.

    Returns:
      What the function returns.

    Raises:
      UserError: it raised something in another process.
      Whatever it raised here.
    """
    if jax.process_count() == 1:
        return function()
    result, error = None, None
    try:
        result = function()
    except Exception as own:  # whatever it is, the others must not wait
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


def from_primary(tree):
    """Returns process 0's values of a pytree of numpy arrays; the others give some of the same shapes."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def check_same(what, text):
    """Raises a UserError in all processes where a text is not the same in all; `what` names it."""
    if jax.process_count() > 1:
        digest = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), np.uint8)
        digests = multihost_utils.process_allgather(digest)
        different = [number for number, other in enumerate(digests) if not np.array_equal(other, digests[0])]
        if different:
            raise UserError(
                f'process {different[0]} has another {what} than process 0; start all of them with the same '
                'command and the same data'
            )


def stop_requests():
    """Makes a function that spreads requests to stop.

    JAX's own preemption service would do so for SIGTERM alone, and would take the signal from whoever wants to count
    it; this serves Ctrl-C as well.

    Returns:
      A function from the number of the signal that this process got (0 for none) to the highest that any got. Where
      there are several processes the result is an array that takes a moment to arrive: reading it a few iterations
      later costs nothing, and all processes read the same.
    """
    if jax.process_count() == 1:
        return int
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('device',))
    cut, whole = (jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in (('device',), ()))
    highest = jax.jit(lambda numbers: numbers.max(), out_shardings=whole)

    def spread(number):
        numbers = np.full(jax.local_device_count(), number, np.int32)
        return highest(jax.make_array_from_process_local_data(cut, numbers))

    return spread


def _devices_of_task():
    """Numbers of the devices of a Slurm task that has its node for itself; None otherwise.

    JAX gives each task one device, which is right for a task per device and wrong for a task per node.
    """
    visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
    if os.environ.get('SLURM_STEP_NUM_TASKS') != os.environ.get('SLURM_STEP_NUM_NODES') or not visible:
        return None
    return list(range(len(visible.split(','))))
