"""What a run and its networks are: validated dataclasses, and the schedule that follows from them. No JAX here."""

from stylegan_jax.config.network import DiscriminatorConfig, GeneratorConfig, ImageConfig
from stylegan_jax.config.run import (
    PRECISIONS,
    AugmentConfig,
    Config,
    DataConfig,
    LogConfig,
    LossConfig,
    ParallelConfig,
    ScheduleConfig,
    TrainConfig,
)

__all__ = [
    'PRECISIONS',
    'AugmentConfig',
    'Config',
    'DataConfig',
    'DiscriminatorConfig',
    'GeneratorConfig',
    'ImageConfig',
    'LogConfig',
    'LossConfig',
    'ParallelConfig',
    'ScheduleConfig',
    'TrainConfig',
]
