"""Row ids: one canonical spelling, one order, the same at every party.

Spelling where a job declares nothing else (`normalize_id`; for what it can declare see `fedchain.data.idrules`):
surrounding white space is cut; a whole number written as a float loses its zeros (``12.0`` becomes ``12``, as a
spreadsheet may write one column either way); all else stays as it is. Leading zeros mean something and stay (``0012``
is not ``12``), letters keep their case, an empty cell or a missing-value token is no id at all.

Order (`sort_ids`): ascending by number where every id is a canonical whole number, else bytewise by UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fedchain.data.idarray import Ids

MISSING_TOKENS = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
"""Cells that count as missing, after trimming and lower-casing."""

_CANONICAL_INTEGER = re.compile(r"0|[1-9][0-9]{0,37}", re.ASCII)
_WHOLE_FLOAT = re.compile(r"(0|[1-9][0-9]{0,37})\.0+", re.ASCII)
_DIGITS = 38
_WIDEST = 64
_CHUNK = 2**16
_TOKEN_LENGTH = max(map(len, MISSING_TOKENS))


def is_missing(text: str) -> bool:
    """Whether a trimmed cell counts as missing: blank, or one of `MISSING_TOKENS` in any case."""
    return len(text) <= _TOKEN_LENGTH and text.lower() in MISSING_TOKENS


def normalize_id(text: str) -> str | None:
    """The canonical spelling of an id, or None for a blank one.

    Idempotent: the canonical spelling of a canonical spelling is itself.
    """
    text = text.strip()
    return None if is_missing(text) else whole_number(text)


def whole_number(text: str) -> str:
    """A trimmed text; a whole number written as a float without its zeros."""
    if not text.endswith("0"):
        return text
    whole = _WHOLE_FLOAT.fullmatch(text)
    return whole.group(1) if whole else text


def sort_ids(ids: Iterable[str]) -> list[str]:
    """Canonical ids in the aligned order that all parties share.

    Args:
        ids: canonical ids, as `normalize_id` gives them.

    Returns:
        Ascending by value if every id is a whole number without leading zeros of up to 38 digits, else bytewise by
        UTF-8 (which is the order of Unicode code points). The order depends on the set alone, not on its order.
    """
    listed = list(ids)
    if all(_CANONICAL_INTEGER.fullmatch(each) for each in listed):
        return sorted(listed, key=int)
    return sorted(listed)


def sorted_rows(ids: Ids) -> NDArray[np.int64]:
    """The places of canonical ids in the order of `sort_ids`, without a Python text for each.

    Returns:
        (n,) int64: the place of the first id, of the second, …
    """
    lengths = np.diff(ids.offsets)
    width = int(lengths.max(initial=0))
    if width > _WIDEST or b"\0" in ids.buffer:  # fixed-width texts of numpy end before their last zeros
        raws = list(ids.encoded())
        return np.asarray(sorted(range(len(raws)), key=raws.__getitem__), np.int64)
    fixed = np.zeros(len(ids), f"S{max(1, width)}")
    encoded = ids.encoded()
    for first in range(0, len(ids), _CHUNK):
        chunk = list(islice(encoded, _CHUNK))
        fixed[first : first + len(chunk)] = chunk
    if width <= _DIGITS and _are_whole_numbers(ids, lengths):
        return np.lexsort((fixed, lengths)).astype(np.int64)
    return np.argsort(fixed, kind="stable").astype(np.int64)


def _are_whole_numbers(ids: Ids, lengths: NDArray[np.int64]) -> bool:
    """Whether all ids are whole numbers without leading zeros: longer ones are larger ones."""
    if not ids.buffer.isdigit() or not lengths.all():
        return not len(ids)
    begin_with_zero = np.frombuffer(ids.buffer, np.uint8)[ids.offsets[:-1]] == ord("0")
    return not bool((begin_with_zero & (lengths > 1)).any())
