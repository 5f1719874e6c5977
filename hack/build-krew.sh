#!/usr/bin/env bash
# Builds the archives of `kubectl clusterpass` that artifacts/krew/clusterpass.yaml names, and a copy of that manifest with
# their version and checksums, into bin/krew. The same commit gives the same archives. Needs GNU tar and sed.
#
# usage: hack/build-krew.sh VERSION [MANIFEST [FOLDER]]   (VERSION is a tag such as v1.2.3)
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
version="${1:-}" template="${2:-artifacts/krew/clusterpass.yaml}"
if [[ ! "${version}" =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
  if [[ -n "${version}" ]]; then
    echo "VERSION ${version@Q} is not one that Krew takes, such as v1.2.3" >&2
  fi
  echo "usage: make krew VERSION=vX.Y.Z" >&2
  exit 2
fi
out="${3:-bin/krew}" ldflags="$(hack/version-ldflags.sh)"
mkdir -p "${out}"
sed "s/v0\.0\.0/${version}/" "${template}" >"${out}/clusterpass.yaml"
work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
cp LICENSE "${work}"

sed -nE 's|.*/(kubectl-clusterpass-([a-z0-9]+)-([a-z0-9]+)\.tar\.gz)$|\1 \2 \3|p' "${template}" |
  while read -r archive os arch; do
    program=kubectl-clusterpass
    [[ "${os}" != windows ]] || program+=.exe
    CGO_ENABLED=0 GOOS="${os}" GOARCH="${arch}" go build -trimpath -ldflags "${ldflags}" -o "${work}/${program}" ./cmd/kubectl-clusterpass
    tar --create --directory="${work}" --sort=name --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w,go-w \
      --mtime="$(git show --no-patch --format=@%ct HEAD)" LICENSE "${program}" | gzip --no-name >"${out}/${archive}"
    sum="$(sha256sum "${out}/${archive}" | cut -d' ' -f1)"
    sed -i "/\/${archive}\$/{n;s/0\{64\}/${sum}/}" "${out}/clusterpass.yaml"
    echo "built ${out}/${archive}"
  done
