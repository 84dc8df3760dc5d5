#!/usr/bin/env bash
# Makes the bucket that ROADSIGN_ARTIFACTS names where there is none, and ends.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
AWS_SECRET_ACCESS_KEY=$(secret AWS_SECRET_ACCESS_KEY)
export AWS_SECRET_ACCESS_KEY
bucket=${ROADSIGN_ARTIFACTS#s3://}
exec python3 - "${bucket%%/*}" "${MLFLOW_S3_ENDPOINT_URL:?}" <<'END'
import sys

import boto3

name, endpoint = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint)
if name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
    client.create_bucket(Bucket=name)
END
