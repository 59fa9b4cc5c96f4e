"""Times and amounts as a report writes them."""

from __future__ import annotations

from datetime import datetime, timezone

from fedchain.printable import printable

__all__ = ["METHODS", "duration", "elapsed_unit", "printable", "utc"]

METHODS = {
    "leaf-mask": "by leaf masks",
    "block-permutation": "by block permutation",
    "conditional": "as conditional shares",
}
"""How a job has its shares measured, by the name in its spec."""

_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def elapsed_unit(seconds: int) -> tuple[str, int]:
    """The unit in which an axis of so many seconds reads well, and its length in seconds."""
    return next(((name, size) for name, size in _UNITS if seconds >= 3 * size), ("seconds", 1))


def duration(seconds: int) -> str:
    """1 d 2 h, 3 min 4 s: the two largest units."""
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def utc(seconds: int) -> str:
    """A block's time."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
