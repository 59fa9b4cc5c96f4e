"""Seal bytes to several named recipients, bound to a context; and salted commitments.

Layout of a sealed blob, version 1 (all lengths fixed but the names'):

    version 1 | ephemeral X25519 public key 32 | key commitment 32 | number of recipients 1 |
    per recipient, names ascending: name length 1 | name | content key under ChaCha20-Poly1305 48 |
    payload under ChaCha20-Poly1305, 16 bytes longer than the plaintext

A fresh content key gives, by HKDF-SHA256, the payload key and the key commitment: all recipients open the same
plaintext, or an error. Each wrapping key is HKDF-SHA256 of the X25519 secret, salted with both public keys. Every key
encrypts one message, so nonces are zero. Everything before the payload, and the context, is authenticated with it.

Whoever holds the blob learns the recipients' names and the plaintext's length. The sender is not
authenticated here: the uplink that carries the blob is signed.

Sources: RFC 7748 (X25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20-Poly1305); Albertini et al. (2022) "How to Abuse and Fix
Authenticated Encryption Without Key Commitment".
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedchain.errors import DigestMismatchError, SealError

VERSION = 1
MAX_RECIPIENTS = 8
MAX_NAME_BYTES = 64
KEY_BYTES = 32
SALT_BYTES = 32

_TAG_BYTES = 16
_WRAPPED_BYTES = KEY_BYTES + _TAG_BYTES
_NONCE = bytes(12)
_WRAP_INFO = b"fedchain seal v1 wrap"
_CONTENT_INFO = b"fedchain seal v1 content"
_PAIR_INFO = b"fedchain pair key v1"
_COMMITMENT_DOMAIN = b"fedchain commitment v1"


@dataclass(frozen=True)
class SealingKey:
    """A party's X25519 key pair for receiving sealed bytes.

    Attributes:
        private: 32 bytes, kept out of the repr.
        public: 32 bytes.
    """

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> SealingKey:
        """A fresh pair from the operating system."""
        return cls.from_private(os.urandom(KEY_BYTES))

    @classmethod
    def from_private(cls, private: bytes) -> SealingKey:
        """The pair of a stored private key.

        Raises:
            SealError: not 32 bytes.
        """
        if len(private) != KEY_BYTES:
            raise SealError(f"an X25519 private key has {KEY_BYTES} bytes, found {len(private)}")
        return cls(private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def pair_key(private: bytes, peer_public: bytes, salt: bytes, purpose: bytes) -> bytes:
    """32 bytes that the holders of two sealing keys know, and nobody else: the same from either side.

    Args:
        private: the own X25519 private key.
        peer_public: the other party's public key.
        salt: of the session.
        purpose: keys of different purposes tell nothing of each other.

    Raises:
        SealError: a key of another length, or a public key that gives no secret.
    """
    own = SealingKey.from_private(private)
    try:
        secret = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError as error:
        raise SealError(f"no pair key: {error}") from error
    both = b"".join(sorted((own.public, peer_public)))
    return HKDF(hashes.SHA256(), KEY_BYTES, salt, _PAIR_INFO + both + purpose).derive(secret)


def seal(plaintext: bytes, recipients: Mapping[str, bytes], context: bytes) -> bytes:
    """Encrypt to every recipient.

    Args:
        plaintext: any length.
        recipients: 1 to 8 names (1 to 64 bytes of UTF-8) and their 32-byte public keys.
        context: what the blob is for (job, round, attempt, kind …); opening under another context fails.

    Returns:
        The blob.

    Raises:
        SealError: recipients out of bounds, or a public key of low order.
    """
    names = _checked_names(recipients)
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    content_key = os.urandom(KEY_BYTES)
    payload_key, key_commitment = _content_keys(content_key)
    header = bytearray([VERSION]) + ephemeral_public + key_commitment + bytes([len(names)])
    for name in names:
        public = recipients[name.decode()]
        wrapping_key = _wrapping_key(ephemeral, public, ephemeral_public, public, name)
        header += bytes([len(name)]) + name
        header += ChaCha20Poly1305(wrapping_key).encrypt(_NONCE, content_key, _bound(b"", context))
    return bytes(header) + ChaCha20Poly1305(payload_key).encrypt(_NONCE, plaintext, _bound(bytes(header), context))


def open_sealed(blob: bytes, name: str, private: bytes, context: bytes) -> bytes:
    """Decrypt a blob as one of its recipients.

    Args:
        blob: untrusted bytes.
        name: this party's name.
        private: this party's 32-byte private key.
        context: what the protocol expects the blob to be for.

    Returns:
        The plaintext.

    Raises:
        SealError: malformed, tampered with, not for this party, another key, or another context.
    """
    ephemeral_public, key_commitment, wrapped, header_size = _parse(blob)
    wanted = name.encode()
    if wanted not in wrapped:
        raise SealError(f"the sealed payload is not for '{name}'")
    own = SealingKey.from_private(private)
    key = X25519PrivateKey.from_private_bytes(private)
    wrapping_key = _wrapping_key(key, ephemeral_public, ephemeral_public, own.public, wanted)
    try:
        content_key = ChaCha20Poly1305(wrapping_key).decrypt(_NONCE, wrapped[wanted], _bound(b"", context))
        payload_key, expected = _content_keys(content_key)
        if not hmac.compare_digest(expected, key_commitment):
            raise SealError(f"the sealed payload gives '{name}' another key than it commits to")
        return ChaCha20Poly1305(payload_key).decrypt(_NONCE, blob[header_size:], _bound(blob[:header_size], context))
    except InvalidTag as error:
        raise SealError(f"the sealed payload does not open for '{name}': tampered with, or another context") from error


def seal_for_pair(key: bytes, number: int, plaintext: bytes) -> bytes:
    """Encrypt for the other holder of a pair key; 16 bytes longer. The same bytes whenever it is done again.

    Under one key a number must never seal two plaintexts: a key serves one direction of one purpose in one job, and
    what is sealed there under a number follows from what the sender has remembered and received.

    Args:
        key: 32 bytes, of `pair_key`.
        number: of the message, 0 to 2^32 - 1.
        plaintext: any length.
    """
    return ChaCha20Poly1305(key).encrypt(number.to_bytes(len(_NONCE), "big"), plaintext, _PAIR_INFO)


def open_for_pair(key: bytes, number: int, sealed: bytes) -> bytes:
    """The plaintext of `seal_for_pair`.

    Raises:
        SealError: tampered with, of another key, or of another number.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(number.to_bytes(len(_NONCE), "big"), sealed, _PAIR_INFO)
    except InvalidTag as error:
        raise SealError("the payload for this pair does not open: tampered with, or of another job") from error


def commitment(value: bytes, salt: bytes) -> bytes:
    """32 bytes that bind to a value and hide it until the salt is shown: SHA-256(domain ‖ salt ‖ value).

    Args:
        value: any length.
        salt: 32 fresh bytes from the operating system, one per commitment.

    Raises:
        SealError: the salt is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise SealError(f"a commitment's salt must have {SALT_BYTES} bytes, found {len(salt)}")
    return hashlib.sha256(_COMMITMENT_DOMAIN + salt + value).digest()


def check_commitment(committed: bytes, value: bytes, salt: bytes, what: str) -> None:
    """Check an opened commitment.

    Raises:
        DigestMismatchError: it does not open to this value and salt; `what` names it and its sender.
        SealError: the salt is not 32 bytes.
    """
    if not hmac.compare_digest(commitment(value, salt), committed):
        raise DigestMismatchError(f"{what}: the commitment does not open to the value shown")


def _checked_names(recipients: Mapping[str, bytes]) -> list[bytes]:
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise SealError(f"seal to 1 to {MAX_RECIPIENTS} recipients, found {len(recipients)}")
    for name, public in recipients.items():
        if not 1 <= len(name.encode()) <= MAX_NAME_BYTES or len(public) != KEY_BYTES:
            raise SealError(f"recipient '{name[:MAX_NAME_BYTES]}': a name has 1 to 64 bytes and a public key 32")
    return sorted(name.encode() for name in recipients)


def _parse(blob: bytes) -> tuple[bytes, bytes, dict[bytes, bytes], int]:
    """Ephemeral key, key commitment, wrapped content key per name, and the header's size."""
    position = 2 + 2 * KEY_BYTES
    if len(blob) < position or blob[0] != VERSION:
        raise SealError("not a sealed payload of version 1")
    count = blob[position - 1]
    if not 1 <= count <= MAX_RECIPIENTS:
        raise SealError(f"a sealed payload has 1 to {MAX_RECIPIENTS} recipients, found {count}")
    wrapped: dict[bytes, bytes] = {}
    previous = b""
    for _ in range(count):
        size = blob[position] if position < len(blob) else 0
        name = blob[position + 1 : position + 1 + size]
        position += 1 + size + _WRAPPED_BYTES
        if not 1 <= size <= MAX_NAME_BYTES or position > len(blob) or name <= previous:
            raise SealError("a sealed payload's recipients are malformed, cut short, or out of order")
        wrapped[name] = blob[position - _WRAPPED_BYTES : position]
        previous = name
    if len(blob) < position + _TAG_BYTES:
        raise SealError("a sealed payload is cut short")
    return blob[1 : 1 + KEY_BYTES], blob[1 + KEY_BYTES : 1 + 2 * KEY_BYTES], wrapped, position


def _wrapping_key(own: X25519PrivateKey, other: bytes, ephemeral: bytes, recipient: bytes, name: bytes) -> bytes:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError as error:
        raise SealError(f"the X25519 public key for '{name.decode(errors='replace')}' is of low order") from error
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=ephemeral + recipient, info=_WRAP_INFO + name).derive(shared)


def _content_keys(content_key: bytes) -> tuple[bytes, bytes]:
    """The payload key, and the commitment to it that every recipient checks."""
    derived = HKDF(hashes.SHA256(), 2 * KEY_BYTES, salt=None, info=_CONTENT_INFO).derive(content_key)
    return derived[:KEY_BYTES], derived[KEY_BYTES:]


def _bound(header: bytes, context: bytes) -> bytes:
    """Associated data; the header's length keeps header and context apart."""
    return len(header).to_bytes(4, "big") + header + context
