"""What metrics there are, by name, and what samples each needs.

    fid50k kid50k is50k pr50k3          of 50,000 generated images and as many real ones
    fid50k_full                         of 50,000 generated images and all real ones
    ppl_wend ppl_zfull                  paths in W or Z, at their ends or all along, 100,000 of them
    ls                                  linear separability, of 200,000 images
    diversity                           LPIPS of 10,000 pairs of generated images
    fd_toy                              Fréchet distance in the space of the Toy-faces classifier, of 5,000 images

Any number may take the place of these: fid10k, ppl_wend2k, ls500.
"""

import dataclasses
import re

from stylegan_jax.errors import UserError

_COUNT = r'(?P<count>\d+k?)?'
_FORMS = {
    'fid': rf'fid{_COUNT}(?P<full>_full)?',
    'kid': rf'kid{_COUNT}(?P<full>_full)?',
    'is': rf'is{_COUNT}',
    'pr': rf'pr{_COUNT}(?:(?<=k)3)?(?P<full>_full)?',
    'ppl': rf'ppl_(?P<space>[zw])(?P<where>full|end){_COUNT}',
    'ls': rf'ls{_COUNT}',
    'diversity': rf'diversity{_COUNT}',
    'fd_toy': rf'fd_toy{_COUNT}(?P<full>_full)?',
}
_COUNTS = {'ppl': 100_000, 'ls': 200_000, 'diversity': 10_000, 'fd_toy': 5_000}
_USUAL = 50_000
_WITH_REALS = 'fid', 'kid', 'pr', 'fd_toy'
_PARTS = {'pr': ('_precision', '_recall'), 'ls': ('_z', '_w')}  # metrics that have several results
# One image a split; as many neighbours, and the image itself; as many as make planes mean something.
_FEWEST = {'is': 10, 'pr': 4, 'ls': 20}


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric that was asked for.

    Attributes:
      name: as it was written.
      kind: 'fid', 'kid', 'is', 'pr', 'ppl', 'ls', 'diversity' or 'fd_toy'.
      fakes: how many generated images; of 'ppl' steps, of 'diversity' pairs.
      reals: how many real images; 0 for none, None for all there are.
      space: of 'ppl', 'z' or 'w'.
      ends: of 'ppl', whether steps start at the ends of paths.
    """

    name: str
    kind: str
    fakes: int
    reals: int | None = 0
    space: str | None = None
    ends: bool | None = None

    @property
    def results(self):
        """Names of the results, the deciding one first."""
        return tuple(self.name + part for part in _PARTS.get(self.kind, ('',)))


def parse(names):
    """Returns the Metrics that a text such as 'fid50k,ppl_wend' names.

    Raises:
      UserError: there is no such metric, or too few images are asked for.
    """
    return [_parse(name.strip()) for name in names.split(',') if name.strip()]


def _parse(name):
    for kind, form in _FORMS.items():
        match = re.fullmatch(form, name)
        if match:
            break
    else:
        raise UserError(
            f'metric {name!r}: there is none of that name; choose from fid50k, fid50k_full, kid50k, is50k, '
            'pr50k3, ppl_zfull, ppl_wfull, ppl_zend, ppl_wend, ls, diversity, fd_toy; any number may take the place '
            'of theirs, such as fid5k'
        )
    found = match.groupdict()
    count = _number(found['count']) if found['count'] else _COUNTS.get(kind, _USUAL)
    if count < _FEWEST.get(kind, 2):
        raise UserError(f'metric {name!r}: ask for at least {_FEWEST.get(kind, 2)} images')
    reals = 0 if kind not in _WITH_REALS else None if found['full'] else count
    return Metric(name, kind, count, reals, found.get('space'), found['where'] == 'end' if kind == 'ppl' else None)


def _number(text):
    return int(text[:-1]) * 1000 if text.endswith('k') else int(text)
