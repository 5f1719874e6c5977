#!/usr/bin/env bash
# Runs go mod tidy in every module, ours and those that pin tools.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for module in . hack/tools/*/ test/conformance/; do
  (cd "${module}" && echo "${module}" && go mod tidy)
done
