#!/usr/bin/env bash
# One machine, all of its devices: trains, and starts again where it left off if the process dies. Not after Ctrl-C,
# SIGTERM or an error of use. A process that dies ten times within a minute of its start is left alone.
#   launch/local.sh --experiment=ffhq --config.data.path=ffhq.zip --workdir=runs/ffhq
set -u
early=0 stopped=0 pause=
trap 'stopped=143; kill -TERM ${!-} 2>/dev/null' TERM      # $! is the training or the pause, known as soon as it runs
trap 'stopped=130; kill $pause 2>/dev/null' INT      # Ctrl-C reaches python by itself
while true; do
  start=$SECONDS
  python -m stylegan_jax.main "$@" & child=$!
  [ $stopped = 0 ] || kill -TERM $child 2>/dev/null      # a signal that came just before
  wait $child; code=$?
  while kill -0 $child 2>/dev/null; do wait $child; code=$?; done      # a signal ends a wait, not the training
  case $code in
    0|2|130|143) exit $code ;;       # done, a mistake that only a person can mend, or stopped on purpose
  esac
  if [ $((SECONDS - start)) -lt 60 ]; then early=$((early + 1)); else early=0; fi
  if [ $early -ge 10 ] || [ $stopped != 0 ]; then exit $code; fi
  sleep 10 & pause=$!
  echo "the process died with code $code; going on from the newest checkpoint" >&2
  wait $pause; pause=
  if [ $stopped != 0 ]; then exit $stopped; fi
done
