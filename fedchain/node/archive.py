"""A file encrypted under a passphrase, written and read as a stream.

scrypt (RFC 7914) makes a key and a check value of the passphrase and a fresh salt. The content is cut into chunks, each
sealed with ChaCha20-Poly1305 (RFC 8439) under a nonce that holds the chunk's number and whether it is the last, with
the header as associated data: chunks cannot be changed, left out, reordered, added, or taken from another archive, and
an archive that was cut off is noticed (the STREAM construction, https://eprint.iacr.org/2015/189).

Layout: magic, 16 bytes of salt, 32 bytes of check value, then chunks of `CHUNK_BYTES` and a tag each; the last one is
shorter, perhaps empty.
"""

from __future__ import annotations

import hmac
import os
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedchain.errors import ConfigError, CryptoError

MAGIC = b"fedchain-backup-1\n"
CHUNK_BYTES = 1 << 20
LEAST_PASSPHRASE = 12
"""Characters: an archive lies around, and may be tried at leisure."""

_SALT_BYTES = 16
_KEY_BYTES = 32
_TAG_BYTES = 16
_HEADER_BYTES = len(MAGIC) + _SALT_BYTES + _KEY_BYTES
_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB and about half a second


class ArchiveWriter:
    """Takes bytes, writes them sealed; without `finish`, what is written is no archive.

    Args:
        file: where to.
        passphrase: at least `LEAST_PASSPHRASE` characters.

    Raises:
        ConfigError: the passphrase is too short.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        if len(passphrase) < LEAST_PASSPHRASE:
            raise ConfigError(f"the archive's passphrase is too short; give {LEAST_PASSPHRASE} characters or more")
        salt = os.urandom(_SALT_BYTES)
        key, check = _derive(passphrase, salt)
        self._file = file
        self._header = MAGIC + salt + check
        self._cipher = ChaCha20Poly1305(key)
        self._buffer = bytearray()
        self._chunks = 0
        file.write(self._header)

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self._buffer += data
        while len(self._buffer) > CHUNK_BYTES:
            self._seal(bytes(self._buffer[:CHUNK_BYTES]), is_last=False)
            del self._buffer[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._buffer), is_last=True)
        self._buffer.clear()

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._chunks, is_last), chunk, self._header))
        self._chunks += 1


class ArchiveReader:
    """Gives the bytes back; nothing of a chunk before it is authentic.

    Args:
        file: where from.
        passphrase: of the archive.
        name: for errors.

    Raises:
        ConfigError: not an archive, or the passphrase is another one.
    """

    def __init__(self, file: BinaryIO, passphrase: str, name: str) -> None:
        self._file = file
        self._name = name
        self._header = file.read(_HEADER_BYTES)
        if not self._header.startswith(MAGIC) or len(self._header) != _HEADER_BYTES:
            raise ConfigError(f"{name}: is no archive of `fedchain node backup`, or one of another version")
        salt = self._header[len(MAGIC) : len(MAGIC) + _SALT_BYTES]
        key, check = _derive(passphrase, salt)
        if not hmac.compare_digest(check, self._header[-_KEY_BYTES:]):
            raise ConfigError(f"{name}: the passphrase does not open it; give the one that it was made with")
        self._cipher = ChaCha20Poly1305(key)
        self._ahead = file.read(CHUNK_BYTES + _TAG_BYTES)
        self._buffer = b""
        self._chunks = 0
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, none at the end.

        Raises:
            CryptoError: the archive is damaged or cut off.
        """
        while not self._ended and (size < 0 or len(self._buffer) < size):
            self._buffer += self._open()
        wanted = len(self._buffer) if size < 0 else size
        data, self._buffer = self._buffer[:wanted], self._buffer[wanted:]
        return data

    def finish(self) -> None:
        """Read to the end, so that its being whole is known.

        Raises:
            CryptoError: the archive is damaged or cut off.
        """
        while self.read(CHUNK_BYTES):
            continue

    def _open(self) -> bytes:
        sealed, self._ahead = self._ahead, self._file.read(CHUNK_BYTES + _TAG_BYTES)
        self._ended = not self._ahead
        try:
            chunk = self._cipher.decrypt(_nonce(self._chunks, self._ended), sealed, self._header)
        except InvalidTag:
            raise CryptoError(f"{self._name}: damaged or cut off; nothing is restored, take another copy") from None
        self._chunks += 1
        return chunk


def _derive(passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
    derived = Scrypt(salt=salt, length=2 * _KEY_BYTES, **_SCRYPT).derive(passphrase.encode("utf-8"))
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((is_last,))
