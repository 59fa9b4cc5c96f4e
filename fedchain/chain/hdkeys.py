"""Keys of a phrase of words: BIP-39's seed and BIP-32's private derivation, for the accounts of development chains."""

from __future__ import annotations

import hashlib
import hmac

from coincurve import PrivateKey

_HARDENED = 2**31
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def seed_of(phrase: str) -> bytes:
    """BIP-39's 64-byte seed of an ASCII phrase without a passphrase; its words and checksum are not looked at."""
    return hashlib.pbkdf2_hmac("sha512", phrase.encode("ascii"), b"mnemonic", 2048)


def derived_key(seed: bytes, path: str) -> bytes:
    """BIP-32's private key below a seed.

    Args:
        seed: of `seed_of`.
        path: as in `m/44'/60'/0'/0/5`; a level with ' is a hardened one.

    Returns:
        32 bytes.

    Raises:
        ValueError: there is no key at this path (once in 2**127 paths).
    """
    key, chain = _halves(b"Bitcoin seed", seed)
    for level in path.split("/")[1:]:
        index = int(level.removesuffix("'")) + _HARDENED * level.endswith("'")
        parent = b"\0" + key if index >= _HARDENED else PrivateKey(key).public_key.format()
        tweak, chain = _halves(chain, parent + index.to_bytes(4, "big"))
        number = (int.from_bytes(tweak, "big") + int.from_bytes(key, "big")) % _ORDER
        if number == 0 or int.from_bytes(tweak, "big") >= _ORDER:
            raise ValueError("no key at this path")
        key = number.to_bytes(32, "big")
    return key


def _halves(secret: bytes, message: bytes) -> tuple[bytes, bytes]:
    both = hmac.digest(secret, message, "sha512")
    return both[:32], both[32:]
