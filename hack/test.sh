#!/usr/bin/env bash
# Runs make test-SUITE for each SUITE, whatever fails, and ends with what failed: the lines of
# go test, and one line with the names of the tests. What go test prints stays in
# bin/test/SUITE.log.
#
# usage: hack/test.sh SUITE [SUITE ...]
#
# A+B runs A beside B, at low priority and without a word: B leaves much of the time of the processors.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# lines prints the lines about failures in an output of go test.
lines() {
  grep -E '^( *--- FAIL: |FAIL[[:space:]]+[^[:space:]]|panic: |WARNING: DATA RACE)' "$1" | sed 's/^/        /' || true
}

# names prints the tests that failed, the innermost of nested ones, and each package that failed without naming a
# test: it does not build, or panics. After a timeout go test lists the tests that were running.
names() {
  awk '
    /^ *--- FAIL: /               { test[++n] = $3 }
    /^panic: test timed out/      { running = 1 }
    running && /^\t\t(Test|Fuzz)/ { test[++n] = $1 }
    /^goroutine /                 { running = 0 }
    /^FAIL[ \t]+[^ \t]/ {
      if (n == 0) print $2
      for (i = 1; i <= n; i++) {
        inner = 1
        for (j = 1; j <= n; j++) if (index(test[j], test[i] "/") == 1) inner = 0
        if (inner) print test[i]
      }
      n = 0
    }
  ' "$1" | sort -u | paste -s -d, | sed 's/,/, /g'
}

# Ctrl-C ends the running suite as well, and no other is begun.
trap 'exit 130' INT

mkdir -p bin/test
summary=()
failed=""

# record notes whether a suite that has begun at a time, in seconds, has passed.
record() {
  local suite=$1 start=$2 passed=$3 log tests
  log="bin/test/${suite}.log"
  if [[ -n "${passed}" ]]; then
    summary+=("ok      ${suite} ($((SECONDS - start)) s)")
    return
  fi
  tests="$(names "${log}")"
  summary+=("FAILED  ${suite} ($((SECONDS - start)) s), see ${log}")
  mapfile -t -O "${#summary[@]}" summary < <(lines "${log}")
  failed+="${failed:+; }${suite} (${tests:-not a test})"
}

for suite in "$@"; do
  start=${SECONDS} beside=""
  if [[ "${suite}" == *+* ]]; then
    beside=${suite%%+*} suite=${suite#*+}
    nice -n 19 make --no-print-directory "test-${beside}" >"bin/test/${beside}.log" 2>&1 &
    pid=$!
  fi
  passed=""
  if make --no-print-directory "test-${suite}" | tee "bin/test/${suite}.log"; then passed=yes; fi
  record "${suite}" "${start}" "${passed}"
  if [[ -n "${beside}" ]]; then
    passed=""
    if wait "${pid}"; then passed=yes; fi
    record "${beside}" "${start}" "${passed}"
  fi
done

echo
printf '%s\n' "${summary[@]}"
if [[ -n "${failed}" ]]; then
  echo "failed: ${failed}" >&2
  exit 1
fi
echo "ok: $*"
