"""Times and amounts as a report writes them."""

from __future__ import annotations

from datetime import datetime, timezone
from unicodedata import category

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


def printable(text: str) -> str:
    """What people wrote, without characters that have no picture and could upset a page, such as zeros."""
    return "".join("\ufffd" if category(one) in ("Cc", "Cs") and one not in "\n\t" else one for one in text)


def utc(seconds: int) -> str:
    """A block's time."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
