#!/usr/bin/env bash
# MLflow's server behind a password, in the foreground; runs in a database, artefacts in a folder or a bucket.
set -euo pipefail
umask 077
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
run=${ROADSIGN_RUN:-/run/roadsign}
store=${ROADSIGN_STORE:?postgresql+psycopg2://user@host:5432/database or sqlite:///path}
artifacts=${ROADSIGN_ARTIFACTS:?a folder or s3://bucket}
MLFLOW_AUTH_ADMIN_PASSWORD=$(secret MLFLOW_TRACKING_PASSWORD)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret ROADSIGN_MLFLOW_KEY)
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
if [[ $store == postgresql+psycopg2://* ]]; then # the driver takes the password from the environment, not from the address
  PGPASSWORD=$(secret PGPASSWORD)
  export PGPASSWORD
fi
if [[ $artifacts == s3://* ]]; then
  AWS_SECRET_ACCESS_KEY=$(secret AWS_SECRET_ACCESS_KEY)
  export AWS_SECRET_ACCESS_KEY
fi
mkdir -p "$run"
cat >"$run/auth.ini" <<END
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = ${ROADSIGN_USERS:-$store}
admin_username = ${MLFLOW_TRACKING_USERNAME:-roadsign}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
export MLFLOW_AUTH_CONFIG_PATH=$run/auth.ini MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
# one worker: at the first start several would make the users' tables at the same time
exec mlflow server --app-name basic-auth --workers 1 --host "${ROADSIGN_LISTEN:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" \
  --backend-store-uri "$store" --artifacts-destination "$artifacts" \
  --allowed-hosts "${ROADSIGN_ALLOWED_HOSTS:-localhost:*,127.0.0.1:*}"
