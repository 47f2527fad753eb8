"""Which layers carry coarse, middle and fine styles (Section 3.1)."""

from stylegan_jax.config import ImageConfig

NAMES = 'coarse', 'middle', 'fine'
_LAST_COARSE, _LAST_MIDDLE = 8, 32  # pixels: 4 to 8, 16 to 32, 64 and up in the paper


def split(image: ImageConfig, num_stages: int | None = None) -> dict[str, range]:
    """Splits the layers of a network by the resolution that they work at.

    Where the paper's resolutions would leave a range empty, each range gets about a third of the stages. A network of
    one or two stages has fewer ranges.

    Args:
      image: an ImageConfig.
      num_stages: how many stages are in use; None for all.

    Returns:
      {'coarse': range, 'middle': range, 'fine': range} of layers, without those that would be empty.
    """
    num_stages = num_stages or image.num_stages
    sides = [image.stage_resolution(stage) for stage in range(num_stages)]
    coarse, middle = sum(side <= _LAST_COARSE for side in sides), sum(side <= _LAST_MIDDLE for side in sides)
    if not 0 < coarse < middle < num_stages:
        coarse, middle = -(-num_stages // 3), -(-2 * num_stages // 3)
        if num_stages == 2:
            coarse = middle = 1
    # Each stage has two layers.
    edges = [0, coarse, middle, num_stages]
    ranges = {name: range(2 * first, 2 * last) for name, first, last in zip(NAMES, edges, edges[1:])}
    return {name: layers for name, layers in ranges.items() if layers}


def resolutions(image: ImageConfig, layers: range) -> str:
    """Names the resolutions that layers work at, such as '4-8 px'."""
    sides = sorted({image.stage_resolution(layer // 2) for layer in layers})
    return f'{sides[0]} px' if len(sides) == 1 else f'{sides[0]}-{sides[-1]} px'
