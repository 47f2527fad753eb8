"""From a network of any kind to a file of another form: written, checked, and only then put in its place."""

import dataclasses
import math
import os
import shutil
import tempfile

from stylegan_jax.config.network import stage_and_alpha
from stylegan_jax.conversion import checking, forms
from stylegan_jax.conversion.request import Request
from stylegan_jax.errors import UserError, require, require_choice, unwritable
from stylegan_jax.storage import loading
from stylegan_jax.storage.stored_networks import NETWORKS

CHOICES = {
    'inputs': ('z', 'ws'),
    'noise': ('const', 'inputs', 'none'),
    'weights': ('inside', 'arguments'),
}


@dataclasses.dataclass(frozen=True)
class Converted:
    """A file that was written and checked.

    Attributes:
      out: its path.
      form: name of its form.
      names: of the networks in it, of 'ema', 'G' and 'D'.
      files: names of all files that were written, in the folder of `out`, or below `out` where that is a folder.
      nbytes: size of all of them.
      replaced: whether a file of that name was there before.
      differences: list of `checking.Difference`.
      bound: the largest that was allowed.
      lost: lines about what the form cannot carry.
    """

    out: str
    form: str
    names: tuple[str, ...]
    files: tuple[str, ...]
    nbytes: int
    replaced: bool
    differences: tuple[checking.Difference, ...]
    bound: float
    lost: tuple[str, ...]


def convert(
    network: str | os.PathLike,
    out: str | os.PathLike,
    *,
    which: str = 'ema',
    form: str | None = None,
    bound: float | None = None,
    lod: float | None = None,
    dtype: str | None = None,
    inputs: str | None = None,
    psi: float | str | None = None,
    noise: str | None = None,
    weights: str | None = None,
) -> Converted:
    """Writes a network in another form, and checks what was written.

    The file is read back, or run by the other side's own runtime, on latents drawn for the purpose. Where images differ
    by more than the bound, nothing is left behind, and a file that was there stays as it was.

    Args:
      network: whatever `stylegan_jax.load` reads.
      out: path of the file, or of the folder.
      which: 'ema', 'G', 'D', or 'all' that there are.
      form: a name in `forms.FORMS`; None for what the ending of `out` tells.
      bound: largest difference of images that is accepted; None for the form's own.
      lod: level of detail; None for that of the network.
      dtype: 'float32' or 'float16' for the stored weights; None for their own.
      inputs, psi, noise, weights: see `request.Request`; for forms that are programs.

    Returns:
      Converted.

    Raises:
      UserError: a file or an argument cannot be used, or the images differ by more than the bound.
    """
    network, out = os.fspath(network), os.fspath(out)
    chosen = forms.form_of(out, form)
    options = {'dtype': dtype, 'inputs': inputs, 'psi': psi, 'noise': noise, 'weights': weights}
    options = {name: value for name, value in options.items() if value is not None}
    _check_options(chosen, options)
    _check_place(network, out, chosen)
    request = _request(network, chosen, which, lod, options)
    require(bound is None or bound >= 0, 'bound', bound, 'give a number from 0')
    bound = chosen.bounds[dtype] if bound is None else bound
    try:
        return _written(out, chosen, request, bound)
    except OSError as error:
        raise unwritable('out', out, error, 'choose another place') from None


def _check_options(form, options):
    for name, value in options.items():
        choices = tuple(kind for kind in form.bounds if kind) if name == 'dtype' else CHOICES.get(name, ('input',))
        if not (choices if name == 'dtype' else name in form.options):
            raise UserError(f'the form {form.name} has no such choice', field=name, value=value, remedy='leave it out')
        if isinstance(value, str):
            require_choice(name, value, choices)


def _check_place(network, out, form):
    _refuse_itself(network, out)
    if not form.endings:
        if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
            raise UserError('there is something already', field='out', value=out, remedy='choose a new folder')
    elif os.path.isdir(out):
        raise UserError('there is a folder of that name', field='out', value=out, remedy='choose another name')


def _refuse_itself(network, place):
    if os.path.exists(place) and os.path.exists(network) and os.path.samefile(network, place):
        raise UserError('this is the network itself', field='out', value=place, remedy='choose another place')


def _request(network, form, which, lod, options):
    """Opens the path once, and returns a Request with the networks that were asked for."""
    require_choice('which', which, (*NETWORKS, 'all'))
    stored = loading.open_networks(network)
    names = (stored.names or ('ema',)) if which == 'all' else (which,)  # loading says why there are none
    if len(names) > 1 and not form.holds_several:
        raise UserError(
            f'the form {form.name} holds one network, and there are {" and ".join(names)}',
            field='which',
            value=which,
            remedy='choose one',
        )
    for name in names:
        if name not in form.networks:
            raise UserError(f'the form {form.name} holds no {name}', field='which', value=which)
    for name in names:
        if form.holds_several and name not in stored.names and name in stored.loadable:
            raise UserError(
                f'{network} has no {name}, and the form {form.name} says which network is in it',
                field='which',
                value=which,
                remedy='choose ' + ' or '.join(stored.names),
            )
    networks = {name: stored.load(name) for name in names}
    lod = stored.lod if lod is None else lod
    for loaded in networks.values():
        stage_and_alpha(loaded.config.image, lod)  # raises an error about a level that does not exist
    return Request(network, networks, lod, stored.nimg, **options)


def _written(out, form, request, bound):
    """Writes into a folder beside `out`, checks what is there, and moves it to its place."""
    out = os.path.normpath(out)
    parent, name = os.path.split(out)
    folder = tempfile.mkdtemp(prefix=f'.{name}.', dir=parent or '.')
    try:
        path = os.path.join(folder, name)
        lost = form.write(path, request)
        differences = checking.compare(path, form, request)
        for difference in differences:
            if not difference.largest <= bound:  # also where it is not a number
                reasons = f' (not in the file: {"; ".join(lost)})' if lost else ''
                accepted = f'bound={1.1 * difference.largest:.2g} accepts it'
                raise UserError(
                    f'{out}: {difference}, more than {bound:g}; nothing was written',
                    remedy=(accepted if math.isfinite(difference.largest) else 'no bound accepts it') + reasons,
                )
        files = sorted(
            os.path.relpath(os.path.join(where, file), path if os.path.isdir(path) else folder)
            for where, _, inside in os.walk(folder)
            for file in inside
        )
        root = path if os.path.isdir(path) else folder
        nbytes = sum(os.path.getsize(os.path.join(root, file)) for file in files)
        entries = sorted(os.listdir(folder), key=lambda entry: entry == name)  # the file itself comes last
        for entry in entries:
            _refuse_itself(request.source, os.path.join(parent, entry))
        replaced = any(os.path.isfile(os.path.join(parent, entry)) for entry in entries)
        for entry in entries:
            os.replace(os.path.join(folder, entry), os.path.join(parent, entry))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    names = tuple(request.networks)
    return Converted(out, form.name, names, tuple(files), nbytes, replaced, tuple(differences), bound, tuple(lost))
