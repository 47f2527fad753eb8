"""Convert networks from any form to another, and check what was written.

    python -m stylegan_jax.convert --network=runs/quickstart --out=mine.safetensors --which=all
    python -m stylegan_jax.convert --network=stylegan-ffhq-1024x1024.pkl --out=ffhq.npz --dtype=float16
    python -m stylegan_jax.convert --network=runs/quickstart --out=for-the-hub --form=hub
    python -m stylegan_jax.convert --network=mine.safetensors --describe

The ending of --out tells the form, or --form does. The file is read back, or run by the other side's own runtime, on
latents drawn for the purpose, and the difference of images is printed. If it is above the form's bound, the command
fails and leaves nothing behind; --bound accepts more. A file of that name is replaced once the new one was checked.
docs/conversion.md has the table of forms.
"""

import os

from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.conversion import converting, describing
from stylegan_jax.conversion.forms import FORMS
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import compile_cache

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_NETWORK = NetworkFlags(FLAGS, ('network', 'lod'))
_OUT = flags.DEFINE_string('out', None, 'File that is written, or folder with --form=hub.', flag_values=FLAGS)
_WHICH = flags.DEFINE_enum(
    'which',
    'ema',
    ['ema', 'G', 'D', 'all'],
    'Which network: ema is the average of the generator over the training, G the generator as trained, D the '
    'discriminator; all takes those that there are, where the form can hold several.',
    flag_values=FLAGS,
)
_FORM = flags.DEFINE_enum('form', None, list(FORMS), 'Form of the file; the ending tells it.', flag_values=FLAGS)
_BOUND = flags.DEFINE_float(
    'bound',
    None,
    "Largest difference of images, which are in [-1, 1], that is accepted; the default is the form's own.",
    lower_bound=0,
    flag_values=FLAGS,
)
_DTYPE = flags.DEFINE_enum(
    'dtype',
    None,
    ['float32', 'float16'],
    'Number type of the weights in the file; float16 is half as large. The default is the one that they are read '
    'in, which is at least float32.',
    flag_values=FLAGS,
)
_INPUTS = flags.DEFINE_enum(
    'inputs',
    None,
    list(converting.CHOICES['inputs']),
    'For forms that are programs: they take z (and labels), or ws, a w for each layer. The default is z.',
    flag_values=FLAGS,
)
_PSI = flags.DEFINE_string(
    'psi',
    None,
    'For forms that are programs: truncation, a number, or input for an input of the program; the default is the '
    "network's own.",
    flag_values=FLAGS,
)
_NOISE = flags.DEFINE_enum(
    'noise',
    None,
    list(converting.CHOICES['noise']),
    'For forms that are programs: noise inputs are stored ones (const, the default), inputs of the program, or none.',
    flag_values=FLAGS,
)
_WEIGHTS = flags.DEFINE_enum(
    'weights',
    None,
    list(converting.CHOICES['weights']),
    'For forms that are programs: weights are inside (the default), or arguments, in a file of their own.',
    flag_values=FLAGS,
)
_DESCRIBE = flags.DEFINE_bool(
    'describe', False, 'Say what --network is: form, networks, sizes, length of training.', flag_values=FLAGS
)


def main(argv: list[str]) -> None:
    """Converts a network, or describes it."""
    del argv
    compile_cache.use_cache(compile_cache.CACHE.value)
    _NETWORK.check()
    if _DESCRIBE.value:
        if _OUT.value:
            raise UserError('nothing is written with --describe', field='out', value=_OUT.value, remedy='leave it out')
        print('\n'.join(describing.describe(_NETWORK['network'])))
        return
    if not _OUT.value:
        raise UserError('--out is missing; see --help')
    done = converting.convert(
        _NETWORK['network'],
        _OUT.value,
        which=_WHICH.value,
        form=_FORM.value,
        bound=_BOUND.value,
        lod=_NETWORK['lod'],
        dtype=_DTYPE.value,
        inputs=_INPUTS.value,
        psi=_psi(),
        noise=_NOISE.value,
        weights=_WEIGHTS.value,
    )
    print(f'{done.out}: {" and ".join(done.names)} as {FORMS[done.form].about}, {describing.megabytes(done.nbytes)}')
    for file in done.files:
        if FORMS[done.form].endings and file != os.path.basename(done.out):
            print(f'beside it: {file}')
    if done.replaced:
        print('it replaces a file of that name')
    for line in done.lost:
        print(f'not in the file: {line}')
    if FORMS[done.form].exact:
        print('checked: read back, all arrays are the same' + (' byte for byte' if _DTYPE.value is None else ''))
    for name in done.names:
        differences = [difference for difference in done.differences if difference.which == name]
        worst = max(differences, key=lambda difference: difference.largest)
        print(f'checked: {worst}' + (f'; {len(differences)} sizes were compared' if len(differences) > 1 else ''))


def _psi():
    try:
        return _PSI.value if _PSI.value in (None, 'input') else float(_PSI.value)
    except ValueError:
        raise UserError('give a number, or input', field='psi', value=_PSI.value) from None


if __name__ == '__main__':
    command.run(main, FLAGS)
