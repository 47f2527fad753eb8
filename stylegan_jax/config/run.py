"""What a run is: frozen dataclasses, validated when they are made. No JAX here.

`Config` is the whole of a run. The networks' copies of `image` always equal `Config.image` inside it.

The comment beside a field, with the comment lines that continue it, **is** the help text of the field's flag:
`cli.config_flags` reads it from this source. A new field here is a new flag, --config.SECTION.FIELD, and nothing else
has to be written for it but its check in `__post_init__`. Keep the comments in their column (the formatter leaves this
file alone on purpose), and write them for someone who sees them in --help without this file.
"""
import dataclasses
import math

from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.errors import require, require_choice

PRECISIONS = 'auto', 'bfloat16', 'float16', 'tf32', 'float32', 'float64'
_MOST_KIMG = 2_000_000           # images shown are counted in 32 bits
_MOST_WORKERS = 256


def _require_positive_table(field, table):
    """Checks a {resolution: value} table; None stands for the published one."""
    for key, value in (table or {}).items():
        require(key >= 1 and 0 < value < math.inf, field, table,
                f'{key}:{value} is not a resolution with a value above 0')


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the real images come from, and how they are read."""
    source: str = 'images'                   # where images come from: 'images' are read from `path`; 'toy_faces' are
                                             # drawn by code
    path: str = ''                           # prepared data set, or anything that one can be prepared from: folder or
                                             # zip of images, folder of official TFRecords, LMDB folder, .npz, tfds:NAME
                                             # or tfds:DIRECTORY
    count: int = 0                           # number of images. toy_faces: how many are drawn; images: the first ones
                                             # are used, 0 = all
    mirror: bool = False                     # flip each image left to right with probability one half
    find_labels: bool = False                # if image.label_dim is 0, take the labels that the images have: those of
                                             # the dataset.json beside them, if any; the attributes of toy faces
    max_skipped: float | None = None         # images, not prepared: largest share that may be left out as too small or
                                             # damaged, as prepare_data has it; none = 1 for LMDB folders, else 0.01
    fourth_channel: str = 'alpha'            # images of four channels: the last is opacity, by which colours are
                                             # weighted ('alpha'), or anything else ('data'); prepared sets know it
    validation: float = 0.0                  # share of the images that is held out of training, by which the log tells
                                             # when the discriminator memorises the others; 0 = none
    workers: int | None = None               # number of processes that read ahead; 0 = a thread; none = a thread if all
                                             # images fit into memory, else as many processes as suit the cores

    def __post_init__(self):
        require_choice('data.source', self.source, ('images', 'toy_faces'))
        require_choice('data.fourth_channel', self.fourth_channel, ('alpha', 'data'))
        require(self.count >= 0, 'data.count', self.count, 'give 0 (all) or more')
        require(self.max_skipped is None or 0 <= self.max_skipped <= 1, 'data.max_skipped', self.max_skipped,
                'give a share from 0 to 1')
        require(0 <= self.validation < 1, 'data.validation', self.validation,
                'give a share from 0 (none) to below 1, such as 0.05')
        require(self.workers is None or 0 <= self.workers <= _MOST_WORKERS, 'data.workers', self.workers,
                f'give 0 (a thread) to {_MOST_WORKERS}, or none to let cores and memory decide')


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the images that the discriminator sees, for small data sets."""
    mode: str = 'none'                       # 'none'; 'ada' adapts the probability of each transformation to how much
                                             # the discriminator overfits (Karras et al. 2020, limited data); 'fixed'
                                             # keeps it at p; 'diffaugment' (Zhao et al. 2020)
    target: float = 0.6                      # ada: mean sign of the discriminator's outputs for real images that the
                                             # probability is adapted to
    speed_kimg: float = 500.0                # ada: images in which the probability can go from 0 to 1 [thousands]
    interval: int = 4                        # ada: number of steps from one adaptation to the next
    p: float = 0.2                           # fixed: probability of each transformation; below 0.8 none of them leaks
                                             # into generated images

    def __post_init__(self):
        require_choice('augment.mode', self.mode, ('none', 'ada', 'fixed', 'diffaugment'))
        require(-1 < self.target < 1, 'augment.target', self.target, 'give a number between -1 and 1')
        require(0 < self.speed_kimg < math.inf, 'augment.speed_kimg', self.speed_kimg, 'give more than 0')
        require(self.interval >= 1, 'augment.interval', self.interval, 'give at least 1')
        require(0 <= self.p <= 1, 'augment.p', self.p, 'give a probability from 0 to 1')


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The pair of losses."""
    name: str = 'logistic'                   # 'logistic' (non-saturating, with R1) or 'wgan_gp'
    r1_gamma: float = 10.0                   # logistic: weight of R1, the gradient penalty at real images; 0 = off
    r2_gamma: float = 0.0                    # logistic: weight of R2, the gradient penalty at generated images; 0 = off
    lazy_r1_interval: int = 1                # logistic: number of steps between two that apply R1 and R2, with this
                                             # many times the weight (StyleGAN2, Section 3.2); 1 = every step, as
                                             # StyleGAN does
    wgan_lambda: float = 10.0                # wgan_gp: weight of the gradient penalty
    wgan_target: float = 1.0                 # wgan_gp: gradient norm that the penalty aims at
    wgan_epsilon: float = 0.001              # wgan_gp: weight of the drift penalty, which keeps scores near 0
    path_length: float = 0.0                 # weight of path length regularization of the generator (StyleGAN2, Section
                                             # 3.2), 2 in StyleGAN2; 0 = off
    path_length_interval: int = 4            # path_length: number of steps between two that apply it, with this many
                                             # times the weight; 1 = every step
    path_length_decay: float = 0.01          # path_length: share by which the running mean of the lengths moves towards
                                             # those of a step that applies it
    path_length_batch_shrink: int = 2        # path_length: it takes this fraction of a batch, which saves memory and
                                             # time; 1 = as many images as a batch has
    separation: float = 0.0                  # weight of a loss that makes labels linearly separable in W, with a probe
                                             # that is trained along (experimental, of no paper; labels only); 0 = off

    def __post_init__(self):
        require_choice('loss.name', self.name, ('logistic', 'wgan_gp'))
        for name in ('r1_gamma', 'r2_gamma', 'wgan_lambda', 'wgan_epsilon', 'path_length', 'separation'):
            require(0 <= getattr(self, name) < math.inf, f'loss.{name}', getattr(self, name), 'give 0 (off) or more')
        require(self.lazy_r1_interval >= 1, 'loss.lazy_r1_interval', self.lazy_r1_interval,
                'give 1 (every step) or more')
        require(0 < self.wgan_target < math.inf, 'loss.wgan_target', self.wgan_target, 'give more than 0')
        require(self.path_length_interval >= 1, 'loss.path_length_interval', self.path_length_interval,
                'give 1 (every step) or more')
        require(0 < self.path_length_decay <= 1, 'loss.path_length_decay', self.path_length_decay,
                'give more than 0, and at most 1')
        require(self.path_length_batch_shrink >= 1, 'loss.path_length_batch_shrink', self.path_length_batch_shrink,
                'give 1 (as many images as a batch has) or more')


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """How training moves with the number of images shown. Tables are {resolution: value}."""
    initial_resolution: int = 8              # resolution that growth starts at [pixels]
    stage_kimg: float = 600.0                # length of training at a resolution before the next fades in [thousands of
                                             # images]
    fade_kimg: float = 600.0                 # length of the fade to the next resolution [thousands of images]
    batch: int | None = None                 # images a step, all replicas together; none = the published number for
                                             # `replicas`
    batch_by_resolution: dict[int, int] | None = None        # exceptions to `batch`; none = the published ones if
                                             # `batch` is none, else no exceptions
    lr: float | None = None                  # learning rate of generator and discriminator; none = published (0.001)
    lr_by_resolution: dict[int, float] | None = None         # exceptions to `lr`; none = the published ones if `lr` is
                                             # none, else no exceptions
    steps_per_evaluation: int = 4            # pairs of D and G steps from one evaluation of the schedule to the next
    reset_optimizer: bool = True             # reset Adam's moments when a fade begins or ends

    def __post_init__(self):
        for name in ('stage_kimg', 'fade_kimg'):
            require(0 <= getattr(self, name) <= _MOST_KIMG, f'schedule.{name}', getattr(self, name),
                    f'give 0 to {_MOST_KIMG}')
        require(self.stage_kimg + self.fade_kimg >= 0.001, 'schedule.stage_kimg', self.stage_kimg,
                'stage_kimg and fade_kimg cannot both be 0; to train at one size, set initial_resolution to it')
        require(self.batch is None or self.batch >= 1, 'schedule.batch', self.batch, 'give at least 1')
        require(self.lr is None or 0 < self.lr < math.inf, 'schedule.lr', self.lr, 'give more than 0')
        _require_positive_table('schedule.batch_by_resolution', self.batch_by_resolution)
        _require_positive_table('schedule.lr_by_resolution', self.lr_by_resolution)
        require(self.steps_per_evaluation >= 1, 'schedule.steps_per_evaluation', self.steps_per_evaluation,
                'give at least 1')


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The rest of what decides the steps: averages, mixing, the optimiser."""
    total_kimg: float = 25000.0              # length of training [thousands of real images]
    style_mixing_prob: float = 0.9           # probability of style mixing, drawn once for all images of a
                                             # replica in a step (Section 3.1); 0.9 in configuration F
    w_avg_beta: float = 0.995                # decay of the average w, towards which truncation pulls
    ema_kimg: float = 10.0                   # half-life of the averaged generator [thousands of images]; 0 = no
                                             # averaging
    beta1: float = 0.0                       # Adam: decay of the first moment
    beta2: float = 0.99                      # Adam: decay of the second moment
    epsilon: float = 1e-8                    # Adam: number that is added to the root of the second moment
    most_skipped: int = 100                  # number of steps in a row with gradients that are not finite after which
                                             # the run stops
    freeze_d: int = 0                        # number of blocks of the discriminator, from that of full size on, which
                                             # keep the weights that they have from init_from (FreezeD, Mo et al. 2020);
                                             # without init_from nothing is kept

    def __post_init__(self):
        require(self.freeze_d >= 0, 'train.freeze_d', self.freeze_d, 'give 0 (none) or more')
        require(self.most_skipped >= 1, 'train.most_skipped', self.most_skipped, 'give at least 1')
        require(0 <= self.total_kimg <= _MOST_KIMG, 'train.total_kimg', self.total_kimg, f'give 0 to {_MOST_KIMG}')
        for name in ('beta1', 'beta2'):
            require(0 <= getattr(self, name) < 1, f'train.{name}', getattr(self, name), 'give 0 or more, and below 1')
        require(self.epsilon > 0, 'train.epsilon', self.epsilon, 'give more than 0')
        require(0 <= self.w_avg_beta <= 1, 'train.w_avg_beta', self.w_avg_beta, 'give a number from 0 to 1')
        require(0 <= self.style_mixing_prob <= 1, 'train.style_mixing_prob', self.style_mixing_prob,
                'give a probability from 0 to 1')
        require(self.ema_kimg >= 0, 'train.ema_kimg', self.ema_kimg, 'give 0 (no averaging) or more')


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How devices run the replicas. Nothing here changes the mathematics, nor the result beyond rounding."""
    mode: str = 'jit'                        # how devices work together: 'jit' (over a mesh, with shard_map) or 'pmap'
    devices: int | None = None               # number of devices that work, over all processes; none = all there are
    accumulate: int = 1                      # number of parts in which a device takes its replicas, one after another:
                                             # saves memory
    steps_per_dispatch: int | None = None    # pairs of steps that the host starts per dispatch; divides
                                             # schedule.steps_per_evaluation; none = that number on accelerators below
                                             # 64 pixels, and else 1

    def __post_init__(self):
        require_choice('parallel.mode', self.mode, ('jit', 'pmap'))
        require(self.devices is None or self.devices >= 1, 'parallel.devices', self.devices,
                'give at least 1, or none for all there are')
        require(self.accumulate >= 1, 'parallel.accumulate', self.accumulate, 'give at least 1')
        require(self.steps_per_dispatch is None or self.steps_per_dispatch >= 1, 'parallel.steps_per_dispatch',
                self.steps_per_dispatch, 'give at least 1, or none for what suits the device')


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """What a run writes into its folder, and how often."""
    tick_kimg: float = 160.0                 # length of a tick, after which there are a log line and a sample grid
                                             # [thousands of images]
    tick_kimg_by_resolution: dict[int, float] = dataclasses.field(       # exceptions to `tick_kimg`
        default_factory=lambda: {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 30, 1024: 20})
    checkpoint_ticks: int = 1                # number of ticks from one checkpoint to the next
    keep_checkpoints: int = 3                # number of checkpoints that are kept, the newest ones
    keep_every_kimg: float | None = None     # also keep the checkpoints nearest to multiples of this [thousands of
                                             # images]; none = no others
    grid_size: tuple[int, int] | None = None     # columns and rows of the sample grid; none = as many as fit 1920x1080
                                             # pixels
    metrics_every: int = 1                   # number of checkpoints from one measurement of `metrics` to the next; the
                                             # end is always measured
    keep_best: bool = False                  # copy the checkpoint where the first of `metrics` was best to the folder
                                             # best/

    def __post_init__(self):
        require(self.tick_kimg > 0, 'log.tick_kimg', self.tick_kimg, 'give more than 0')
        _require_positive_table('log.tick_kimg_by_resolution', self.tick_kimg_by_resolution)
        require(self.grid_size is None or (len(self.grid_size) == 2 and min(self.grid_size) >= 1), 'log.grid_size',
                self.grid_size, 'give the numbers of columns and rows, such as (8, 4), or None')
        require(self.checkpoint_ticks >= 1, 'log.checkpoint_ticks', self.checkpoint_ticks, 'give at least 1')
        require(self.metrics_every >= 1, 'log.metrics_every', self.metrics_every, 'give at least 1')
        require(self.keep_checkpoints >= 1, 'log.keep_checkpoints', self.keep_checkpoints, 'give at least 1')
        require(self.keep_every_kimg is None or self.keep_every_kimg >= 0.001, 'log.keep_every_kimg',
                self.keep_every_kimg, 'give at least 0.001, or none')


@dataclasses.dataclass(frozen=True)
class Config:
    """One run: everything that its result depends on."""
    name: str = 'custom'                     # name of the experiment; part of the run's folder name
    seed: int = 0                            # seed of everything random
    replicas: int = 8                        # number of GPUs of the published setting; statistics are formed within
                                             # each replica, and any number of devices that divides it runs them
    init_from: str = ''                      # weights to start from: official pickle, run directory, saved network or
                                             # anything else that convert reads
    precision: str = 'auto'                  # precision of activations: 'bfloat16'; 'float16' (with a scaled loss);
                                             # 'tf32' (float32 rounded in products, as fast as chips can); 'float32'
                                             # (exact products); 'float64'; 'auto' = bfloat16 on accelerators that have
                                             # it, float32 elsewhere
    metrics: str = ''                        # metrics of the averaged generator, measured at checkpoints, such as
                                             # 'fid10k,ppl_wend2k'; none if empty
    image: ImageConfig = ImageConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    train: TrainConfig = TrainConfig()
    parallel: ParallelConfig = ParallelConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self):
        require(self.replicas >= 1, 'replicas', self.replicas, 'give at least 1')
        require(0 <= self.seed < 2 ** 32, 'seed', self.seed, 'give 0 to 4294967295')
        require_choice('precision', self.precision, PRECISIONS)
        # The image is set once, here. The networks carry copies because they are also used without a run. A frozen
        # dataclass can set its own fields only past its own __setattr__.
        for name in ('generator', 'discriminator'):
            object.__setattr__(self, name, dataclasses.replace(getattr(self, name), image=self.image))
        start = self.schedule.initial_resolution
        sizes = [self.image.stage_resolution(stage) for stage in range(self.image.num_stages)]
        require(start in sizes or start > sizes[-1], 'schedule.initial_resolution', start,
                'choose one of ' + ', '.join(map(str, sizes)))
        most = self.image.num_stages - 1
        require(self.train.freeze_d <= most, 'train.freeze_d', self.train.freeze_d,
                f'give 0 to {most}; the last block of the discriminator is always trained')
        require(not self.loss.path_length or self.generator.use_styles, 'loss.path_length', self.loss.path_length,
                'this generator has no styles; give 0')
        require(not self.loss.path_length or self.precision != 'float16', 'loss.path_length', self.loss.path_length,
                "its derivatives overflow in float16; give 0, or precision='bfloat16'")
        require(self.augment.mode != 'ada' or self.loss.name == 'logistic', 'augment.mode', self.augment.mode,
                "the signs of the logits say something with loss.name='logistic' alone; give 'fixed' or 'diffaugment'")
        require(not self.loss.separation or not self.generator.is_progan, 'loss.separation', self.loss.separation,
                'it takes a mapping network, which Progressive GAN has not; give 0')
        require(not self.loss.separation or self.image.label_dim or self.data.find_labels, 'loss.separation',
                self.loss.separation, 'it takes labels; give 0, or data.find_labels=True to take those of the images')
