#!/usr/bin/env bash
# A worker of a standalone Spark cluster, in the foreground; there may be any number of them.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
# shellcheck source-path=SCRIPTDIR source=spark-conf.sh
. "$here/spark-conf.sh"
write_spark_conf
master=${SPARK_MASTER_URL:?spark://…:7077}
options=(--webui-port "${SPARK_WORKER_WEBUI_PORT:-8081}" --work-dir "${SPARK_WORKER_DIR:-/tmp/spark-work}")
if [ -n "${SPARK_WORKER_HOST:-}" ]; then options+=(--host "$SPARK_WORKER_HOST"); fi
if [ -n "${SPARK_WORKER_CORES:-}" ]; then options+=(--cores "$SPARK_WORKER_CORES"); fi
if [ -n "${SPARK_WORKER_MEMORY:-}" ]; then options+=(--memory "$SPARK_WORKER_MEMORY"); fi
exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker "${options[@]}" "$master"
