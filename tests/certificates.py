"""Stand-ins for certificates and keys, where nobody connects: the registry looks at length and hash alone."""

from __future__ import annotations


def stand_in_certificate(name: str) -> bytes:
    """Bytes that are no other name's."""
    return b"stand-in certificate of " + name.encode()


STAND_IN_KEY = b"stand-in encryption key, 32 byte"
"""In the place of an X25519 public key; parties may have the same."""
