# The Go modules of this repository; test, race and fuzz run over each.
MODULES := . benchmarks examples/brokers examples/grpc internal/brokertable runtime/broker/gomicro runtime/broker/kafka \
	runtime/broker/mqtt runtime/broker/nats runtime/broker/rabbitmq runtime/broker/redis runtime/event/internal/cloudevents runtime/event/internal/gomicro runtime/event/otelevent \
	runtime/event/protovalidateevent

# Flags for `go test`, such as TESTFLAGS=-race.
TESTFLAGS :=

GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CURDIR)/.bin/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
BUF := scripts/buf

# $(call each,COMMAND) runs COMMAND in every module and fails if one failed.
each = @fail=0; for m in $(MODULES); do (cd $$m && $(1)) || fail=1; done; exit $$fail

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: modules
modules: ## print the directories of all modules
	@echo $(MODULES)

.PHONY: demo
demo: ## generate from examples/proto and run examples/quickstart and examples/http
	$(BUF) generate
	go run ./examples/quickstart
	go run ./examples/http/demo

.PHONY: test
test: ## run all tests
	$(call each,go test $(TESTFLAGS) ./...)

# benchmarks imports all that it compares, and building that once more for the race
# detector takes minutes.
.PHONY: race
race: MODULES := $(filter-out benchmarks,$(MODULES))
race: ## run the tests under the race detector
	$(call each,go test -race ./...)

.PHONY: fuzz
fuzz: ## run every fuzz target for a short while
	scripts/fuzz $(MODULES)

.PHONY: integration
integration: ## start real servers and run the tests that need them
	scripts/integration

# How long `make soak-http` takes, about.
SOAK := 10m

.PHONY: soak
soak: soak-http ## break every broker on purpose and count what is lost
	MICRO_EVENT_MESSAGES=10000 scripts/integration

.PHONY: soak-http
soak-http: ## the HTTP broker's part of it; SOAK=60s is the short form
	go run ./internal/soak -for $(SOAK)

.PHONY: bench
bench: ## compare with the floor and with others, and write docs/performance.md
	scripts/bench

.PHONY: lint
lint: $(GOLANGCI) ## run the linters on Go and protobuf
	$(call each,$(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...)
	$(BUF) lint

.PHONY: fix
fix: $(GOLANGCI) ## format, and apply the fixes that linters know
	$(call each,$(GOLANGCI) run --config $(CURDIR)/.golangci.yml --fix ./...)

.PHONY: download
download: ## fetch what every module needs
	$(call each,go mod download)

.PHONY: tidy
tidy: ## tidy every go.mod
	$(call each,go mod tidy)

.PHONY: checktidy
checktidy: ## fail when a go.mod is not tidy
	$(call each,go mod tidy -diff)

.PHONY: vet
vet: ## go vet every module
	$(call each,go vet ./...)

.PHONY: generate
generate: ## generate all code, and the table of brokers in the README
	$(BUF) generate --template buf.gen.options.yaml
	$(BUF) generate
	cd internal/brokertable && go run . $(CURDIR)/README.md

.PHONY: checkgenerate
checkgenerate: generate ## fail when what is generated is not what is committed
	@git status --porcelain -- proto examples/gen README.md | (! grep .) || \
		{ git --no-pager diff -- proto examples/gen README.md; \
		  echo 'run "make generate" and commit the result' >&2; exit 1; }

.PHONY: release-check
release-check: ## use every module at one version, without replace, as its users would
	scripts/release-check

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities in what every module calls
	scripts/vulncheck $(MODULES)

.PHONY: tools
tools: $(GOLANGCI) ## fetch the pinned buf and golangci-lint into .bin
	$(BUF) --version

$(GOLANGCI):
	GOBIN=$(@D) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
