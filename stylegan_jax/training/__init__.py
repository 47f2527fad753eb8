"""Losses and pure training steps; everything random comes in as an argument."""

from stylegan_jax.training.draws import StepDraws, draw_discriminator_step, draw_generator_step
from stylegan_jax.training.health import first_bad_tensor
from stylegan_jax.training.losses import discriminator_loss, generator_loss
from stylegan_jax.training.optimizer import adam_init, adam_update
from stylegan_jax.training.parallel import Devices
from stylegan_jax.training.sharing import Share
from stylegan_jax.training.state import TrainState, create_state, enter_setting, network, run_key
from stylegan_jax.training.steps import discriminator_step, generator_step, iterate, prepare_reals

__all__ = [
    'Devices',
    'Share',
    'StepDraws',
    'TrainState',
    'adam_init',
    'adam_update',
    'create_state',
    'discriminator_loss',
    'discriminator_step',
    'draw_discriminator_step',
    'draw_generator_step',
    'enter_setting',
    'first_bad_tensor',
    'generator_loss',
    'generator_step',
    'iterate',
    'network',
    'prepare_reals',
    'run_key',
]
