#!/usr/bin/env bash
# Fails when git has, or would add, a file that is larger than any source: a built program, most likely.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
limit_kib=512
large="$(git ls-files --cached --others --exclude-standard -z | xargs -0 du -k -- 2>/dev/null | awk -v limit="${limit_kib}" '$1 > limit')"
if [[ -n "${large}" ]]; then
  printf 'larger than %s KiB:\n%s\n' "${limit_kib}" "${large}" >&2
  exit 1
fi
