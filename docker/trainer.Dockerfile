# The jobs: training, evaluation, and the driver of those that run on Spark.
#   docker build --file docker/trainer.Dockerfile --tag roadsign-trainer .
# The locked PyTorch brings its own CUDA libraries and runs on CPUs too. For a base with CUDA's tools besides:
#   --build-arg BASE_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04, here and for spark.Dockerfile.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.8
COPY docker/install.sh /tmp/
RUN /tmp/install.sh && python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/roadsign/env UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /build
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN /opt/uv/bin/uv sync --frozen --no-dev --extra s3 --no-install-project --no-cache
COPY pipelines pipelines
COPY training training
COPY roadsign roadsign
COPY jobs jobs
COPY conf conf
RUN /opt/uv/bin/uv sync --frozen --no-dev --extra s3 --no-editable --no-cache

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG JAVA_PACKAGE=openjdk-17-jre-headless
COPY docker/install.sh /tmp/
RUN /tmp/install.sh "${JAVA_PACKAGE}" && rm /tmp/install.sh \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /srv/roadsign roadsign \
 && install -d -o roadsign -g roadsign /srv/roadsign /srv/roadsign/data /srv/roadsign/mlruns /run/roadsign
COPY --from=build /opt/roadsign/env /opt/roadsign/env
COPY jobs /opt/roadsign/jobs
COPY conf /opt/roadsign/conf
COPY docker/services /opt/roadsign/services
ENV PATH=/opt/roadsign/env/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roadsign-trainer" \
      org.opencontainers.image.description="Jobs of roadsign-robustness: datasets, training, attacks, evaluation, retraining" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
USER 10001:10001
WORKDIR /srv/roadsign
ENV ROADSIGN_HEALTH_URL=http://mlflow:5000/health
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/opt/roadsign/services/healthy.sh"]
ENTRYPOINT ["/opt/roadsign/services/start.sh"]
CMD ["trainer", "retrain"]
