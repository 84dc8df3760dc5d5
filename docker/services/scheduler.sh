#!/usr/bin/env bash
# Retraining for ever, in the foreground: a batch whenever one is due.
set -euo pipefail
exec "$(dirname "$0")/trainer.sh" retrain --scheduled "$@"
