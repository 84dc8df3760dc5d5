#!/usr/bin/env bash
# The master of a standalone Spark cluster, in the foreground.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
# shellcheck source-path=SCRIPTDIR source=spark-conf.sh
. "$here/spark-conf.sh"
write_spark_conf
exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
  --host "${SPARK_MASTER_HOST:?the name under which workers find the master}" \
  --port "${SPARK_MASTER_PORT:-7077}" --webui-port "${SPARK_MASTER_WEBUI_PORT:-8080}"
