#!/usr/bin/env bash
# Fails when a generated file is not what hack/update-codegen.sh makes today.
set -o errexit -o nounset -o pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
copy="$(mktemp -d)"
trap 'rm -rf "${copy}"' EXIT

cd "${root}"
mkdir -p bin/tools
git ls-files --cached --others --exclude-standard -z | xargs -0 cp --parents -t "${copy}" 2>/dev/null || true
mkdir -p "${copy}/bin" && ln -s "${root}/bin/tools" "${copy}/bin/tools"
(cd "${copy}" && git init -q . && hack/update-codegen.sh >/dev/null)

stale=0
for path in apis pkg/generated hack/openapi-violations.list; do
  diff -Nru --exclude='*_test.go' "${path}" "${copy}/${path}" || stale=1
done
if [[ ${stale} -ne 0 ]]; then
  echo "generated files are stale: run 'make generate'" >&2
  exit 1
fi
