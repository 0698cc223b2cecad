# The two commands of a fresh clone: `make demo` and `make test`.
# Needs Python 3.11 and make, nothing else.

PYTHON ?= python3.11
UV ?= uv
ARGS ?=
# Processes that share the files of tests: one a core, at most two, since each grows to six gigabytes.
WORKERS ?= logical
PARALLEL := -n $(WORKERS) --maxprocesses 2 --dist loadfile --no-loadscope-reorder

# A surrounding environment must not leak into ours.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

# A virtual environment knows its own place: in a copied folder it would run the
# original's code. The stamps carry the place, so that a copy installs anew.
PLACE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
LOCKED := .venv/.locked-$(PLACE)
INSTALLED := .venv/.installed-$(PLACE)
BIN := .venv/bin
# TFF's pins and the documentation tools do not fit into one environment.
DOCS_LOCKED := .venv-docs/.locked-$(PLACE)
# Nor do current TensorFlow and LiteRT, which cloud jobs and the export also run on.
CURRENT_LOCKED := .venv-current/.locked-$(PLACE)
CURRENT_INSTALLED := .venv-current/.installed-$(PLACE)
# Nor does Apache Beam, which refuses the newest packages that current TensorFlow works with.
BEAM_LOCKED := .venv-beam/.locked-$(PLACE)
BEAM_INSTALLED := .venv-beam/.installed-$(PLACE)
BROWSER := tests/mobile_export/browser
BROWSER_INSTALLED := $(BROWSER)/node_modules/.package-lock.json
WEB := mobile_export/web
WEB_INSTALLED := $(WEB)/node_modules/.package-lock.json
NPM ?= npm
PYTHON_CURRENT ?= $(shell for python in python3.12 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.12*/bin/python; do \
  "$$python" -c '' 2>/dev/null && { echo "$$python"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install install-current demo cycle-http test test-slow test-odd-places test-current test-beam test-browser test-android peers-install peers fuzz fuzz-long lint types format docs lock clean
.DELETE_ON_ERROR:

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) \
	  | sed -E 's/^([a-z-]+):.*## (.*)$$/make \1|\2/' \
	  | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

install: $(INSTALLED) ## make .venv from Python 3.11 and requirements.lock

demo: $(INSTALLED) ## install, then train ECCT on MovieLens-100K; ARGS="--rounds 3" is passed on
	@$(BIN)/ecct simulate $(ARGS)

cycle-http: $(INSTALLED) $(if $(findstring --browsers,$(ARGS)),$(WEB_INSTALLED)) ## server, 200 devices and jobs on MovieLens-100K over HTTP, beside the cycle by files; ARGS="--kills 20 --browsers 4": with faults, 4 of them in headless Chromium
	@$(BIN)/python -m benchmarks.cycle_http $(ARGS)

test: $(INSTALLED) ## install, then run the tests; ARGS="-k name" is passed on, WORKERS=0 runs them in one process
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

test-slow: $(INSTALLED) ## the tests that `make test` leaves out: kills, several workers, notebooks, whole runs; takes as long again
	@$(BIN)/python -m pytest $(PARALLEL) -m slow $(ARGS)

test-odd-places: $(INSTALLED) ## doctor and a round of simulate without network, HOME, UTF-8, shared memory, ...
	@ECCT_ALL_ODD_PLACES=1 $(BIN)/python -m pytest tests/test_odd_places.py $(ARGS)

install-current: $(CURRENT_INSTALLED) ## make .venv-current: Python 3.12, current TensorFlow, LiteRT, no TFF

test-current: $(CURRENT_INSTALLED) ## run the tests of the export, the cloud and the engine without TFF there
	@TF_USE_LEGACY_KERAS=1 .venv-current/bin/python -m pytest $(PARALLEL) -m "not slow or current" $(or $(ARGS),tests/mobile_export tests/cloud tests/wire tests/cycle tests/testing tests/evaluation tests/reporting/test_reporting_gains.py tests/reporting/test_reporting_page.py tests/studies/test_studies_run.py tests/federated/test_federated_engines.py tests/baselines/test_baselines_engines.py tests/simulation/test_simulation_engines.py tests/test_tracking.py mobile_export cloud ecct_tf/wire ecct_tf/cycle)

test-beam: $(BEAM_INSTALLED) ## the cloud's jobs as pipelines of Apache Beam, in .venv-beam
	@TF_USE_LEGACY_KERAS=1 .venv-beam/bin/python -m pytest $(or $(ARGS),tests/cloud/test_cloud_pipelines_ingestion.py tests/cloud/test_cloud_pipelines_publication.py tests/cloud/test_cloud_pipelines_running.py tests/cloud/test_cloud_pipelines_users.py)

test-browser: $(CURRENT_INSTALLED) $(BROWSER_INSTALLED) $(WEB_INSTALLED) ## exported files under LiteRT.js, a device in headless Chromium (needs Node 20.11 and npm)
	@"$(NPM)" run --prefix $(WEB) --silent check
	@"$(NPM)" run --prefix $(WEB) --silent test
	@ECCT_REQUIRE_NODE=1 .venv-current/bin/python -m pytest tests/mobile_export/test_mobile_export_browser.py tests/mobile_export/test_mobile_export_web.py tests/mobile_export/test_mobile_export_web_forgotten.py tests/cycle/test_cycle_browsers.py $(ARGS)

test-android: ## compile the Kotlin library and run its tests (needs a JDK and npm)
	@mobile_export/android/checks/run.sh

peers-install: $(INSTALLED) ## environments of other libraries, for `make peers`: 2 GB on disk, more where PyTorch comes with CUDA
	@$(BIN)/python -m benchmarks.peers install

peers: peers-install ## rounds of other libraries beside ours on the same devices; ARGS="--cycles 9" is passed on
	@$(BIN)/python -m benchmarks.peers run $(ARGS)

fuzz: $(INSTALLED) ## generated data sets, uplink logs and registries through the commands, for about four minutes
	@$(BIN)/python -m benchmarks.fuzz --data 400 --logs 100 --seconds 220 $(ARGS)

fuzz-long: $(INSTALLED) ## the same with 2,000 cases of each kind, without a limit of time
	@$(BIN)/python -m benchmarks.fuzz --data 2000 --logs 2000 $(ARGS)

lint: $(INSTALLED) ## check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED) ## check types (mypy, strict)
	@$(BIN)/mypy

format: $(INSTALLED) ## mend style and formatting where that can be done safely
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(DOCS_LOCKED) ## build the documentation into site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict $(ARGS)
	@echo "The documentation is in site/index.html."

lock: ## compile all lock files anew (needs uv)
	@command -v "$(UV)" >/dev/null || { \
	  echo "make lock needs uv (looked for '$(UV)'): see https://docs.astral.sh/uv/" >&2; exit 1; }
	@cp requirements.lock requirements.lock.new 2>/dev/null || true
	@"$(UV)" pip compile --quiet --no-header --no-emit-index-url --generate-hashes \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
	  --override requirements/overrides.txt \
	  requirements/requirements.in -o requirements.lock.new || { rm -f requirements.lock.new; exit 1; }
	@{ \
	  echo "# Every package of the environment, pinned and hashed, for Python 3.11 on Linux x86-64"; \
	  echo "# (the one platform TFF 0.87.0 is built for). \`make lock\` compiles it with uv from"; \
	  echo "# requirements/requirements.in and requirements/overrides.txt. Install it with"; \
	  echo "#   pip install --no-deps --require-hashes -r requirements.lock"; \
	  echo "# (--no-deps because TFF's own pin of jaxlib can no longer be met)."; \
	  cat requirements.lock.new; \
	} > requirements.lock
	@rm -f requirements.lock.new
	@"$(UV)" pip compile --quiet --no-header --no-emit-index-url --generate-hashes \
	  --python-version 3.11 requirements/docs.in -o requirements/docs.lock
	@"$(UV)" pip compile --quiet --no-header --no-emit-index-url --generate-hashes \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_31 \
	  --override requirements/current-overrides.txt \
	  requirements/current.in -o requirements/current.lock
	@"$(UV)" pip compile --quiet --no-header --no-emit-index-url --generate-hashes \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_31 \
	  requirements/beam.in -o requirements/beam.lock

clean: ## remove the environments, caches and build output; run folders stay
	@rm -rf mobile_export/android/node_modules mobile_export/android/build
	@rm -rf .venv .venv-docs .venv-current .venv-beam benchmarks/peers/.venv-* $(BROWSER)/node_modules $(WEB)/node_modules $(WEB)/types site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps are written last: an interrupted installation is repeated.
$(LOCKED): requirements.lock
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  found=$$("$(PYTHON)" --version 2>/dev/null) || found="no such command that runs"; \
	  printf '%s\n' \
	    "ECCT-TF needs Python 3.11 (TensorFlow Federated 0.87 exists for no newer one)." \
	    "Looked for '$(PYTHON)', found: $$found." \
	    "Ways to get it:" \
	    "  Ubuntu 22.04, Debian 12:  sudo apt install python3.11 python3.11-venv" \
	    "  Homebrew:                 brew install python@3.11" \
	    "  pyenv:                    pyenv install 3.11 && pyenv shell 3.11" \
	    "  uv:                       uv python install 3.11" \
	    "If it has another name or place: make install PYTHON=path/to/python3.11" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import platform as p, sys; sys.exit((p.system(), p.machine()) != ("Linux", "x86_64"))' || { \
	  echo "TensorFlow Federated 0.87.0 is built for Linux x86-64 only; this is $$(uname -sm)." >&2; \
	  echo "Use a Linux x86-64 machine or container (on Windows: WSL 2)." >&2; \
	  exit 1; }
	@echo "Installing the pinned packages into .venv, silently: about 2 minutes,"
	@echo "1 GB to download, 3 GB on disk."
	@rm -rf .venv
	@"$(PYTHON)" -m venv .venv || { \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: sudo apt install python3.11-venv" >&2; \
	  exit 1; }
	@$(BIN)/python -m pip install --quiet --use-pep517 --no-deps --require-hashes \
	  -r requirements.lock
	@touch $@

# `compat` puts this folder on the path as a whole: a package that is added later is
# found without installing again.
$(INSTALLED): $(LOCKED) setup.py
	@echo "Installing ecct-tf into .venv (editable)."
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@touch $@

$(DOCS_LOCKED): requirements/docs.lock
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "The documentation needs Python 3.11 or newer; looked for '$(PYTHON)'." >&2; \
	  echo "If it has another name or place: make docs PYTHON=path/to/python" >&2; \
	  exit 1; }
	@echo "Installing the documentation tools into .venv-docs."
	@rm -rf .venv-docs
	@"$(PYTHON)" -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --no-deps --require-hashes \
	  -r requirements/docs.lock
	@touch $@

$(CURRENT_LOCKED): requirements/current.lock
	@"$(PYTHON_CURRENT)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null || { \
	  printf '%s\n' \
	    "Current TensorFlow is tested with Python 3.12; found none (looked for '$(PYTHON_CURRENT)')." \
	    "With pyenv: pyenv install 3.12. With uv: uv python install 3.12." \
	    "If it has another name or place: make install-current PYTHON_CURRENT=path/to/python3.12" >&2; \
	  exit 1; }
	@echo "Installing current TensorFlow and LiteRT into .venv-current, silently:"
	@echo "1 to 2 minutes, 2 GB on disk."
	@rm -rf .venv-current
	@"$(PYTHON_CURRENT)" -m venv .venv-current
	@.venv-current/bin/python -m pip install --quiet --no-deps --require-hashes \
	  -r requirements/current.lock
	@touch $@

$(CURRENT_INSTALLED): $(CURRENT_LOCKED) setup.py
	@echo "Installing ecct-tf into .venv-current (editable)."
	@.venv-current/bin/python -m pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@touch $@

$(BEAM_LOCKED): requirements/beam.lock
	@"$(PYTHON_CURRENT)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null || { \
	  echo "Apache Beam is tested with Python 3.12; found none (looked for '$(PYTHON_CURRENT)')." >&2; \
	  echo "If it has another name or place: make test-beam PYTHON_CURRENT=path/to/python3.12" >&2; \
	  exit 1; }
	@echo "Installing Apache Beam and current TensorFlow into .venv-beam, silently:"
	@echo "1 to 2 minutes, 2 GB on disk."
	@rm -rf .venv-beam
	@"$(PYTHON_CURRENT)" -m venv .venv-beam
	@.venv-beam/bin/python -m pip install --quiet --no-deps --require-hashes \
	  -r requirements/beam.lock
	@touch $@

$(BEAM_INSTALLED): $(BEAM_LOCKED) setup.py
	@echo "Installing ecct-tf into .venv-beam (editable)."
	@.venv-beam/bin/python -m pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@touch $@

# npm writes the target last.
$(BROWSER_INSTALLED): $(BROWSER)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v "$(NPM)" >/dev/null || { \
	  echo "LiteRT.js needs Node 20 or newer with npm: see https://nodejs.org" >&2; exit 1; }
	@echo "Installing LiteRT.js into $(BROWSER)/node_modules: 38 MB."
	@"$(NPM)" ci --prefix $(BROWSER) --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

$(WEB_INSTALLED): $(WEB)/package-lock.json
	@node -e 'const [one, two] = process.versions.node.split("."); process.exit(one < 20 || (one == 20 && two < 11) ? 1 : 0)' 2>/dev/null && command -v "$(NPM)" >/dev/null || { \
	  echo "The device in the browser needs Node 20.11 or newer with npm: see https://nodejs.org" >&2; exit 1; }
	@echo "Installing LiteRT.js, a headless Chromium and TypeScript"
	@echo "into $(WEB)/node_modules: 135 MB."
	@"$(NPM)" ci --prefix $(WEB) --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
