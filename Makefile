# Copyright The clusterpass Authors.
# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The first port of the local fleet (34 ports); make test-e2e runs a fleet of its own 100 above.
CLUSTERPASS_PORT_BASE ?= 18400
export CLUSTERPASS_PORT_BASE

# Not empty: Kueue is built and part of the local fleet. It takes minutes to build, so that it is asked for. KUEUE=placement has it
# send Jobs where their Placement says.
KUEUE ?=
export CLUSTERPASS_KUEUE = $(KUEUE)

# The same flags everywhere, so that builds, vet and linters share one cache.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath

# The race detector needs cgo. make verify vets, without the race detector and so only once.
GO_TEST := CGO_ENABLED=1 hack/with-progress.sh testing go test -race -vet=off
SERVERS := clusterpass-apiserver clusterpass-controller-manager
RACE_PROGRAMS := CLUSTERPASS_APISERVER=$(CURDIR)/bin/race/clusterpass-apiserver \
  CLUSTERPASS_CONTROLLER_MANAGER=$(CURDIR)/bin/race/clusterpass-controller-manager
# The packages that take longest come first. They wait for periods of Kubernetes most of the time: five at once take two CPUs.
CLUSTER_TEST := $(RACE_PROGRAMS) $(GO_TEST) -count=1 -timeout=45m -p=5
LONGEST := ./test/integration $(addprefix ./test/integration/,join credentialset inventorymodes chaos health hostile revocation)
COMMANDS := $(notdir $(wildcard cmd/*))

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  CLUSTERPASS_PORT_BASE=$(CLUSTERPASS_PORT_BASE) is the first port of the local fleet."

##### Build

.PHONY: build
build: ## Build every program of ours into bin/.
	@hack/with-progress.sh building go build -ldflags "$$(hack/version-ldflags.sh)" -o bin/ ./cmd/...
	@echo "built $(addprefix bin/,$(COMMANDS))"

.PHONY: krew
krew: ## Build the archives of the kubectl plugin, and its manifest for Krew, into bin/krew/. Needs VERSION.
	@hack/build-krew.sh "$(VERSION)"

.PHONY: tools
tools: ## Build etcd, kube-apiserver, kube-controller-manager and kubectl into bin/tools/, once per version; KUEUE=1: Kueue, too.
	@hack/build-tools.sh kubernetes etcd $(if $(KUEUE),kueue)

.PHONY: fleet
fleet:
	@hack/with-progress.sh "building fleet" go build -o bin/fleet ./test/testenv/fleet

.PHONY: generate
generate: ## Regenerate all generated code.
	@hack/with-progress.sh generating hack/update-codegen.sh

.PHONY: update
update: ## Run every hack/update-*.sh: format, modules, what linters can fix, generated code.
	@hack/update.sh

##### Use

.PHONY: demo
demo: ## Tell the story in a terminal: join clusters, get a token by one kubectl create. Leaves the fleet running.
	@hack/demo.sh

.PHONY: demo-multikueue
demo-multikueue: ## Tell how MultiKueue is set up, kept and survives a lost cluster, with real Kueue, which is built once (minutes).
	@hack/demo-multikueue.sh

.PHONY: demo-placement
demo-placement: ## Tell how Jobs go to the clusters that their Placement chooses, by label, by free GPUs and by a score that ends, with real Kueue.
	@hack/demo-placement.sh

.PHONY: up
up: ## Start the local fleet, heal what has died of it, print how to use it; KUEUE=1: with Kueue on each cluster.
	@hack/local-up.sh up

.PHONY: down
down: fleet ## End what make up started; data stays in .local/.
	@bin/fleet down

.PHONY: status
status: fleet ## Show the processes of the local fleet.
	@bin/fleet status

##### Check

.PHONY: verify
verify: ## Run every hack/verify-*.sh: format, modules, linters (go vet among them), generated code.
	@hack/build-tools.sh golangci-lint
	@hack/verify.sh

.PHONY: test
test: ## Run all tests, with the race detector, whatever fails; end with what failed.
	@hack/test.sh unit fuzz+integration e2e

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but Go.
	@echo "unit tests (the first build with the race detector takes minutes)"
	@$(GO_TEST) $$(go list ./... | grep -vE '^clusterpass.dev/test/(testenv|integration|e2e)')
	@CGO_ENABLED=1 hack/with-progress.sh "testing test/conformance" go test -C test/conformance -race -vet=off ./...

.PHONY: test-fuzz
test-fuzz: ## Fuzz each target for half a minute on one processor, without coverage.
	@hack/with-progress.sh fuzzing hack/fuzz.sh --quick 30s

.PHONY: test-integration
test-integration: tools race ## Run the tests against real kube-apiservers and etcds that they start themselves.
	@hack/build-tools.sh kubectl-oldest
	@echo "integration tests"
	@[[ -x bin/tools/kueue ]] || echo "SKIPPED, as Kueue is not built: test/integration/multikueue (make test-kueue builds it and runs them)"
	@[[ -x bin/tools/ocm ]] || echo "SKIPPED, as OCM is not built: test/integration/ocm (make test-ocm builds it and runs them)"
	@$(CLUSTER_TEST) $(LONGEST) ./test/testenv/... ./test/integration/...

.PHONY: test-kueue
test-kueue: KUEUE := 1
test-kueue: tools race ## Run the tests with real Kueue, which is built for them: minutes, once.
	@echo "integration tests with Kueue"
	@$(CLUSTER_TEST) ./test/integration/multikueue/...

.PHONY: test-ocm
test-ocm: export CLUSTERPASS_OCM := 1
test-ocm: tools race ## Run the tests with OCM's own controllers, which are built for them: minutes, once.
	@hack/build-tools.sh ocm
	@echo "integration tests with OCM"
	@$(CLUSTER_TEST) ./test/integration/ocm/...

# Go doesn't see when the Secrets change, which lie outside these modules: hence -count=1.
.PHONY: test-consumers
test-consumers: ## Give the Secrets of credential sets to the code of Argo CD, Flux and Kueue; the first build takes minutes.
	@for module in test/consumers/*/; do \
	  (cd "$${module}" && ../../../hack/with-progress.sh "testing $${module}" go test -count=1 ./...); \
	done

.PHONY: conformance
conformance: ## Check the local fleet, or the hub of CONFORMANCE_ARGS, by test/conformance; reports go to bin/conformance/.
	@hack/conformance.sh $(CONFORMANCE_ARGS)

.PHONY: fuzz
fuzz: FUZZTIME ?= 30s
fuzz: ## Fuzz what reads the input of tenants and members, each target for FUZZTIME (30s).
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: race
race:
	@mkdir -p bin/race
	@CGO_ENABLED=1 hack/with-progress.sh "building with the race detector" \
	  go build -race -ldflags "$$(hack/version-ldflags.sh)" -o bin/race/ $(addprefix ./cmd/,$(SERVERS))

.PHONY: test-e2e
test-e2e: tools build fleet ## Run the tests against a local fleet of their own, brought down afterwards.
	@echo "end-to-end tests"
	@export CLUSTERPASS_PORT_BASE="$$(($(CLUSTERPASS_PORT_BASE) + 100))" CLUSTERPASS_LOCAL_DIR='$(CURDIR)/.local-e2e'; \
	bin/fleet down; \
	rm -rf "$$CLUSTERPASS_LOCAL_DIR"; \
	trap 'bin/fleet down' EXIT; \
	bin/fleet up; \
	$(GO_TEST) -count=1 -timeout=30m ./test/e2e/...

.PHONY: bench
bench: tools build ## Measure against what users run today; prints medians and ratios. BENCH_FLAGS=-h lists its flags.
	@go run ./test/bench $(BENCH_FLAGS)

##### Clean

.PHONY: clean-fleet
clean-fleet: down ## End the local fleet and remove its data, keys and logs.
	@rm -rf "$${CLUSTERPASS_LOCAL_DIR:-.local}"

.PHONY: clean
clean: clean-fleet ## Remove everything that make made, the built tools included.
	@CLUSTERPASS_LOCAL_DIR=.local-e2e bin/fleet down
	@rm -rf bin .local-e2e
