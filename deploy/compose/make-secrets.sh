#!/usr/bin/env bash
# Makes the compose file's secrets where they are missing; `./run --docker` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
secrets=.meterline/docker/secrets
umask 077
mkdir -p "$secrets/gateways"

make() {
  [[ -s $1 ]] || head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' >"$1"
  # Compose mounts the files as they are, and the containers' accounts are not the user's; the folder stays closed.
  chmod 644 "$1"
}

for name in mqtt-bridge db-superuser db-owner db-app db-board grafana-admin; do
  make "$secrets/$name"
done
while read -r gateway; do
  make "$secrets/gateways/$gateway"
done <deploy/compose/gateways.txt
chmod 755 "$secrets/gateways"
