#!/usr/bin/env bash
# Fails when a Go file is not formatted.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
unformatted="$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l)"
if [[ -n "${unformatted}" ]]; then
  printf 'run gofmt -w on:\n%s\n' "${unformatted}" >&2
  exit 1
fi
