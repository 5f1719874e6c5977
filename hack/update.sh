#!/usr/bin/env bash
# Runs every hack/update-*.sh: it mends what the hack/verify-*.sh of the same name finds, as far as
# a program can.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Generated code comes last: the others may change what it is generated from.
failed=()
for name in modules golangci-lint format codegen; do
  echo "update-${name}"
  "hack/update-${name}.sh" || failed+=("update-${name}")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
