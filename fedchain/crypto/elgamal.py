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

import threading
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.crypto import curve
from fedchain.crypto.ciphertexts import MAX_COLUMNS, CipherRows, CipherSums
from fedchain.crypto.curve import COMPRESSED_BYTES, ORDER, Bools, Bytes2D, Int64s, random_scalars
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.points import PointArray, concat, generator
from fedchain.crypto.tables import KEY_BITS, FixedBaseTable, generator_table, window_members
from fedchain.errors import CryptoError, InvalidPointError

ENCRYPT_CHUNK = 512

Integers = npt.NDArray[np.integer]
FeatureTask = tuple[Bytes2D, Bytes2D, Int64s, Integers, Int64s]


class PublicKey:
    """c independent public points h_j, and their fixed-base tables once they are needed.

    Attributes:
        points: c points, pairwise different up to sign, none of them G or -G.
    """

    def __init__(self, points: PointArray) -> None:
        """Check and hold the points.

        Raises:
            InvalidPointError: none or too many, infinity, G, or two points that are equal up to sign (their
                ciphertexts would show m_1 - m_2 or m_1 + m_2).
        """
        if not 1 <= len(points) <= MAX_COLUMNS:
            raise InvalidPointError(f"a public key needs 1 to {MAX_COLUMNS} points, found {len(points)}")
        points.require_finite()
        if len(set(concat([generator(), points]).x_words().tolist())) != len(points) + 1:
            raise InvalidPointError("a public key's points must differ, up to sign, from each other and from G")
        self.points = points
        self._lock = threading.Lock()
        self._tables: tuple[FixedBaseTable, ...] = ()

    @property
    def columns(self) -> int:
        """How many plaintext columns the key serves."""
        return len(self.points)

    def tables(self, executor: Executor | None = None) -> tuple[FixedBaseTable, ...]:
        """The fixed-base tables of h_1 … h_c, built on first use (about 0.03 s and 0.5 MB each)."""
        with self._lock:
            if not self._tables:
                points = [self.points[j : j + 1] for j in range(self.columns)]
                self._tables = tuple(FixedBaseTable(point, executor, KEY_BITS) for point in points)
            return self._tables

    def to_bytes(self) -> bytes:
        """``c * 33`` bytes of compressed SEC1."""
        return self.points.to_sec1(compressed=True)

    @classmethod
    def from_bytes(cls, data: bytes, columns: int, culprit: str) -> PublicKey:
        """Parse and validate a peer's key.

        Args:
            data: exactly ``columns * 33`` bytes.
            columns: how many columns the protocol expects.
            culprit: the sender, named in the error.

        Raises:
            InvalidPointError: wrong length, invalid or repeated points.
        """
        if not 1 <= columns <= MAX_COLUMNS or len(data) != columns * COMPRESSED_BYTES:
            raise InvalidPointError(f"{culprit}: a public key of {columns} columns cannot have {len(data)} bytes")
        points = PointArray.from_sec1(data, columns, culprit, compressed=True)
        try:
            return cls(points)
        except InvalidPointError as error:
            raise InvalidPointError(f"{culprit}: {error}") from error


class KeyPair:
    """Secrets x_1 … x_c and their public key. One per job; never written anywhere; no secret in its repr."""

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

    @property
    def columns(self) -> int:
        """How many plaintext columns."""
        return len(self._secrets)

    def encrypt_rows(self, values: Integers, executor: Executor | None = None) -> CipherRows:
        """Encrypt rows under fresh randomness; the key holder knows x_j, so a row is 1 + c fixed-base multiplies.

        Args:
            values: (n, c) integers, small enough that the sums taken of them stay within the decryption bound.

        Returns:
            n ciphertexts. They show n and c, nothing else, to whoever does not hold the secrets.

        Raises:
            CryptoError: wrong shape or dtype.
        """
        values = _checked(values, self.columns)
        work = partial(_encrypt, generator_table().entries.structs, self._secrets)
        parts = (executor or default_executor()).map(work, [values[cut] for cut in chunks(len(values), ENCRYPT_CHUNK)])
        if not parts:
            return CipherRows(concat([]), (concat([]),) * self.columns)
        columns = [
            PointArray(np.concatenate([s[j] for s, _ in parts]), np.concatenate([i[j] for _, i in parts]))
            for j in range(1 + self.columns)
        ]
        return CipherRows(columns[0], tuple(columns[1:]))

    def decrypt_sums(
        self, sums: CipherSums | CipherRows, bound: int, dlog: DlogTable, executor: Executor | None = None
    ) -> Int64s:
        """Decrypt; about 50 µs per value and core while |m| is within the table, more beyond.

        Args:
            sums: k ciphertexts of c columns.
            bound: largest |m| the protocol allows, at most 2^30.
            dlog: the table of small multiples of G.

        Returns:
            (k, c) int64.

        Raises:
            DecryptionRangeError: a plaintext is beyond `bound`.
            CryptoError: the number of columns is not the key's.
        """
        if sums.columns != self.columns:
            raise CryptoError(f"ciphertexts have {sums.columns} columns, the key has {self.columns}")
        messages = [
            column.add(sums.c1.multiply(ORDER - x, executor), executor) if len(sums) else column
            for x, column in zip(self._secrets, sums.c2, strict=True)
        ]
        plaintexts: Int64s = dlog.solve(concat(messages), bound, executor).reshape(self.columns, len(sums)).T.copy()
        return plaintexts

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
        column = values[:, j].tolist()
        # m·G + r·h as one sum of table entries, so that m = 0 needs no special case
        masks = window_members(scalars, key_table.window_bits) + len(table.entries)
        members = np.concatenate([window_members(column, table.window_bits), masks], axis=1)
        offsets = np.arange(len(values) + 1) * members.shape[1]
        structs, infinity = curve.sum_groups(
            [table.entries.structs, key_table.entries.structs], members.reshape(-1), offsets
        )
        columns.append(PointArray(structs, infinity))
    return CipherRows(table.multiply_base(scalars, executor), tuple(columns))


def histogram(
    cipher_rows: CipherRows,
    row_index: Integers,
    bin_matrix: Integers,
    n_bins: Sequence[int],
    public_key: PublicKey,
    executor: Executor | None = None,
) -> CipherSums:
    """Encrypted sums of a node's rows for every (feature, bin), re-randomised.

    One library call per (feature, bin, component): the rows' ciphertexts, then the table entries that sum to s·G (or
    s·h_j) for a fresh s. So an empty bin is a fresh encryption of zero, and no sum shows which rows, or how many, it
    holds to whoever knows the rows' ciphertexts.

    Args:
        cipher_rows: n ciphertexts.
        row_index: (k,) positions of the node's rows in ``range(n)``.
        bin_matrix: (n, f) bins of all rows; ``0 <= bin_matrix[:, j] < n_bins[j]``.
        n_bins: f numbers of bins, each at least 1.
        public_key: the key of `cipher_rows`.

    Returns:
        ``sum(n_bins)`` ciphertexts, feature by feature, bin by bin.

    Raises:
        CryptoError: shapes, rows or bins out of range, or another key's number of columns.
    """
    bin_matrix, rows = np.asarray(bin_matrix), np.asarray(row_index).astype(np.int64)
    if cipher_rows.columns != public_key.columns:
        raise CryptoError(f"ciphertexts have {cipher_rows.columns} columns, the key has {public_key.columns}")
    if bin_matrix.ndim != 2 or bin_matrix.shape != (len(cipher_rows), len(n_bins)) or len(n_bins) < 1:
        raise CryptoError(f"bins have shape {bin_matrix.shape}, expected {(len(cipher_rows), len(n_bins))}")
    if rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < len(cipher_rows)):
        raise CryptoError(f"row positions must lie within the {len(cipher_rows)} ciphertexts")
    if min(n_bins) < 1:
        raise CryptoError("every feature needs at least one bin")
    tables = (generator_table(), *public_key.tables(executor))
    components = (cipher_rows.c1, *cipher_rows.c2)
    tasks: list[FeatureTask] = []
    for j, count in enumerate(n_bins):
        bins = np.ascontiguousarray(bin_matrix[:, j])[rows]
        if len(bins) and not 0 <= bins.min() <= bins.max() < count:
            raise CryptoError(f"feature {j} has a bin outside 0 … {count - 1}")
        scalars = random_scalars(count)
        for component, table in zip(components, tables, strict=True):
            masks = window_members(scalars, table.window_bits)
            tasks.append((component.structs, table.entries.structs, rows, bins, masks))
    results = (executor or default_executor()).map(_feature_sums, tasks)
    width = len(components)
    columns = [
        PointArray(np.concatenate([s for s, _ in results[i::width]]), np.concatenate([m for _, m in results[i::width]]))
        for i in range(width)
    ]
    return CipherSums(columns[0], tuple(columns[1:]))


def _feature_sums(task: FeatureTask) -> tuple[Bytes2D, Bools]:
    """One feature, one component: every bin's rows and the mask's table entries, summed."""
    rows, table, row_index, bins, masks = task
    count, windows = masks.shape
    order = np.argsort(bins, kind="stable")
    sorted_bins = bins[order].astype(np.int64)
    ends = np.cumsum(np.bincount(sorted_bins, minlength=count))
    offsets = np.zeros(count + 1, np.int64)
    offsets[1:] = ends + windows * np.arange(1, count + 1)
    members = np.empty(offsets[-1], np.int64)
    members[np.arange(len(order)) + windows * sorted_bins] = row_index[order]
    members[(ends + windows * np.arange(count))[:, None] + np.arange(windows)] = masks + len(rows)
    return curve.sum_groups([rows, table], members, offsets)


def _encrypt(entries: Bytes2D, secrets: tuple[int, ...], values: Int64s) -> tuple[list[Bytes2D], list[Bools]]:
    """A chunk of rows: one struct array and one infinity mask per component, drawing its own randomness."""
    count, columns = values.shape
    masks = random_scalars(count)
    scalars = list(masks)
    for j, x in enumerate(secrets):
        scalars += [m + r * x for m, r in zip(values[:, j].tolist(), masks, strict=True)]
    members = window_members(scalars)
    offsets = np.arange(len(scalars) + 1) * members.shape[1]
    structs, infinity = curve.sum_groups([entries], members.reshape(-1), offsets)
    return list(structs.reshape(1 + columns, count, -1)), list(infinity.reshape(1 + columns, count))


def _checked(values: Integers, columns: int) -> Int64s:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != columns or not np.issubdtype(values.dtype, np.integer):
        raise CryptoError(f"plaintexts must be integers of shape (n, {columns}), found {values.dtype} {values.shape}")
    return values.astype(np.int64)
