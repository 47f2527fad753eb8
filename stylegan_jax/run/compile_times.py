"""How long programs took to compile the last time, kept beside the compiled programs themselves."""

import contextlib
import dataclasses
import hashlib
import json
import os

import jax

from stylegan_jax.config import Config, DataConfig, LogConfig, serialization
from stylegan_jax.runtime import atomic
from stylegan_jax.training import Program

FILE = 'compile_times.json'
_MOST = 1000  # programs that the file remembers, the newest ones


class CompileTimes:
    """The times of a run's programs. A file that cannot be read or written is no matter."""

    def __init__(self, config: Config):
        """Reads the file in the folder of compiled programs.

        Args:
          config: a resolved Config.
        """
        self._config = config
        folder = jax.config.jax_compilation_cache_dir
        self._path = os.path.join(folder, FILE) if folder else None

    @property
    def folder(self) -> str | None:
        """The folder that keeps compiled programs; None where nothing is kept."""
        return self._path and os.path.dirname(self._path)

    def last(self, program: Program) -> float | None:
        """Returns how long a program (`training.Program`) took to compile the last time [s]; None if not known."""
        seconds = self._read().get(self._key(program))
        return float(seconds) if isinstance(seconds, (int, float)) else None

    def note(self, program: Program, seconds: float) -> None:
        """Keeps how long a program took, where it was compiled and not found in the cache."""
        if self._path is None:
            return
        times, key = self._read(), self._key(program)
        times.pop(key, None)  # so that it becomes the newest
        times[key] = round(seconds, 1)
        with contextlib.suppress(OSError):
            with atomic.writing(self._path, suffix=f'.{os.getpid()}.part') as file:
                json.dump(dict(list(times.items())[-_MOST:]), file)

    def _read(self):
        if self._path is None:
            return {}
        try:
            with open(self._path) as file:
                times = json.load(file)
        except (OSError, ValueError):
            return {}
        return times if isinstance(times, dict) else {}

    def _key(self, program):
        """A digest of all that a program depends on; more than that would only lose times."""
        config = dataclasses.replace(self._config, name='', data=DataConfig(), log=LogConfig(), metrics='', seed=0)
        device = jax.local_devices()[0]
        parts = (jax.__version__, device.device_kind, jax.device_count(), serialization.to_json(config), *program)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
