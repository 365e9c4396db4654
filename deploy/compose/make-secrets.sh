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
# For whoever acknowledges alerts in the console; the container is given its hash alone.
make "$secrets/console-token"
chmod 600 "$secrets/console-token"
digest=$(tr -d '\n' <"$secrets/console-token" | sha256sum | cut -d ' ' -f 1)
printf '[[tokens]]\nname = "local"\nsha256 = "%s"\nroles = ["admin"]\n' "$digest" >"$secrets/console-tokens"
chmod 644 "$secrets/console-tokens"
while read -r gateway; do
  make "$secrets/gateways/$gateway"
done <deploy/compose/gateways.txt
chmod 755 "$secrets/gateways"
echo "meterline: to acknowledge an alert in the console, show the token in $secrets/console-token" >&2
