#!/usr/bin/env bash
# Regenerates every generated file: deepcopy, defaults, OpenAPI, clientset,
# informers, listers and apply configurations. The generators are built from
# the module pinned in hack/tools/codegen.
set -o errexit -o nounset -o pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "${root}"

codegen_version="$(cd hack/tools/codegen && go list -m -f '{{.Version}}' k8s.io/code-generator)"
codegen_dir="$(cd hack/tools/codegen && go mod download k8s.io/code-generator && go list -m -f '{{.Dir}}' k8s.io/code-generator)"
export GOBIN="${root}/bin/tools/codegen-${codegen_version}"
mkdir -p "${GOBIN}"

# shellcheck source=/dev/null
source "${codegen_dir}/kube_codegen.sh"

boilerplate="${root}/hack/boilerplate.go.txt"
# Described in our OpenAPI, but not ours: nothing is written into the module cache.
KUBE_CODEGEN_READONLY_PKGS+=(k8s.io/api/rbac/v1)

kube::codegen::gen_helpers --boilerplate "${boilerplate}" apis

kube::codegen::gen_openapi \
  --output-dir pkg/generated/openapi \
  --output-pkg clusterpass.dev/pkg/generated/openapi \
  --output-model-name-file zz_generated.model_name.go \
  --report-filename hack/openapi-violations.list \
  --update-report \
  --extra-pkgs k8s.io/api/rbac/v1 \
  --extra-pkgs k8s.io/apimachinery/pkg/util/intstr \
  --boilerplate "${boilerplate}" \
  apis

# Upstream's ClusterProfile and PlacementDecision carry no openapi-gen tag; their
# definitions come from the CRDs of the same pinned module.
go run ./hack/openapi-inventory

schema="$(mktemp)"
trap 'rm -f "${schema}"' EXIT
go run ./hack/openapi-schema >"${schema}"

kube::codegen::gen_client \
  --with-watch \
  --with-applyconfig \
  --applyconfig-openapi-schema "${schema}" \
  --output-dir pkg/generated \
  --output-pkg clusterpass.dev/pkg/generated \
  --boilerplate "${boilerplate}" \
  apis
