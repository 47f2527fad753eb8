"""Measure how fast this machine is.

python -m stylegan_jax.benchmark --what=train
python -m stylegan_jax.benchmark --what=train --resolution=64,256 --batch=32,16 --plot=roofline.png
python -m stylegan_jax.benchmark --what=generate --precision=tf32 --json=generate.json
python -m stylegan_jax.benchmark --what=compile --resolution=256 --batch=8
python -m stylegan_jax.benchmark --what=graph --resolution=1024 --batch=8
python -m stylegan_jax.benchmark --what=data --resolution=64,1024 --encoding=raw,png
"""

import functools
import json
import os
from collections.abc import Sequence

from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.config import Config
from stylegan_jax.errors import UserError

_DATA_RESOLUTIONS = [64, 256, 1024]

FLAGS = flags.FlagValues()
_WHAT = flags.DEFINE_enum(
    'what',
    'train',
    ['train', 'generate', 'compile', 'graph', 'data'],
    'train: a D step and a G step of the full-width network; generate: images from latents; '
    'compile: one stage, with and without a persistent cache; graph: the kernels of a training step compiled '
    'for an H100, with predicted times (neither measures nor needs a GPU); data: reading and '
    'decoding prepared records.',
    flag_values=FLAGS,
)
_RESOLUTION = flags.DEFINE_list(
    'resolution', None, 'Sides [pixels]; by itself what suits the device.', flag_values=FLAGS
)
_BATCH = flags.DEFINE_list(
    'batch',
    None,
    'Images a step, one number for each resolution or one for all; by itself what suits the device. Not for data.',
    flag_values=FLAGS,
)
_PRECISION = flags.DEFINE_string(
    'precision', Config().precision, 'As --config.precision of training. Not for data and graph.', flag_values=FLAGS
)
_ENCODING = flags.DEFINE_list('encoding', None, 'data: encodings of the records; by itself all.', flag_values=FLAGS)
_JSON = flags.DEFINE_string('json', None, 'A file to write the results to as well.', flag_values=FLAGS)
_KERNELS = flags.DEFINE_string(
    'kernels',
    None,
    'train, on a GPU, one resolution: a file (.json.gz) for the time of each kernel, which is printed beside the '
    'predicted one.',
    flag_values=FLAGS,
)
_PLOT = flags.DEFINE_string('plot', None, 'train, generate: a PNG file to draw a roofline into.', flag_values=FLAGS)


def main(argv: Sequence[str]) -> int:
    """Measures and prints; returns the exit code."""
    del argv
    resolutions, batches = (
        _numbers(flag, values.value) for flag, values in (('resolution', _RESOLUTION), ('batch', _BATCH))
    )
    _check_flags()
    if _WHAT.value == 'data':
        measured = _measure_data(resolutions)
    elif _WHAT.value == 'graph':
        measured = _predict_graphs(resolutions, batches)
    else:
        measured = _measure_device(_WHAT.value, resolutions, batches)
    if _JSON.value:
        with open(_JSON.value, 'w') as file:
            json.dump({'what': _WHAT.value, **measured}, file, indent=1)
            file.write('\n')
    return 0


def _measure_data(resolutions):
    # Grain and ArrayRecord take seconds to import, and the other measurements do without them.
    from stylegan_jax.benchmarks import data
    from stylegan_jax.data.records import ENCODINGS
    from stylegan_jax.runtime import machine

    encodings = _ENCODING.value or list(ENCODINGS)
    unknown = [encoding for encoding in encodings if encoding not in ENCODINGS]
    if unknown:
        raise UserError('choose from ' + ', '.join(ENCODINGS), field='encoding', value=unknown[0])
    facts = machine.describe()
    _say(machine.heading(facts))
    return {'machine': facts, 'results': data.measure(resolutions or _DATA_RESOLUTIONS, encodings, _say)}


def _predict_graphs(resolutions, batches):
    """Compiles for an H100, which need not be there, and prints what the model of kernel times says."""
    import jax  # takes a second; measuring data does without it

    from stylegan_jax.benchmarks import cases, graph, h100, kernel_time

    h100.compiler_library()  # says what is missing before anything else is done
    results = []
    for case in cases.make_cases(resolutions, batches, 'bfloat16', kind='accelerator'):
        step = cases.iteration(case, fades=False)
        compiled = h100.compile_for_h100(step, *cases.abstract_iteration(case), donate_argnums=0)
        text = compiled.as_text()
        kernels = kernel_time.predict(text)
        _say(
            f'{case.resolution}x{case.resolution}, batch {case.batch}, bfloat16: compiled for an H100, times of an H200'
        )
        _say(kernel_time.table(kernels))
        _say(str(graph.read_graph(text)))
        results.append(
            case.named()
            | {'milliseconds': kernel_time.milliseconds(kernels), 'by_kind': dict(kernel_time.by_kind(kernels))}
        )
    return {'jax': jax.__version__, 'results': results}


def _measure_device(what, resolutions, batches):
    """Measures with JAX; does not import the data pipeline, checkpoints or TensorFlow Datasets."""
    import jax  # takes a second; measuring data does without it

    from stylegan_jax.benchmarks import cases, compiling, device, generate, plot, profile, table, train
    from stylegan_jax.runtime import machine

    listed = cases.make_cases(resolutions, batches, _PRECISION.value)
    if _KERNELS.value and (jax.default_backend() != 'gpu' or len(listed) != 1):
        raise UserError('it takes a GPU and one resolution', field='kernels', value=_KERNELS.value)
    facts = machine.describe(jax.devices()[0])
    _say(machine.heading(facts))
    measured = {'machine': facts, 'precision': _PRECISION.value}
    if what == 'compile':
        function = compiling.measure
    else:
        rates = device.measure(_PRECISION.value)
        _say(f'at best: {rates}')
        measured['rates'] = rates._asdict()
        function = {'train': train.measure, 'generate': generate.measure}[what]
    _say(f'{what}, {_PRECISION.value}:\n{table.heading(what)}')
    results = []

    steps = []  # what the profiler runs afterwards
    if _KERNELS.value:
        function = functools.partial(train.measure, on_compiled=lambda *step: steps.append(step))
    for case in listed:
        results.append(function(case) if what == 'compile' else function(case, rates))
        _say(table.line(what, results[-1]))
    for run, compiled in steps:
        recorded = profile.record(run, compiled, {'machine': facts, **listed[0].named()})
        profile.write(_KERNELS.value, recorded)
        _say(profile.comparison(recorded))
    if _PLOT.value:
        plot.roofline(_PLOT.value, results, rates, f'{what}, {_PRECISION.value}\n{machine.heading(facts)}')
    return measured | {'results': results}


def _numbers(flag, values):
    """Returns a list flag as numbers, None where it was not given."""
    try:
        numbers = [int(value) for value in values or ()]
    except ValueError:
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise UserError('give whole numbers above 0, such as 64,256', field=flag, value=','.join(values))
    return numbers or None


def _check_flags():
    """Refuses what would be ignored, and files that could not be written after all the measuring."""
    what = _WHAT.value
    for flag, does_it_use in (
        (_BATCH, what != 'data'),
        (_PRECISION, what not in ('data', 'graph')),
        (_ENCODING, what == 'data'),
        (_PLOT, what in ('train', 'generate')),
        (_KERNELS, what == 'train'),
    ):
        if flag.present and not does_it_use:
            raise UserError(f'--what={what} does not use it', field=flag.name, remedy='leave it out')
    for flag in _JSON, _PLOT, _KERNELS:
        folder = os.path.dirname(flag.value or '') or '.'
        if not os.path.isdir(folder):
            raise UserError(f'there is no folder {folder}', field=flag.name, value=flag.value)


def _say(line):
    print(line, flush=True)


if __name__ == '__main__':
    command.run(main, FLAGS)
