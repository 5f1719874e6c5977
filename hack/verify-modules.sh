#!/usr/bin/env bash
# Fails when go mod tidy would change a module, ours or one that pins tools, or when a
# downloaded module is not what go.sum says.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for module in . hack/tools/*/ test/conformance/; do
  (cd "${module}" && echo "${module}" && go mod tidy -diff)
done
go mod verify
