"""Creates a node's folder: key, passphrase, certificate, and a commented `node.toml`."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from fedchain.chain import Account
from fedchain.errors import ConfigError
from fedchain.exchange import Identity
from fedchain.exchange.endpoint import Endpoint
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.encryption import open_encryption_key

_NO_ENDPOINT = '# endpoint = "node.example.org:4433"'
_TEMPLATE = """\
# A fedchain node. Relative paths count from this file's folder.

# The name to register under: 1 to 64 characters of a-z, 0-9, "_" and "-".
name = {name}

[chain]
# HTTP address of a chain node, and the file that records the consortium's contracts.
rpc = {rpc}
deployment = {deployment}
# chain_id = 1337                # default: as recorded in the deployment
# confirmations = 0              # blocks that must lie above one before it counts; 0 where blocks are final at once
# accreditation_days = 7         # a node that no steward accredits gives up after so long

[keys]
# This party's key, encrypted, and the passphrase (file mode 0600). Back both up: the key is this party's identity.
keystore = "keystore.json"
passphrase_file = "passphrase"
# The certificate that the registry holds, and its key (files mode 0600): this node's proof of identity to its peers.
certificate = "certificate.pem"
certificate_key = "certificate.key"
# What is sealed to this party outside of a job is sealed to this key; the registry holds its public half (mode 0600).
encryption_key = "encryption.key"

[data]
# This party's own table: a CSV file, or a Parquet file (.parquet, .pq). It never leaves this node.
path = {data}
# Or one SELECT statement, and the database's URL in a file with mode 0600: docs/how-to/data.md
# query = "SELECT * FROM customers"
# url_file = "database-url"
# What the table must look like; other columns are then left out.
# columns = {{ customer = "id", age = "numeric", tariff = "categorical" }}

[serve]
# Where this node listens for the other parties (mutual TLS), and what they dial: the endpoint in the registry.
host = {serve_host:<24} # "0.0.0.0" for every address of this machine
port = {serve_port:<24} # 0: any free port
{endpoint}   # default: host and port
# control_socket = "state/node.sock"

[state]
# The node's memory, payloads, shards and sessions.
folder = "state"
# Payload files of an ended job: "job" deletes them at its end, "forever" keeps them, or a number of days.
keep_payloads = "job"

[jobs]
# "all", or the names of the jobs to take part in: ["churn-2024"]
accept = "all"
# threads = 2                    # default: one per core
# fill_pools = true              # prepare the next round's encryption in idle time

[alignment]
# How often a peer may ask which of its ids this party holds, and with how few ids at least.
# max_runs_per_peer_and_day = 100
# min_set_size = 20
# max_size_ratio = 1000
# Whether a job may have this party's ids blinded under one key for days, and how many ids a peer may ask for then.
# hold_cached_sets = false
# epoch_days = 7.0
# max_evaluations_per_epoch = 1000000

[anomalies]
# Vote by itself on flagged statistics that this node can recompute.
# vote = true

[metrics]
{metrics_port:<32} # Prometheus metrics at this port; default: none
{metrics_host:<32} # who reaches them

[api]
# port = 8440                    # HTTP API for this party's own people; default: none. `fedchain node token create`
# host = "127.0.0.1"             # others than this machine's loopback need a certificate, for HTTPS:
# certificate = "api-certificate.pem"
# certificate_key = "api-certificate.key"
"""


def init_node(
    folder: Path,
    name: str,
    deployment: Path,
    rpc: str,
    data: Path,
    *,
    listen: Endpoint | None = None,
    endpoint: Endpoint | None = None,
    metrics: Endpoint | None = None,
) -> NodeConfig:
    """Create a node: a key in an encrypted keystore, its passphrase, a certificate, an encryption key, and `node.toml`.

    Args:
        folder: created with mode 0700 where it does not exist.
        name: to register under.
        deployment: path of the deployment file (need not exist yet).
        rpc: HTTP address of a chain node.
        data: path of the party's table (need not exist yet).
        listen: address and port for its peers; None for a free port of this machine alone.
        endpoint: what they dial; None for where it listens.
        metrics: address and port of its metrics; None serves none.

    Returns:
        The configuration as `load_config` reads it.

    Raises:
        ConfigError: the folder holds a node already (nothing is overwritten), or an argument is not valid.
    """
    names = ("node.toml", "keystore.json", "passphrase", "certificate.pem", "certificate.key", "encryption.key")
    paths = [folder / file for file in names]
    config_path, keystore, passphrase_file, certificate, certificate_key, encryption_key = paths
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path}: exists already; choose another folder, keys are never overwritten")
    text = _TEMPLATE.format(
        name=json.dumps(name),
        rpc=json.dumps(rpc),
        deployment=json.dumps(_relative(deployment, folder)),
        data=json.dumps(_relative(data, folder)),
        serve_host=json.dumps("127.0.0.1" if listen is None else listen.host),
        serve_port=0 if listen is None else listen.port,
        endpoint=_NO_ENDPOINT if endpoint is None else f"endpoint = {json.dumps(str(endpoint))}",
        metrics_port="# port = 9464" if metrics is None else f"port = {metrics.port}",
        metrics_host='# host = "127.0.0.1"' if metrics is None else f"host = {json.dumps(metrics.host)}",
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(config_path, text, 0o644)
    try:
        config = load_config(config_path)
        passphrase = secrets.token_urlsafe(32)
        _write_new(passphrase_file, passphrase + "\n", 0o600)
        Identity.create(name).save(certificate, certificate_key)
        open_encryption_key(config)
        Account.create().save_keystore(keystore, passphrase)
    except BaseException:
        for path in (config_path, passphrase_file, certificate, certificate_key, encryption_key):
            path.unlink(missing_ok=True)
        raise
    return config


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes."""
    return Path(os.path.relpath(path.expanduser().resolve(), folder.resolve())).as_posix()


def _write_new(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
