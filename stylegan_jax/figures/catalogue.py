"""The figures by their names."""

from stylegan_jax.errors import UserError
from stylegan_jax.figures import noise_components, noise_detail, style_mixing, style_table, truncation, uncurated

# Each has `missing(config)`, `num_images(artist, settings)` and `draw(artist, settings, look, psi)`.
FIGURES = {
    'uncurated': uncurated,
    'style-mixing': style_mixing,
    'noise-detail': noise_detail,
    'noise-components': noise_components,
    'truncation': truncation,
    'style-table': style_table,
}


def asked_for(text, config):
    """Splits figures into those that a network has, and those that it has not.

    Args:
      text: 'all', or names with commas.
      config: the GeneratorConfig.

    Returns:
      (names, {name: why there is none}); the latter only where all were asked for.

    Raises:
      UserError: there is no such figure, or this network has none.
    """
    if text == 'all':
        reasons = {name: figure.missing(config) for name, figure in FIGURES.items()}
        return [name for name in FIGURES if not reasons[name]], {name: why for name, why in reasons.items() if why}
    names = list(dict.fromkeys(name.strip().replace('_', '-') for name in text.split(',')))
    for name in names:
        if name not in FIGURES:
            raise UserError(f'--figure={text}: there is no figure {name!r}; choose all or ' + ', '.join(FIGURES))
        if why := FIGURES[name].missing(config):
            raise UserError(f'--figure={name}: this network has none: {why}; --figure=all makes those that it has')
    return names, {}
