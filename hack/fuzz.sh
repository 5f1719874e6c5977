#!/usr/bin/env bash
# Copyright The clusterpass Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes every target in the tree, one after the other, each for the time that is given. With --quick it goes by no coverage: what that takes
# is to compile all dependencies once more, for minutes. Inputs are then those of the corpora, changed at random, thousands a second, on one processor.
#
# usage: hack/fuzz.sh [--quick] [TIME]
#
# A corpus is what a target adds, and pkg/NAME/testdata/fuzz/TARGET; go test runs it. Inputs that were found by coverage are in
# $(go env GOCACHE)/fuzz: copy those of a new path there.

set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=""
if [[ "${1:-}" == --quick ]]; then
  quick=yes
  shift
fi
time=${1:-30s}

cache="$(mktemp -d)"
trap 'rm -rf "${cache}"' EXIT

# fuzz fuzzes a target of a package.
fuzz() {
  local target=$2 log="${cache}/log"
  run "$@" | tee "${log}" || timed_out "${target}" "${log}"
}

# run runs the engine for a target of a package.
run() {
  local directory=$1 target=$2
  if [[ -z "${quick}" ]]; then
    # To find more inputs is worth more than to have the shortest ones, which takes a minute each by default.
    go test -vet=off -run='^$' -fuzz="^${target}\$" -fuzztime="${time}" -fuzzminimizetime=1s "./${directory}"
    return
  fi
  local program="${cache}/${directory//\//-}.test"
  if [[ ! -x "${program}" ]]; then
    go test -vet=off -c -o "${program}" "./${directory}" || return
  fi
  cd "${directory}" || return
  "${program}" -test.run='^$' -test.parallel=1 -test.fuzz="^${target}\$" -test.fuzztime="${time}" -test.fuzzminimizetime=1s -test.fuzzcachedir="${cache}"
}

# timed_out returns whether a target has failed by the end of its time alone, which fails now and then on busy processors
# (golang/go#75804, until Go 1.27). What a target finds itself has other words under its name.
timed_out() {
  grep --after-context=1 --extended-regexp "^--- FAIL: $1 " "$2" | grep --quiet --line-regexp '    context deadline exceeded'
}

grep --recursive --include='*_test.go' --extended-regexp --only-matching '^func Fuzz[A-Za-z]+' pkg apis |
  sort | while IFS=: read -r file target; do
    target=${target#func }
    echo "fuzzing ${target} in $(dirname "${file}") for ${time}"
    fuzz "$(dirname "${file}")" "${target}"
  done
