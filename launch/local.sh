#!/usr/bin/env bash
# One machine, all of its devices: trains, and starts again where it left off if the process dies. Not after Ctrl-C,
# SIGTERM or an error of use. A process that dies ten times within a minute of its start is left alone.
#   launch/local.sh --experiment=ffhq --config.data.path=ffhq.zip --workdir=runs/ffhq
set -u
early=0
while true; do
  start=$SECONDS
  python -m stylegan_jax.main "$@" &
  trap 'kill -TERM $! 2>/dev/null' TERM
  trap ':' INT                       # Ctrl-C reaches python by itself
  wait $!; code=$?
  while kill -0 $! 2>/dev/null; do wait $!; code=$?; done      # a signal ends a wait, not the training
  case $code in
    0|2|130|143) exit $code ;;       # done, a mistake that only a person can mend, or stopped on purpose
  esac
  if [ $((SECONDS - start)) -lt 60 ]; then early=$((early + 1)); else early=0; fi
  if [ $early -ge 10 ]; then exit $code; fi
  echo "the process died with code $code; going on from the newest checkpoint" >&2
  sleep 10
done
