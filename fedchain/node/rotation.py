"""What came of a rotation of a node's certificate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rotation:
    """A certificate that took the place of another. Both fingerprints are public.

    Attributes:
        earlier: fingerprint of the one before, 32 bytes; none where there was none.
        fingerprint: of the new one, 32 bytes.
        registered: whether the registry holds the new one.
        overlap_seconds: how long the node has both; 0 where it does not run.
    """

    earlier: bytes
    fingerprint: bytes
    registered: bool
    overlap_seconds: float
