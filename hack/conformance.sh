#!/usr/bin/env bash
# Checks a hub against the rules of the Cluster Inventory API by test/conformance, and writes report.yaml and report.html into
# bin/conformance. Without arguments the hub is that of the local fleet, which is started and left running; what the suite
# needs there is made for it, and removed. With arguments they are those of the suite, and say which hub it is.
#
# usage: hack/conformance.sh [--namespace NAMESPACE [FLAG ...]]
set -o errexit -o errtrace -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
reports=bin/conformance
mkdir -p "${reports}"
CGO_ENABLED=0 hack/with-progress.sh "building test/conformance" \
  go build -C test/conformance -trimpath -o "${PWD}/${reports}/conformance" .
suite=("${reports}/conformance" --report-dir="${reports}")
if [[ $# -gt 0 ]]; then
  exec "${suite[@]}" "$@"
fi

# shellcheck source=hack/demo-lib.sh
. hack/demo-lib.sh
trap 'echo "failed at line ${LINENO}: ${BASH_COMMAND}" >&2' ERR
hack/local-up.sh up | sed '/To use it:$/,$d'
use_fleet

# profile MEMBER prints what is applied to the status of its profile: an access provider of a name of its own, for the
# credential plugin, or none.
profile() {
  printf 'apiVersion: multicluster.x-k8s.io/v1alpha2\nkind: ClusterProfile\nmetadata: {name: %s, namespace: default}\nstatus:\n' "$1"
  local cluster="${2:-}"
  if [[ -z "${cluster}" ]]; then
    echo '  accessProviders: []'
    return
  fi
  cat <<YAML
  accessProviders:
  - name: conformance
    cluster: {${cluster}, extensions: [{name: client.authentication.k8s.io/exec, extension: {
      targetClusterProfile: {namespace: default, name: $1}, clusterRoles: [{name: view}],
      serviceAccountNamespace: default, serviceAccountName: conformance}}]}
YAML
}

# provide [MEMBER ...] has members be reached by that provider, and all others not.
provide() {
  local member cluster
  for member in bravelion smartfish; do
    cluster=""
    if [[ " $* " == *" ${member} "* ]]; then
      cluster="$(kubectl config view --kubeconfig="${kubeconfigs}/${member}.yaml" --raw --minify \
        --output='jsonpath=server: {.clusters[0].cluster.server}, certificate-authority-data: {.clusters[0].cluster.certificate-authority-data}')"
    fi
    profile "${member}" "${cluster}" | quietly kubectl apply --server-side --field-manager=conformance --subresource=status --filename=-
  done
}

# tidy removes what was made for the suite, as far as it can.
tidy() {
  set +o errexit
  trap - ERR
  local member
  for member in bravelion smartfish; do
    quietly kubectl clusterpass revoke --cluster-profile="${member}" --service-account=default/conformance
  done
  quietly kubectl delete placement,clusterscores --selector=conformance --ignore-not-found
  quietly kubectl delete namespace conformance --ignore-not-found
  quietly kubectl label clusterprofiles bravelion smartfish conformance-
  provide
  rm -rf "${work}"
}
trap tidy EXIT

# A second namespace with a profile, and a decision of two slices, in which each member is alone.
quietly kubectl create namespace conformance
quietly kubectl apply --filename=- <<'YAML'
apiVersion: multicluster.x-k8s.io/v1alpha2
kind: ClusterProfile
metadata: {name: elsewhere, namespace: conformance}
spec: {clusterManager: {name: conformance}}
---
apiVersion: clusterpass.dev/v1alpha1
kind: ClusterScore
metadata: {name: conformance-bravelion, namespace: default, labels: {conformance: ""}}
spec: {clusterProfileName: bravelion, resourceName: conformance}
---
apiVersion: clusterpass.dev/v1alpha1
kind: ClusterScore
metadata: {name: conformance-smartfish, namespace: default, labels: {conformance: ""}}
spec: {clusterProfileName: smartfish, resourceName: conformance}
---
apiVersion: clusterpass.dev/v1alpha1
kind: Placement
metadata: {name: conformance, namespace: default, labels: {conformance: ""}}
spec:
  prioritizerPolicy:
    mode: Exact
    configurations: [{scoreCoordinate: {type: AddOn, addOn: {resourceName: conformance, scoreName: order}}}]
  decisionStrategy: {groupStrategy: {clustersPerDecisionGroup: 1}}
YAML
until="$(date --utc --date='+1 hour' +%FT%TZ)"
# order MEMBER SCORE prints the command that gives a member its score.
order() {
  printf "kubectl patch clusterscore conformance-%s --subresource=status --type=merge --patch='%s'" "$1" \
    '{"status":{"scores":[{"name":"order","value":'"$2"'}],"validUntil":"'"${until}"'"}}'
}
quietly bash -c "$(order bravelion 10)"
quietly bash -c "$(order smartfish 50)"
quietly kubectl wait --for=create placementdecisions.multicluster.x-k8s.io/conformance-decision-2 --timeout=60s
quietly kubectl wait --for=jsonpath='{.decisions[0].clusterProfileRef.name}'=bravelion \
  placementdecisions.multicluster.x-k8s.io/conformance-decision-2 --timeout=60s
provide bravelion smartfish
cat >"${work}/providers.json" <<JSON
{"providers": [{"name": "conformance", "execConfig": {
  "apiVersion": "client.authentication.k8s.io/v1", "command": "${PWD}/bin/clusterpass-credential-plugin",
  "args": ["--kubeconfig=${hub}", "--cache-dir=${work}/tokens", "--max-age=10s"],
  "provideClusterInfo": true, "interactiveMode": "Never"}}]}
JSON
"${suite[@]}" --kubeconfig="${hub}" --namespace=default --cluster-manager=clusterpass --provider-file="${work}/providers.json" \
  --organization=clusterpass --project=clusterpass --url=https://clusterpass.dev \
  --version="$(git describe --tags --always --dirty --match='v*' 2>/dev/null || echo unknown)" \
  --change-inventory='kubectl label clusterprofiles bravelion smartfish conformance=changed --overwrite' \
  --change-decision="$(order bravelion 90)"
echo "reports: ${reports}/report.yaml and ${reports}/report.html"
