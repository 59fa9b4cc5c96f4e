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

MISSING_TOKENS = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
"""Cells that count as missing, after trimming and lower-casing."""

_CANONICAL_INTEGER = re.compile(r"0|[1-9][0-9]{0,37}", re.ASCII)
_WHOLE_FLOAT = re.compile(r"(0|[1-9][0-9]{0,37})\.0+", re.ASCII)
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
