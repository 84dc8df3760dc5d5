# MLflow's tracking server with its password check, PostgreSQL's driver and S3's client, and nothing of the project:
#   docker build --file docker/mlflow.Dockerfile --tag roadsign-mlflow .
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.8
COPY docker/install.sh /tmp/
RUN /tmp/install.sh && python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/roadsign/env UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /build
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --only-group server --no-cache

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
COPY docker/install.sh /tmp/
RUN /tmp/install.sh && rm /tmp/install.sh \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /srv/mlflow roadsign \
 && install -d -o roadsign -g roadsign /srv/mlflow /srv/mlflow/artifacts /run/roadsign
COPY --from=build /opt/roadsign/env /opt/roadsign/env
COPY docker/services /opt/roadsign/services
ENV PATH=/opt/roadsign/env/bin:$PATH PYTHONUNBUFFERED=1
ARG REVISION=unknown
LABEL org.opencontainers.image.title="roadsign-mlflow" \
      org.opencontainers.image.description="MLflow tracking server of roadsign-robustness" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
USER 10001:10001
WORKDIR /srv/mlflow
ENV ROADSIGN_HEALTH_URL=http://127.0.0.1:5000/health
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["/opt/roadsign/services/healthy.sh"]
EXPOSE 5000
ENTRYPOINT ["/opt/roadsign/services/start.sh"]
CMD ["mlflow"]
