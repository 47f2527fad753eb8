"""Prints what one iteration at full width becomes on an H100, as JSON; a process of its own, with XLA's own flags.

STYLEGAN_JAX_GPU_COMPILER=FOLDER python tests/benchmarks/step_graph.py RESOLUTION BATCH PRECISION
"""

import json
import sys
import time

from stylegan_jax.benchmarks.cases import Case, abstract_iteration, full_config, iteration
from stylegan_jax.benchmarks.graph import read_graph
from stylegan_jax.benchmarks.h100 import compile_for_h100
from stylegan_jax.benchmarks.kernel_time import milliseconds, predict


def main(resolution, batch, precision):
    """Compiles, reads and prints."""
    case = Case(full_config(int(resolution), precision), int(batch))
    start = time.perf_counter()
    compiled = compile_for_h100(iteration(case, fades=False), *abstract_iteration(case), donate_argnums=0)
    text = compiled.as_text()
    graph = read_graph(text)
    print(
        json.dumps(
            {
                'kernels': graph.total_kernels,
                'milliseconds': milliseconds(predict(text)),
                'bytes_per_image': graph.total_bytes / case.batch,
                'convolutions': graph.convolutions.total(),
                'oversized_filters': graph.oversized_filters,
                'dilated_pads': graph.dilated_pads,
                'float32_convolutions': graph.float32_convolutions,
                'seconds': time.perf_counter() - start,
            }
        )
    )
    print(graph, file=sys.stderr)


if __name__ == '__main__':
    main(*sys.argv[1:])
