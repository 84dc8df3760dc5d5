#!/usr/bin/env bash
# Installs what is named, and Python with the module venv where the base image has none.
set -euo pipefail
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then set -- python3 python3-venv "$@"; fi
if [ "$#" -eq 0 ]; then exit 0; fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*
