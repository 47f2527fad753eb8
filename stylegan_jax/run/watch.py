"""The overfitting watch: how the discriminator scores images that it never trained on.

Where it learns what real images have in common, it scores held-out images as it scores those that it trains on. Where
it memorises, held-out images sink to the scores of generated ones. Between the two lies

    r_v = (E[D_train] - E[D_validation]) / (E[D_train] - E[D_generated]),

which is 0 without overfitting and 1 with complete overfitting. It is a ratio of differences of means: with few held-out
images it is noise, and may be far outside of 0 to 1.

Reference:
  Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", Figure 1b and equation 1.
"""

import collections.abc
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from stylegan_jax.config import Config
from stylegan_jax.config.schedule import Setting
from stylegan_jax.data.dataset import Dataset
from stylegan_jax.data.held_out import held_out
from stylegan_jax.runtime.platforms import matmul_precision
from stylegan_jax.training import TrainState, prepare_reals, run_key
from stylegan_jax.training.draws import draw_generator_step
from stylegan_jax.training.gradients import discriminator_of, generate
from stylegan_jax.training.sharing import Share

_PURPOSE = 7  # of the run's key; others are in `training.draws` and `run.sample_grid`
_MOST = 512  # images of each kind
_LIMIT, _TICKS = 0.5, 3  # the verdict: r_v is above the limit at so many ticks in a row
_ERRORS = 2.0  # standard errors by which the scores have to differ
_REMEDIES = {  # by `augment.mode`
    'none': 'more images, or augment.mode=ada, prevent that',
    'ada': 'more images prevent that, or a lower augment.target or augment.speed_kimg',
    'fixed': 'more images prevent that, or a higher augment.p',
    'diffaugment': 'more images prevent that',
}


class OverfittingWatch:
    """Scores held-out images, as many that are trained on, and as many generated ones, at each tick.

    Attributes:
      in_a_row: the newest ticks in a row at which r_v was above the limit.
    """

    def __init__(self, config: Config, dataset: Dataset, in_a_row: int = 0):
        """Chooses the images.

        Args:
          config: a resolved Config, whose `data.validation` is above 0.
          dataset: the images of the run.
          in_a_row: see above, where the run goes on.

        Raises:
          UserError: no image would be held out, or none would be left.
        """
        self._config, self._dataset, self.in_a_row = config, dataset, in_a_row
        held = held_out(len(dataset), config.data.validation)
        count = min(held.sum(), _MOST)
        # Evenly spaced, because images of a kind may follow one another.
        self._chosen = [_spaced(np.flatnonzero(kind), count) for kind in (~held, held)]
        self._error = math.inf  # standard error of the difference between both kinds of real images
        self._score = functools.lru_cache(maxsize=1)(self._score_of_stage)

    def measure(
        self, state: TrainState, setting: Setting, poll: collections.abc.Callable[[], object] = lambda: None
    ) -> dict[str, float]:
        """Scores the images with the discriminator as it is, without augmentation.

        Args:
          state: a TrainState on this process's first device.
          setting: `schedule.Setting` of the last iteration.
          poll: called between batches; if it raises, nothing has changed.

        Returns:
          The numbers for the log: mean scores of images that are trained on, held-out and generated ones, mean signs of
          the scores of the first two, and r_v; infinite or NaN where the scores do not differ.
        """
        # Minibatch statistics are those of one replica's batch; the last batch is filled up from the beginning.
        size, score = setting.batch // self._config.replicas, self._score(setting.stage)
        batches = -(-len(self._chosen[1]) // size)
        train, held = (np.resize(indices, batches * size).reshape(batches, size) for indices in self._chosen)
        logits = []
        for number in range(batches):
            poll()
            images = [self._dataset.images(indices[number], setting.stage) for indices in (train, held)]
            labels = [self._dataset.labels[indices[number]] for indices in (train, held)]
            logits.append(score(state, *images, *labels, number))
        logits = np.concatenate(jax.device_get(logits), axis=1).astype(float)
        train, held, fake = logits[:, : len(self._chosen[1])]  # each image counts once
        gap = train.mean() - held.mean()
        self._error = math.sqrt((train.var() + held.var()) / len(held))
        with np.errstate(divide='ignore', invalid='ignore'):
            r_v = np.divide(gap, train.mean() - fake.mean())
        return {
            'watch_train_logits': train.mean(),
            'watch_validation_logits': held.mean(),
            'watch_fake_logits': fake.mean(),
            'watch_train_signs': np.sign(train).mean(),
            'validation_signs': np.sign(held).mean(),
            'overfitting': float(r_v),
        }

    def verdict(self, numbers: dict[str, float]) -> str | None:
        """Counts a tick, and returns the line for the log at the tick at which training turns out to memorise.

        The rule: at three ticks in a row the scores of held-out images are below those of images that are trained on,
        by more than two standard errors, and nearer to those of generated images (r_v above 0.5).
        """
        train, held, fake = (numbers[f'watch_{kind}_logits'] for kind in ('train', 'validation', 'fake'))
        is_above = numbers['overfitting'] > _LIMIT and train - held > _ERRORS * self._error
        self.in_a_row = self.in_a_row + 1 if is_above else 0
        if self.in_a_row != _TICKS:
            return None
        return (
            f'training memorises: at {_TICKS} ticks in a row the discriminator scored held-out images ({held:.2f}) '
            f'more like generated ones ({fake:.2f}) than like those that it trains on ({train:.2f}; '
            f'r_v = {numbers["overfitting"]:.2f}); {_REMEDIES[self._config.augment.mode]}, and checkpoints from before '
            'may be better'
        )

    def _score_of_stage(self, stage):
        """Returns a compiled function of (state, images and labels of both kinds, number of the batch)."""
        config, share = self._config, Share(1)

        def reals(images, state):
            return prepare_reals(
                images,
                None,
                state.alpha,
                stage=stage,
                dtype=state.w_avg.dtype,
                fourth_channel=config.data.fourth_channel,
            )

        @jax.jit
        def score(state, train, held, train_labels, held_labels, number):
            # The same latents at every tick, so that the curves are smoother.
            draws = draw_generator_step(
                config,
                jax.random.fold_in(run_key(config), _PURPOSE),
                number,
                len(held),
                stage=stage,
                replicas=jnp.zeros(1, jnp.int32),
                dtype=state.w_avg.dtype,
            )
            with matmul_precision(config.precision):
                fakes, _ = generate(config, state.g_params, held_labels, draws, stage, state.alpha)
                kinds = (reals(train, state), train_labels), (reals(held, state), held_labels), (fakes, held_labels)
                return jnp.stack([
                    discriminator_of(config, state.d_params, labels, stage, state.alpha, share)(images)
                    for images, labels in kinds
                ])  # fmt: skip

        return score


def _spaced(indices, count):
    """Returns `count` of the indices, evenly spaced."""
    return indices[np.arange(count) * len(indices) // count]
