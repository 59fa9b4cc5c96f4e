"""Encrypted key files: keystore version 3, which every Ethereum tool reads and writes.

By `cryptography` directly: eth_account loads all of BLS12-381 for it, which takes longer than everything else that a
command about the chain needs, and sets the recursion limit to 100,000, beyond what the stack holds.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from eth_utils.crypto import keccak

DEFAULT_COST = 2**18
"""scrypt's, as in geth: about a second, 256 MiB."""

_BLOCK = 8
_KEY_BYTES = 32
_MAX_SCRYPT_BYTES = 2**31
_MAX_SCRYPT_BLOCKS = 2**28
_MAX_PBKDF2_ROUNDS = 2**26


class NotAKeyfileError(Exception):
    """The document is no keystore of version 3, or none that is opened here."""


class WrongPassphraseError(Exception):
    """The passphrase does not open the keystore."""


def encrypted(key: bytes, passphrase: str, *, address: str, cost: int | None = None) -> dict[str, Any]:
    """The keystore of a key, by scrypt and AES-128-CTR.

    Args:
        key: 32 bytes.
        passphrase: taken as UTF-8.
        address: the key's, 0x and 40 hex digits; stands in the file.
        cost: scrypt's n, a power of two; None takes `DEFAULT_COST`.
    """
    kdf = {
        "n": DEFAULT_COST if cost is None else cost,
        "r": _BLOCK,
        "p": 1,
        "dklen": _KEY_BYTES,
        "salt": secrets.token_hex(16),
    }
    derived, vector = _derived("scrypt", kdf, passphrase), secrets.token_bytes(16)
    sealed = _aes(derived, vector, key)
    return {
        "address": address.removeprefix("0x"),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": vector.hex()},
            "ciphertext": sealed.hex(),
            "kdf": "scrypt",
            "kdfparams": kdf,
            "mac": _mac(derived, sealed).hex(),
        },
        "id": str(uuid.uuid4()),
        "version": 3,
    }


def decrypted(document: object, passphrase: str) -> bytes:
    """The key of a keystore; names of its entries in any case, as some tools write them.

    Args:
        document: the file's JSON, parsed.
        passphrase: taken as UTF-8.

    Raises:
        NotAKeyfileError: no keystore of version 3, another cipher or derivation, or parameters out of range.
        WrongPassphraseError: its check says that the passphrase is another one.
    """
    try:
        file = _lower(document)
        crypto = file["crypto"]
        if file["version"] != 3 or crypto["cipher"] != "aes-128-ctr":
            raise ValueError("another version or cipher")
        sealed, check, vector = (
            _hex(one) for one in (crypto["ciphertext"], crypto["mac"], crypto["cipherparams"]["iv"])
        )
        derived = _derived(crypto["kdf"], crypto["kdfparams"], passphrase)
        if not hmac.compare_digest(_mac(derived, sealed), check):
            raise WrongPassphraseError
        return _aes(derived, vector, sealed)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NotAKeyfileError(str(error)) from None


def _derived(kdf: str, parameters: dict[str, Any], passphrase: str) -> bytes:
    secret, salt, size = passphrase.encode(), _hex(parameters["salt"]), parameters["dklen"]
    if size != _KEY_BYTES:
        raise ValueError(f"a derived key of {size} bytes")
    if kdf == "scrypt":
        n, r, p = parameters["n"], parameters["r"], parameters["p"]
        if min(n, r, p) < 1 or 128 * n * r > _MAX_SCRYPT_BYTES or n * r * p > _MAX_SCRYPT_BLOCKS:
            raise ValueError("scrypt's parameters are out of range")
        return Scrypt(salt=salt, length=size, n=n, r=r, p=p).derive(secret)
    if kdf == "pbkdf2" and parameters["prf"] == "hmac-sha256":
        if not 1 <= parameters["c"] <= _MAX_PBKDF2_ROUNDS:
            raise ValueError("PBKDF2's rounds are out of range")
        return PBKDF2HMAC(SHA256(), length=size, salt=salt, iterations=parameters["c"]).derive(secret)
    raise ValueError("another key derivation")


def _aes(derived: bytes, vector: bytes, data: bytes) -> bytes:
    cipher = Cipher(AES(derived[:16]), CTR(vector)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _mac(derived: bytes, sealed: bytes) -> bytes:
    return keccak(derived[16:32] + sealed)


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _lower(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {str(name).lower(): _lower(value) for name, value in document.items()}
