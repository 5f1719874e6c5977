#!/usr/bin/env bash
# What the demos have in common. To be sourced at the root of the source tree, with errexit and errtrace.

# What is in here is for nobody else to read, and goes when we do.
work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
trap 'echo "the demo failed at line ${LINENO}: ${BASH_COMMAND}" >&2' ERR

bold="" dim="" green="" reset=""
if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' reset=$'\e[0m'
fi

# seconds_since TIME prints the seconds that have passed since a value of EPOCHREALTIME.
seconds_since() { awk -v began="$1" -v now="${EPOCHREALTIME}" 'BEGIN {printf "%.1f", now - began}'; }
chapter() { printf '\n%s== %s%s\n' "${bold}" "$*" "${reset}"; }
fail() { echo "the demo failed: $*" >&2; exit 1; }
good() { printf '%s%s%s\n' "${green}" "$*" "${reset}"; }
prompt() { printf '%s$ %s%s\n' "${dim}" "$*" "${reset}"; }

# show COMMAND [ARGUMENT ...] prints the command as one would type it, and runs it.
show() { prompt "$@"; "$@"; }

# quietly COMMAND [ARGUMENT ...] runs a command, and prints what it says only if it fails.
quietly() { "$@" >"${work}/quiet" 2>&1 || { cat "${work}/quiet" >&2; return 1; }; }

# on MEMBER ARGUMENT ... runs kubectl on a member.
on() { kubectl --kubeconfig="${kubeconfigs}/$1.yaml" "${@:2}"; }

# join_member MEMBER makes it a member of the hub, which may give what the rules of a request say.
join_member() {
  show kubectl clusterpass join "$1" --member-kubeconfig="${kubeconfigs}/$1.yaml" --member-context="$1" --allow-rules
}

# leave MEMBER takes a member of an earlier run out of the hub's inventory. What it is joined with may have expired
# since: joining mends that. It may be another cluster by now, too: then nothing is left of the one that was joined. A
# namespace that the member had before stays.
leave() {
  local member=(--member-kubeconfig="${kubeconfigs}/$1.yaml" --member-context="$1")
  local namespace=(--kubeconfig="${kubeconfigs}/$1.yaml" namespace/clusterpass-system)
  # What was issued may have made roles there, which the hub has to be allowed to delete.
  if kubectl clusterpass join "$1" "${member[@]}" --allow-cluster-roles=view --allow-rules; then
    kubectl clusterpass unjoin "$1" "${member[@]}" || return 1
  else
    kubectl clusterpass unjoin "$1" --abandon-member || return 1
  fi
  if [[ "$(kubectl get "${namespace[@]}" --ignore-not-found --output='jsonpath={.status.phase}')" == Terminating ]]; then
    kubectl wait --for=delete "${namespace[@]}" --timeout=120s
  fi
}

# leave_all takes both members out, side by side.
leave_all() {
  local member
  local -A leaving
  for member in bravelion smartfish; do
    if [[ -n "$(kubectl get clusterprofile "${member}" --ignore-not-found --output=name)" ||
      -n "$(kubectl --namespace=clusterpass-system get secret "member-default-${member}" --ignore-not-found --output=name)" ]]; then
      echo "${member} is joined since an earlier run: unjoining it"
      leave "${member}" >"${work}/leave-${member}" 2>&1 &
      leaving[${member}]=$!
    fi
  done
  for member in "${!leaving[@]}"; do
    wait "${leaving[${member}]}" || fail "unjoining ${member}: $(<"${work}/leave-${member}")"
  done
}

# use_fleet has kubectl talk to the hub of the local fleet, and sets hub and kubeconfigs.
use_fleet() {
  eval "$(bin/fleet exports)"
  kubeconfigs="$(dirname "${KUBECONFIG%%:*}")"
  hub="${kubeconfigs}/hub.yaml"
  export KUBECONFIG="${hub}"
}
