#!/usr/bin/env bash
# Runs every hack/update-*.sh: it mends what the hack/verify-*.sh of the same name finds, as far as
# a program can.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for script in hack/update-*.sh; do
  echo "${script}"
  "${script}"
done
