# Thin on purpose: every target is a command that can be typed. CI calls the binaries, since make flattens exit codes.

EXERCISE ?= model-down
DIR ?= work/$(EXERCISE)
SEED ?=
RUNS ?= 1
OUT ?= report/$(EXERCISE)-$(shell date +%Y%m%d-%H%M%S)

HARNESS = target/debug/harness
GRADER = target/debug/grader
# In an engine of their own, of a node image that takes ten minutes once.
CLUSTERS = cargo test --package acceptance -- --ignored kind::
PLATFORM = --manifest-path exercises/platform/Cargo.toml --features programs

help:
	@echo "make start      a broken deployment to repair, in $(DIR)   (EXERCISE=, SEED=, DIR=)"
	@echo "make status     what runs, where, and how long is left"
	@echo "make check      the basics, while you work: half a minute"
	@echo "make grade      examines $(DIR) and writes a report below report/   (OUT=)"
	@echo "make reset      $(DIR) as it was in the beginning; asks, and keeps a copy"
	@echo "make stop       ends the deployment; files and volumes stay"
	@echo "make demo       examines a broken deployment and a working one, for whoever wants to see reports"
	@echo "make doctor     what this machine has and what it lacks"
	@echo "make test       formatting, lints, unit, acceptance and browser tests; gets what they need"
	@echo "make test-all   the same, every submission of the selftest, and faults that need root"
	@echo "make selftest   proves an exercise; the flagship's page is docs/validity.md   (EXERCISE=, RUNS=)"
	@echo "make fidelity   compares the replay with a live Prometheus, and writes docs/fidelity.md"
	@echo "make bench      measures, and writes docs/performance.md; bench-clusters: docs/performance-kubernetes.md"
	@echo "make kind-node  what clusters are made of where no registry answers, for tests: ten minutes, once"
	@echo "make fmt        formats Rust and Python"
	@echo "make schemas    writes docs/schema anew, and the examples in docs/scoring.md"

setup:
	@scripts/setup $(if $(shell grep -s '^engine: kind' exercises/$(EXERCISE)/exercise.yaml),--kubernetes)

build:
	@cargo build --quiet --workspace

start: setup build
	@$(HARNESS) start $(EXERCISE) --dir $(DIR) $(if $(SEED),--seed $(SEED))

status: build
	@$(HARNESS) status --dir $(DIR)

check: build
	@$(GRADER) check $(DIR)

reset: build
	@$(HARNESS) reset --dir $(DIR)

stop: build
	@$(HARNESS) stop --dir $(DIR)

demo: setup build
	@scripts/demo $(SEED)

doctor: build
	@$(HARNESS) doctor

grade: setup build
	@$(GRADER) run $(DIR) --out $(OUT)

test: setup lint unit
	cargo build --workspace
	$(HARNESS) images replay
	cargo test --package acceptance
	@if [ "$$(id -u)" = 0 ] && command -v go >/dev/null && command -v debootstrap >/dev/null; then $(CLUSTERS); else echo "clusters are not tested: that needs root, Go and debootstrap"; fi

test-all: test
	cargo test --package acceptance -- --ignored --skip kind::

unit:
	cargo test --workspace --exclude acceptance
	cargo test $(PLATFORM)

lint: build
	cargo fmt --all --check
	cargo fmt --manifest-path exercises/platform/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy $(PLATFORM) --all-targets -- -D warnings
	scripts/lint

# Needs cargo-deny. Its database of advisories is fetched where there is a network to fetch it.
deny:
	cargo deny check bans licenses sources

# What is published of an exercise, beside it of the flagship.
PROOF = $(if $(filter model-down,$(EXERCISE)),--rows docs/validity.jsonl --page docs/validity.md) \
	$(if $(filter rollout-stuck,$(EXERCISE)),--rows docs/validity-rollout-stuck.jsonl --page docs/validity-rollout-stuck.md)

# Reference, breaks, alternatives, cheats: three hours, RUNS times the reference and an untouched variant. What is recorded is
# not recorded again.
selftest: setup build
	$(GRADER) selftest $(EXERCISE) --runs $(RUNS) $(PROOF)

# A part of `make test`, which writes its figures.
fidelity: setup build
	$(HARNESS) images replay
	MODELDOWN_WRITE_FIDELITY=1 cargo test --package acceptance fidelity

kind-node: setup
	@tests/kind-node/build

bench: setup
	cargo build --release --workspace
	target/release/bench

# The same of clusters; needs root and Go.
bench-clusters: setup
	cargo build --release --workspace
	target/release/bench clusters

fmt:
	cargo fmt --all
	cargo fmt --manifest-path exercises/platform/Cargo.toml
	scripts/lint --fix

schemas:
	MODELDOWN_WRITE_SCHEMAS=1 cargo test --workspace --exclude acceptance --lib in_docs

.PHONY: help setup build start status check reset stop demo doctor grade test test-all unit lint deny kind-node bench bench-clusters selftest fidelity fmt schemas
