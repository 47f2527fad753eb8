#!/usr/bin/env bash
# One machine: trains, and starts again where it left off if the process dies (not after Ctrl-C or an error of use).
#   launch/local.sh --experiment=ffhq --config.data.path=ffhq.zip --workdir=runs/ffhq
set -u
while true; do
  python -m stylegan_jax.main "$@"
  code=$?
  case $code in
    0|2|130|143) exit $code ;;       # done, a mistake in the command line, or stopped on purpose
  esac
  echo "the process died with code $code; going on from the newest checkpoint" >&2
  sleep 10
done
