#!/usr/bin/env bash
# MultiKueue in a terminal: first by hand, as it is set up today; then by one ClusterCredentialSet. Jobs flow while tokens
# are rotated and while a cluster is lost and replaced. Builds what is missing, real Kueue included, which takes minutes once;
# starts the local fleet with Kueue on each cluster and leaves it running, with the set.
set -o errexit -o errtrace -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=hack/demo-lib.sh
. hack/demo-lib.sh

examples=artifacts/examples/multikueue
set_file="${examples}/clustercredentialset-kueue-v0.19.yaml"
members=(bravelion smartfish)
manager=clusterpass-system:clusterpass-controller-manager

# typed COMMAND [ARGUMENT ...] runs a command quietly that a person would have to type, and counts it.
commands=0
typed() { commands=$((commands + 1)); quietly "$@"; }

# submit prints the name of a new Job.
submit() { kubectl create -f "${examples}/job.yaml" --output=name; }

# finished JOB ... waits until Jobs are complete on the hub.
finished() { quietly kubectl wait --for=condition=Complete "$@" --timeout=180s; }

# tidy removes what an earlier run has left on the hub.
tidy() {
  kubectl delete clustercredentialset fleet --ignore-not-found --timeout=90s
  kubectl delete jobs --selector=kueue.x-k8s.io/queue-name=fleet --timeout=60s
  kubectl delete --filename="${examples}/hub-queues.yaml" --ignore-not-found --timeout=60s
  kubectl delete --filename="${examples}/by-hand.yaml" --ignore-not-found --timeout=60s
  kubectl --namespace=kueue-system delete secret "${members[@]}" --ignore-not-found
  kubectl --namespace=kueue-system delete rolebinding clusterpass-credential-sets --ignore-not-found
  kubectl delete clusterrolebinding clusterpass-multikueue --ignore-not-found
  kubectl delete --filename="${examples}/set-author.yaml" --ignore-not-found
  kubectl delete --kustomize=artifacts/deploy/multikueue-dispatcher --ignore-not-found
}

# by_hand MEMBER does what Kueue's documentation has one do for each worker, but for its Secret with a token that never expires.
by_hand() {
  local account=(--namespace=kueue-system multikueue) config="${work}/$1.kubeconfig"
  typed on "$1" apply --server-side --filename="${examples}/clusterprofile/worker-role.yaml"
  typed on "$1" create serviceaccount "${account[@]}"
  typed on "$1" create clusterrolebinding multikueue --clusterrole=multikueue --serviceaccount=kueue-system:multikueue
  commands=$((commands + 2))
  on "$1" create token "${account[@]}" --duration=1h >"${work}/token"
  on "$1" config view --raw --minify --output='jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d >"${work}/ca"
  typed kubectl --kubeconfig="${config}" config set-cluster "$1" --embed-certs --certificate-authority="${work}/ca" \
    --server="$(on "$1" config view --minify --output='jsonpath={.clusters[0].cluster.server}')"
  typed kubectl --kubeconfig="${config}" config set-credentials "$1" --token="$(<"${work}/token")"
  typed kubectl --kubeconfig="${config}" config set-context "$1" --cluster="$1" --user="$1"
  typed kubectl --kubeconfig="${config}" config use-context "$1"
  typed kubectl --namespace=kueue-system create secret generic "$1" --from-file=kubeconfig="${config}"
}

# undo_by_hand MEMBER removes what that left there.
undo_by_hand() {
  on "$1" delete serviceaccount --namespace=kueue-system multikueue --ignore-not-found
  on "$1" delete clusterrolebinding multikueue --ignore-not-found
  on "$1" delete clusterrole multikueue --ignore-not-found
}

# issued prints when the token of each member was issued.
issued() { kubectl --namespace=kueue-system get secrets --selector=clusterpass.dev/credential-set-uid --output='jsonpath={range .items[*]}{.metadata.name}={.metadata.annotations.clusterpass\.dev/credential-content}{"\n"}{end}'; }

# flow submits a Job a second, and writes their names into a file, until that file's neighbour "stop" is there.
flow() { until [[ -e "${work}/stop" ]]; do submit >>"${work}/jobs"; sleep 1; done; }

chapter "A hub with Kueue and clusterpass, and two clusters with Kueue; all real but for the nodes"
CLUSTERPASS_KUEUE=1 hack/local-up.sh start | sed '/To use it:$/,$d'
use_fleet
quietly tidy
for member in "${members[@]}"; do quietly undo_by_hand "${member}"; done
leave_all
for member in "${members[@]}"; do quietly on "${member}" apply --server-side --force-conflicts --filename="${examples}/worker-queues.yaml"; done
quietly kubectl apply --server-side --force-conflicts --filename="${examples}/hub-queues.yaml"
show kubectl get clusterqueues,localqueues --all-namespaces

chapter "MultiKueue by hand, as it is done today"
began="${EPOCHREALTIME}"
for member in "${members[@]}"; do by_hand "${member}"; done
typed kubectl apply --filename="${examples}/by-hand.yaml"
quietly kubectl wait --for=condition=Active multikueuecluster "${members[@]}" --timeout=60s
finished "$(submit)"
hand_commands=${commands} hand_took="$(seconds_since "${began}")"
good "${hand_commands} commands and ${hand_took} s (by a script) later the first Job has run. In an hour the tokens expire, and with them MultiKueue."
quietly tidy
for member in "${members[@]}"; do quietly undo_by_hand "${member}"; done
quietly kubectl apply --server-side --force-conflicts --filename="${examples}/hub-queues.yaml"

chapter "The same with clusterpass. The clusters join the hub, whatever is to use them"
for member in "${members[@]}"; do join_member "${member}"; done

chapter "Once for the hub: the controller manager may keep Secrets for Kueue, and tell it of clusters"
show kubectl --namespace=kueue-system create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets --serviceaccount="${manager}"
show kubectl create clusterrolebinding clusterpass-multikueue --clusterrole=clusterpass:multikueue --serviceaccount="${manager}"

chapter "Once for the set: who may be its author. Not an admin in system:masters, whom no RBAC limits"
show kubectl apply --filename="${examples}/set-author.yaml"

chapter "One object"
show grep -v '^#' "${set_file}"
began="${EPOCHREALTIME}"
show kubectl apply --as=system:serviceaccount:default:multikueue-author --filename="${set_file}"
show kubectl wait --for=condition=MultiKueueReady clustercredentialset/fleet --timeout=60s
first="$(submit)"
finished "${first}"
took="$(seconds_since "${began}")"
show kubectl get clustercredentialsets,multikueueclusters,admissionchecks
good "${took} s after the one command, the first Job has run on a member and finished: ${first}."

chapter "Jobs keep flowing while all tokens are rotated"
rm -f "${work}/stop"
flow &
flowing=$!
issued >"${work}/before"
show kubectl annotate clustercredentialset/fleet clusterpass.dev/rotate="$(date +%s)" --overwrite
until issued >"${work}/after" && ! grep -qxFf "${work}/before" "${work}/after"; do sleep 0.2; done
good "Both have new tokens, each by one write; the old ones are valid until they expire."
quietly kubectl wait --for=condition=Active multikueuecluster "${members[@]}" --timeout=0
show kubectl get multikueueclusters

chapter "Jobs keep flowing while smartfish is lost, and another cluster takes its place"
began="${EPOCHREALTIME}"
prompt bin/fleet replace smartfish
bin/fleet replace smartfish | sed '/To use it:$/,$d'
quietly on smartfish apply --server-side --force-conflicts --filename="${examples}/worker-queues.yaml"
show kubectl clusterpass unjoin smartfish --abandon-member
joined="${EPOCHREALTIME}"
join_member smartfish
quietly kubectl wait --for=create multikueuecluster/smartfish --timeout=60s
quietly kubectl wait --for=condition=Active multikueuecluster/smartfish --timeout=60s
back="$(seconds_since "${joined}")"
show kubectl get clusterprofiles,multikueueclusters
good "Kueue is connected to the new smartfish ${back} s after the command that joined it, $(seconds_since "${began}") s after the loss of the old one."
touch "${work}/stop"
wait "${flowing}"
mapfile -t jobs <"${work}/jobs"
echo "Waiting for the ${#jobs[@]} Jobs that were submitted meanwhile; Kueue gives those on the lost cluster up after 20 s"
finished "${jobs[@]}"
good "All ${#jobs[@]} Jobs have finished."

chapter "Your turn"
echo "The fleet keeps running. In your shell:"
bin/fleet exports | sed 's/^/  /'
echo "  kubectl create -f ${examples}/job.yaml"
echo "  kubectl get clustercredentialset fleet -o yaml"
echo "make down ends it; make up KUEUE=1 starts it again with its data."
echo
good "MultiKueue over 2 clusters: 1 object and ${took} s to the first finished Job (by hand ${hand_commands} commands, ${hand_took} s); ${#jobs[@]} Jobs through a rotation and a replacement, none lost."
