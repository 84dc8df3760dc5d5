#!/usr/bin/env bash
# One job, with the password of the tracking server and on the Spark cluster: trainer.sh make_noisy_datasets key=value …
set -euo pipefail
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
# shellcheck source-path=SCRIPTDIR source=spark-conf.sh
. "$here/spark-conf.sh"
job=${ROADSIGN_JOBS:-$here/../jobs}/${1:?name a job, for example retrain}.py
if [ ! -f "$job" ]; then
  echo "error: $1: there is no such job; there are: $(cd "$(dirname "$job")" && echo ./*.py)" >&2
  exit 2
fi
write_spark_conf
if [ -n "${MLFLOW_TRACKING_URI:-}" ]; then
  MLFLOW_TRACKING_PASSWORD=$(secret MLFLOW_TRACKING_PASSWORD)
  export MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_USERNAME="${MLFLOW_TRACKING_USERNAME:-roadsign}"
fi
exec python3 "$job" "${@:2}"
