"""Stand-ins for certificates, where nobody connects: the registry looks at their length and their hash alone."""

from __future__ import annotations


def stand_in_certificate(name: str) -> bytes:
    """Bytes that are no other name's."""
    return b"stand-in certificate of " + name.encode()
