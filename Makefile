.PHONY: help demo test docs dashboards lock bench-sessions bench-containers bench-stores bench-exposition bench-browser

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

demo: ## Run the exporter on embedded servers; DEMO_ARGS="--duration 60 --seed 7"
	@scripts/prepare demo
	@exec .venv/bin/kato-exporter demo $(DEMO_ARGS)

test: ## Lint, check types and run all tests; TEST_ARGS="-k sessions"
	@exec scripts/test $(TEST_ARGS)

docs: ## Make docs/metrics.md and docs/settings.md from the code
	@scripts/prepare test
	@.venv/bin/python -m kato_exporter.reference docs

dashboards: ## Make grafana/dashboards from the code
	@scripts/prepare test
	@PYTHONPATH=grafana .venv/bin/python -m kato_dashboards grafana/dashboards

lock: ## Renew the locked requirements
	@.venv/bin/python -m pip install --quiet 'uv>=0.8'
	@for extra in run demo test; do \
	  .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate pyproject.toml \
	    $$([ $$extra = run ] || echo --extra $$extra) --output-file requirements/$$extra.txt; \
	done

bench-sessions: ## Measure what watching sessions costs; writes docs/benchmarks.md
	@scripts/debian-packages redis-server prometheus-redis-exporter
	@scripts/prepare test
	@cd tests && exec ../.venv/bin/python -m bench.bench_sessions

bench-containers: ## Measure what watching containers costs; writes docs/benchmarks.md
	@scripts/debian-packages docker.io busybox-static
	@scripts/prepare test
	@cd tests && exec ../.venv/bin/python -m bench.bench_containers

bench-stores: ## Measure what watching knowledge costs; writes docs/benchmarks.md
	@scripts/debian-packages libcurl4 libssl3 liblzma5
	@scripts/prepare test
	@cd tests && exec ../.venv/bin/python -m bench.bench_stores

bench-exposition: ## Measure scrapes by series and changes; writes docs/benchmarks.md
	@scripts/prepare test
	@cd tests && exec ../.venv/bin/python -m bench.bench_exposition

bench-browser: ## Measure pages of large stores; writes docs/benchmarks.md
	@scripts/debian-packages libcurl4 libssl3 liblzma5
	@scripts/prepare test
	@cd tests && exec ../.venv/bin/python -m bench.bench_browser $(BENCH_ARGS)
