#!/usr/bin/env bash
# Formats every Go file.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -w
