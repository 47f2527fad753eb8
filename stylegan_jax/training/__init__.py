"""Losses, averages and the training steps as pure functions; everything random comes in as an argument."""

from stylegan_jax.training.averaging import average_generator, average_w
from stylegan_jax.training.draws import StepDraws, draw_discriminator_step, draw_generator_step
from stylegan_jax.training.health import first_bad_tensor
from stylegan_jax.training.losses import discriminator_loss, generator_loss
from stylegan_jax.training.mixing import draw_crossover, mix_styles
from stylegan_jax.training.optimizer import adam_init, adam_update
from stylegan_jax.training.parallel import Devices, Program
from stylegan_jax.training.reals import fade_reals, prepare_reals
from stylegan_jax.training.sharing import Share
from stylegan_jax.training.state import TrainState, create_state, enter_setting, network, run_key, with_options
from stylegan_jax.training.steps import discriminator_step, generator_step, train_iteration

__all__ = [
    'Devices',
    'Program',
    'Share',
    'StepDraws',
    'TrainState',
    'adam_init',
    'adam_update',
    'average_generator',
    'average_w',
    'create_state',
    'discriminator_loss',
    'discriminator_step',
    'draw_crossover',
    'draw_discriminator_step',
    'draw_generator_step',
    'enter_setting',
    'fade_reals',
    'first_bad_tensor',
    'generator_loss',
    'generator_step',
    'mix_styles',
    'network',
    'prepare_reals',
    'run_key',
    'train_iteration',
    'with_options',
]
