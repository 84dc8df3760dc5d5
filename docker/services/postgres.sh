#!/usr/bin/env bash
# PostgreSQL in the foreground. The first start makes the database; killed meanwhile, the next start makes it anew.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source-path=SCRIPTDIR source=secrets.sh
. "$here/secrets.sh"
data=${PGDATA:?the folder of the database}
user=${PGUSER:-roadsign}
if [ ! -e "$data/PG_VERSION" ]; then
  password=$(secret PGPASSWORD)
  rm -rf -- "$data.partial"
  initdb --pgdata "$data.partial" --username "$user" --pwfile <(printf '%s\n' "$password") \
    --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 >&2
  echo "host all all samenet scram-sha-256" >>"$data.partial/pg_hba.conf"
  postgres --single -D "$data.partial" postgres <<<"CREATE DATABASE \"${PGDATABASE:-roadsign}\"" >&2
  mv -- "$data.partial" "$data"
fi
unset PGPASSWORD
exec postgres -D "$data" -p "${PGPORT:-5432}" -c listen_addresses="${ROADSIGN_LISTEN:-*}" -c unix_socket_directories=
