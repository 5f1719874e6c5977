#!/usr/bin/env bash
# Fails when a shell script does not parse or, where shellcheck is installed, when that
# finds something.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
for script in "${scripts[@]}"; do
  bash -n "${script}"
  if [[ ! -x "${script}" ]]; then
    echo "${script} is not executable" >&2
    exit 1
  fi
done
if command -v shellcheck >/dev/null; then
  shellcheck "${scripts[@]}"
fi
