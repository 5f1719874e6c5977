#!/usr/bin/env bash
# Builds the programs the local fleet and the tests run, from the modules pinned
# under hack/tools, into bin/tools/<module>-<version>/ and links them from
# bin/tools/. What is already there at its version is left alone.
#
# usage: hack/build-tools.sh [kubernetes|etcd|golangci-lint ...]   (default: kubernetes etcd)
set -o errexit -o nounset -o pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="${root}/bin/tools"

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
    if [[ ! -x "${into}/${name}" ]]; then
      build_one "${dir}" "${package}" "${version}" "${into}" "${name}"
    fi
    ln -sfn "$(basename "${into}")/${name}" "${out}/${name}"
  done
}

# build_one DIR PACKAGE VERSION INTO NAME builds one program; it appears at once or not at all.
build_one() {
  local dir="$1" package="$2" version="$3" into="$4" name="$5"
  local start=${SECONDS} tmp="${into}/.${name}.$$"
  echo "building ${name} ${version}: once, and minutes on a small machine"
  (cd "${dir}" && CGO_ENABLED=0 "${root}/hack/with-progress.sh" "building ${name}" \
    go build -trimpath -ldflags "$(ldflags "${version}")" -o "${tmp}" "${package}")
  mv "${tmp}" "${into}/${name}"
  echo "built ${name} in $((SECONDS - start)) s"
}

# Without a version stamped in, Kubernetes programs report v0.0.0-master, which
# kubectl prints as nonsense and Kueue refuses to parse.
ldflags() {
  local major minor
  major="$(cut -d. -f1 <<<"${1#v}")"; minor="$(cut -d. -f2 <<<"${1#v}")"
  local flags="-s -w" package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X ${package}.gitVersion=$1 -X ${package}.gitMajor=${major} -X ${package}.gitMinor=${minor}"
  done
  echo "${flags}"
}

if [[ $# -eq 0 ]]; then
  set -- kubernetes etcd
fi
for tool in "$@"; do
  case "${tool}" in
    kubernetes)
      k=k8s.io/kubernetes
      build kubernetes "${k}" "${k}/cmd/kube-apiserver" "${k}/cmd/kubectl" "${k}/cmd/kube-controller-manager" ;;
    etcd) build etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3=etcd ;;
    golangci-lint)
      g=github.com/golangci/golangci-lint/v2
      build golangci-lint "${g}" "${g}/cmd/golangci-lint" ;;
    *) echo "unknown tool ${tool}" >&2; exit 2 ;;
  esac
done
