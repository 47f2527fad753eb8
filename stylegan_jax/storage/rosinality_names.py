"""The names and shapes of the arrays of rosinality/style-based-gan-pytorch, and what they are here.

Its layers scale their weights by sqrt(2 / fan-in) throughout. Where ours have a gain of 1, the root of 2 goes into the
weights; elsewhere they are the same numbers.
"""

import math
from collections.abc import Sequence

from stylegan_jax.storage.port_arrays import Entry

WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)  # feature maps from 4x4 to 1024x1024
FUSED_FROM = 5  # the stage of 128x128, from which convolutions are fused with the change of size
CODE = 512  # size of z and w
MAPPING_LAYERS = 8
COLOURS = 3
_SQRT2 = math.sqrt(2)


def mapping_entries(layers: int, code: int, normalizes: bool, lr_multiplier: float) -> list[Entry]:
    """Returns the entries of the mapping network.

    Args:
      layers: their number.
      code: size of z and w.
      normalizes: a pixel norm comes first, which moves the numbers of the layers.
      lr_multiplier: ours, which its forward pass does not have: the optimiser has it.
    """
    entries = []
    for i in range(layers):
        theirs, ours = f'style.{2 * i + normalizes}.linear', f'params/mapping/dense{i}'
        entries += [
            Entry(f'{theirs}.weight_orig', f'{ours}/weight', 'dense', (code, code), 1 / lr_multiplier),
            Entry(f'{theirs}.bias', f'{ours}/bias', 'vector', (code,), 1 / lr_multiplier),
        ]
    return entries


def synthesis_entries(
    widths: Sequence[int], code: int, *, up_names: Sequence[str], reversed_from: Sequence[bool]
) -> list[Entry]:
    """Returns the entries of the synthesis network, stage by stage.

    Args:
      widths: feature maps of each stage.
      code: size of w.
      up_names: for each stage from 8x8 on the name of its up convolution, such as `UP`.
      reversed_from: for each of them whether ours applies the kernel reversed to theirs.
    """
    entries = []
    for stage, width in enumerate(widths):
        block, side = f'generator.progression.{stage}', 4 << stage
        ours = f'params/synthesis/{side}x{side}'
        if stage == 0:
            first, second = f'{ours}/const', f'{ours}/conv'
            entries.append(Entry(f'{block}.conv1.input', f'{first}/const', 'image', (1, width, 4, 4)))
        else:
            first, second = f'{ours}/conv0_up', f'{ours}/conv1'
            entries += _up_entries(
                block, up_names[stage - 1], first, widths[stage - 1], width, reversed_from[stage - 1]
            )
        entries += _style_entries(block, 1, first, width, code)
        entries += _conv_entries(f'{block}.conv2.conv', second, width, width)
        entries += _style_entries(block, 2, second, width, code)
        entries += _conv_entries(f'generator.to_rgb.{stage}.conv', f'{ours}/to_rgb', width, COLOURS, 1, _SQRT2)
    return entries


# What the up convolution of a stage is called: with upsampling before it, fused with it, and in the code until July
# 2019, which enlarges images outside of the blocks.
UP, FUSED, OLD = 'conv1.1.conv', 'conv1.0', 'conv1.conv'


def _up_entries(block, name, ours, inputs, outputs, is_reversed):
    suffix = '_reversed' if is_reversed else ''
    if name != FUSED:
        weight, bias = _conv_entries(f'{block}.{name}', ours, inputs, outputs)
        return [weight._replace(kind=f'conv{suffix}'), bias]
    return [  # the mean of four shifted kernels, where ours is their sum
        Entry(f'{block}.{name}.weight', f'{ours}/weight', f'transposed_conv{suffix}', (inputs, outputs, 3, 3), 1 / 4),
        Entry(f'{block}.{name}.bias', f'{ours}/bias', 'vector', (outputs,)),
    ]


def _style_entries(block, number, ours, width, code):
    """Returns those of noise and style; the code scales the strength of the noise like a weight."""
    strength, style = f'{block}.noise{number}.weight_orig', f'{block}.adain{number}.style.linear'
    return [
        Entry(strength, f'{ours}/noise_strength', 'vector', (1, width, 1, 1), math.sqrt(2 / width)),
        Entry(f'{style}.weight_orig', f'{ours}/style/weight', 'dense', (2 * width, code), _SQRT2),
        Entry(f'{style}.bias', f'{ours}/style/bias', 'style_bias', (2 * width,)),
    ]


def _conv_entries(theirs, ours, inputs, outputs, size=3, factor=1.0):
    return [
        Entry(f'{theirs}.weight_orig', f'{ours}/weight', 'conv', (outputs, inputs, size, size), factor),
        Entry(f'{theirs}.bias', f'{ours}/bias', 'vector', (outputs,)),
    ]


def discriminator_entries(widths: Sequence[int], last: int, fused: Sequence[bool]) -> list[Entry]:
    """Returns the entries of the discriminator.

    Args:
      widths: feature maps of each stage, from 4x4 up.
      last: feature maps of the last hidden layer.
      fused: for each stage from 8x8 on whether its down convolution is fused.
    """
    entries, top = [], len(widths) - 1
    for stage, width in enumerate(widths):
        place, side = top - stage, 4 << stage  # the largest images come first
        block, ours = f'progression.{place}', f'params/{side}x{side}'
        entries += _conv_entries(f'from_rgb.{place}.0.conv', f'{ours}/from_rgb', COLOURS, width, 1)
        if stage == 0:  # with the feature of the minibatch standard deviation; 4x4 pixels become one
            entries += _conv_entries(f'{block}.conv1.0.conv', f'{ours}/conv', width + 1, width)
            weight, bias = _conv_entries(f'{block}.conv2.0.conv', f'{ours}/dense0', width, last, 4)
            entries += [weight._replace(kind='dense'), bias]
            continue
        smaller = widths[stage - 1]
        entries += _conv_entries(f'{block}.conv1.0.conv', f'{ours}/conv0', width, smaller)
        down = f'{block}.conv2.1' if fused[stage - 1] else f'{block}.conv2.1.conv'
        weight, bias = _conv_entries(down, f'{ours}/conv1_down', smaller, smaller)
        entries += [weight._replace(theirs=f'{down}.weight') if fused[stage - 1] else weight, bias]
    entries += [
        Entry('linear.linear.weight_orig', 'params/4x4/dense1/weight', 'dense', (1, last), _SQRT2),
        Entry('linear.linear.bias', 'params/4x4/dense1/bias', 'vector', (1,)),
    ]
    return entries


def generator_blurs(widths: Sequence[int], up_names: Sequence[str]) -> dict[str, int]:
    """Returns {name: channels} of the generator's copies of the filter."""
    return {
        f'generator.progression.{stage}.conv1.{1 if up_names[stage - 1] == FUSED else 2}.{part}': width
        for stage, width in enumerate(widths)
        if stage and up_names[stage - 1] != OLD
        for part in ('weight', 'weight_flip')
    }


def discriminator_blurs(widths: Sequence[int]) -> dict[str, int]:
    """Returns {name: channels} of the discriminator's copies of the filter."""
    top = len(widths) - 1
    return {
        f'progression.{top - stage}.conv2.0.{part}': widths[stage - 1]
        for stage in range(1, len(widths))
        for part in ('weight', 'weight_flip')
    }
