"""Shared, slow to make: a small table of discrete logarithms and a key pair with its tables."""

from __future__ import annotations

import pytest

from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair


@pytest.fixture(scope="session")
def dlog() -> DlogTable:
    return DlogTable.build(1 << 12)


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    pair = KeyPair.generate(2)
    pair.public.tables()
    return pair
