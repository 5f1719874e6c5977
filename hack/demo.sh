#!/usr/bin/env bash
# The story of clusterpass in a terminal: two clusters join a hub; an ordinary user makes one kubectl create there,
# and its answer holds a token that works on a member, on no other, and not for long; kubectl logs in to a member by
# itself; the user sees what was granted, and revokes it; a member that is down is noticed. Builds what is missing,
# starts the local fleet and leaves it running, joined.
set -o errexit -o errtrace -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

example=artifacts/examples/authtokenrequest.yaml
role=artifacts/examples/rbac/bravelion-viewer.yaml
# shellcheck source=hack/demo-lib.sh
. hack/demo-lib.sh

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

# show_refused WRONG WORDS COMMAND [ARGUMENT ...] shows a command that has to fail with these words; WRONG is what it
# means if it does not fail.
show_refused() {
  local wrong="$1" words="$2"
  shift 2
  prompt "$@"
  if "$@" >"${work}/log" 2>&1; then
    fail "${wrong}"
  fi
  cat "${work}/log"
  grep -qF "${words}" "${work}/log" || fail "that was not refused with the words ${words@Q}"
  good "Refused, as it should be."
}

# await STATUS MEMBER waits until the member's profile has that status of the condition ControlPlaneHealthy.
await() {
  local began="${EPOCHREALTIME}"
  show kubectl wait --for=condition=ControlPlaneHealthy="$1" clusterprofile/"$2" --timeout=60s
  good "The hub says so $(seconds_since "${began}") s later."
}

# holders_of_token fails unless the token in the cache is in that one file alone of all that was written for it, and that
# file is its owner's alone.
holders_of_token() {
  local cached token
  cached="$(find "${tokens}" -name '*.json')"
  token="$(sed -nE 's/.*"token": ?"([^"]+)".*/\1/p' "${cached}")"
  [[ -n "${token}" ]] || fail "no token is cached in ${tokens}"
  [[ "$(find "${cached}" -perm 0600)" == "${cached}" ]] || fail "others may read ${cached}"
  [[ "$(grep -rlF "${token}" "${work}" "${KUBECACHEDIR}")" == "${cached}" ]] || fail "the token is in other files, too"
}

chapter "A hub with nothing but clusterpass, and two clusters that it does not know; all real"
hack/local-up.sh start | sed '/To use it:$/,$d'
use_fleet
condition='.status.conditions[?(@.type=="ControlPlaneHealthy")]'
smartfish="${kubeconfigs}/smartfish.yaml"
leave_all
show kubectl get clusterprofiles

chapter "Join them: each allows the hub so much, and no more"
show kubectl clusterpass join bravelion --member-kubeconfig="${kubeconfigs}/bravelion.yaml" --member-context=bravelion \
  --allow-cluster-roles=view,edit
echo
show kubectl clusterpass join smartfish --member-kubeconfig="${smartfish}" --member-context=smartfish \
  --allow-cluster-roles=view

chapter "Let somebody use bravelion: one Role on the hub, for a group"
show grep -v '^#' "${role}"
show kubectl apply -f "${role}"
for member in bravelion smartfish; do
  kubectl wait --for=condition=ControlPlaneHealthy clusterprofile/"${member}" --timeout=0 >"${work}/log"
done

chapter "Alice is in that group, and an ordinary user: a client certificate, that Role, and nothing else"
# A copy: what she merges into it goes when we do.
alice="${work}/alice.yaml"
cp "${kubeconfigs}/alice.yaml" "${alice}"
export KUBECONFIG="${alice}"
show kubectl auth whoami
show_refused "alice may read Secrets of the hub" "forbidden" kubectl get secrets

chapter "She sees the clusters, and how they are: ClusterProfile, the API of SIG Multicluster"
show kubectl get clusterprofiles

chapter "What she wants: a ServiceAccount on bravelion, bound to a ClusterRole there"
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
show_refused "a token for view can write" "forbidden" kubectl create configmap clusterpass-demo --from-literal=from=hub

chapter "The same token means nothing on smartfish"
export KUBECONFIG="${work}/smartfish"
cp "${work}/bravelion" "${KUBECONFIG}"
field "${smartfish}" cluster.certificate-authority-data | base64 -d >"${work}/smartfish.crt"
kubectl config set-cluster "$(field "${KUBECONFIG}" name)" --server="$(field "${smartfish}" cluster.server)" \
  --certificate-authority="${work}/smartfish.crt" --embed-certs >"${work}/log"
# Any other failure would prove nothing.
show_refused "smartfish accepted a token of bravelion" Unauthorized kubectl auth whoami

chapter "Nor does she get one of smartfish, nor more of bravelion: what is missing is said as one would grant it"
export KUBECONFIG="${alice}"
sed 's/name: bravelion/name: smartfish/' "${example}" >"${work}/request.yaml"
show_refused "alice got a token of smartfish" "lacks: create on clusterprofiles/token" kubectl create -f "${work}/request.yaml"
show_refused "alice got edit on bravelion" "lacks: bind:edit" kubectl clusterpass token bravelion --cluster-role=edit

chapter "No token to carry about: kubectl asks the hub by itself"
tokens="${work}/tokens"
show kubectl clusterpass kubeconfig bravelion --merge --cache-dir="${tokens}"
show kubectl --context=bravelion get namespaces
holders_of_token
good "The token is in the cache, which only she may read, and in no other file."

chapter "What was granted is on record, and ends when she says so"
show kubectl clusterpass grants bravelion
show kubectl --kubeconfig="${work}/bravelion" get namespaces --output=name
began="${EPOCHREALTIME}"
show kubectl clusterpass revoke --cluster-profile=bravelion --service-account=default/work
good "That took $(seconds_since "${began}") s."
show_refused "a revoked token still works" Unauthorized kubectl --kubeconfig="${work}/bravelion" get namespaces
show kubectl clusterpass grants bravelion

chapter "Smartfish allows the hub to give view, so nobody gets more there: not even the hub's own admin, who asks now"
export KUBECONFIG="${hub}"
sed -i 's/name: view/name: cluster-admin/' "${work}/request.yaml"
show_refused "smartfish let the hub bind cluster-admin" "does not allow clusterpass" \
  kubectl create -f "${work}/request.yaml"

chapter "A member that is down is noticed"
show bin/fleet stop smartfish
await False smartfish
reason="$(kubectl get clusterprofile smartfish --output="jsonpath={${condition}.reason}: {${condition}.message}")"
[[ "${reason}" == ConnectionRefused:* ]] || fail "smartfish is down, and its profile says ${reason}"
show kubectl get clusterprofiles
good "${reason}"
kubectl wait --for=condition=ControlPlaneHealthy clusterprofile/bravelion --timeout=0 >"${work}/log"

chapter "It comes back"
prompt bin/fleet start
bin/fleet start | sed '/To use it:$/,$d'
await True smartfish
show kubectl get clusterprofiles

chapter "How long a token took"
export KUBECONFIG="${alice}"
create "${work}/first.yaml"
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
echo "  kubectl clusterpass grants                        # who was given what; kubectl clusterpass --help has the rest"
echo "make down ends it; make up starts it again with its data."
