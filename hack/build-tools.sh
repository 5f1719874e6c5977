#!/usr/bin/env bash
# Builds the programs the local fleet and the tests run, from the modules pinned
# under hack/tools, into bin/tools/<module>-<version>/ and links them from
# bin/tools/. What is already there at its version is left alone.
#
# usage: hack/build-tools.sh [kubernetes|kubectl-oldest|etcd|golangci-lint|kueue|ocm ...]   (default: kubernetes etcd)
set -o errexit -o nounset -o pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="${root}/bin/tools"
kueue=sigs.k8s.io/kueue
ocm=open-cluster-management.io/ocm

# build TOOLDIR MODULE PACKAGE[=NAME]... builds the packages of a module at the version
# that hack/tools/TOOLDIR/go.mod pins.
build() {
  local dir="${root}/hack/tools/$1" module="$2"; shift 2
  local version; version="$(cd "${dir}" && go list -m -f '{{.Version}}' "${module}")"
  local into; into="${out}/$(basename "${dir}")-${version}"
  mkdir -p "${into}"
  local spec name package
  for spec in "$@"; do
    package="${spec%%=*}"; name="$(basename "${spec##*=}")"
    # A main of ours may change while the version stays.
    if [[ ! -x "${into}/${name}" || "${dir}/main.go" -nt "${into}/${name}" ]]; then
      build_one "${dir}" "${package}" "$(ldflags "${module}" "${version}")" "${into}" "${name}"
    fi
    ln -sfn "$(basename "${into}")/${name}" "${out}/${name}"
  done
}

# build_one DIR PACKAGE LDFLAGS INTO NAME builds one program; it appears at once or not at all.
build_one() {
  local dir="$1" package="$2" ldflags="$3" into="$4" name="$5"
  local start=${SECONDS} tmp="${into}/.${name}.$$"
  echo "building $(basename "${into}")/${name}: once, and minutes on a small machine"
  (cd "${dir}" && CGO_ENABLED=0 "${root}/hack/with-progress.sh" "building ${name}" \
    go build -trimpath -ldflags "${ldflags}" -o "${tmp}" "${package}")
  mv "${tmp}" "${into}/${name}"
  echo "built ${name} in $((SECONDS - start)) s"
}

# ldflags MODULE VERSION prints the linker flags that stamp its programs. Without a version
# stamped in, Kubernetes programs report v0.0.0-master, which kubectl prints as nonsense and
# Kueue refuses to parse.
ldflags() {
  local module="$1" version="$2" flags="-s -w"
  # Kueue has a version of its own: in the Kubernetes libraries it would be that of a Kubernetes
  # from before the features that they ask for.
  if [[ "${module}" == "${kueue}" ]]; then
    echo "${flags} -X ${kueue}/pkg/version.GitVersion=${version}"
    return
  fi
  # Neither is OCM's version one of Kubernetes, and it prints none.
  if [[ "${module}" == "${ocm}" ]]; then
    echo "${flags}"
    return
  fi
  local major minor package
  major="$(cut -d. -f1 <<<"${version#v}")"; minor="$(cut -d. -f2 <<<"${version#v}")"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X ${package}.gitVersion=${version} -X ${package}.gitMajor=${major} -X ${package}.gitMinor=${minor}"
  done
  echo "${flags}"
}

# kueue_manifests copies Kueue's CRDs and RBAC next to its program, so that nothing that runs
# it needs the module cache, each with a kustomization.yaml.
kueue_manifests() {
  local components into
  components="$(cd "${root}/hack/tools/kueue" && go list -m -f '{{.Dir}}' "${kueue}")/config/components"
  into="$(dirname "$(realpath "${out}/kueue")")"
  copy_manifests "${into}/rbac" "${components}"/rbac/*.yaml
  copy_manifests "${into}/crds" "${components}"/crd/bases/*.yaml
}

# ocm_manifests is the like for OCM: the CRDs of clusters, its CRD of ClusterProfile, and the
# templates of its controllers' RBAC.
ocm_manifests() {
  local hub into
  hub="$(cd "${root}/hack/tools/ocm" && go list -m -f '{{.Dir}}' "${ocm}")/manifests/cluster-manager/hub"
  into="$(dirname "$(realpath "${out}/ocm")")"
  copy_manifests "${into}/crds" "${hub}"/crds/*_clusters.open-cluster-management.io_*.yaml
  copy_manifests "${into}/inventory" "${hub}"/crds/*_multicluster.x-k8s.io_clusterprofiles.crd.yaml
  local controller kind
  for controller in registration placement; do
    for kind in clusterrole clusterrolebinding; do
      install -m 644 "${hub}/${controller}/${kind}.yaml" "${into}/${controller}-${kind}.yaml.tmpl"
    done
  done
}

# copy_manifests INTO FILE... copies the files into a directory that appears at once or not at all.
copy_manifests() {
  local into="$1" tmp="$1.$$"; shift
  if [[ -d "${into}" ]]; then
    return
  fi
  mkdir "${tmp}"
  # Those of the module cache are read-only; their copies are not to be.
  install -m 644 "$@" "${tmp}"
  if [[ ! -f "${tmp}/kustomization.yaml" ]]; then
    (cd "${tmp}" && printf 'resources:\n' && printf -- '- %s\n' *.yaml) >"${into}.kustomization.$$"
    mv "${into}.kustomization.$$" "${tmp}/kustomization.yaml"
  fi
  mv "${tmp}" "${into}"
}

if [[ $# -eq 0 ]]; then
  set -- kubernetes etcd
fi
k=k8s.io/kubernetes
for tool in "$@"; do
  case "${tool}" in
    kubernetes)
      build kubernetes "${k}" "${k}/cmd/kube-apiserver" "${k}/cmd/kubectl" "${k}/cmd/kube-controller-manager" ;;
    kubectl-oldest) build kubectl-oldest "${k}" "${k}/cmd/kubectl=kubectl-oldest" ;;
    etcd) build etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3=etcd ;;
    golangci-lint)
      g=github.com/golangci/golangci-lint/v2
      build golangci-lint "${g}" "${g}/cmd/golangci-lint" ;;
    kueue)
      build kueue "${kueue}" "${kueue}/cmd/kueue"
      kueue_manifests ;;
    ocm)
      build ocm "${ocm}" .=ocm
      ocm_manifests ;;
    *) echo "unknown tool ${tool}" >&2; exit 2 ;;
  esac
done
