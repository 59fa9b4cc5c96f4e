"""The key that acts for a node's party, on the disk; and how another takes its place, so that a kill leaves one.

1. The new key is *staged*: a keystore beside the present one, under the same passphrase.
2. The present key signs that the new one acts for the party, and the new key sends that to the registry.
3. The new keystore is *installed* in the place of the old one.

While there is a staged keystore, a node that starts finishes the rotation before anything else, and so does
`fedchain node rotate key`: whatever of it the chain has seen is not done twice.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from fedchain.chain import Account, Consortium
from fedchain.chain.files import remove_leftovers, sync_folder
from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig

log = structlog.get_logger(__name__)


def party_address(consortium: Consortium, key: str) -> str:
    """The address of the party that a key acts for; the key's own where it is not registered, or acts no more.

    Raises:
        ChainError: the registry cannot be read.
    """
    return consortium.party_of(key) or key


def staged_keystore(config: NodeConfig) -> Path:
    """Where a new key lies until it takes the place of the present one; there only while it does."""
    path = config.keys.keystore.resolve()
    return path.with_name(f"{path.name}.next")


def stage_key(config: NodeConfig) -> Account:
    """A new key on the disk, mode 0600; or the one of a rotation that was not finished.

    Raises:
        ConfigError: the folder cannot be written, or keystore and passphrase do not belong together.
    """
    path = staged_keystore(config)
    found = staged_key(config)
    if found is not None:
        return found
    made = Account.create()
    try:
        remove_leftovers(path)
        made.save_keystore(path, config.passphrase())
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(_cannot(path, error)) from error
    return made


def staged_key(config: NodeConfig) -> Account | None:
    """The key of a rotation that was not finished, if there is one.

    Raises:
        ConfigError: it is damaged, or the passphrase does not open it.
    """
    path = staged_keystore(config)
    if not path.exists():
        return None
    try:
        return Account.from_keystore(path, config.passphrase())
    except ConfigError as error:
        raise ConfigError(f"{error}; it is the key of a rotation that was not finished: restore it") from error


def install_key(config: NodeConfig) -> None:
    """Put the staged keystore in the place of the present one, which is gone then. Doing it twice is harmless.

    Raises:
        ConfigError: the folder cannot be written; the staged keystore stays.
    """
    staged, path = staged_keystore(config), config.keys.keystore.resolve()
    try:
        if staged.exists():
            os.replace(staged, path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(_cannot(path, error)) from error


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"{error.filename or path}: cannot be written ({error.strerror}); "
        "the keystore must be in a folder that this node's user may write to"
    )
