"""A node's X25519 key, in a file of its own folder: what is sealed to the party outside of a job is sealed to it.

The registry holds the public half. Jobs have keys of their own, made anew in each (`fedchain.federation.keys`).
"""

from __future__ import annotations

import structlog

from fedchain.chain.files import remove_leftovers, sync_folder, write_atomically
from fedchain.crypto.seal import SealingKey
from fedchain.errors import ConfigError, SealError
from fedchain.node.config import NodeConfig
from fedchain.node.secret import secret_line

log = structlog.get_logger(__name__)

_WHERE, _WHAT = "[keys] encryption_key", "a private key, 64 hex digits,"


def load_encryption_key(config: NodeConfig) -> SealingKey:
    """The node's key pair.

    Raises:
        ConfigError: the file is missing, readable by others, or holds no key.
    """
    path = config.keys.encryption_key
    text = secret_line(path, _WHERE, _WHAT)
    try:
        return SealingKey.from_private(bytes.fromhex(text))
    except (ValueError, SealError):
        raise ConfigError(f"{_WHERE} {path}: is no private key of 64 hex digits; restore it, or move it away") from None


def open_encryption_key(config: NodeConfig) -> SealingKey:
    """As `load_encryption_key`; where there is no file, a new pair, written with mode 0600.

    Raises:
        ConfigError: as there, or the folder cannot be written.
    """
    path = config.keys.encryption_key.resolve()
    if path.exists():
        return load_encryption_key(config)
    made = SealingKey.generate()
    try:
        remove_leftovers(path)
        write_atomically(path, made.private.hex().encode() + b"\n", mode=0o600)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: cannot be written ({error.strerror}); "
            "the encryption key must be in a folder that this node's user may write to"
        ) from error
    log.info("encryption key made", public=made.public.hex())
    return made
