#!/usr/bin/env bash
# Fails when a Go file is not formatted, or has a comment wider than 100 columns, a tab counted as
# one. The linter lll bounds code. Directives and lines of one word can't be wrapped.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
unformatted="$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l)"
if [[ -n "${unformatted}" ]]; then
  printf 'run hack/update-format.sh, which formats:\n%s\n' "${unformatted}" >&2
  exit 1
fi
wide="$(git ls-files --cached --others --exclude-standard '*.go' | grep -vE '^pkg/generated/|zz_generated' |
  xargs awk 'length($0) > 100 && /^\t*\/\/ .* / && !/^\t*\/\/ \+/ {printf "%s:%d\n", FILENAME, FNR}')"
if [[ -n "${wide}" ]]; then
  printf 'wrap these comments at 100 columns:\n%s\n' "${wide}" >&2
  exit 1
fi
