#!/usr/bin/env bash
# Copyright The clusterpass Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes every target in the tree, one after the other, each for the time that is given.

set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-30s}
grep --recursive --include='*_test.go' --extended-regexp --only-matching '^func Fuzz[A-Za-z]+' pkg apis |
  sort | while IFS=: read -r file target; do
    target=${target#func }
    echo "fuzzing ${target} in $(dirname "${file}") for ${time}"
    # To find more inputs is worth more than to have the shortest ones, which takes a minute each by default.
    go test -run='^$' -fuzz="^${target}\$" -fuzztime="${time}" -fuzzminimizetime=1s "./$(dirname "${file}")"
  done
