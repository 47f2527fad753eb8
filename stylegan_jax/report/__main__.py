"""Make the page of a run anew: report.html in its folder, which also a training writes at its checkpoints.

python -m stylegan_jax.report --run=runs/quickstart
"""

from collections.abc import Sequence

from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.errors import UserError
from stylegan_jax.report import write

FLAGS = flags.FlagValues()
_RUN = flags.DEFINE_string('run', None, 'The folder of a run.', flag_values=FLAGS)


def main(argv: Sequence[str]) -> int:
    """Writes the report and says where it is; returns the exit code."""
    del argv
    if not _RUN.value:
        raise UserError('--run is missing', remedy='give the folder of a run')
    try:
        print(write(_RUN.value))
    except OSError as error:
        raise UserError(
            f'report.html cannot be written ({error.strerror or error})',
            field='run',
            value=_RUN.value,
            remedy='make room, or copy the folder to where you may write',
        ) from None
    return 0


if __name__ == '__main__':
    command.run(main, FLAGS)
