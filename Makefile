.PHONY: help demo test soak build docs dashboards reliability lock bench bench-sessions bench-containers bench-stores bench-exposition bench-browser

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

demo: ## Run the exporter on embedded servers; DEMO_ARGS="--duration 60 --seed 7"
	@scripts/prepare demo
	@exec .venv/bin/kato-exporter demo $(DEMO_ARGS)

test: ## Lint, check types and run all tests; TEST_ARGS="-k sessions"
	@exec scripts/test $(TEST_ARGS)

soak: ## Ten times the demo's load for an hour, with faults; writes docs/soak.md
	@scripts/debian-packages libcurl4 libssl3 liblzma5
	@scripts/prepare test
	@KATO_TEST_SOAK=$${KATO_TEST_SOAK:-3600} KATO_TEST_SOAK_REPORT=docs/soak.md \
	  exec .venv/bin/pytest tests/soak

build: ## Make wheel and sdist in dist, always of the same bytes
	@scripts/prepare test
	@.venv/bin/hatchling build

docs: ## Make docs/metrics.md and docs/settings.md from the code
	@scripts/prepare test
	@.venv/bin/python -m kato_exporter.reference docs

dashboards: ## Make grafana/dashboards from the code
	@scripts/prepare test
	@PYTHONPATH=grafana .venv/bin/python -m kato_dashboards grafana/dashboards

reliability: ## Break every store in every way; writes docs/reliability.md
	@scripts/debian-packages busybox-static docker.io libcurl4 libssl3 liblzma5
	@scripts/prepare test
	@KATO_TEST_RELIABILITY=docs/reliability.md exec .venv/bin/pytest \
	  tests/faults/test_matrix_exporter.py tests/faults/test_matrix_browser.py

lock: ## Renew the locked requirements
	@.venv/bin/python -m pip install --quiet 'uv>=0.8'
	@for extra in run demo test; do \
	  .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate pyproject.toml \
	    $$([ $$extra = run ] || echo --extra $$extra) --output-file requirements/$$extra.txt; \
	done

bench: ## Measure what is promised, 15 minutes; BENCH_ARGS="--full --only sessions"
	@scripts/debian-packages busybox-static docker.io libcurl4 liblzma5 libssl3 \
	  prometheus-redis-exporter redis-server
	@scripts/prepare test
	@PYTHONPATH=tests exec .venv/bin/python -m bench $(BENCH_ARGS)

bench-browser bench-containers bench-exposition bench-sessions bench-stores: bench-%:
	@$(MAKE) --no-print-directory bench BENCH_ARGS="$(or $(BENCH_ARGS),--full) --only $*"
