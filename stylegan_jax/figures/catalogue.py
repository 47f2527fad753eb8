"""The table of figures: a name, and the module that draws it."""

from stylegan_jax.config import GeneratorConfig
from stylegan_jax.errors import UserError
from stylegan_jax.figures import noise_components, noise_detail, style_mixing, style_table, truncation, uncurated

# Each module has `missing(config)`, which says why a network has no such figure, `num_images(artist, settings)`, for
# progress bars, and `draw(artist, settings, look, psi)`.
FIGURES = {
    'uncurated': uncurated,
    'style-mixing': style_mixing,
    'noise-detail': noise_detail,
    'noise-components': noise_components,
    'truncation': truncation,
    'style-table': style_table,
}


def asked_for(text: str, config: GeneratorConfig) -> tuple[list[str], dict[str, str]]:
    """Splits figures into those that a network can show and those that it cannot.

    Args:
      text: 'all', or names with commas.
      config: the GeneratorConfig.

    Returns:
      (names, {name: why there is none}); the latter is empty unless all were asked for.

    Raises:
      UserError: there is no such figure, or this network has none.
    """
    if text == 'all':
        reasons = {name: figure.missing(config) for name, figure in FIGURES.items()}
        return [name for name in FIGURES if not reasons[name]], {name: why for name, why in reasons.items() if why}
    names = list(dict.fromkeys(name.strip().replace('_', '-') for name in text.split(',')))
    for name in names:
        if name not in FIGURES:
            raise UserError(
                f'there is no figure {name!r}', field='figure', value=text, remedy='choose all or ' + ', '.join(FIGURES)
            )
        if why := FIGURES[name].missing(config):
            raise UserError(
                f'this network has none: {why}', field='figure', value=name, remedy='choose all for those that it has'
            )
    return names, {}
