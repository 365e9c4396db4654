#!/bin/sh
# Makes Mosquitto's password file of the secrets, then becomes Mosquitto.
set -eu
umask 077
mkdir -p /run/mosquitto
: > /run/mosquitto/passwords
mosquitto_passwd -b /run/mosquitto/passwords bridge "$(cat /run/secrets/mqtt-bridge)"
for file in /run/gateways/*; do
  [ -f "$file" ] && mosquitto_passwd -b /run/mosquitto/passwords "$(basename "$file")" "$(cat "$file")"
done
cp /etc/meterline/mosquitto.acl /run/mosquitto/acl
chown -R mosquitto:mosquitto /run/mosquitto
exec mosquitto -c /etc/meterline/mosquitto.conf
