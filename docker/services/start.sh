#!/usr/bin/env bash
# The entry point of every image: start.sh SERVICE OPTIONS… runs SERVICE.sh beside it in its place.
set -euo pipefail
service=${1:?name a service, for example spark-master}
exec "$(dirname "$0")/$service.sh" "${@:2}"
