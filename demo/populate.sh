#!/usr/bin/env bash
# Fills an environment of the demo with people, posts and files: ./populate.sh [PARTYWALL [ENVIRONMENT]]
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
partywall=${1:-partywall}
environment=${2:-production}

inside() { "$partywall" exec "$environment" "$@"; }
query() { inside db -- sh -c 'psql -qAtX -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" "$@"' psql "$@"; }

query <populate.sql
query -F ' ' -c "SELECT f.storage_key, p.title FROM post_files f JOIN posts p ON p.id = f.post_id WHERE f.media_type = 'text/plain'" |
  inside web -- sh -c 'cd /vault && while read -r key title; do [ -e "$key" ] || printf "%s\n%s\n" "$title" "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~" >"$key"; done'
