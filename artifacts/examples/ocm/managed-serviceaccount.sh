#!/bin/sh
# A credential plugin that hands out the token of an OCM ManagedServiceAccount: see access-config.yaml. It takes the cluster
# from the path of the server, which that file limits, and nothing from the ClusterProfile's extension.
#
# usage: managed-serviceaccount.sh NAME
set -eu

cluster="$(printf '%s' "${KUBERNETES_EXEC_INFO}" | sed -n 's|.*"server":"https://[^"/]*/\([a-z0-9][a-z0-9.-]*\)".*|\1|p')"
if [ -z "${cluster}" ]; then
  echo "the server names no cluster in its path" >&2
  exit 1
fi
# OCM keeps the token in the namespace of the cluster.
token="$("${KUBECTL:-kubectl}" --namespace="${cluster}" get secret "$1" --output=go-template='{{.data.token | base64decode}}')"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}\n' "${token}"
