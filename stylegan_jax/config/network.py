"""What a network is: frozen dataclasses, validated when they are made. No JAX here.

Networks live without a run as well (`Generator.init(key, config)`), so each config carries its own `image`.
"""
import dataclasses
import math
import typing

from stylegan_jax.errors import UserError, require, require_choice

_LARGEST_RESOLUTION = 8192
# Beyond any network; settings from a file may ask for anything.
_MOST_LAYERS = 256
_MOST_TAPS = 63
# The networks of rosinality/style-based-gan-pytorch: the code since July 2019, and that of the months before, by the
# month in which it came. `networks.ports` says how they differ from the paper's.
PORTS = ('rosinality', 'rosinality_2019_03', 'rosinality_2019_02', 'rosinality_2019_01')


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """The images that a generator makes or a discriminator scores.

    A stage is a resolution: stage 0 has the base shape and every further stage doubles it.
    """
    resolution: int = 1024                   # longer side at full size [pixels]
    base_shape: tuple[int, int] = (4, 4)     # (H, W) of stage 0; (3, 4) gives 384x512
    channels: int = 3                        # colour channels
    label_dim: int = 0                       # K, length of a label; 0 = unconditional

    def __post_init__(self):
        object.__setattr__(self, 'base_shape', tuple(self.base_shape))
        require(len(self.base_shape) == 2 and all(1 <= side <= 64 for side in self.base_shape),
                'image.base_shape', self.base_shape, 'give two sides from 1 to 64, such as (4, 4) or (3, 4)')
        side = max(self.base_shape)
        doublings = self.resolution / side
        require(1 <= self.resolution <= _LARGEST_RESOLUTION, 'image.resolution', self.resolution,
                f'give 1 to {_LARGEST_RESOLUTION}')
        require(doublings >= 1 and doublings == 2 ** round(math.log2(doublings)), 'image.resolution', self.resolution,
                f'it must be {side} times a power of two ({side}, {side * 2}, {side * 4}, ...) '
                f'for base_shape {self.base_shape}')
        require(self.channels >= 1, 'image.channels', self.channels, 'give at least 1')
        require(self.label_dim >= 0, 'image.label_dim', self.label_dim, 'give 0 (no labels) or more')

    @property
    def num_stages(self) -> int:
        """Number of resolutions from the base shape to full size."""
        return round(math.log2(self.resolution / max(self.base_shape))) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) at full size."""
        return (*self.stage_shape(self.num_stages - 1), self.channels)

    def stage_shape(self, stage: int) -> tuple[int, int]:
        """Returns (H, W) of a stage."""
        return self.base_shape[0] << stage, self.base_shape[1] << stage

    def stage_resolution(self, stage: int) -> int:
        """Returns the longer side of a stage [pixels], the key of tables by resolution."""
        return max(self.stage_shape(stage))


def num_fmaps(config: 'GeneratorConfig | DiscriminatorConfig', level: int) -> int:
    """Returns the number of feature maps at a level of a network (Progressive GAN, Table 2).

    Args:
      config: of the network.
      level: s + 1 for stage s; 0 for the discriminator's hidden fully connected layer.
    """
    return max(1, min(int(config.fmap_base / 2.0 ** (level * config.fmap_decay)), config.fmap_max))


def _check_fmaps(config, name):
    require(config.fmap_base >= 1, f'{name}.fmap_base', config.fmap_base, 'give at least 1')
    require(config.fmap_max >= 1, f'{name}.fmap_max', config.fmap_max, 'give at least 1')
    require(abs(config.fmap_decay) <= 16, f'{name}.fmap_decay', config.fmap_decay, 'give a number from -16 to 16')


def _check_blur(config, name):
    object.__setattr__(config, 'blur_filter', tuple(config.blur_filter))      # hashable, for compiled functions
    taps = config.blur_filter
    require(len(taps) <= _MOST_TAPS, f'{name}.blur_filter', f'{len(taps)} taps', f'give {_MOST_TAPS} at most')
    require(not taps or (len(taps) % 2 == 1 and sum(taps) != 0), f'{name}.blur_filter', taps,
            'give an odd number of taps that do not add up to 0, such as (1, 2, 1), or () for none')


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """A generator: style-based (configurations B to F of the paper's Table 1) or Progressive GAN's (A)."""
    image: ImageConfig = ImageConfig()
    architecture: str = 'stylegan'           # 'stylegan', 'progan', or one of rosinality's PyTorch code: 'rosinality',
                                             # 'rosinality_2019_03', 'rosinality_2019_02', 'rosinality_2019_01'
    z_dim: int = 512                         # size of the latent z
    w_dim: int = 512                         # size of the intermediate latent w
    mapping_layers: int = 8                  # layers of the mapping network; 0: w is the normalised z (with its label)
    mapping_fmaps: int = 512                 # width of the hidden mapping layers
    mapping_lr_multiplier: float = 0.01      # learning rate of the mapping layers, relative (Appendix C)
    mapping_nonlinearity: str = 'lrelu'      # 'lrelu' (slope 0.2) or 'relu'
    normalize_latents: bool = True           # pixel norm of the mapping network's input
    fmap_base: int = 8192                    # feature maps at level r: fmap_base / 2^(r * fmap_decay)
    fmap_decay: float = 1.0                  # how fast feature maps halve with the resolution
    fmap_max: int = 512                      # most feature maps anywhere
    use_styles: bool = True                  # styles modulate every layer (configurations C to F)
    const_input: bool = True                 # a learned constant is the input (configurations D to F); otherwise a
                                             # dense layer of w
    use_noise: bool = True                   # noise is added in every layer (configurations E and F)
    use_pixel_norm: bool = False             # pixel norm after every layer (configurations A and B)
    use_instance_norm: bool = True           # instance norm before every style (AdaIN; configurations C to F)
    nonlinearity: str = 'lrelu'              # 'lrelu' (slope 0.2) or 'relu'
    blur_filter: tuple[int, ...] = (1, 2, 1)     # blur after every up convolution; () = none
    flip_from: int = 128                     # up convolutions to this size and above apply the kernel flipped, as the
                                             # official fused ones do; 0 = all (Progressive GAN)
    truncation_psi: float | None = 0.7       # truncation where nothing else is asked for; none = no truncation
    truncation_cutoff: int | None = 8        # number of first layers that truncation applies to; none = no truncation

    def __post_init__(self):
        require_choice('generator.architecture', self.architecture, ('stylegan', 'progan', *PORTS))
        for name in ('nonlinearity', 'mapping_nonlinearity'):
            require_choice(f'generator.{name}', getattr(self, name), ('lrelu', 'relu'))
        for name in ('z_dim', 'w_dim', 'mapping_fmaps'):
            require(getattr(self, name) >= 1, f'generator.{name}', getattr(self, name), 'give at least 1')
        require(0 <= self.mapping_layers <= _MOST_LAYERS, 'generator.mapping_layers', self.mapping_layers,
                f'give 0 to {_MOST_LAYERS}')
        _check_fmaps(self, 'generator')
        require(self.mapping_lr_multiplier > 0, 'generator.mapping_lr_multiplier', self.mapping_lr_multiplier,
                'give more than 0')
        _check_blur(self, 'generator')
        if self.is_progan and (self.use_styles or self.use_noise or self.mapping_layers):
            raise UserError("generator.architecture='progan': it has no styles, no noise inputs and no mapping layers; "
                            'start from the experiment table1_a (in Python from GeneratorConfig.progan())')
        if self.architecture in PORTS and not (self.use_styles and self.use_instance_norm and not self.use_pixel_norm):
            raise UserError(f'generator.architecture={self.architecture!r}: its layers have styles and instance norm, '
                            'and no pixel norm; leave use_styles, use_instance_norm and use_pixel_norm as they are')

    @classmethod
    def progan(cls, image: ImageConfig = ImageConfig(), **fields: typing.Any) -> 'GeneratorConfig':
        """Returns Progressive GAN's generator (configuration A): the traditional one, up convolutions fused throughout.

        Args:
          image: shapes of the images.
          **fields: other fields that are to differ.
        """
        return cls(**dict(image=image, architecture='progan', mapping_layers=0, use_styles=False, const_input=False,
                          use_noise=False, use_pixel_norm=True, use_instance_norm=False, blur_filter=(), flip_from=0,
                          truncation_psi=None) | fields)

    @property
    def is_progan(self) -> bool:
        return self.architecture == 'progan'

    @property
    def mapped_dim(self) -> int:
        """W, the length of the mapping network's result; without layers w is the normalised z (with its label)."""
        if self.mapping_layers:
            return self.w_dim
        label_width = self.image.label_dim if self.is_progan else self.z_dim
        return self.z_dim + (label_width if self.image.label_dim else 0)

    @property
    def num_layers(self) -> int:
        """Layers of the synthesis network: two per stage."""
        return 2 * self.image.num_stages

    @property
    def num_ws(self) -> int:
        """L: one w per layer; a single one where there are no styles."""
        return self.num_layers if self.use_styles else 1

    def noise_shape(self, layer: int) -> tuple[int, int, int, int]:
        """Returns the shape [1, h, w, 1] of a layer's noise input."""
        return (1, *self.image.stage_shape(layer // 2), 1)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """A discriminator; Progressive GAN's has its down convolutions fused throughout, no blur, and ignores labels.

    That of rosinality's PyTorch code doubles the feature maps in the first convolution of a stage, not in the second.
    """
    image: ImageConfig = ImageConfig()
    architecture: str = 'stylegan'           # 'stylegan', 'progan', or 'rosinality' as in that PyTorch code
    fmap_base: int = 8192                    # feature maps at level r: fmap_base / 2^(r * fmap_decay)
    fmap_decay: float = 1.0                  # how fast they halve with the resolution
    fmap_max: int = 512                      # most feature maps anywhere
    nonlinearity: str = 'lrelu'              # 'lrelu' (slope 0.2) or 'relu'
    mbstd_group_size: int = 4                # minibatch standard deviation; 0 or 1 = none
    mbstd_num_features: int = 1              # channels that it appends
    blur_filter: tuple[int, ...] = (1, 2, 1)     # before every down convolution; () = none

    def __post_init__(self):
        require_choice('discriminator.architecture', self.architecture, ('stylegan', 'progan', 'rosinality'))
        require_choice('discriminator.nonlinearity', self.nonlinearity, ('lrelu', 'relu'))
        require(self.mbstd_num_features >= 1, 'discriminator.mbstd_num_features', self.mbstd_num_features,
                'give at least 1')
        _check_fmaps(self, 'discriminator')
        _check_blur(self, 'discriminator')
        require(num_fmaps(self, 1) % self.mbstd_num_features == 0, 'discriminator.mbstd_num_features',
                self.mbstd_num_features, f'it must divide the {num_fmaps(self, 1)} feature maps of the last stage')

    @property
    def is_progan(self) -> bool:
        return self.architecture == 'progan'

    @property
    def num_scores(self) -> int:
        """Number of scores per image: one for each class; a single one in Progressive GAN's."""
        return 1 if self.is_progan else max(self.image.label_dim, 1)


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """A classifier: a discriminator that does not grow, with a logit for each label; not used in training runs."""
    network: DiscriminatorConfig
    label_names: tuple[str, ...]             # what each logit means
    one_hot: bool = False                    # labels exclude one another (softmax), or each is for itself (sigmoid)

    def __post_init__(self):
        require(len(self.label_names) == self.network.num_scores, 'label_names', self.label_names,
                f'give as many as the network has scores, {self.network.num_scores}')

    @property
    def image(self) -> ImageConfig:
        return self.network.image


def stage_and_alpha(image: ImageConfig, lod: float) -> tuple[int, float]:
    """Splits a level of detail into the stage, which is static in compiled functions, and alpha, which is traced.

    Args:
      image: the ImageConfig that determines the number of stages.
      lod: level of detail in [0, num_stages - 1]; 0 is full size.

    Returns:
      stage: index of the active resolution, that of floor(lod); 0 is the base shape.
      alpha: weight of the stage's own block in (0, 1]; the stage below has 1 - alpha.

    Raises:
      UserError: lod is outside its range.
    """
    if not 0 <= lod <= image.num_stages - 1:
        raise UserError(f'give a level of detail from 0 ({image.resolution} pixels) to '
                        f'{image.num_stages - 1} ({image.stage_resolution(0)} pixels)', field='lod', value=repr(lod))
    return image.num_stages - 1 - math.floor(lod), 1.0 - (lod - math.floor(lod))
