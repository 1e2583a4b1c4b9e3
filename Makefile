# Each target does all its own set-up. Needed: make, gcc and Python 3.11+ with venv; nothing is installed outside
# this folder. PYTHON=python3.13 uses that one, in a .venv of its own.

PYTHON ?=
INPUT ?= examples/05_donations/donations.csv
ARGS ?=

venv := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
python := $(venv)/bin/python
sources := pyproject.toml setup.py $(wildcard zmqcluster/*.pyx zmqcluster/*.pxd zmqcluster/*.pxi)
pip := $(python) -m pip install --quiet --disable-pip-version-check
cores := $(shell getconf _NPROCESSORS_ONLN)
suites := python3.11 python3.13
requirements = $(python) -c 'import tomllib; all = tomllib.load(open("pyproject.toml", "rb")); project = all["project"]; \
	print(*all["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["$(1)"], \
	sep="\n")' >$(venv)/requirements.txt

.PHONY: help demo test bench bench-core asyncio-suite asyncio-suite-one fuzz lint build clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: $(venv)/.built  ## 3 nodes process donations, one is killed: make demo [INPUT=my.csv]
	@$(python) examples/05_donations/demo.py $(INPUT)

test: $(venv)/.built  ## run all tests: make test [PYTHON=python3.13] [ARGS="-k ring"]
	@$(python) -m pytest $(ARGS)

bench: $(venv)/.built  ## measure against the baselines, write benchmarks/latest.json
	@$(python) -m benchmarks.run $(ARGS)

bench-core: $(venv)/.built  ## time the parts of the core with pytest-benchmark
	@$(python) -m pytest benchmarks --benchmark-columns=min,median,ops,rounds $(ARGS)

# CPython's own asyncio tests on every Python named in `suites` that is installed here, or on PYTHON alone.
asyncio-suite:  ## run CPython's asyncio tests with every Task replaced by a Process
ifeq ($(PYTHON),)
	@for name in $(suites); do \
		if .ci/python $$name >/dev/null 2>&1; then $(MAKE) --no-print-directory asyncio-suite-one PYTHON=$$name || exit 1; \
		else echo "$$name is not installed: left out"; fi; done
else
	@$(MAKE) --no-print-directory asyncio-suite-one
endif

asyncio-suite-one: $(venv)/.built
	@$(python) -m tests.support.asyncio_suite $(ARGS)

fuzz: $(venv)/.built  ## feed decoders and handshakes with changed input: make fuzz [ARGS="decoder 60"]
	@$(python) -m tests.fuzz $(ARGS)

lint: $(venv)/.built $(venv)/.lint  ## mypy --strict, pyright, ruff, cython-lint
	@failed=0; \
	$(python) -m mypy || failed=1; \
	(cd examples/05_donations && $(CURDIR)/$(python) -m mypy --strict *.py ../0[1-4]_*.py) || failed=1; \
	$(python) -m pyright --pythonpath $(python) || failed=1; \
	$(python) -m pytest -k pyright tests/typing || failed=1; \
	$(python) -m ruff check . || failed=1; \
	PATH="$(CURDIR)/$(venv)/bin:$$PATH" cython-lint zmqcluster && echo "cython-lint: no findings" || failed=1; \
	exit $$failed

build: $(venv)/.built  ## make the venv and compile the extension

clean:  ## remove the venvs and everything that was built
	rm -rf .venv .venv-* build *.egg-info zmqcluster/*.c zmqcluster/*.so .mypy_cache .ruff_cache .benchmarks .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(venv)/.python:
	@path=$$(.ci/python $(PYTHON)) && echo "making $(venv) with $$path" && "$$path" -m venv --clear $(venv)
	@touch $@

# What pyproject.toml requires to build, to run and to test; a path file that leads to this folder, and the metadata that
# pytest finds our plugin by. Not an editable install: that compiles everything anew, here the compile is incremental.
$(venv)/.required: $(venv)/.python pyproject.toml
	@$(call requirements,test) && $(pip) -r $(venv)/requirements.txt 2>$(venv)/pip.log || { cat $(venv)/pip.log; exit 1; }
	@echo '$(CURDIR)' >"$$($(python) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zmqcluster.pth"
	@$(python) setup.py --quiet egg_info 2>$(venv)/egg_info.log || { cat $(venv)/egg_info.log; exit 1; }
	@touch $@

$(venv)/.built: $(venv)/.required $(sources)
	@echo "building the extension (about a minute the first time)"
	@$(python) setup.py build_ext --inplace --parallel $(cores) >$(venv)/build.log 2>&1 \
		|| { tail -n 40 $(venv)/build.log; echo "the build failed; all of its output: $(venv)/build.log"; exit 1; }
	@touch $@

$(venv)/.lint: $(venv)/.python pyproject.toml
	@$(call requirements,lint) && $(pip) -r $(venv)/requirements.txt 2>$(venv)/pip.log || { cat $(venv)/pip.log; exit 1; }
	@touch $@
