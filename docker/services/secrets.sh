# shellcheck shell=bash
# Sourced by the services. `secret NAME` prints what the file that NAME_FILE names holds, or else NAME.

secret() {
  local name=$1 file="${1}_FILE"
  if [ -n "${!file:-}" ]; then
    head -n 1 -- "${!file}"
  elif [ -n "${!name:-}" ]; then
    printf '%s\n' "${!name}"
  else
    echo "error: set $file to the name of a file that holds the secret, or set $name" >&2
    return 1
  fi
}
