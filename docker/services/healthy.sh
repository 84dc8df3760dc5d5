#!/usr/bin/env bash
# Whether the service answers: healthy.sh [URL], by default ROADSIGN_HEALTH_URL.
set -euo pipefail
exec python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)' "${1:-${ROADSIGN_HEALTH_URL:?}}"
