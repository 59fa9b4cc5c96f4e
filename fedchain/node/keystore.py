"""A node's account: opening its keystore, and encrypting it anew under another passphrase.

Two files change together, the keystore and the file with its passphrase, so that a kill at any moment leaves a pair
that opens:

1. The new passphrase is written beside the old one.
2. The keystore is replaced by one under the new passphrase.
3. The new passphrase takes the old one's place.

Between 2 and 3 the old passphrase opens nothing: whoever opens the keystore then takes the new one, and does step 3.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import structlog

from fedchain.chain import Account
from fedchain.chain.files import remove_leftovers, sync_folder, write_atomically
from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig
from fedchain.node.secret import secret_line

log = structlog.get_logger(__name__)

LEAST_LETTERS = 12
"""Of a passphrase that somebody chose."""

_WHAT = "the keystore's passphrase"


def staged_passphrase_file(config: NodeConfig) -> Path:
    """Where a new passphrase lies until it takes the place of the old one."""
    path = config.keys.passphrase_file.resolve()
    return path.with_name(f"{path.name}.next")


def open_account(config: NodeConfig, *, mend: bool = True) -> Account:
    """The node's account; takes about a second, twice that after an interrupted change of the passphrase.

    Args:
        config: of the node.
        mend: finish an interrupted change of the passphrase; False to write nothing.

    Raises:
        ConfigError: keystore or passphrase are missing, readable by others, or do not belong together.
    """
    keystore, staged = config.keys.keystore, staged_passphrase_file(config)
    phrase = config.passphrase()
    try:
        return Account.from_keystore(keystore, phrase)
    except ConfigError as error:
        try:
            account = Account.from_keystore(keystore, secret_line(staged, "[keys] passphrase_file", _WHAT))
        except ConfigError:
            if config.passphrase() == phrase:
                raise error from None
            return Account.from_keystore(keystore, config.passphrase())  # changed while this was looking
    if mend:
        _replace(staged, config.keys.passphrase_file.resolve())
        log.info("interrupted change of the passphrase finished", address=account.address)
    return account


def rotate_passphrase(config: NodeConfig, passphrase: str | None = None, *, iterations: int | None = None) -> Account:
    """Encrypt the keystore under another passphrase and write that into `[keys] passphrase_file`; both mode 0600.

    The key stays the same, and a running node, which has opened it, goes on. Old copies of the keystore open with the
    old passphrase on: that protects against one who has read the passphrase, and not against one who has both.

    Args:
        config: of the node.
        passphrase: the new one; None for one from the operating system's generator.
        iterations: scrypt's cost; None takes the library's (about a second).

    Raises:
        ConfigError: keystore and passphrase do not open now, cannot be written, the new passphrase is short or the old
            one, or another change of it is under way. Then the old passphrase counts on.
    """
    keystore, file = config.keys.keystore.resolve(), config.keys.passphrase_file.resolve()
    with _alone(keystore.parent):
        account = open_account(config)
        following = keystore.with_name(f"{keystore.name}.next")
        if following.exists():
            raise ConfigError(
                f"{following}: a rotation of the key was not finished; run `fedchain node rotate key` first"
            )
        if passphrase is not None and len(passphrase) < LEAST_LETTERS:
            raise ConfigError(f"the new passphrase is short: it needs {LEAST_LETTERS} characters or more")
        if passphrase == config.passphrase():
            raise ConfigError("the new passphrase is the present one; choose another")
        new = passphrase or secrets.token_urlsafe(32)
        staged = staged_passphrase_file(config)
        try:
            for path in (staged, keystore):
                remove_leftovers(path)
            write_atomically(staged, f"{new}\n".encode(), mode=0o600)
            sync_folder(staged.parent)
            account.replace_keystore(keystore, new, iterations=iterations)
            sync_folder(keystore.parent)
            _replace(staged, file)
        except OSError as error:
            raise ConfigError(
                f"{error.filename or keystore}: cannot be written ({error.strerror}); keystore and passphrase must be "
                "in folders that this node's user may write to"
            ) from error
    log.info("passphrase of the keystore changed", address=account.address)
    return account


def _replace(staged: Path, file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process has done it just now
        os.replace(staged, file)
    sync_folder(file.parent)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One change at a time."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be opened ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{folder}: the passphrase is being changed already; wait until that is done") from error
        yield
    finally:
        os.close(descriptor)
