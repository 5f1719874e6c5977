#!/usr/bin/env bash
# Fails when go vet finds something.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
go vet ./...
