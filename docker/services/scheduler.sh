#!/usr/bin/env bash
# One job again and again, ROADSIGN_EVERY_S seconds from start to start: at once, then when it is due, never two at a
# time. What was missed meanwhile is done once. A failure is told on standard error and repeated when it is due.
set -euo pipefail
every_s=${ROADSIGN_EVERY_S:-3600}
waited_for=
stop() {
  trap - TERM INT
  if [ -n "$waited_for" ]; then
    kill -TERM "$waited_for" 2>/dev/null || true
    wait "$waited_for" || true
  fi
  exit 143
}
trap stop TERM INT
while true; do
  due=$((SECONDS + every_s))
  "$(dirname "$0")/trainer.sh" "$@" &
  waited_for=$!
  status=0
  wait "$waited_for" || status=$?
  if [ "$status" -ne 0 ]; then echo "error: $* ended with exit code $status; next at its turn" >&2; fi
  if [ "$due" -gt "$SECONDS" ]; then
    sleep $((due - SECONDS)) &
    waited_for=$!
    wait "$waited_for"
  fi
done
