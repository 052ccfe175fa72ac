# Thin on purpose: every target is one command that can be typed.

help:
	@echo "make test   formatting, lints and unit tests"
	@echo "make fmt    formats the Rust code"

test:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace
	cargo clippy --manifest-path exercises/platform/Cargo.toml --features programs --all-targets -- -D warnings
	cargo test --manifest-path exercises/platform/Cargo.toml --features programs

fmt:
	cargo fmt --all
	cargo fmt --manifest-path exercises/platform/Cargo.toml

.PHONY: help test fmt
