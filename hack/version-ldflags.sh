#!/usr/bin/env bash
# Prints the linker flags that stamp our programs.
#
# k8s.io/apiserver takes the Kubernetes version that it emulates from component-base's
# gitVersion. A version of ours in there would switch off every feature newer than it, so
# the stamp is the version of the Kubernetes libraries, with ours as its build metadata.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

libraries="$(go list -m -f '{{.Version}}' k8s.io/component-base)"
kubernetes="v1.${libraries#v0.}"
# Empty before the first commit and outside of a git checkout.
commit="$(git rev-parse --verify --quiet HEAD 2>/dev/null || true)"
ours="$(git describe --tags --always --dirty --match='v*' 2>/dev/null || echo unknown)"
state=clean
if [[ "${ours}" == *-dirty ]]; then
  state=dirty
fi

package=k8s.io/component-base/version
printf -- '-s -w'
printf ' -X %s' \
  "${package}.gitVersion=${kubernetes}+clusterpass.${ours}" \
  "${package}.gitMajor=1" \
  "${package}.gitMinor=$(cut -d. -f2 <<<"${kubernetes}")" \
  "${package}.gitTreeState=${state}"
if [[ -n "${commit}" ]]; then
  printf ' -X %s' \
    "${package}.gitCommit=${commit}" \
    "${package}.buildDate=$(TZ=UTC git show --no-patch --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ HEAD)"
fi
echo
