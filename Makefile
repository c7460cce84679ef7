# make run    reproduce a paper and see the ruling     make test   the whole suite, with all it needs
# make setup  the environment alone                    make lint   style, types and import directions
# make docs   the documentation site, into site/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup run test lint test-setup docs clean
.DEFAULT_GOAL := run

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up Fuxian and PaddlePaddle in $(VENV): 1.5 GB, a minute or two."
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Fuxian needs Python 3.11 to 3.13 and found {v[0]}.{v[1]}: run make PYTHON=python3.12 (or another)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@# The venv's own pip is silent while it unpacks; from 25.1 on it shows how far it is.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

setup: $(VENV)/.installed

# The verdict's own exit code (rejected 1, inconclusive 3) is a result here, not a failure.
run: setup
	@echo "Training seven seeds, about 100 s each on one core. Ctrl-C stops with a checkpoint and says how to go on."
	@$(BIN)/fuxian reproduce maml/sinusoid-10shot; code=$$?; case $$code in 0|1|3) ;; *) exit $$code;; esac; \
	echo "Open the report, whose path stands above, in a browser. To have fuxian on the path: source $(BIN)/activate"

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs,reference,notebook,contest,cluster,s3,onnx]'
	@touch $@

# Debian packages are installed where that is allowed; tests that need them say so and skip where it is not.
test-setup: $(VENV)/.tested
	@if command -v bwrap >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null || echo "bubblewrap could not be installed: the sandbox's tests will skip" >&2; \
	else echo "bubblewrap is not installed (apt-get install bubblewrap): the sandbox's tests will skip" >&2; fi
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get install -y -qq postgresql >/dev/null || echo "PostgreSQL could not be installed: its tests will skip" >&2; \
	else echo "PostgreSQL is not installed (apt-get install postgresql): its tests will skip" >&2; fi
	@if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get install -y -qq chromium fonts-noto-cjk >/dev/null || echo "Chromium could not be installed: the pages' tests in a browser will skip" >&2; \
	else echo "Chromium is not installed (apt-get install chromium): the pages' tests in a browser will skip" >&2; fi
	@if command -v qemu-x86_64 >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get install -y -qq --no-install-recommends qemu-user >/dev/null || echo "QEMU could not be installed: the tests on processors of other makes will skip" >&2; \
	else echo "QEMU is not installed (apt-get install qemu-user): the tests on processors of other makes will skip" >&2; fi

test: test-setup lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: test-setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Both languages, into site/; a warning fails.
docs: $(VENV)/.tested
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file mkdocs.yml
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file mkdocs.zh.yml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
