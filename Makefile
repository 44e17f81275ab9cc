# gpucloud: `make demo` shows it, `make test` proves it; each does its own set-up.
VENV ?= .venv
PY = $(VENV)/bin/python
# Twice the cores: many tests wait for real time to pass.
WORKERS ?= $(shell expr 2 \* `getconf _NPROCESSORS_ONLN`)

.PHONY: help demo test hunt lint format bench docs site wheel clean golden live-aws live-gcp live-azure

help:
	@echo "make demo    compare, up, run, logs, pull, cost, down on the local cloud (two minutes)"
	@echo "make test    all tests        make lint    ruff and mypy        make bench   speed, as ratios"
	@echo "make hunt    the property tests, with new random examples"
	@echo "make docs    docs/cli.md      make wheel   sdist and wheel      make clean   remove what was built"
	@echo "make site    the manual as web pages in site/, all links checked"
	@echo "make live-aws, live-gcp, live-azure: the loop on your own account, without GPU, for cents"

$(VENV)/.ready-demo: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh "$(VENV)" demo

$(VENV)/.ready-dev: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh "$(VENV)" dev

demo: $(VENV)/.ready-demo
	@sh tools/demo.sh "$(VENV)"

# Compiled first, and caches allowed: the tests start a thousand processes, which would each compile it all again.
test: lint
	$(PY) -m compileall -q gpucloud tools
	PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n $(WORKERS) --dist worksteal

hunt: $(VENV)/.ready-dev
	HYPOTHESIS_PROFILE=hunt $(PY) -m pytest -n $(WORKERS) --dist worksteal `grep -rl --include='test_*.py' 'from hypothesis' tests`

lint: $(VENV)/.ready-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.ready-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/.ready-dev
	$(PY) -m tests.bench

live-aws live-gcp live-azure: live-%: $(VENV)/.ready-dev
	$(PY) -m tests.live $*

docs golden: $(VENV)/.ready-dev
	$(PY) -m tools.cli_docs

$(VENV)/.ready-docs: pyproject.toml tools/make_venv.sh
	@sh tools/make_venv.sh "$(VENV)" docs

site: $(VENV)/.ready-docs
	$(PY) -m mkdocs build --strict --quiet
	@echo "open site/index.html; with search: $(PY) -m http.server --bind 127.0.0.1 --directory site"

wheel: $(VENV)/.ready-dev
	$(PY) -m build --no-isolation --outdir dist .

clean:
	rm -rf "$(VENV)" dist build site .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
