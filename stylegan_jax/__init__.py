"""StyleGAN in JAX and Flax: `load` a network, or `Generator.init` a fresh one."""
import importlib

# Found when they are asked for: processes that only read data import this package without JAX.
_PLACES = {'Config': 'config', 'Discriminator': 'discriminator', 'DiscriminatorConfig': 'network_config',
           'Generator': 'generator', 'GeneratorConfig': 'network_config', 'ImageConfig': 'network_config',
           'UserError': 'errors', 'adaptive_instance_norm': 'networks.ops', 'load': 'loading', 'mix': 'generator'}

__all__ = sorted(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_PLACES[name]}'), name)


def __dir__():
    return sorted({*globals(), *__all__})
