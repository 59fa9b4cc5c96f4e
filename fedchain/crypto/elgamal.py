"""Exponential ElGamal on secp256k1: additively homomorphic encryption of small integers.

A ciphertext of (m_1, …, m_c) is (r·G, m_1·G + r·h_1, …, m_c·G + r·h_c) with one fresh r and independent keys
h_j = x_j·G. Ciphertexts add component by component; decryption gives m_j·G and needs a small discrete logarithm.

Who sees what: the passive party holds the public key and ciphertexts and learns the number of rows, under DDH. The
active party decrypts sums and learns every bin sum, never which rows made it: sums are re-randomised.

Not authenticated and malleable by design: uplinks are signed, and announced splits are recomputed by the active party.

Sources: ElGamal (1985) "A Public Key Cryptosystem and a Signature Scheme Based on Discrete Logarithms"; Cramer,
Gennaro, Schoenmakers (1997) "A Secure and Optimally Efficient Multi-Authority Election Scheme" for m in the exponent;
Cheng et al., "SecureBoost" arXiv:1901.08755 for histograms of encrypted gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import NoReturn

import numpy as np

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.compute.pool import Block
from fedchain.crypto import pairs
from fedchain.crypto.ciphertexts import MAX_COLUMNS, CipherRows, CipherSums, Integers, checked_columns
from fedchain.crypto.counts import DECRYPTED, ENCRYPTED
from fedchain.crypto.curve import ORDER, STRUCT_BYTES, Int64s, random_scalars
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.histograms import histogram, histograms
from fedchain.crypto.keys import PublicKey
from fedchain.crypto.masks import (
    SMALL_LIMIT,
    Maker,
    MaskPool,
    ZeroPool,
    encrypt_fresh,
    encrypt_masked,
    mask_maker,
    small_multiples,
)
from fedchain.crypto.points import PointArray, concat, generator
from fedchain.crypto.tables import generator_table, window_members
from fedchain.errors import CryptoError

__all__ = ["KeyPair", "MaskPool", "PublicKey", "ZeroPool", "histogram", "histograms", "public_encrypt"]

SECRET_BYTES = 32
ENCRYPT_CHUNK = 1024
ADD_CHUNK = 4096
BATCH_ROWS = 1 << 15
"""Rows whose chunks are in flight at once: bounds the memory beside the ciphertexts themselves."""


class KeyPair:
    """Secrets x_1 … x_c and their public key. One per job; no secret in its repr.

    A party that must survive a restart keeps `secret_bytes` where nobody else reads, until the job has ended.
    """

    __slots__ = ("_secrets", "public")

    def __init__(self, secrets: Sequence[int]) -> None:
        """Hold given secrets; use `generate` outside tests.

        Raises:
            CryptoError: a secret out of [1, n-1], or two equal up to sign.
            InvalidPointError: a secret is 1 or n-1.
        """
        if not all(0 < x < ORDER for x in secrets) or len({min(x, ORDER - x) for x in secrets}) != len(secrets):
            raise CryptoError("ElGamal secrets must be in [1, n-1] and pairwise different up to sign")
        self._secrets = tuple(secrets)
        self.public = PublicKey(concat([generator().multiply(x) for x in secrets]))

    @classmethod
    def generate(cls, columns: int) -> KeyPair:
        """Fresh independent secrets from the operating system, pairwise different.

        Raises:
            CryptoError: `columns` is not in 1 … 64.
        """
        if not 1 <= columns <= MAX_COLUMNS:
            raise CryptoError(f"a key pair needs 1 to {MAX_COLUMNS} columns, asked for {columns}")
        while True:
            try:
                return cls(random_scalars(columns))
            except CryptoError:  # equal secrets, or 1: probability 2^-250
                continue

    @classmethod
    def from_secret_bytes(cls, raw: bytes) -> KeyPair:
        """The pair of `secret_bytes`.

        Raises:
            CryptoError: of another length, or no such secrets.
        """
        if not raw or len(raw) % SECRET_BYTES or len(raw) > MAX_COLUMNS * SECRET_BYTES:
            raise CryptoError(f"secrets of a key pair have {SECRET_BYTES} bytes for each column, found {len(raw)}")
        return cls([int.from_bytes(raw[i : i + SECRET_BYTES], "big") for i in range(0, len(raw), SECRET_BYTES)])

    def secret_bytes(self) -> bytes:
        """The secrets, 32 bytes each: whoever has them reads every gradient of the job."""
        return b"".join(x.to_bytes(SECRET_BYTES, "big") for x in self._secrets)

    @property
    def columns(self) -> int:
        """How many plaintext columns."""
        return len(self._secrets)

    def mask_maker(self) -> Maker:
        """A function of a number that gives so many fresh masks; it holds the secrets (see `masks`)."""
        return mask_maker(self._secrets)

    def encrypt_rows(
        self, values: Integers, executor: Executor | None = None, masks: MaskPool | None = None
    ) -> CipherRows:
        """Encrypt rows under fresh randomness; about 19 µs per row and core with two columns, 3 with masks in stock.

        The key holder knows x_j, so a row is 1 + c fixed-base multiplies, or c additions to a ready mask.

        Args:
            values: (n, c) integers, small enough that the sums taken of them stay within the decryption bound.
            executor: where the work runs.
            masks: this key's pool: rows use masks while there are any in stock; the pool pauses meanwhile.

        Returns:
            n ciphertexts. They show n and c, nothing else, to whoever does not hold the secrets.

        Raises:
            CryptoError: wrong shape or dtype, or the pool is of another key.
        """
        values = _checked(values, self.columns)
        if masks is not None and masks.keys is not self:
            raise CryptoError("the pool of masks is of another key")
        executor = executor or default_executor()
        components = [np.empty((len(values), STRUCT_BYTES), np.uint8) for _ in range(1 + self.columns)]
        with masks.paused() if masks is not None else nullcontext():
            done = 0
            for cut in chunks(len(values), BATCH_ROWS):
                for block in self._encrypt_batch(values[cut], executor, masks):
                    for component, part in zip(components, block, strict=True):
                        component[done : done + len(part)] = part
                    done += len(block[0])
        ENCRYPTED.add(values.size)
        columns = [PointArray(component) for component in components]
        return CipherRows(columns[0], tuple(columns[1:]))

    def _encrypt_batch(self, values: Int64s, executor: Executor, masks: MaskPool | None) -> list[Block]:
        """Blocks of ciphertexts, in order: rows whose masks are in stock, then the others."""
        blocks: list[Block] = []
        small = values.min(initial=0) >= -SMALL_LIMIT and values.max(initial=0) <= SMALL_LIMIT
        stock = masks.draw(len(values)) if masks is not None and small else None
        ready = len(stock[0]) if stock is not None else 0
        if stock is not None:
            tasks = [(values[:ready][cut], tuple(part[cut] for part in stock)) for cut in chunks(ready, ADD_CHUNK)]
            blocks += executor.map(partial(encrypt_masked, small_multiples()), tasks)
        rest = values[ready:]
        work = partial(encrypt_fresh, generator_table(), self._secrets)
        blocks += executor.map(work, [rest[cut] for cut in chunks(len(rest), ENCRYPT_CHUNK)])
        return blocks

    def decrypt_sums(
        self,
        sums: CipherSums | CipherRows,
        bound: int,
        dlog: DlogTable,
        executor: Executor | None = None,
        columns: Sequence[int] | None = None,
    ) -> Int64s:
        """Decrypt; about 50 µs per value and core while |m| is within the table, more beyond.

        Args:
            sums: k ciphertexts of c columns.
            bound: largest |m| the protocol allows, at most 2^30.
            dlog: the table of small multiples of G.
            executor: where the work runs.
            columns: which of the key's columns `sums` holds, in its order; None for all.

        Returns:
            (k, c) int64.

        Raises:
            DecryptionRangeError: a plaintext is beyond `bound`.
            CryptoError: the number of columns is not the key's, or not that of `columns`.
        """
        chosen = checked_columns(columns, self.columns)
        if sums.columns != len(chosen):
            raise CryptoError(f"ciphertexts have {sums.columns} columns, the key has {len(chosen)} to decrypt them")
        messages = [
            column.add(sums.c1.multiply(ORDER - self._secrets[j], executor), executor) if len(sums) else column
            for j, column in zip(chosen, sums.c2, strict=True)
        ]
        DECRYPTED.add(len(sums) * len(chosen))
        plaintexts: Int64s = dlog.solve(concat(messages), bound, executor).reshape(len(chosen), len(sums)).T.copy()
        return plaintexts

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key pair is never pickled")

    def __repr__(self) -> str:
        return f"KeyPair(columns={self.columns})"


def public_encrypt(public_key: PublicKey, values: Integers, executor: Executor | None = None) -> CipherRows:
    """Encrypt with the public key alone; (1 + 2c) fixed-base multiplies per row.

    Args:
        public_key: c columns.
        values: (n, c) integers.

    Returns:
        n ciphertexts, distributed as those of `KeyPair.encrypt_rows`.

    Raises:
        CryptoError: wrong shape or dtype.
    """
    values = _checked(values, public_key.columns)
    table, key_tables = generator_table(), public_key.tables(executor)
    scalars = random_scalars(len(values))
    columns = []
    for j, key_table in enumerate(key_tables):
        # m·G + r·h as one sum of table entries, so that m = 0 needs no special case
        blinds = window_members(scalars, key_table.window_bits) + len(table.entries)
        members = np.concatenate([window_members(values[:, j].tolist(), table.window_bits), blinds], axis=1)
        columns.append(PointArray(*pairs.sum_rows([table.entries.structs, key_table.entries.structs], members)))
    ENCRYPTED.add(values.size)
    return CipherRows(table.multiply_base(scalars, executor), tuple(columns))


def _checked(values: Integers, columns: int) -> Int64s:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != columns or not np.issubdtype(values.dtype, np.integer):
        raise CryptoError(f"plaintexts must be integers of shape (n, {columns}), found {values.dtype} {values.shape}")
    return values.astype(np.int64)
