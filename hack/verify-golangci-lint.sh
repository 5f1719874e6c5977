#!/usr/bin/env bash
# Fails when one of the linters of .golangci.yml finds something.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ ! -x bin/tools/golangci-lint ]]; then
  echo "bin/tools/golangci-lint is missing: hack/build-tools.sh golangci-lint builds it" >&2
  exit 1
fi
# Another one on the machine is waited for.
linter="${PWD}/bin/tools/golangci-lint"
for module in . test/conformance; do
  (cd "${module}" && "${linter}" run --allow-serial-runners ./...)
done
