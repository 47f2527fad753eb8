"""A search for the tensor that went wrong first, for runs whose gradients are no longer finite.

It checks tensors in the order in which an iteration computes them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from stylegan_jax.config import Config
from stylegan_jax.data.batch import Batch
from stylegan_jax.networks import ops
from stylegan_jax.training.draws import draw_discriminator_step, draw_generator_step
from stylegan_jax.training.gradients import discriminator_gradients, discriminator_of, generate, generator_gradients
from stylegan_jax.training.reals import prepare_reals
from stylegan_jax.training.sharing import Share
from stylegan_jax.training.state import TrainState


def first_bad_tensor(config: Config, state: TrainState, batch: Batch, *, stage: int, replicas: int) -> str:
    """Names the first tensor of an iteration that is not finite; a gradient counts by the sum of its squares.

    Args:
      config: a Config.
      state: a TrainState on one device.
      batch: see `steps.train_iteration`.
      stage: the active stage (static).
      replicas: number of replicas whose images the batch holds, from the first replica on.

    Returns:
      The tensor's name, such as 'output of D 8x8/conv0 for real images'; 'none' if all are finite.
    """
    names = []  # written while `check` is traced, since strings cannot come out of a compiled function

    @jax.jit
    def check(state, batch, replica):
        names.clear()
        return _finite_flags(config, state, batch, stage, replica, names)

    # One replica at a time: a batch that is divided among devices and parts need not fit one device as a whole.
    size = batch.images.shape[0] // replicas
    for replica in range(replicas):
        part = jax.tree.map(lambda x: x[replica * size : (replica + 1) * size], batch)
        flags = check(state, part, replica)
        for name, finite in zip(names, flags, strict=True):
            if not finite:
                return name
    return 'none'


def _finite_flags(config, state, batch, stage, replica, names):
    """Returns whether each tensor is finite [tensors], and appends the tensors' names to `names`."""
    flags = []

    def check(kind, tree, suffix='', measure=lambda x: x):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            names.append(' '.join(f'{kind} {jax.tree_util.keystr(path, simple=True, separator="/")} {suffix}'.split()))
            flags.append(jnp.all(jnp.isfinite(measure(leaf))))

    def checking_outputs(network, suffix=''):
        """Returns a context in which the output of every layer is checked."""

        def intercept(call, args, kwargs, context):
            output = call(*args, **kwargs)
            if context.method_name == '__call__' and isinstance(output, jax.Array):
                check(f'output of {network} {"/".join(context.module.path)}', output, suffix)
            return output

        return nn.intercept_methods(intercept)

    size, dtype = batch.images.shape[0], state.w_avg.dtype
    share, numbers = Share(1), jnp.asarray(replica)[None]
    check('weight of G', state.g_params)
    check('weight of D', state.d_params)
    draws = draw_discriminator_step(config, state.key, state.cur_nimg, size, stage=stage, replicas=numbers, dtype=dtype)
    with checking_outputs('G'):
        fakes, _ = generate(config, state.g_params, batch.labels, draws, stage, state.alpha)
    reals = prepare_reals(
        batch.images,
        draws.mirror,
        state.alpha,
        stage=stage,
        dtype=dtype,
        fourth_channel=config.data.fourth_channel,
    )
    for images, kind in ((reals, 'real'), (fakes, 'generated')):
        with checking_outputs('D', f'for {kind} images'):
            discriminator_of(config, state.d_params, batch.labels, stage, state.alpha, share)(images)
    gradients, _, metrics = discriminator_gradients(
        config, state, batch.images, batch.labels, draws, stage=stage, share=share
    )
    check('metric', metrics)
    # The sum of squares decides whether a step is skipped; it overflows before the gradient itself does.
    check('gradient of D', gradients, measure=lambda x: ops.sum_of_squares([x]))
    draws = draw_generator_step(config, state.key, state.cur_nimg, size, stage=stage, replicas=numbers, dtype=dtype)
    result = generator_gradients(config, state, batch.g_labels, draws, stage=stage, share=share)
    check('metric', result.metrics)
    check('gradient of G', result.g_params, measure=lambda x: ops.sum_of_squares([x]))
    return jnp.stack(flags)
