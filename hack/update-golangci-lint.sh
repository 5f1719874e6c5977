#!/usr/bin/env bash
# Fixes what the linters of .golangci.yml can fix themselves. The rest is an error.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
hack/build-tools.sh golangci-lint
bin/tools/golangci-lint run --allow-serial-runners --fix ./...
