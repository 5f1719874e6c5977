#!/usr/bin/env bash
# The local fleet: a hub, the members bravelion and smartfish, clusterpass-apiserver and
# clusterpass-controller-manager, all on 127.0.0.1. Builds what is missing. See test/testenv/fleet.
#
# usage: hack/local-up.sh [up|start|join|stop MEMBER|replace MEMBER|down|status|exports]   (default: up)
#
# CLUSTERPASS_PORT_BASE and CLUSTERPASS_LOCAL_DIR tell two fleets apart; CLUSTERPASS_KUEUE=1 adds Kueue.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
make --no-print-directory KUEUE="${CLUSTERPASS_KUEUE:-}" tools build fleet >&2
exec bin/fleet "${@:-up}"
