# Two commands: `make demo` and `make test`. Each sets everything up first; a second run is instant.
PYTHON ?= python3
TORCH ?= tested
RUN = $$($(PYTHON) tools/setup_env.py --print)

.PHONY: setup check demo test lint
setup:
	@$(PYTHON) tools/setup_env.py --torch $(TORCH)

check: setup
	@$(RUN) tools/check_env.py

demo: setup
	@$(RUN) tools/quickstart.py

test: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m pytest tests -n auto --maxprocesses 4 --dist worksteal

lint: setup
	@$(RUN) -m ruff check --fix . && $(RUN) -m ruff format .
