"""Digests of the parts of a checkpoint, by which a damaged one is told from a sound one."""

import concurrent.futures
import hashlib
import json
import os
import typing

import jax
import numpy as np

_SIZE = 16  # bytes of a digest


def of_arrays(tree: typing.Any) -> str:
    """Returns the digest of a pytree of arrays: of their values, types and shapes, in the order of its leaves."""

    def digest(x):
        hashed = hashlib.blake2b(f'{x.dtype}{x.shape}'.encode(), digest_size=_SIZE)
        hashed.update(np.ascontiguousarray(x))
        return hashed.hexdigest()

    # hashlib releases the interpreter lock on large arrays, so threads hash at the same time.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        return of_json(list(threads.map(digest, jax.tree.leaves(tree))))


def of_json(value: typing.Any) -> str:
    """Returns the digest of a value for JSON, which is the same before and after a trip through a file."""
    value = json.loads(json.dumps(value))  # JSON turns the resolutions that are keys of tables into strings
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=_SIZE).hexdigest()
