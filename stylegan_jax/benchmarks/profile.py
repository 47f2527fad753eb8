"""Profiles of a compiled step on a GPU: how long each kernel took, in a file beside the program that they belong to.

`kernel_time` was fitted to such profiles, and is compared with them.
"""

import collections
import glob
import gzip
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from stylegan_jax.benchmarks import kernel_time
from stylegan_jax.errors import UserError

_STEPS = 4  # that are profiled


def record(run: Callable[[int], None], compiled: jax.stages.Compiled, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Profiles a compiled function with JAX's profiler.

    Args:
      run: takes a number of steps, and waits for their end.
      compiled: the function that it calls.
      facts: what to keep with the profile: the machine, the case.

    Returns:
      The facts; microseconds: of a step, of all kernels together; kernels: {name: [runs, microseconds] of a step};
      program: its optimised HLO, without what no one reads again.

    Raises:
      UserError: the device has no kernels that the profiler could name, such as a CPU.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run(_STEPS)
        (path,) = glob.glob(os.path.join(folder, '**', '*.trace.json.gz'), recursive=True)
        with gzip.open(path) as file:
            kernels = kernels_of(json.load(file)['traceEvents'], _STEPS)
    if not kernels:
        raise UserError('the profiler saw no kernels', field='kernels', remedy='use a machine with an NVIDIA GPU')
    microseconds = sum(time for _, time in kernels.values())
    program = _shortened(compiled.as_text())
    return {**facts, 'microseconds': microseconds, 'kernels': kernels, 'program': program}


def kernels_of(events: Iterable[Mapping[str, Any]], steps: int) -> dict[str, tuple[float, float]]:
    """Adds up the kernels in a trace of JAX's profiler.

    Args:
      events: of a trace, in the format of Chrome's trace viewer; times in microseconds.
      steps: how many it covers.

    Returns:
      {name of the instruction: (runs, microseconds)} of one step. Kernels that XLA launches together (in a command
      buffer) have no instruction; of these, fusions are called after their instruction, and others by their own name.
    """
    events = list(events)
    devices = {
        event['pid']
        for event in events
        if event.get('ph') == 'M' and event['name'] == 'process_name' and 'GPU' in event['args'].get('name', '')
    }
    total = collections.defaultdict(lambda: (0, 0))
    for event in events:
        if event.get('ph') != 'X' or event['pid'] not in devices or 'hlo_op' not in event.get('args', {}):
            continue
        name = event['args']['hlo_op']
        if name.startswith('command_buffer'):
            name = re.sub(r'_(\d+)$', r'.\1', event['name'])
        runs, microseconds = total[name]
        total[name] = runs + 1, microseconds + event['dur']
    return {name: (runs / steps, microseconds / steps) for name, (runs, microseconds) in total.items()}


def write(path: str, profile: Mapping[str, Any]) -> None:
    """Writes a profile, as JSON that gzip has compressed."""
    with gzip.open(path, 'wt') as file:
        json.dump(profile, file)


def read(path: str) -> dict[str, Any]:
    """Reads a profile that `write` wrote."""
    with gzip.open(path, 'rt') as file:
        return json.load(file)


def comparison(profile: Mapping[str, Any], rows: int = 20) -> str:
    """Writes the measured and the predicted time of a profile as text: in all, by kind, and where they differ most."""
    predicted = kernel_time.predict(profile['program'])
    kinds = {kernel.name: kernel.kind for kernel in predicted}
    measured = collections.Counter()
    for name, (_, microseconds) in profile['kernels'].items():
        measured[kinds.get(name, 'other')] += microseconds / 1e3
    by_kind, total = kernel_time.by_kind(predicted), profile['microseconds'] / 1e3
    lines = [
        f'{total:.2f} ms a step measured, {kernel_time.milliseconds(predicted):.2f} predicted',
        *(f'  {kind:16s} {measured[kind]:8.2f} {by_kind[kind]:8.2f}' for kind in sorted(measured | by_kind)),
    ]

    def difference(kernel):
        return abs(profile['kernels'].get(kernel.name, (0, kernel.microseconds))[1] - kernel.microseconds)

    for kernel in sorted(predicted, key=difference, reverse=True)[:rows]:
        if kernel.name in profile['kernels']:
            microseconds = profile['kernels'][kernel.name][1]
            lines.append(
                f'  {microseconds:8.0f} us, {kernel.microseconds:8.0f} predicted  {kernel.kind:15s} '
                f'{kernel.short_shape[:44]:44s} {kernel.source[-50:]}'
            )
    return '\n'.join(lines)


def _shortened(text):
    """Leaves out what `hlo` does not read: places in the source, and most settings of the backend."""
    text = re.sub(
        r' (source_file|source_line|stack_frame_id|deduplicated_name|scheduling_name)=("[^"]*"|\d+)', '', text
    )
    return re.sub(r', backend_config=(?!.*known_trip_count).*', '', text)
