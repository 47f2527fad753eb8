#!/usr/bin/env bash
# A flag of XLA that a newer jaxlib no longer has ends the process without a traceback, and pytest shows not one line.
#
# Seen on 2026-11-27, CPython 3.13.0, Linux x86-64, CPU: jaxlib 0.10.2 takes XLA_FLAGS=--xla_cpu_use_fusion_emitters=false
# and runs the test. jaxlib 0.12.0.1 writes "Unknown flag in XLA_FLAGS" to file descriptor 2 and ends the process with
# exit code 1 when the first backend is made. Pytest (9.2.0) has that descriptor captured to a temporary file, which dies
# with the process: its output ends after the name of the test. With `pytest -s` the line is there.
#
#     findings/unknown_xla_flag_under_pytest.sh [PYTHON]        (3.12 or newer)
set -euo pipefail
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'import jax\n\n\ndef test_devices():\n    assert jax.devices()\n' >"$folder/test_devices.py"
cd "$folder"

run() {     # version of JAX, further arguments of pytest: sets code and output
    [ -d "$1" ] || { "$python" -m venv "$1" && "$1/bin/pip" install -q "jax==$1" "jaxlib==$1" pytest==9.2.0; }
    code=0
    output=$(XLA_FLAGS=--xla_cpu_use_fusion_emitters=false JAX_PLATFORMS=cpu \
        "$1/bin/python" -m pytest -p no:cacheprovider "${@:2}" test_devices.py 2>&1) || code=$?
    printf -- '--- jax %s: exit code %s\n%s\n' "$1" "$code" "$output"
}

run 0.10.2
[ "$code" = 0 ] || { echo 'changed: the older jaxlib does not take the flag'; exit 1; }
run 0.12.0.1
[ "$code" = 1 ] && ! grep -q 'Unknown flag\|Traceback\|Error' <<<"$output" || { echo 'changed: pytest says something'; exit 1; }
run 0.12.0.1 -s
[ "$code" = 1 ] && grep -q 'Unknown flag in XLA_FLAGS: --xla_cpu_use_fusion_emitters=false' <<<"$output" ||
    { echo 'changed: the newer jaxlib takes the flag'; exit 1; }
echo 'as described'
