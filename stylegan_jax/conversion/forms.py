"""The table of forms that networks are written in. Reading them is the purpose of `storage.readers`."""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from stylegan_jax.conversion import hub, onnx_file, onnx_runtime, stablehlo
from stylegan_jax.conversion.request import CheckInputs, Request
from stylegan_jax.errors import UserError, require_choice
from stylegan_jax.storage import rosinality, safetensors_file

# Weights of float16: a network of 32x32 whose weights were moved at random was 0.007 away at most, networks of random
# weights up to 0.010 of their largest value (256x256).
_HALF = 0.02


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of file.

    Attributes:
      name: as users give it.
      about: a few words for people.
      write: takes the path and the Request; returns lines about what the file cannot carry. It may write further files
        into the folder of the path, which is empty.
      endings: of the names of such files; none for a folder.
      networks: those of 'ema', 'G' and 'D' that it can hold.
      holds_several: whether one file can hold more than one of them.
      bounds: largest difference of an image, by the number type of the weights; None is their own. A form takes the
        types that are named here.
      weights_only: whether it has neither stored noise inputs nor an average w, so that images are compared with other
        noise and without truncation.
      exact: whether all arrays come back byte for byte, up to the type that they are stored in.
      options: names of the fields of a Request, of those for programs, that it takes.
      draw: the other side's own runtime: takes the path, the Request, and CheckInputs, and returns images
        [N, H, W, C]; None for a form that `storage.loading` reads back.
      describe: takes the path of such a file, and returns lines about it; None for a form that is read back.
    """

    name: str
    about: str
    write: Callable[[str, Request], Sequence[str]]
    endings: tuple[str, ...] = ()
    networks: tuple[str, ...] = ('ema', 'G', 'D')
    holds_several: bool = False
    bounds: Mapping[str | None, float] = dataclasses.field(default_factory=dict)
    weights_only: bool = False
    exact: bool = False
    options: frozenset[str] = frozenset()
    draw: Callable[[str, Request, CheckInputs], np.ndarray] | None = None
    describe: Callable[[str], Sequence[str]] | None = None


def program_form(
    name: str,
    about: str,
    ending: str,
    export: Callable[..., None],
    draw: Callable[..., np.ndarray],
    *,
    bounds: Mapping[str | None, float],
    options: Collection[str] = (),
    describe: Callable[[str], Sequence[str]] | None = None,
) -> Form:
    """Returns the Form of a program that draws images without this package, at one level of detail.

    Args:
      name, about, ending, bounds, describe: see `Form`.
      export: takes a Generator, a path, and by name `lod`, `inputs`, `psi`, `noise`, further `options`, and `dtype` if
        `bounds` has 'float16'.
      draw: takes a path, latents, labels, and by name `psi` and `noise`; those that are no inputs are None.
      options: beyond `inputs`, `psi` and `noise`.
    """
    options = frozenset({'inputs', 'psi', 'noise', *options})

    def write(path, request):
        arguments = {name: getattr(request, name) for name in options}
        arguments |= {'dtype': request.dtype or 'float32'} if 'float16' in bounds else {}
        export(request.generator, path, lod=request.lod, **arguments)
        return []

    def run(path, request, inputs):
        psi = inputs.psi if request.psi == 'input' else None
        noise = inputs.noise if request.noise == 'inputs' else None
        label = inputs.label if inputs.label.size and request.inputs == 'z' else None
        return draw(path, inputs.latents, label, psi=psi, noise=noise)

    return Form(
        name, about, write, (ending,), ('ema', 'G'), bounds=bounds, options=options, draw=run, describe=describe
    )


def _write_saved(path, request):
    (network,) = request.networks.values()
    network.save(path, request.dtype)
    return _training_lost(request)


def _write_safetensors(path, request):
    safetensors_file.write(path, request.networks, dtype=request.dtype, lod=request.lod, nimg=request.nimg)
    return []


def _write_rosinality(path, request):
    rosinality.write(path, request.networks)
    return rosinality.not_carried_over(request.networks) + _training_lost(request)


def _training_lost(request):
    """Returns lines about the training that forms of bare networks have no place for."""
    lost = [] if not request.lod else [f'the level of detail: draw with lod={request.lod:g}']
    return lost + ([] if request.nimg is None else ['the number of images shown'])


_EXACT = {None: 0.0, 'float32': 0.0, 'float16': _HALF}
FORMS = {
    form.name: form
    for form in (
        Form('npz', 'a saved network of this package', _write_saved, ('.npz',), bounds=_EXACT, exact=True),
        Form(
            'safetensors',
            'a .safetensors file',
            _write_safetensors,
            ('.safetensors',),
            holds_several=True,
            bounds=_EXACT,
            exact=True,
        ),
        Form('hub', 'a folder for a model hub', hub.write, holds_several=True, bounds=_EXACT, exact=True),
        Form(
            'rosinality',
            'a file of rosinality/style-based-gan-pytorch',
            _write_rosinality,
            ('.pt', '.model'),
            holds_several=True,
            bounds={None: 1e-4},
            weights_only=True,
        ),
        program_form(
            'onnx',
            'an ONNX model',
            '.onnx',
            onnx_file.export,
            onnx_runtime.draw,
            bounds={None: onnx_runtime.BOUNDS['float32'], **onnx_runtime.BOUNDS},
            describe=onnx_runtime.describe,
        ),
        program_form(
            'stablehlo',
            'a StableHLO program',
            '.stablehlo',
            stablehlo.export,
            stablehlo.draw,
            bounds={None: 1e-4},
            options=('weights',),
            describe=stablehlo.describe,
        ),
    )
}


def form_of(out: str, name: str | None = None) -> Form:
    """Returns the form that a file is to have.

    Args:
      out: its path, whose ending tells the form where no name is given.
      name: of the form; None for what the ending tells.

    Raises:
      UserError: there is no such form, or the ending belongs to another one.
    """
    ending = os.path.splitext(out)[1].lower()
    told = next((form for form in FORMS.values() if ending in form.endings), None)
    if name is None:
        if told is None:
            known = ', '.join(ending for form in FORMS.values() for ending in form.endings)
            raise UserError(
                f'its ending tells no form; those of files are {known}',
                field='out',
                value=out,
                remedy='choose one of them, or give the form (hub for a folder)',
            )
        return told
    require_choice('form', name, tuple(FORMS))
    if told is not None and told.name != name:
        raise UserError(f'{out} ends as files of the form {told.name} do', field='form', value=name)
    return FORMS[name]
