#!/bin/sh
# Makes what a Besu network begins with, where it is not there yet: the steward's key in /steward, each validator's in
# /validators/N, what all nodes share in /network, and the password of Grafana's admin in /grafana. Run again, it
# changes nothing.
set -eu
umask 077

[ -f /steward/keystore.json ] || fedchain steward init /steward
fedchain chain besu /network --keys /validators --prefund /steward/keystore.json
chmod 755 /network
if [ ! -s /grafana/admin-password ]; then
    python3 -c 'import secrets; print(secrets.token_urlsafe(24))' >/grafana/admin-password
fi
