#!/usr/bin/env bash
# The story of clusterpass in a terminal: one kubectl create on the hub, and its answer
# holds a token that works on a member, on no other, and not for long. Builds what is
# missing, starts the local fleet and leaves it running.
set -o errexit -o errtrace -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

example=artifacts/examples/authtokenrequest.yaml
# The answers hold tokens: nobody else may read them, and they go when we do.
work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
trap 'echo "the demo failed at line ${LINENO}: ${BASH_COMMAND}" >&2' ERR

bold="" dim="" green="" reset=""
if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' reset=$'\e[0m'
fi

chapter() { printf '\n%s== %s%s\n' "${bold}" "$*" "${reset}"; }
good() { printf '%s%s%s\n' "${green}" "$*" "${reset}"; }
prompt() { printf '%s$ %s%s\n' "${dim}" "$*" "${reset}"; }

# show COMMAND [ARGUMENT ...] prints the command as one would type it, and runs it.
show() { prompt "$@"; "$@"; }

# shorten FILE prints an answer without what is secret or long in it.
shorten() {
  sed -E 's/^( *(token|kubeconfig|certificate-?[aA]uthority-?[dD]ata): *)([^ ]{10})[^ ]+$/\1\3... (shortened)/' "$1"
}

# create FILE makes the request, keeps the answer in FILE, and sets took_command to the
# milliseconds of the whole command and took_request to those of the API request in it.
create() {
  local begin=${EPOCHREALTIME/[.,]/}
  if ! kubectl create -f "${example}" -o yaml -v=6 >"$1" 2>"${work}/log"; then
    # Without what -v=6 adds.
    grep -v '^I[0-9]' "${work}/log" >&2
    return 1
  fi
  took_command=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
  took_request="$(sed -nE 's/.*verb="POST".*authtokenrequests.* milliseconds=([0-9]+).*/\1/p' "${work}/log" | tail -n 1)"
}

# answer FILE FIELD prints a field of the status in an answer.
answer() { sed -nE "s/^  $2: *\"?([^\"]*)\"?\$/\1/p" "$1"; }

# field KUBECONFIG PATH prints a field of the first cluster in a kubeconfig.
field() { kubectl --kubeconfig="$1" config view --raw --output="jsonpath={.clusters[0].$2}"; }

chapter "A hub and two members, all real"
hack/local-up.sh up
eval "$(bin/fleet exports)"
hub_and_members="${KUBECONFIG}"
smartfish="$(dirname "${KUBECONFIG%%:*}")/smartfish.yaml"

chapter "The hub knows its clusters: ClusterProfile, the API of SIG Multicluster"
show kubectl get clusterprofiles

chapter "What somebody wants: a ServiceAccount on bravelion, bound to a ClusterRole there"
show cat "${example}"

chapter "One call to the hub"
prompt kubectl create -f "${example}" -o yaml
create "${work}/answer.yaml"
first_command=${took_command} first_request=${took_request}
shorten "${work}/answer.yaml"
good "The answer to the call holds the token. It expires at $(answer "${work}/answer.yaml" expirationTimestamp)."

chapter "The kubeconfig in the answer (status.kubeconfig, decoded) works on bravelion"
answer "${work}/answer.yaml" kubeconfig | base64 -d >"${work}/bravelion"
export KUBECONFIG="${work}/bravelion"
show kubectl auth whoami
show kubectl get namespaces
kubectl delete configmap clusterpass-demo --ignore-not-found >"${work}/log"
show kubectl create configmap clusterpass-demo --from-literal=from=hub

chapter "The same token means nothing on smartfish"
export KUBECONFIG="${work}/smartfish"
cp "${work}/bravelion" "${KUBECONFIG}"
field "${smartfish}" cluster.certificate-authority-data | base64 -d >"${work}/smartfish.crt"
kubectl config set-cluster "$(field "${KUBECONFIG}" name)" --server="$(field "${smartfish}" cluster.server)" \
  --certificate-authority="${work}/smartfish.crt" --embed-certs >"${work}/log"
prompt kubectl auth whoami
if kubectl auth whoami >"${work}/log" 2>&1; then
  echo "smartfish accepted a token of bravelion" >&2
  exit 1
fi
cat "${work}/log"
# Any other failure would prove nothing.
grep -q Unauthorized "${work}/log"
good "Refused, as it should be."

chapter "How long it took"
export KUBECONFIG="${hub_and_members}"
create "${work}/again.yaml"
printf '%-46s %5s ms, of which the request took %4s ms\n' \
  "the call above:" "${first_command}" "${first_request}" \
  "the same once more, all in place on bravelion:" "${took_command}" "${took_request}"
echo "The rest is kubectl: it starts, discovers the APIs and checks the YAML against the hub's OpenAPI document."

chapter "Your turn"
echo "The fleet keeps running. In your shell:"
bin/fleet exports | sed 's/^/  /'
echo "  kubectl get clusterprofiles                       # the hub"
echo "  kubectl --context=bravelion get serviceaccounts   # a member"
echo "make down ends it; make up starts it again with its data."
