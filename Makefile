# Needs Python 3.11+, make and Java 17 or 21; everything else is installed into .venv (and uv into .uv where it is missing).
.DEFAULT_GOAL := help
UV := $(or $(shell command -v uv),.uv/bin/uv)
RUN := $(UV) run --no-sync
# Without the bytecode of the packages, each of the many processes of the tests compiles PyTorch and MLflow anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-18s %s\n", $$1, $$2}'

# The jobs of the demonstration, each with its own log; a job that fails shows the end of it.
DEMO := data/demo
DEMO_SIGNS := $(DEMO)/synthetic_signs
SHOWN_UV := $(if $(shell command -v uv),uv,.uv/bin/uv)
define demo_job # what is said, the name of the log, the command
@echo "$(1)"; $(RUN) python $(3) 2>$(DEMO)/$(2).log || { tail -n 30 $(DEMO)/$(2).log; exit 1; }
endef

.PHONY: demo
demo: java | $(UV) ## noisy datasets of drawn signs in data/demo, a training on them, its accuracy under every noise
	@echo "1/4 installing into .venv (the first time a large download)"; $(UV) sync --frozen --inexact --quiet
	@mkdir -p $(DEMO)
	$(call demo_job,2/4 drawing signs and making noisy datasets,datasets,jobs/make_noisy_datasets.py \
	  dataset.kind=synthetic_signs dataset.root=$(DEMO)/raw dataset.tracks_per_class=10 output_root=$(DEMO) \
	  geometry=roi_resize 'sizes_px=[40]' >$(DEMO)/datasets.txt)
	$(call demo_job,3/4 training,training,jobs/train_classifier.py model=sign_net_tiny \
	  data.root=$(DEMO_SIGNS) data.size_px=40 runs_root=$(DEMO)/runs epochs=3 batch_size=64)
	$(call demo_job,4/4 showing it every noise,report,jobs/report_robustness.py \
	  models=latest data.root=$(DEMO_SIGNS) data.geometry=roi_resize output_root=$(DEMO)/reports >$(DEMO)/report.txt)
	@grep -v '^report: ' $(DEMO)/report.txt
	@page=$$(sed -n 's/^report: //p' $(DEMO)/report.txt); \
	echo "page:                $$page"; echo "figure:              $$(dirname $$page)/figures/thresholds.png"
	@echo "runs in the browser: $(SHOWN_UV) run python jobs/serve_ui.py"
	@echo "the real data:       $(SHOWN_UV) run python jobs/download_dataset.py gtsrb"
	@echo "                     $(SHOWN_UV) run spark-submit jobs/make_noisy_datasets.py"
	@echo "                     $(SHOWN_UV) run python jobs/train_classifier.py"
	@echo "                     $(SHOWN_UV) run python jobs/report_robustness.py models=latest data.root=data/datasets/gtsrb"

# Two processes of two threads each would wait for each other on two cores. Short jobs of Spark spend more time on
# optimizing Java's code than the optimized code saves.
test: export OMP_NUM_THREADS := 1
test: export SPARK_SUBMIT_OPTS := -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
.PHONY: test
test: check | $(UV) ## checks and every test that takes no more than seconds
	$(RUN) pytest -m "not slow" --numprocesses 2 --dist loadfile

.PHONY: test-slow
test-slow: environment java | $(UV) ## the slow tests: faults, cluster, learning, a short soak
	$(RUN) pytest -m slow

.PHONY: test-real
test-real: environment java | $(UV) ## the tests on the real GTSRB in the folder that ROADSIGN_REAL_DATA names
	@test -n "$$ROADSIGN_REAL_DATA" || { echo "set ROADSIGN_REAL_DATA to the folder that holds GTSRB/"; exit 2; }
	$(RUN) pytest -m real

.PHONY: fuzz
fuzz: environment | $(UV) ## damaged inputs for everything that reads files; inputs=20000 seed=0
	$(RUN) python tests/fuzz/fuzz.py --inputs $(or $(inputs),20000) --seed $(or $(seed),0)

# As the tests; a folder for each seed, in which the same command goes on.
soak soak-short: export SPARK_SUBMIT_OPTS := -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
.PHONY: soak
soak: environment java | $(UV) ## random kills, full disks, dead servers … over the jobs, in data/soak; hours=8 seed=0
	$(RUN) python tests/soak/soak.py --hours $(or $(hours),8) --seed $(or $(seed),0) --folder data/soak/seed-$(or $(seed),0)

.PHONY: soak-short
soak-short: environment java | $(UV) ## five minutes of it, of the jobs that take seconds; seed=0
	$(RUN) python tests/soak/soak.py --jobs short --minutes 5 --seed $(or $(seed),0) --folder data/soak/short-$(or $(seed),0) --anew

.PHONY: check
check: environment java | $(UV) ## style and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) mypy benchmarks

.PHONY: check-gpu
check-gpu: environment | $(UV) ## the tests marked gpu, and the figures of one GPU in docs/performance.md
	$(RUN) pytest -m gpu
	$(RUN) python benchmarks/check_gpu.py --record docs/performance.md

.PHONY: bench-data
bench-data: environment java | $(UV) ## the table of docs/performance.md; needs dataset=<folder of the real GTSRB>
	$(RUN) python benchmarks/make_noisy_datasets.py $(or $(dataset),data/raw/GTSRB)

COMPOSE := docker compose --file docker/compose.yaml

.PHONY: up
up: ## the whole system in containers on this machine; MLflow at http://localhost:5000, user roadsign
	docker/make_secrets.sh docker/secrets
	ROADSIGN_REVISION=$$(git describe --always --dirty) $(COMPOSE) up --build --detach --wait
	@echo "the password of user roadsign is in docker/secrets/mlflow_password"

.PHONY: down
down: ## stops the containers; what is in the volumes stays
	$(COMPOSE) --profile s3 --profile jobs down

.PHONY: retrain-in-compose
retrain-in-compose: ## one retraining now, besides those of the scheduler
	$(COMPOSE) run --rm trainer retrain $(arguments)

.PHONY: test-stack
test-stack: environment java | $(UV) ## the services of docker/ as processes on loopback, with a job on their cluster
	$(RUN) pytest -m slow tests/cluster

.PHONY: test-images
test-images: ## builds docker/*.Dockerfile with buildah on a Debian made by debootstrap, as root; images=mlflow for one
	docker/test_images.sh $(images)

.PHONY: audit
audit: | $(UV) ## known vulnerabilities of all that is locked, as the index of packages has them
	@locked=$$(mktemp); trap 'rm -f "$$locked"' EXIT; \
	$(UV) export --quiet --frozen --all-groups --no-emit-project --output-file "$$locked" >/dev/null && \
	$(UV) tool run --quiet pip-audit==2.10.1 --requirement "$$locked" --disable-pip --require-hashes --strict \
	  || { echo "vulnerable, or the index does not say (a mirror may not know): the lines above tell which"; exit 1; }

.PHONY: environment
environment: | $(UV)
	$(UV) sync --frozen --group dev

.uv/bin/uv:
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, python3 is %s" % sys.version.split()[0])'
	python3 -m venv .uv || { echo "python3 cannot make a virtual environment: install your system's python3-venv package, or uv"; exit 1; }
	.uv/bin/pip install --quiet uv

.PHONY: java
java:
	@version=$$("$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'); \
	case "$$version" in 17|21) ;; *) \
	  echo "Java 17 or 21 is needed (found: $${version:-none}): install it, e.g. apt-get install openjdk-17-jre-headless, or set JAVA_HOME"; \
	  exit 1;; esac
