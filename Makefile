# Two commands need nothing but Go and make: 'make run' and 'make test'.
SHELL := /bin/bash
GO ?= go
BIN := bin/tieout
# Tools are fetched by name and pinned here.
BUF := $(GO) run github.com/bufbuild/buf/cmd/buf@v1.75.0
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
MODULES := proto services
# Where the race detector pays: everything with goroutines of its own. It needs a C compiler.
RACE := ./writer/... ./ingest/... ./transform/... ./audit/... ./reconciler/... ./internal/stream/... ./internal/store/... ./internal/trail/... ./internal/sandbox/... ./internal/control/...

.DEFAULT_GOAL := help
.PHONY: help build build-all run test check generate oracles integration alerts up down sim mutants chaos faults clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/tieout
	@echo "building $(BIN) (the first build fetches and compiles its libraries: some minutes on two cores)"
	@mkdir -p bin && cd services && $(GO) build -o ../$(BIN) ./cmd/tieout

run: build ## deals become invoices on embedded parts, then stay up; ONCE=1 plays it and ends, DIR=… keeps state there
	@scripts/run "$(ONCE)" "$(DIR)"

build-all:
	@mkdir -p bin && cd services && $(GO) build -o ../bin/ ./cmd/...

up: build-all ## five processes, Kafka x3, PostgreSQL, Redis, Jaeger, sandboxes, left running; DIR=… keeps state there
	@bin/tieout-lab up --dir "$(if $(DIR),$(DIR),.tieout/up)"

down: build-all ## end what 'make up' started, on the same DIR; its data stays
	@bin/tieout-lab down --dir "$(if $(DIR),$(DIR),.tieout/up)"

# What each service does with its database, once more on a real server.
ON_POSTGRES := ./internal/store ./internal/trail ./internal/stream ./ingest ./transform ./writer ./reconciler ./audit

integration: build-all ## the main job on real parts under killed processes, brokers, databases; ends all it started
	@bin/tieout-lab fetch
	cd services && ../bin/tieout-lab postgres $(GO) test -count=1 -timeout 15m $(ON_POSTGRES)
	cd services && $(GO) test -count=1 -timeout 25m -p 1 -tags integration -run 'Parts' ./internal/parts ./internal/stream ./cmd/assembly ./cmd/tieout

test: ## unit, property, scenario tests; with the race detector where it pays
	@echo "testing (the first time compiles all libraries)"
	cd proto && $(GO) vet ./...
	cd services && $(GO) test -timeout 25m ./...
	@if command -v "$$($(GO) env CC)" >/dev/null; then echo "cd services && $(GO) test -race -short $(RACE)" && cd services && CGO_ENABLED=1 $(GO) test -race -short $(RACE); \
	else echo "no C compiler here: the race detector was not used"; fi

check: ## formatting, vet, staticcheck, layers and sizes, contracts, generated files, links in docs
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo "run gofmt -w on these"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./... && $(STATICCHECK) ./...) || exit 1; done
	cd services && $(GO) vet -tags oracles ./connectors/... ./console && $(GO) vet -tags integration ./internal/parts ./internal/stream ./cmd/assembly ./cmd/tieout
	cd services && $(GO) vet -tags crashpoints ./internal/crash
	cd services && $(GO) test -count=1 ./internal/arch
	cd proto && $(BUF) lint && $(BUF) breaking --against released/v1.binpb
	@$(MAKE) --no-print-directory generate
	git diff --exit-code -- proto services docs deploy
	@for m in $(MODULES); do (cd $$m && GOWORK=off $(GO) mod tidy -diff) || exit 1; done

generate: ## generated code, tables in docs, the reference of the configuration
	cd proto && GOWORK=off $(BUF) generate
	cd services && $(GO) run ./cmd/tieout mapping matrix > ../docs/mappings/matrix.md
	cd services && $(GO) run ./cmd/tieout config reference > ../docs/configuration.md
	cd services && $(GO) run ./cmd/tieout-lab metrics --dashboards ../deploy/dashboards --page ../docs/metrics.md
	cd services && $(GO) run ./cmd/tieout-lab faults

oracles: ## the vendors' own clients against the sandboxes, a browser against the console (needs Node with npm, Chromium)
	@command -v npm >/dev/null || { echo "oracles: npm is not here; install Node 20 or newer"; exit 3; }
	cd services && $(GO) test -count=1 -tags oracles -run TestOracle ./connectors/...
	@command -v chromium >/dev/null || { echo "oracles: the console was skipped, chromium is not here; install the package chromium (apt-get install chromium)"; exit 3; }
	cd services && $(GO) test -count=1 -tags oracles -run TestOracle ./console

alerts: ## the alert rules by promtool, each alert with its test (needs the Debian package prometheus)
	@command -v promtool >/dev/null || { echo "alerts: promtool is not here; install the package prometheus (apt-get install prometheus)"; exit 3; }
	promtool check rules deploy/alerts/tieout.yaml
	promtool test rules deploy/alerts/tieout_test.yaml

SEEDS ?= 100000
sim: ## schedules of the writer's core by seed; SEEDS=… BASE=… MIX=… CLASS=…, or SEED=… MIX=… [KEEP=…] TRACE=1 for one
	@cd services && $(GO) run ./cmd/tieout-lab sim --seeds $(SEEDS) --base $(or $(BASE),1) --mix $(or $(MIX),all) --class $(or $(CLASS),all) $(if $(SEED),--seed $(SEED)) $(if $(KEEP),--keep $(KEEP)) $(if $(TRACE),--trace)

mutants: ## the core with one guard taken out at a time; each must be noticed within 1,000 seeds
	@cd services && $(GO) run ./cmd/tieout-lab mutants

# Kept apart from bin/: these programs can be told to die.
chaos: ## five real processes killed, frozen, cut on real parts; KILLS=… SECONDS=… SEED=… POINTS=… FAULTS=… (needs what integration needs)
	@mkdir -p bin/chaos && cd services && $(GO) build -tags crashpoints -o ../bin/chaos/ ./cmd/...
	@bin/chaos/tieout-lab chaos --kills $(or $(KILLS),60) --seconds $(or $(SECONDS),0) --seed $(or $(SEED),1) --points "$(or $(POINTS),all)" --faults "$(or $(FAULTS),all)" $(if $(DIR),--dir "$(DIR)")

faults: ## each fault of docs/faults.md made to happen by its tests, and that page written anew; TAGS=,integration also on real parts
	@cd services && $(GO) run ./cmd/tieout-lab faults --run --tags "$(TAGS)" $(if $(LOG),--log "$(abspath $(LOG))")

clean: ## remove what the targets made here
	rm -rf bin .tieout
