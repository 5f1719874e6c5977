#!/usr/bin/env bash
# Fixes what the linters of .golangci.yml can fix themselves. The rest is an error.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
hack/build-tools.sh golangci-lint
linter="${PWD}/bin/tools/golangci-lint"
for module in . test/conformance; do
  (cd "${module}" && "${linter}" run --allow-serial-runners --fix ./...)
done
