# SPDX-License-Identifier: Apache-2.0

SHELL := /bin/sh
# Where Go and nft often are without being in the PATH.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
export CGO_ENABLED := 1
# SQLite in 0.35 MB less of the binary, and not slower: its time is the disk's. Go unwinds no C.
export CGO_CFLAGS ?= -Os -fno-asynchronous-unwind-tables -fno-unwind-tables
# The Go that go.mod names, also where a machine is set to use the one it has.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)

GOLANGCI_LINT := v2.15.0
GOVULNCHECK := v1.9.0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TOOLS := $(CURDIR)/bin/tools
# How long `make fuzz` stays with each target.
FUZZTIME ?= 10s
# Where `make bench` writes its figures and plots.
OUT ?= docs/bench
# Where `make torture` writes its table.
TORTURE_OUT ?= docs/torture
# Where `make clients` writes its table, and where it keeps the clients between runs.
CLIENTS_OUT ?= docs/clients
CLIENTS_ROOT ?= /var/cache/hotspot-agent/clients
# The modules beside the product's: what they need, the product does not.
MODULES := bench torture clients
EXAMPLES := $(patsubst %/,%,$(wildcard examples/*/))
# Packages whose tests measure time on real traffic: alone on the machine, and
# without the race detector in the measuring process.
LAB := ./internal/lab ./internal/acceptance

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what build, demo and test need beyond make and Go (root, Debian)
	@hack/deps.sh run

.PHONY: deps-dev
deps-dev: ## install what lint and generate need
	@hack/deps.sh run dev
	@GOBIN=$(TOOLS) hack/tool.sh golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(GOLANGCI_LINT)

.PHONY: generate
generate: ## rebuild the committed kernel programs from bpf/ (needs deps-dev)
	go generate ./pkg/dataplane/linux/...

.PHONY: docs
docs: ## rewrite docs/CONFIGURATION.md and the example from the table of keys
	@go generate ./cmd/...

.PHONY: build
build: ## build bin/hotspot-agent
	@echo "building bin/hotspot-agent (the first time takes a minute: SQLite is C)"
	@go build -tags urfave_cli_no_docs,nethttpomithttp2 -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/hotspot-agent ./cmd/hotspot-agent

.PHONY: demo
demo: root deps build ## play a day at the kiosk in a lab of network namespaces (root)
	@go build -o bin/demo ./internal/demo
	@bin/demo -agent bin/hotspot-agent

.PHONY: test
test: root deps ## run all tests on the real kernel, none skipped (root)
	@go build -o bin/testsummary ./internal/testsummary
	@HOTSPOT_REQUIRE_KERNEL=1 bin/testsummary \
		-- -race $$(go list ./... | grep -v -e /internal/lab$$ -e /internal/acceptance$$) \
		-- -C bench -race ./... \
		-- -C torture -race $$(cd torture && go list ./... | grep -v /torture$$) \
		-- -C clients -race ./... \
		-- -count=1 -p=1 -timeout=25m $(LAB) \
		-- -C torture -count=1 -timeout=25m .

.PHONY: unit
unit: ## run the tests that need neither root nor the kernel
	go test -short $$(go list ./... | grep -v -e /internal/lab$$ -e /internal/acceptance$$ -e /pkg/dataplane/linux)
	go test -C bench -short ./...
	go test -C torture -short $$(cd torture && go list ./... | grep -v /torture$$)
	go test -C clients -short ./...

.PHONY: fuzz
fuzz: ## fuzz every parser of untrusted input, FUZZTIME=10s each
	@hack/fuzz.sh $(FUZZTIME)

# QUICK=1 takes 3 minutes, FULL=1 measures every cell. ONLY names studies: callpath runs
# only when named. With BASE=REVISION callpath counts in that revision, too, and control
# compares only the CPU of a connect with it.
.PHONY: bench
bench: root deps build ## measure it next to its rivals in 30 minutes; QUICK=1, FULL=1, ONLY=callpath,... BASE=REVISION (root)
	@hack/deps.sh bench
	@go build -C bench -ldflags '-X main.version=$(VERSION)' -o ../bin/bench .
	@bin/bench -agent bin/hotspot-agent -scale $(if $(QUICK),quick,$(if $(FULL),full,sampled)) -only '$(ONLY)' $(if $(RESUME),-resume) $(if $(BASE),-base $(BASE)) -out $(OUT)

.PHONY: torture
torture: root deps build ## inject every fault that we know, and print what each cost; SHORT=1, ONLY=kill,... (root)
	@hack/deps.sh torture
	@go build -C torture -ldflags '-X main.version=$(VERSION)' -o ../bin/torture .
	@bin/torture -agent bin/hotspot-agent $(if $(SHORT),-short) $(if $(SEED),-seed $(SEED)) -only '$(ONLY)' -out $(TORTURE_OUT)

.PHONY: clients
clients: root deps build ## have browsers and network managers meet it, and print what they saw; ONLY=chromium,... (root)
	@hack/deps.sh clients
	@hack/clients-root.sh '$(CLIENTS_ROOT)'
	@go build -C clients -ldflags '-X main.version=$(VERSION)' -o ../bin/clients .
	@bin/clients -agent bin/hotspot-agent -root '$(CLIENTS_ROOT)' -only '$(ONLY)' -out $(CLIENTS_OUT)

.PHONY: lint
lint: ## run the linters and check the formatting (needs deps-dev)
	for module in . $(MODULES) $(EXAMPLES); do (cd "$$module" && $(TOOLS)/golangci-lint run ./...) || exit 1; done
	$(TOOLS)/golangci-lint fmt --diff ./...

.PHONY: vet-deps
vet-deps: ## check the dependencies: known vulnerabilities, licences, reasons
	@GOBIN=$(TOOLS) hack/tool.sh govulncheck golang.org/x/vuln/cmd/govulncheck $(GOVULNCHECK)
	@GOBIN=$(TOOLS) hack/vulncheck.sh . $(MODULES) $(EXAMPLES)
	go test -count=1 ./internal/deptest

.PHONY: vet-sdk
vet-sdk: ## vet and build the SDK and its examples for other systems
	@hack/vet-sdk.sh $(EXAMPLES)

.PHONY: tidy
tidy: ## compare go.mod and go.sum of every module with what the code imports
	for module in . $(MODULES) $(EXAMPLES); do (cd "$$module" && go mod tidy -diff) || exit 1; done

.PHONY: fmt
fmt: ## format the Go code (needs deps-dev)
	$(TOOLS)/golangci-lint fmt ./...

.PHONY: check
check: ## everything that CI does
	.ci/run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin coverage

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo 'this makes network namespaces and loads eBPF: run it as root, e.g. sudo env "PATH=$$PATH" make ...' >&2; exit 1; }
