# The commands of the README. Each installs by apt what it lacks, and says so.
SHELL = /bin/bash
.SHELLFLAGS = -euo pipefail -c

# Where `make demo` runs the app: docker or kubernetes.
TARGET = docker
# Rounds of each benchmark; medians are reported.
ROUNDS = 5
# Which benchmarks: the beginnings of their names. How many apps are released at once, and how many are watched.
ONLY =
APPS = 50
DEPLOYMENTS = 1000
# Further words for `cargo test`, as in `make test TESTS=push`.
TESTS =

state = $(CURDIR)/target
# The Docker engine to work with: DOCKER_HOST's, the machine's, else one of our own.
with_engine = deploy/engine run $(state)/$(1)/engine

.PHONY: help setup build demo down test test-engines lint bench sqlx

help:
	@echo 'make setup                   install what this machine lacks'
	@echo 'make demo                    a whole platform on this machine, with pushes to it'
	@echo 'make demo TARGET=kubernetes  the same on a Kubernetes cluster made for it'
	@echo 'make down                    end what the demos started'
	@echo 'make test                    all tests, on real parts'
	@echo 'make test-engines            those that touch the engine, on Docker Engine 29'
	@echo 'make lint                    formatting and lints'
	@echo 'make bench                   pushes, releases, logs beside the plain tools doing the same'
	@echo 'make sqlx                    write .sqlx anew after a change of SQL'

setup:
	deploy/setup test
	deploy/setup bench

build:
	cargo build --release --package slipway

demo:
	@[[ '$(TARGET)' = docker || '$(TARGET)' = kubernetes ]] || { echo 'TARGET is docker or kubernetes, not $(TARGET).' >&2; exit 2; }
	@deploy/setup $(if $(filter kubernetes,$(TARGET)),test,run)
	@$(call with_engine,demo) deploy/demo/$(TARGET)

down:
	@deploy/demo/down

test:
	@deploy/setup test
	@$(call with_engine,tests) tests/run $(TESTS)

test-engines:
	@deploy/setup test
	@tests/engine29/engine start $(state)/engine29
	@source $(state)/engine29/env && export DOCKER_HOST && tests/run --engines $(TESTS)

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

bench:
	@deploy/setup bench
	@$(call with_engine,bench) tests/bench/run --rounds $(ROUNDS) --only '$(ONLY)' --apps $(APPS) --deployments $(DEPLOYMENTS)

sqlx:
	@deploy/setup run
	@deploy/sqlx
