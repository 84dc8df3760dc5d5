#!/usr/bin/env bash
# Makes the secrets of compose.yaml that are not there yet, random ones: make_secrets.sh FOLDER.
set -euo pipefail
folder=${1:?the folder of the secrets}
install -d -m 0700 "$folder"
for name in db_password mlflow_key mlflow_password s3_password spark_secret; do
  if [ -s "$folder/$name" ]; then continue; fi
  head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$folder/.$name"
  chmod 0444 "$folder/.$name" # a container's own user must read it; nobody else comes into the folder
  mv "$folder/.$name" "$folder/$name"
done
