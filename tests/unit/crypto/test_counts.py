"""Ciphertext operations are counted where they are asked for."""

from __future__ import annotations

import numpy as np

from fedchain.crypto.counts import ADDED, DECRYPTED, ENCRYPTED
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, histograms, public_encrypt


def test_encryptions_additions_and_decryptions_are_counted(dlog: DlogTable) -> None:
    keys = KeyPair.generate(2)
    before = (ENCRYPTED.value, ADDED.value, DECRYPTED.value)
    rows = keys.encrypt_rows(np.ones((6, 2), np.int64))
    public_encrypt(keys.public, np.ones((3, 2), np.int64))
    bins = np.zeros((6, 4), np.uint8)
    sums = histograms(rows, [np.arange(5), np.arange(1)], bins, [2] * 4, keys.public)
    keys.decrypt_sums(sums, 10, dlog)
    after = (ENCRYPTED.value, ADDED.value, DECRYPTED.value)
    # 6 + 3 rows of 2 columns; 5 + 1 rows, 4 features, 2 columns; 2 nodes, 8 bins, 2 columns
    assert tuple(one - other for one, other in zip(after, before, strict=True)) == (18, 48, 32)
