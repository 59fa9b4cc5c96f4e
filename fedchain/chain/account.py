"""The key with which a party signs its transactions."""

from __future__ import annotations

import json
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any

from coincurve import PrivateKey, PublicKey
from eth_utils.crypto import keccak

from fedchain.chain.abi import checksum
from fedchain.chain.files import write_atomically
from fedchain.chain.hdkeys import derived_key, seed_of
from fedchain.chain.keyfile import NotAKeyfileError, WrongPassphraseError, decrypted, encrypted
from fedchain.errors import ConfigError, CryptoError

DEV_MNEMONIC = "test test test test test test test test test test test junk"
"""The publicly known phrase of all development chains. Never use its accounts on a chain that matters."""

DEV_PATH = "m/44'/60'/0'/0"

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_MAX_KEYSTORE_BYTES = 65536
_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_ROTATION_TYPE = "KeyRotation(address party,address newSigner,uint64 nonce,uint64 deadline)"


class Account:
    """A secp256k1 key and its address. Neither `repr` nor `str` shows the key.

    Attributes:
        address: checksummed hex address.
    """

    __slots__ = ("_key", "address")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.address: str = _address(key.public_key)

    @classmethod
    def create(cls) -> Account:
        """A new account with a key from the operating system's generator."""
        return cls.from_private_key((secrets.randbelow(_ORDER - 1) + 1).to_bytes(32, "big"))

    @classmethod
    def from_private_key(cls, key: bytes) -> Account:
        """The account of a 32-byte private key.

        Raises:
            ConfigError: not 32 bytes, or not in 1..n-1.
        """
        if len(key) != 32 or not 0 < int.from_bytes(key, "big") < _ORDER:
            raise ConfigError("a private key is a number in 1..n-1 of secp256k1 in 32 bytes")
        return cls(PrivateKey(key))

    @classmethod
    def from_keystore(cls, path: Path, passphrase: str) -> Account:
        """Open an encrypted key file (keystore version 3; about a second with the default scrypt).

        Raises:
            ConfigError: the file is missing or no keystore, or the passphrase does not open it.
        """
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_KEYSTORE_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"keystore {path}: {error.strerror}; create one with `fedchain node init`") from error
        try:
            if len(raw) > _MAX_KEYSTORE_BYTES:
                raise ValueError("too large")
            document = json.loads(raw)
            if not isinstance(document, dict) or "crypto" not in {str(name).lower() for name in document}:
                raise ValueError("no crypto section")
        except ValueError as error:
            raise ConfigError(f"keystore {path}: not a version 3 keystore file") from error
        try:
            key = decrypted(document, passphrase)
        except WrongPassphraseError:
            raise ConfigError(f"keystore {path}: the passphrase does not open it") from None
        except NotAKeyfileError:
            raise ConfigError(f"keystore {path}: not a version 3 keystore file") from None
        return cls.from_private_key(key)

    def save_keystore(self, path: Path, passphrase: str, *, iterations: int | None = None) -> None:
        """Write the key encrypted under a passphrase (keystore version 3, scrypt), readable by the owner alone.

        Args:
            path: file to write, atomically; must not exist, so that no key is ever overwritten.
            passphrase: not empty.
            iterations: scrypt's cost, a power of two; None takes 2**18, as geth does (about a second).

        Raises:
            ConfigError: the passphrase is empty, or the file exists.
        """
        if not passphrase:
            raise ConfigError(f"keystore {path}: an empty passphrase protects nothing; give one")
        if path.exists():
            raise ConfigError(f"keystore {path}: exists already; move it away first, its key is needed for its address")
        write_atomically(path, self._encrypted(passphrase, iterations), mode=0o600)

    def replace_keystore(self, path: Path, passphrase: str, *, iterations: int | None = None) -> None:
        """Write this very account's keystore anew under another passphrase, in the place of the one that is there.

        Args:
            path: the keystore; replaced whole or not at all.
            passphrase: see `save_keystore`.
            iterations: see `save_keystore`.

        Raises:
            ConfigError: the passphrase is empty, or the file is another account's.
            OSError: the folder cannot be written.
        """
        if not passphrase:
            raise ConfigError(f"keystore {path}: an empty passphrase protects nothing; give one")
        found = keystore_address(path)
        if found != self.address:
            raise ConfigError(f"keystore {path}: is the one of {found}, not of {self.address}")
        content = self._encrypted(passphrase, iterations)
        if decrypted(json.loads(content), passphrase) != self._key.secret:
            raise CryptoError(f"keystore {path}: the new one does not open; nothing is replaced")
        write_atomically(path, content, mode=0o600)

    def _encrypted(self, passphrase: str, iterations: int | None) -> bytes:
        document = encrypted(self._key.secret, passphrase, address=self.address, cost=iterations)
        return json.dumps(document, sort_keys=True).encode() + b"\n"

    def sign_legacy(self, unsigned: bytes) -> tuple[int, int, int]:
        """Sign a legacy transaction: r, s (low), and the recovery id, 0 or 1. Deterministic (RFC 6979).

        Args:
            unsigned: its encoding with chain id (EIP-155), which is what is signed.
        """
        signature: bytes = self._key.sign_recoverable(keccak(unsigned), hasher=None)
        return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]

    def sign_uplink(self, uplink_id: bytes) -> bytes:
        """Vouch for an uplink before its verdict: EIP-191's signature (version 0x45) of the 32 bytes of its id.

        The id binds chain, ledger, sender and envelope, so the signature is for that one uplink alone. It cannot be
        taken for a transaction. Deterministic (RFC 6979).

        Returns:
            65 bytes: r, s (low), and v, 27 or 28.

        Raises:
            ValueError: `uplink_id` is not 32 bytes.
        """
        signature: bytes = self._key.sign_recoverable(_uplink_hash(uplink_id), hasher=None)
        return signature[:64] + bytes((27 + signature[64],))

    def sign_rotation(
        self, *, chain_id: int, registry: str, party: str, successor: str, nonce: int, deadline: int
    ) -> bytes:
        """Hand a party over to another key: EIP-712's signature of what `ParticipantRegistry.rotateKey` takes.

        It is good for this one rotation alone: chain, registry, party, new key and nonce are in it.

        Args:
            chain_id: of the chain.
            registry: address of the registry.
            party: address of the party for which this account acts.
            successor: address of the key that is to act for it.
            nonce: how often its key was rotated before.
            deadline: until when it may be mined, seconds of the chain's clock.

        Returns:
            65 bytes: r, s (low), and v, 27 or 28.
        """
        domain = _words(*(keccak(text=one) for one in (_DOMAIN_TYPE, "fedchain", "1")), chain_id, registry)
        message = _words(keccak(text=_ROTATION_TYPE), party, successor, nonce, deadline)
        digest = keccak(b"\x19\x01" + keccak(domain) + keccak(message))
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __reduce__(self) -> Any:
        raise TypeError("an account's key is not serialised; use save_keystore")


def new_keystore(path: Path, passphrase_file: Path, *, iterations: int | None = None) -> Account:
    """Make a key, encrypted under a passphrase from the operating system's generator; both files have mode 0600.

    Args:
        path: of the keystore; must not exist.
        passphrase_file: gets the passphrase; one without its keystore is replaced.
        iterations: see `Account.save_keystore`.

    Raises:
        ConfigError: the keystore exists, or the folder cannot be written.
    """
    if path.exists():
        raise ConfigError(f"keystore {path}: exists already; choose another folder, keys are never overwritten")
    account, passphrase = Account.create(), secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(passphrase_file, f"{passphrase}\n".encode(), mode=0o600)
        account.save_keystore(path, passphrase, iterations=iterations)
    except OSError as error:
        raise ConfigError(f"keystore {path}: cannot be written: {error.strerror}") from error
    return account


def keystore_address(path: Path) -> str:
    """The address that a keystore names, checksummed; it is not checked against the key.

    Raises:
        ConfigError: the file cannot be read, or names none.
    """
    try:
        with path.open("rb") as file:
            address = json.loads(file.read(_MAX_KEYSTORE_BYTES))["address"]
        return checksum("0x" + str(address).removeprefix("0x"))
    except OSError as error:
        raise ConfigError(f"keystore {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"keystore {path}: names no address") from None


def recover_signer(uplink_id: bytes, signature: bytes) -> str:
    """The address whose key made a signature of `Account.sign_uplink`; compare it with the uplink's sender.

    Any 65 bytes of the right form recover some address: a forged signature gives another than the sender's.

    Args:
        uplink_id: 32 bytes.
        signature: 65 bytes: r, s, v.

    Returns:
        Checksummed address.

    Raises:
        CryptoError: not 65 bytes, v is not 27 or 28, s is high (whoever sees a signature could make that one of it), or
            no key could have made it.
        ValueError: `uplink_id` is not 32 bytes.
    """
    signed = _uplink_hash(uplink_id)
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise CryptoError("an uplink's signature is 65 bytes, the last 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        raise CryptoError("an uplink's signature has a high s: it is not the one that its signer made")
    try:
        recoverable = signature[:64] + bytes((signature[64] - 27,))
        key = PublicKey.from_signature_and_message(recoverable, signed, hasher=None)
    except Exception as error:  # the library raises bare ones
        raise CryptoError("no key could have made this signature of an uplink") from error
    return _address(key)


def _address(key: PublicKey) -> str:
    return checksum("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())


def _words(*values: bytes | int | str) -> bytes:
    """EIP-712's encoding: 32 bytes for each hash, number, and address as hex."""
    return b"".join(
        one if isinstance(one, bytes) else (one if isinstance(one, int) else int(one, 16)).to_bytes(32, "big")
        for one in values
    )


def _uplink_hash(uplink_id: bytes) -> bytes:
    """What is signed (EIP-191, version 0x45)."""
    if len(uplink_id) != 32:
        raise ValueError(f"an uplink id has 32 bytes, not {len(uplink_id)}")
    return keccak(b"\x19Ethereum Signed Message:\n32" + uplink_id)


def dev_accounts(count: int = 10) -> list[Account]:
    """The first accounts of the development phrase; every development chain funds the first ten."""
    return [_dev_account(index) for index in range(count)]


@lru_cache(maxsize=64)
def _dev_account(index: int) -> Account:
    return Account.from_private_key(derived_key(_dev_seed(), f"{DEV_PATH}/{index}"))


@lru_cache(maxsize=1)
def _dev_seed() -> bytes:
    return seed_of(DEV_MNEMONIC)
