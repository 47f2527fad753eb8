"""StyleGAN in JAX and Flax: `load` a network, or `Generator.init` a fresh one."""

import importlib

# Public names are imported on first access (PEP 562), so that processes that only read data do without JAX.
_PLACES = {
    'Config': 'config',
    'Discriminator': 'networks.discriminator',
    'DiscriminatorConfig': 'config',
    'Generator': 'networks.generator',
    'GeneratorConfig': 'config',
    'ImageConfig': 'config',
    'UserError': 'errors',
    'adaptive_instance_norm': 'networks.ops',
    'load': 'storage.loading',
    'mix': 'networks.generator',
}
_MODULES = {'conversion': 'conversion', 'directions': 'editing.directions', 'official': 'storage.official'}

__all__ = sorted([*_PLACES, *_MODULES])


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f'{__name__}.{_MODULES[name]}')
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_PLACES[name]}'), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith('__'))])
