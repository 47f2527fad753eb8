"""What Slurm tells a task in its environment: whether it has others beside it, and which GPUs are its own."""

import os
import re
from collections.abc import Mapping

from stylegan_jax.errors import UserError

_DRIVER = '/proc/driver/nvidia/gpus'  # has an entry for each GPU of the machine


def num_tasks(environ: Mapping[str, str]) -> int:
    """Returns the number of tasks of the step that a process belongs to; 1 where it is no task of a step."""
    return _number(environ, 'SLURM_STEP_NUM_TASKS') or 1


def devices_of_task(environ: Mapping[str, str]) -> list[int] | None:
    """Returns which of the GPUs that a task sees are its own, by their places among these.

    JAX would give each task the one device whose number is that of the task on its node. That is right only where there
    is a task for each GPU, and each sees all of them.

    A task that sees fewer GPUs than its step has on the node was given them for itself (`--gpus-per-task`,
    `--gpu-bind`). All tasks see all GPUs otherwise, and divide them in the order of their numbers.

    Args:
      environ: the environment of the process.

    Returns:
      Numbers from 0; None where there is nothing to choose, or it is not known.

    Raises:
      UserError: more tasks than GPUs share the GPUs of the node.
    """
    local = _number(environ, 'SLURM_LOCALID')
    if local is None or environ.get('JAX_LOCAL_DEVICE_IDS'):
        return None
    seen, of_step = _num_seen(environ), _number(environ, 'SLURM_GPUS_ON_NODE')
    seen = seen if seen is not None else of_step if of_step is not None else _num_of_driver()
    if not seen:
        return None
    tasks = _tasks_on_node(environ)
    if tasks == 1 or (of_step is not None and seen < of_step):
        return list(range(seen))
    if seen < tasks:
        raise UserError(
            f'{tasks} tasks of Slurm share {seen} GPUs of a node',
            remedy=f'start at most {seen} a node (--ntasks-per-node={seen}), or ask for more GPUs',
        )
    each = seen // tasks
    return list(range(local * each, (local + 1) * each))


def gpus_of_step(environ: Mapping[str, str]) -> int:
    """Returns the number of GPUs that Slurm gave the step on this node; 0 if it does not tell."""
    return _number(environ, 'SLURM_GPUS_ON_NODE') or 0


def _num_seen(environ):
    """The number of GPUs that the environment leaves visible; None if it does not say."""
    for name in 'CUDA_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES':
        if (names := environ.get(name)) is not None:
            return len([each for each in names.split(',') if each.strip() and each != 'NoDevFiles'])
    return None


def _num_of_driver():
    try:
        return len(os.listdir(_DRIVER))
    except OSError:
        return None


def _tasks_on_node(environ):
    """The number of tasks of the step on this node. Slurm lists those of all nodes, as in '4(x2),3'."""
    counts = []
    for count, _, repeated in re.findall(r'(\d+)(\(x(\d+)\))?', environ.get('SLURM_STEP_TASKS_PER_NODE', '')):
        counts += [int(count)] * int(repeated or 1)
    node = _number(environ, 'SLURM_NODEID') or 0
    return counts[node] if node < len(counts) else 1


def _number(environ, name):
    """A variable as a number; None where it is not set, empty, or something else."""
    text = environ.get(name, '').strip()
    return int(text) if text.isdecimal() else None
