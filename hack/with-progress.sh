#!/usr/bin/env bash
# Runs a command, and says every 20 seconds that it still runs and how long it has.
#
# usage: hack/with-progress.sh WHAT COMMAND [ARGUMENT ...]
set -o errexit -o nounset -o pipefail

what="$1"; shift

# The sleep holds none of our files: it may outlive us by seconds, and a reader of a pipe would wait for it.
(
  while sleep 20 &>/dev/null; do
    echo "... ${what}: ${SECONDS} s" >&2
  done
) &
trap 'kill "$!" 2>/dev/null || true' EXIT
"$@"
