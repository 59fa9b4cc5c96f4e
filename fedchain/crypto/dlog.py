"""Small discrete logarithms on secp256k1: from m·G to m for |m| <= 2^30, by baby steps and giant steps.

The table holds x coordinates of G, 2·G, …, T·G; as -m·G has the same x, it covers |m| <= T in one look-up. Farther
values take giant steps of 2T + 1 in both directions. Every hit is verified as m·G, so a damaged or hostile table can
make decryption fail but not lie.

Source: Shanks, "Class number, a theory of factorization, and genera" (1971).
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from fedchain.compute.executor import Executor, chunks, default_executor
from fedchain.crypto import curve
from fedchain.crypto.curve import Bytes2D, Int64s
from fedchain.crypto.points import PointArray
from fedchain.crypto.tables import generator_table
from fedchain.errors import CryptoError, DecryptionRangeError

DEFAULT_SIZE = 1 << 20
MAX_BOUND = 1 << 30
CACHE_DIR_VARIABLE = "FEDCHAIN_CACHE_DIR"

_MAGIC = b"fedchain dlog\x00"
_VERSION = 1
_HEADER = struct.Struct(f"<{len(_MAGIC)}sHQ32s")
_STRIDE = 1 << 10
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def default_path(size: int = DEFAULT_SIZE) -> Path:
    """Where the table of `size` is cached: under FEDCHAIN_CACHE_DIR, else the user's cache directory."""
    folder = os.environ.get(CACHE_DIR_VARIABLE) or platformdirs.user_cache_dir("fedchain")
    return Path(folder) / f"dlog-secp256k1-v{_VERSION}-{size}.bin"


class DlogTable:
    """Baby steps: T multiples of G, looked up by the low 64 bits of x.

    Attributes:
        size: T, how many multiples.
    """

    __slots__ = ("_codes", "_words", "size")

    def __init__(self, words: npt.NDArray[np.uint64], codes: npt.NDArray[np.uint32]) -> None:
        """Hold a table; use `build` or `load_or_build`.

        Args:
            words: (T,) uint64, strictly ascending low halves of x.
            codes: (T,) uint32, 2·i + (y of i·G is odd), in the order of `words`.

        Raises:
            CryptoError: not such a table.
        """
        if len(words) != len(codes) or len(words) < 1 or not (words[1:] > words[:-1]).all():
            raise CryptoError("a table of discrete logarithms must be sorted, without repeats")
        self._words, self._codes, self.size = words, codes, len(words)

    @classmethod
    def build(
        cls, size: int = DEFAULT_SIZE, progress: Progress | None = None, executor: Executor | None = None
    ) -> DlogTable:
        """Compute the table; 2^20 takes about 3 s on two cores.

        Args:
            size: T, a power of two from 2 to 2^26; 12 bytes each.
            progress: called with (multiples done, T) from time to time.

        Raises:
            CryptoError: a size out of range.
        """
        if not 2 <= size <= 1 << 26 or size & (size - 1):
            raise CryptoError(f"the table's size must be a power of two from 2 to 2^26, found {size}")
        executor = executor or default_executor()
        stride = min(_STRIDE, size)
        low = generator_table().multiply_base(range(1, stride + 1), executor)
        words, odd = [low.x_words()], [low.odd_y()]
        high = generator_table().multiply_base(range(stride, size, stride), executor)
        batches = chunks(len(high), 16 * executor.n_jobs)
        for cut in batches:
            blocks = [high.structs[i : i + 1] for i in range(cut.start, cut.stop)]
            for block_words, block_odd in executor.map(partial(_block, low.structs), blocks):
                words.append(block_words)
                odd.append(block_odd)
            if progress is not None:
                progress(stride * (cut.stop + 1), size)
        all_words = np.concatenate(words)
        order = np.argsort(all_words, kind="stable")
        codes = 2 * (order + 1) + np.concatenate(odd)[order]
        return cls(all_words[order], codes.astype(np.uint32))

    @classmethod
    def load_or_build(
        cls,
        path: Path | None = None,
        size: int = DEFAULT_SIZE,
        progress: Progress | None = None,
        executor: Executor | None = None,
    ) -> DlogTable:
        """Load the cached table; build and cache it when it is absent, damaged, or of another version or size.

        The table is public: it depends on the curve alone. A cache that cannot be written is only logged.

        Args:
            path: the cache file, default `default_path(size)`.
            size: T, see `build`.
            progress: see `build`; not called when the cache is good.
        """
        path = path or default_path(size)
        try:
            return cls.from_bytes(path.read_bytes(), size)
        except FileNotFoundError:
            pass
        except (OSError, CryptoError) as error:
            _log.warning("the table of discrete logarithms at %s is built anew: %s", path, error)
        table = cls.build(size, progress, executor)
        try:
            _write_atomically(path, table.to_bytes())
        except OSError as error:
            _log.warning("the table of discrete logarithms cannot be cached at %s: %s", path, error)
        return table

    def to_bytes(self) -> bytes:
        """The cache file: magic, version, size, SHA-256 of the rest, words, codes (little-endian)."""
        body = self._words.astype("<u8").tobytes() + self._codes.astype("<u4").tobytes()
        return _HEADER.pack(_MAGIC, _VERSION, self.size, hashlib.sha256(body).digest()) + body

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> DlogTable:
        """Read what `to_bytes` gave.

        Raises:
            CryptoError: damaged, or of another version or size.
        """
        if len(data) != _HEADER.size + 12 * size:
            raise CryptoError(f"a table of {size} has {_HEADER.size + 12 * size} bytes, found {len(data)}")
        magic, version, found_size, checksum = _HEADER.unpack_from(data)
        body = memoryview(data)[_HEADER.size :]
        if (magic, version, found_size) != (_MAGIC, _VERSION, size) or hashlib.sha256(body).digest() != checksum:
            raise CryptoError("the header or the checksum does not match")
        return cls(
            np.frombuffer(body[: 8 * size], "<u8").astype(np.uint64),
            np.frombuffer(body[8 * size :], "<u4").astype(np.uint32),
        )

    def solve(self, points: PointArray, bound: int, executor: Executor | None = None) -> Int64s:
        """The m of every point m·G, all points at once; giant steps only for those that need them.

        Costs about |m| / 2T giant steps of two additions (3 µs and core) per point beyond the table.

        Args:
            points: n points; infinity is m = 0.
            bound: largest |m| sought, 0 <= bound <= 2^30.

        Returns:
            (n,) int64, each verified as m·G.

        Raises:
            DecryptionRangeError: some |m| is larger than `bound`; names the first such point.
            CryptoError: `bound` out of range.
        """
        if not 0 <= bound <= MAX_BOUND:
            raise CryptoError(f"the bound must be from 0 to 2^30, found {bound}")
        executor = executor or default_executor()
        result = np.zeros(len(points), np.int64)
        open_ = np.flatnonzero(~points.infinity)
        giant = 2 * self.size + 1
        for step in range((bound + self.size) // giant + 1):
            if not len(open_):
                return result
            shifts = [0] if step == 0 else [step * giant, -step * giant]
            for shift in shifts:
                open_ = self._step(points, open_, shift, result, executor)
        if len(open_):
            raise DecryptionRangeError(f"plaintext {int(open_[0])} of {len(points)} is beyond ±{bound}")
        beyond = np.flatnonzero(np.abs(result) > bound)
        if len(beyond):
            raise DecryptionRangeError(f"plaintext {int(beyond[0])} of {len(points)} is beyond ±{bound}")
        return result

    def _step(
        self, points: PointArray, open_: npt.NDArray[np.intp], shift: int, result: Int64s, executor: Executor
    ) -> npt.NDArray[np.intp]:
        """Look up every open point minus shift·G; store verified hits in `result`; the points still open."""
        if not len(open_):
            return open_
        moved = points[open_]
        if shift:
            moved = moved.add(generator_table().multiply_base([-shift], executor), executor)
        words = moved.x_words()
        where = np.minimum(np.searchsorted(self._words, words), self.size - 1)
        codes = self._codes[where].astype(np.int64)
        found = codes >> 1
        found[(codes & 1).astype(np.bool_) != moved.odd_y()] *= -1
        found[moved.infinity] = 0
        hit = np.flatnonzero((self._words[where] == words) | moved.infinity)
        if not len(hit):
            return open_
        candidates = found[hit] + shift
        claimed = generator_table().multiply_base(candidates.tolist(), executor)
        hit = hit[claimed.equals(points[open_[hit]])]
        result[open_[hit]] = found[hit] + shift
        return np.delete(open_, hit)


def _block(low: Bytes2D, high: Bytes2D) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """x words and y parities of high + each of low."""
    pairs = np.empty((len(low), 2), np.int64)
    pairs[:, 0] = len(low)
    pairs[:, 1] = np.arange(len(low))
    sums = PointArray(*curve.sum_groups([low, high], pairs.reshape(-1), np.arange(0, pairs.size + 1, 2)))
    return sums.x_words(), sums.odd_y()


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
