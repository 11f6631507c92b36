# make demo   segment the sample X-rays, score them, and adapt the bundle to them
# make test   run the tests
# make check  lint, format, types
# make docs   build the pages of docs/ as a site in build/site
# make bench  time this package against the usual way to compute the same; bench-full takes about an hour
# Each creates the environment in .venv first, if it is not there.

PYTHON ?= python3
BIN := .venv/bin
BUNDLE := lung_cxr_segmentation
SAMPLES := bundles/$(BUNDLE)/samples
DEMO := build/demo

.PHONY: demo test check docs bench bench-full clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch $@

demo: .venv/installed
	$(BIN)/semigan segment $(SAMPLES)/adults -b $(BUNDLE) -o $(DEMO)/adults
	$(BIN)/semigan segment $(SAMPLES)/images -b $(BUNDLE) -o $(DEMO)/segmentation
	$(BIN)/semigan evaluate --predictions $(DEMO)/segmentation --references $(SAMPLES)/masks --binary -o $(DEMO)/evaluation
	$(BIN)/semigan data $(SAMPLES)/images --masks $(SAMPLES)/masks --validation 0 -o $(DEMO)/data.json --overwrite
	rm -rf $(DEMO)/adapted
	$(BIN)/semigan adapt $(BUNDLE) $(DEMO)/data.json -o $(DEMO)/adapted --max-steps 20
	@echo "Adults, as the bundle knows:  $(DEMO)/adults/report.html"
	@echo "Harder ones, with warnings:   $(DEMO)/segmentation/report.html"
	@echo "Scores:                       $(DEMO)/evaluation/report.html"
	@echo "Adapted to the samples:       $(DEMO)/adapted/docs/README.md"

# Not `python -m pytest`: that puts this folder before the installed package, which has its `cli` elsewhere.
test: .venv/installed
	$(BIN)/pytest -n 2

# The types are checked on an installed copy, as mypy cannot see the mapping of folders to packages. build/lib is what
# setuptools leaves behind; it would put deleted modules into the next copy.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed build/lib build/bdist.*
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target build/typed .
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p monai_semigan

docs: .venv/installed
	$(BIN)/python docs/site/build.py build/site

bench: .venv/installed
	mkdir -p build
	$(BIN)/python -m benchmarks --json build/bench.json

bench-full: .venv/installed
	mkdir -p build
	$(BIN)/python -m benchmarks --full --json build/bench-full.json

clean:
	rm -rf .venv build
