"""The cases that are measured: the full-width network of configuration F, as for FFHQ, at its full size.

They have one device, one replica, and images that are on the device already: they measure the speed of the steps, not
that of the data.
"""

import dataclasses
import typing
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax import training
from stylegan_jax.config import Config, DataConfig, ParallelConfig
from stylegan_jax.config.network import ImageConfig
from stylegan_jax.data.batch import Batch
from stylegan_jax.errors import UserError

# Default images per step, by resolution; for CPUs they are those that the official code was measured with.
_BATCHES = {
    'cpu': {4: 16, 8: 16, 16: 16, 32: 8, 64: 4, 128: 2},
    'accelerator': {4: 128, 8: 128, 16: 128, 32: 128, 64: 64, 128: 32, 256: 32, 512: 16, 1024: 8},
}
_RESOLUTIONS = {'cpu': (32, 64, 128, 256), 'accelerator': (64, 256, 1024)}
LEARNING_RATE = 0.001  # gradients stay finite; the speed does not depend on it


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the results.

    Attributes:
      config: a Config; its full size is measured.
      batch: images per step, or per call.
    """

    config: Config
    batch: int

    @property
    def resolution(self) -> int:
        return self.config.image.resolution

    @property
    def stage(self) -> int:
        return self.config.image.num_stages - 1

    def named(self) -> dict[str, int | str]:
        """Returns the properties that tell the case from others, by name."""
        return {'resolution': self.resolution, 'batch': self.batch, 'precision': self.config.precision}


def make_cases(
    resolutions: Sequence[int] | None, batches: Sequence[int] | None, precision: str, kind: str | None = None
) -> list[Case]:
    """Makes the cases that were asked for.

    Args:
      resolutions: sides [pixels]; None for those that suit the device.
      batches: images per step, one for each resolution or one for all; None for those that suit the device.
      precision: see `Config`.
      kind: of device that the defaults suit: 'cpu' or 'accelerator'; None for this machine's.

    Returns:
      A case for each resolution.

    Raises:
      UserError: the lists have different lengths, or there is no such network.
    """
    kind = kind or ('cpu' if jax.default_backend() == 'cpu' else 'accelerator')
    resolutions = resolutions or _RESOLUTIONS[kind]
    if batches is None:
        batches = [_BATCHES[kind].get(side, 1) for side in resolutions]
    if len(batches) not in (1, len(resolutions)):
        raise UserError(
            f'{len(batches)} values for {len(resolutions)} resolutions',
            field='batch',
            value=','.join(map(str, batches)),
            remedy='give one for each resolution, or one for all',
        )
    if precision == 'float64':
        raise UserError(
            'it is for checking, not for speed', field='precision', value=precision, remedy='choose another'
        )
    return [
        Case(full_config(side, precision), batch)
        for side, batch in zip(resolutions, batches if len(batches) > 1 else batches * len(resolutions))
    ]


def full_config(resolution: int, precision: str) -> Config:
    """Returns the Config of one replica on one device: configuration F, R1, mixing, noise, mirrored images."""
    return Config(
        name='benchmark',
        replicas=1,
        precision=precision,
        image=ImageConfig(resolution),
        data=DataConfig(mirror=True),
        parallel=ParallelConfig(devices=1),
    )


def abstract_iteration(case: Case) -> tuple[typing.Any, Batch, jax.ShapeDtypeStruct]:
    """Returns the arguments (state, batch, lr) of one iteration as shapes and types alone."""
    size, image = case.batch, case.config.image
    label = jax.ShapeDtypeStruct((size, image.label_dim), jnp.float32)
    return (
        jax.eval_shape(lambda: training.create_state(case.config)),
        Batch(jax.ShapeDtypeStruct((size, *image.shape), jnp.uint8), label, label),
        jax.ShapeDtypeStruct((), jnp.float32),
    )


def iteration(case: Case, *, fades: bool) -> Callable[..., typing.Any]:
    """Returns a function of (state, batch, lr) that takes one D step and one G step.

    Args:
      case: of the measurement.
      fades: see `training.Program`. What runs on accelerators at full size has no fade in it.
    """
    return lambda state, batch, lr: training.train_iteration(
        case.config, state, batch, lr, stage=case.stage, fades=fades
    )


def noise_images(case: Case) -> Batch:
    """Returns a Batch of random pixels in host memory."""
    label = np.zeros((case.batch, case.config.image.label_dim), np.float32)
    images = np.random.default_rng(0).integers(0, 256, (case.batch, *case.config.image.shape), np.uint8)
    return Batch(images, label, label)
