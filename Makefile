# Needs Python ≥ 3.11 and make; everything else is installed into .venv from the hashed lock files.

PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
# What was made ready is a database: another folder or another URL is another one.
READY := $(or $(AUTH_SERVICE__DATA_DIR),data)/.ready-$(firstword $(shell printf %s "$$AUTH_SERVICE__DB_URL$$AUTH_SERVICE__DB_URL_FILE" | cksum))
INSTALL = $(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r

BENCH = $(if $(JSON),--json) $(if $(DB),--db $(DB)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(USERS),--users $(USERS)) \
	$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(BASE),--base $(BASE)) $(if $(SERVER),--server $(SERVER)) $(if $(ARGON2),--argon2 $(ARGON2))

BUILT_ARGON2 := build/argon2/.built
# What is measured hashes by it where there is a compiler.
BENCH_ARGON2 := $(if $(filter libsodium,$(ARGON2)),,$(if $(shell command -v cc 2>/dev/null),$(BUILT_ARGON2)))

GROWTH = $(if $(JSON),--json) $(if $(USERS),--users $(USERS)) $(if $(SESSIONS),--sessions $(SESSIONS)) $(if $(ENDED),--ended $(ENDED)) \
	$(if $(REFRESHES),--refreshes $(REFRESHES)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: help run test demo hostile argon2 bench bench-growth bench-admin bench-instances screenshots check manifests format translations conformance lock clean bom audit licences faults
help: ## list the targets
	@grep -hE "^[a-z0-9-]+:.*##" $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

run: .venv/.run $(READY) ## serve on 127.0.0.1:8003 with demo data, on SQLite
	@exec env ENVIRONMENT=development $(BIN)/gunicorn -c authserver/gunicorn.py

demo: .venv/.dev ## the integration guide's world on localhost:8080: the server, services and a gateway (DEMO_PORT=9080)
	@exec $(BIN)/python -m deploy.demo

test: .venv/.dev ## the pages in a browser, and the suite on SQLite and on a PostgreSQL of its own (ALL=1 for more)
	$(BIN)/python tests/run.py

hostile: .venv/.dev ## attack it: fuzzing, kill -9, races, copies, each SECURITY line taken out (MINUTES=10)
	$(BIN)/python tests/hostile/run.py $(MINUTES)

faults: .venv/.dev ## break the database, its replica, disks, a pooler and workers under load, and print what it cost (RESTARTS=20)
	@$(BIN)/python tests/faults/run.py

argon2: $(BUILT_ARGON2) ## build a faster Argon2 into build/argon2; needs a C compiler

bench: .venv/.dev $(BENCH_ARGON2) ## measure the server beside what bounds it, or beside another revision (BASE=main)
	@$(BIN)/python -m tests.bench $(BENCH)

bench-growth: .venv/.dev ## measure among a million users and ten million sessions (USERS=, SESSIONS=, ENDED=)
	@$(BIN)/python -m tests.bench.growth $(GROWTH)

bench-admin: .venv/.dev ## measure the admin's pages before 100,000 users and 5 million audit events
	$(BIN)/python -m tests.bench.admin

bench-instances: .venv/.dev ## measure one, two and four instances behind nginx, and what they write (SIZES=1,2,4)
	@$(BIN)/python -m tests.bench.instances $(if $(JSON),--json) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(USERS),--users $(USERS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SIZES),--sizes $(SIZES))

screenshots: .venv/.dev ## pictures of the admin: all into build/screenshots, a few into docs/images
	$(BIN)/python -m tests.screenshots

check: .venv/.dev ## format, lint, types, migrations, deployment checks, lock files, licences, known flaws
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	ENVIRONMENT=development AUTH_SERVICE__ENV_FILE= $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python tests/check_deploy.py
	$(BIN)/python tests/check_lock.py
	$(BIN)/python -m tests.supply.licences --check
	@$(BIN)/python -m tests.supply.bill
	@$(BIN)/python -m tests.supply.audit --if-reachable

bom: .venv/.dev ## write the bill of materials, build/authserver.cdx.json
	@$(BIN)/python -m tests.supply.bill

audit: .venv/.dev ## ask what is known against the locked packages (SERVICE=osv)
	@$(BIN)/python -m tests.supply.audit $(if $(SERVICE),--vulnerability-service $(SERVICE))

licences: .venv/.dev ## write docs/licences.md out of what is installed
	$(BIN)/python -m tests.supply.licences

manifests: .venv/.dev ## hold deploy/kubernetes and the Dockerfiles against kubectl, Kubernetes's schemas and hadolint
	@$(BIN)/python tests/check_manifests.py

format: .venv/.dev ## write the code in the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

translations: .venv/.dev ## gather what pages say into locale/ru and compile it
	$(BIN)/python tests/translations.py

conformance: .venv/.dev ## write docs/conformance.md out of the marks of the tests
	$(BIN)/python tests/conformance.py

lock: .venv/.uv ## resolve the dependencies of pyproject.toml anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml --extra otel -o requirements-otel.txt -c requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml --extra granian -o requirements-granian.txt -c requirements-otel.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header pyproject.toml --extra otel --extra granian --group dev -o requirements-dev.txt -c requirements-otel.txt

clean: ## remove the environment and the development database
	rm -rf .venv data staticfiles

.venv/.uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "authserver needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.run: requirements.txt .venv/.uv
	@echo "Installing the dependencies..."
	@$(INSTALL) requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.uv
	@$(INSTALL) requirements-dev.txt
	@touch $@

$(BUILT_ARGON2): deploy/build_argon2.py | .venv/.uv
	@$(BIN)/python $< $(@D) >&2
	@touch $@

$(READY): $(wildcard accounts/migrations/*.py oauth/migrations/*.py .env) oauth/demo.py | .venv/.run
	@ENVIRONMENT=development $(BIN)/python manage.py migrate --verbosity 0
	@ENVIRONMENT=development $(BIN)/python manage.py bootstrap --demo
	@mkdir -p $(@D) && touch $@
