#!/usr/bin/env bash
# Placement in a terminal: Jobs of one queue go to the clusters that the Placement named by each has chosen, by a label, by the GPUs
# that are free, and by a score that somebody else keeps. Builds what is missing, real Kueue included, which takes minutes once;
# starts the local fleet with Kueue on each cluster and leaves it running. Nodes and pods are objects without machines.
set -o errexit -o errtrace -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=hack/demo-lib.sh
. hack/demo-lib.sh

examples=artifacts/examples
members=(bravelion smartfish)
manager=clusterpass-system:clusterpass-controller-manager

# tidy removes what an earlier run has left.
tidy() {
  kubectl delete jobs --selector=kueue.x-k8s.io/queue-name=fleet --timeout=60s
  kubectl delete placements.clusterpass.dev t4 most-gpus green --ignore-not-found --timeout=60s
  kubectl delete clusterscores bravelion-power smartfish-power --ignore-not-found --timeout=60s
  kubectl delete clustercredentialset fleet --ignore-not-found --timeout=90s
  kubectl delete --filename="${examples}/multikueue/hub-queues.yaml" --ignore-not-found --timeout=60s
  kubectl --namespace=kueue-system delete rolebinding clusterpass-credential-sets --ignore-not-found
  kubectl delete clusterrolebinding clusterpass-multikueue --ignore-not-found
  kubectl delete --filename="${examples}/multikueue/set-author.yaml" --ignore-not-found
  local member
  for member in "${members[@]}"; do
    on "${member}" delete pods --selector=demo=placement --force --grace-period=0
    on "${member}" delete nodes --selector=demo=placement
  done
}

# add_node MEMBER GPUS gives a member a node with GPUs, as its kubelet would say.
add_node() {
  local resources='{"cpu":"64","memory":"256Gi","pods":"110","nvidia.com/gpu":"'"$2"'"}'
  on "$1" create --filename=- <<<'{"apiVersion":"v1","kind":"Node","metadata":{"name":"gpu-node","labels":{"demo":"placement","nvidia.com/gpu.product":"Tesla-T4"}}}'
  on "$1" patch node gpu-node --type=merge --patch='{"spec":{"taints":null}}'
  on "$1" patch node gpu-node --subresource=status --type=merge \
    --patch='{"status":{"conditions":[{"type":"Ready","status":"True"}],"allocatable":'"${resources}"',"capacity":'"${resources}"'}}'
}

# use_gpus MEMBER GPUS has a pod take GPUs of its node.
use_gpus() {
  on "$1" create --filename=- <<YAML
apiVersion: v1
kind: Pod
metadata: {name: training, namespace: default, labels: {demo: placement}}
spec:
  nodeName: gpu-node
  containers:
  - name: main
    image: registry.k8s.io/pause:3.10.1
    resources: {limits: {nvidia.com/gpu: $2}}
YAML
}

# counted MEMBER GPUS waits until the hub knows how many GPUs are free there.
counted() {
  quietly kubectl wait --for=jsonpath='{.status.values[?(@.name=="nvidia.com/gpu")].value}'="$2" "clusterscore/$1-usage" --timeout=60s
}

# green MEMBER SCORE SECONDS says how green a member's power is, and for how long that is known.
green() {
  quietly kubectl apply --filename=- <<YAML
apiVersion: clusterpass.dev/v1alpha1
kind: ClusterScore
metadata: {name: $1-power, namespace: default}
spec: {clusterProfileName: $1, resourceName: power}
YAML
  local until; until="$(date --utc --date="+$3 seconds" +%FT%TZ)"
  show kubectl patch clusterscore "$1-power" --subresource=status --type=merge --patch='{"status":{"scores":[{"name":"green","value":'"$2"'}],"validUntil":"'"${until}"'"}}'
}

# chosen PLACEMENT CLUSTER waits until a Placement has a cluster first.
chosen() {
  quietly kubectl wait --for=jsonpath='{.decisions[0].clusterProfileRef.name}'="$2" "placementdecisions.multicluster.x-k8s.io/$1-decision-1" --timeout=60s
  show kubectl get placementdecisions.multicluster.x-k8s.io "$1-decision-1" --output='custom-columns=DECISION:.metadata.name,CLUSTERS:.decisions[*].clusterProfileRef.name'
}

# run PLACEMENT CLUSTER submits a Job that names a Placement, waits until it is complete, and fails unless it ran on a cluster.
ran=0
run() {
  local job uid on_cluster
  prompt "sed 's/placement: .*/placement: $1/' ${examples}/placement/job.yaml | kubectl create -f -"
  job="$(sed "s|clusterpass.dev/placement: .*|clusterpass.dev/placement: $1|" "${examples}/placement/job.yaml" | kubectl create --filename=- --output=name)"
  quietly kubectl wait --for=condition=Complete "${job}" --timeout=120s
  uid="$(kubectl get "${job}" --output='jsonpath={.metadata.uid}')"
  on_cluster="$(kubectl get workloads --selector="kueue.x-k8s.io/job-uid=${uid}" --output='jsonpath={.items[0].status.clusterName}')"
  [[ "${on_cluster}" == "$2" ]] || fail "${job} ran on ${on_cluster}, not on $2"
  ran=$((ran + 1))
  good "${job#*/} ran on ${on_cluster}."
}

chapter "A hub with Kueue and clusterpass, and two clusters with Kueue; all real but for the nodes"
CLUSTERPASS_KUEUE=placement hack/local-up.sh start | sed '/To use it:$/,$d'
use_fleet
quietly tidy
leave_all
for member in "${members[@]}"; do quietly on "${member}" apply --server-side --force-conflicts --filename="${examples}/multikueue/worker-queues.yaml"; done
quietly kubectl apply --server-side --force-conflicts --filename="${examples}/multikueue/hub-queues.yaml"
for member in "${members[@]}"; do join_member "${member}"; done
quietly kubectl --namespace=kueue-system create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets --serviceaccount="${manager}"
quietly kubectl create clusterrolebinding clusterpass-multikueue --clusterrole=clusterpass:multikueue --serviceaccount="${manager}"
quietly kubectl apply --filename="${examples}/multikueue/set-author.yaml"
show kubectl apply --as=system:serviceaccount:default:multikueue-author --filename="${examples}/multikueue/clustercredentialset-kueue-v0.19.yaml"
quietly kubectl wait --for=condition=MultiKueueReady clustercredentialset/fleet --timeout=60s
show kubectl get clusterprofiles,multikueueclusters

chapter "Once for the hub: clusterpass nominates the clusters for Kueue's Workloads"
show kubectl apply --kustomize=artifacts/deploy/multikueue-dispatcher

chapter "1. Jobs run only on clusters with the label accelerator=nvidia-tesla-t4"
show kubectl label clusterprofile bravelion accelerator=nvidia-tesla-t4 --overwrite
show grep -v '^#' "${examples}/placement/accelerator.yaml"
show kubectl apply --filename="${examples}/placement/accelerator.yaml"
chosen t4 bravelion
for _ in 1 2 3; do run t4 bravelion; done
show kubectl label clusterprofile bravelion accelerator-
show kubectl label clusterprofile smartfish accelerator=nvidia-tesla-t4 --overwrite
chosen t4 smartfish
run t4 smartfish

chapter "2. A Job goes to the cluster with the most free GPUs"
quietly add_node bravelion 8
quietly add_node smartfish 4
counted bravelion 8
counted smartfish 4
echo "bravelion has a node with 8 GPUs now, smartfish one with 4: objects, as a kubelet would leave them."
show grep -v '^#' "${examples}/placement/most-gpus.yaml"
show kubectl apply --filename="${examples}/placement/most-gpus.yaml"
chosen most-gpus bravelion
run most-gpus bravelion
quietly use_gpus bravelion 6
counted bravelion 2
echo "A pod on bravelion takes 6 of its 8 GPUs."
chosen most-gpus smartfish
run most-gpus smartfish
show kubectl clusterpass explain placement most-gpus

chapter "3. A score that has expired is not taken for a good one: its cluster ranks last"
show kubectl apply --filename="${examples}/placement/own-score.yaml"
green smartfish 10 3600
green bravelion 90 10
chosen green bravelion
run green bravelion
echo "Nobody renews bravelion's score."
chosen green smartfish
run green smartfish
show kubectl clusterpass explain placement green

chapter "Your turn"
echo "The fleet keeps running. In your shell:"
bin/fleet exports | sed 's/^/  /'
echo "  kubectl create -f ${examples}/placement/job.yaml"
echo "  kubectl get placements.clusterpass.dev,placementdecisions.multicluster.x-k8s.io,workloads"
echo "make down ends it; make up KUEUE=placement starts it again with its data."
echo
good "Placement: ${ran} Jobs of one queue, each where its Placement said: by a label, by free GPUs, by a score that expired."
