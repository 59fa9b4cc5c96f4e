#!/bin/sh
# Runs the node in $FEDCHAIN_NODE; makes it first, where there is none yet, from these variables:
#   FEDCHAIN_NAME      name to register under
#   FEDCHAIN_DATA      the party's table
#   FEDCHAIN_ENDPOINT  host:port that peers dial
#   FEDCHAIN_RPC, FEDCHAIN_DEPLOYMENT   the chain and its contracts
# They count the first time alone: from then on node.toml says all.
set -eu

if [ ! -f "$FEDCHAIN_NODE/node.toml" ]; then
    # A folder beside it, moved when it is whole: a start that was killed leaves no half node behind. Beside it, paths
    # relative to it are the same.
    new=$(dirname "$FEDCHAIN_NODE")/.new-node
    rm -rf "$new"
    fedchain node init "$new" --name "$FEDCHAIN_NAME" --data "$FEDCHAIN_DATA" \
        --listen 0.0.0.0:4433 --endpoint "$FEDCHAIN_ENDPOINT" --metrics 0.0.0.0:9464 >/dev/null
    mv "$new" "$FEDCHAIN_NODE"
fi
exec fedchain node run "$FEDCHAIN_NODE"
