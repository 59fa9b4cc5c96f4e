"""How many ciphertext operations this process has asked for, in batches: they show sizes, never values."""

from __future__ import annotations

from fedchain.compute.tally import Tally

ENCRYPTED = Tally()
"""Plaintexts that became ciphertexts: rows times columns."""

ADDED = Tally()
"""Ciphertexts that went into encrypted sums: rows times features times columns."""

DECRYPTED = Tally()
"""Plaintexts that came out of ciphertexts: sums times columns."""
