# `make help` lists the targets. Everything runs in .venv, which `make setup` makes.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# The newest one that is installed, and starts: a version manager has names for others.
PYTHON ?= $(shell for v in 3.13 3.12 3.11; do python$$v -c "" 2>/dev/null && echo python$$v && break; done)
BIN := .venv/bin
KAFKA := target/kafka
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No tool calls home from here.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PYTHONUNBUFFERED := 1

.PHONY: help setup demo parse tick status test lint unit pytest test-kafka java-and-maven test-snowflake soak mutate docs bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: $(BIN)/.installed profiles.yml ## virtual environment, locked dependencies, profiles.yml

$(BIN)/.installed: requirements.txt
	@$(if $(PYTHON),,echo "No Python found: install Python 3.11, 3.12 or 3.13, or give one by PYTHON=..."; exit 1;) \
	  $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: give another one by PYTHON=..."; exit 1; }
	@echo "Installing the locked dependencies into .venv, a minute or two ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.txt
	@touch $@

profiles.yml:
	@cp profiles.example.yml profiles.yml && echo "Made profiles.yml from profiles.example.yml"

demo: setup ## a week of invented orders, a healthy tick, two faults and their alerts
	@python -m orchestration demo

tick: setup ## monitor, alert and transform, once, whatever lies in the landing tables
	@python -m orchestration tick

status: setup ## every alert's last measurement
	@python -m orchestration status

parse: setup ## dbt parse, warnings as errors
	dbt parse --warn-error

# A worker for each core, and one for those tests that mostly wait.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))
PYTEST := python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: setup ## twelve minutes: lint, parse, build, dbt tests and unit tests, pytest, the real schedule, both engines
	$(MAKE) -j2 lint unit
	$(MAKE) pytest

lint: setup ## ruff, sqlfluff and hadolint
	ruff check . && ruff format --check .
	hadolint Dockerfile
	sqlfluff lint --processes 1 models tests/dbt

unit: export STREAMING_OPS_DUCKDB_PATH := $(CURDIR)/target/test/unit.duckdb
unit: export DBT_TARGET_PATH := $(CURDIR)/target/test
unit: setup ## a build of everything on generated orders, with every dbt test and unit test
	@rm -rf target/test && mkdir -p target/test
	dbt parse --warn-error
	dbt run-operation create_landing_tables
	dbt seed
	dbt run-operation generate_stream --args '{history_days: 2}'
	dbt build

pytest: setup ## scenarios through real dbt, flows, delivery, collectors, a short life on both engines
	$(PYTEST)

test-snowflake: setup ## a quarter of an hour through dbt-snowflake on a Snowflake on loopback, no account: a long life, unit tests, histories
	$(PYTEST) -m snowflake

test-kafka: java-and-maven setup $(KAFKA)/.installed ## faults of a real Kafka and Kafka Connect on loopback; needs Java 17 and Maven
	python -m pytest -m kafka tests/python/kafka

java-and-maven:
	@for tool in java mvn; do command -v $$tool >/dev/null || \
	  { echo "$$tool not found: install Java 17 or later and Maven, such as openjdk-17-jre-headless and maven"; exit 1; }; done

$(KAFKA)/.installed: tests/python/kafka/pom.xml
	@echo "Fetching Kafka into $(KAFKA), half a minute ..."
	@rm -rf $(KAFKA)
	@mvn -B -q -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(KAFKA)
	@touch $@

HISTORIES ?= 500
KILLS ?= 100
SEED := $(or $(SEED),$(shell date +%s))
soak: export STREAMING_OPS_HISTORIES = $(shell expr $(HISTORIES) / 2)
soak: export STREAMING_OPS_HISTORIES_TARGET = $(or $(TARGET),local)
soak: setup ## 500 random histories, runs killed among them, against one load; 20 random series of alerts; 100 killed deliveries; kills of serve, server and worker; HISTORIES=20 KILLS=5 SEED=1 TARGET=snowflake
	@pids=(); for seed in $(SEED) $$(( $(SEED) + 1 )); do \
	  STREAMING_OPS_SEED=$$seed python -m pytest -q -s tests/python/exactness & pids+=($$!); \
	done; failed=0; for pid in "$${pids[@]}"; do wait $$pid || failed=1; done; \
	STREAMING_OPS_KILLS=$(KILLS) STREAMING_OPS_SERIES=20 python -m pytest -q tests/python/alerts -k "killed or series" || failed=1; \
	python -m pytest -q -s -m soak || failed=1; exit $$failed

mutate: setup ## plants faults, one at a time, and shows which test finds each; FAULT=silence ALL=1
	@python -m tests.python.mutate

docs: setup ## the dbt docs site as one page: target/static_index.html; after a demo, for it reads the tables
	dbt docs generate --static
	@echo "Open target/static_index.html"

bench: setup ## a tick against its floor, over 100 thousand to 50 million records; a backlog of 10 million
	python -m bench.bench

lock: setup ## requirements.txt anew from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	  --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.txt
	@# Given hashes, pip wants a line without the extras too, where something asks for the package like that.
	@awk '/^[^ ]/ { printf "%s", twin; twin = ""; line = $$0; if (sub(/\[[^]]*\]/, "", line)) twin = line "\n" } \
	  /^ / && twin { twin = twin $$0 "\n" } { print } END { printf "%s", twin }' requirements.txt > requirements.new
	@mv requirements.new requirements.txt

clean: ## removes what the targets above made, but not profiles.yml and not the DuckDB file
	rm -rf .venv target logs dbt_packages .pytest_cache .ruff_cache
