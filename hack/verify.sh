#!/usr/bin/env bash
# Runs every hack/verify-*.sh, prints ok or FAILED for each, and the output of those that
# failed. Fails in the end if one did.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

output="$(mktemp)"
trap 'rm -f "${output}"' EXIT

failed=()
for script in hack/verify-*.sh; do
  name="$(basename "${script}" .sh)"
  start=${SECONDS}
  # shellcheck disable=SC2016 # the inner shell expands its own arguments
  if hack/with-progress.sh "${name}" bash -c '"$1" >"$2" 2>&1' - "${script}" "${output}"; then
    echo "ok      ${name} ($((SECONDS - start)) s)"
  else
    echo "FAILED  ${name} ($((SECONDS - start)) s)"
    sed 's/^/        /' "${output}"
    failed+=("${name}")
  fi
done

if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
