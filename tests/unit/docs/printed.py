"""Whether a command printed what its page says, up to what differs from run to run."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

TOLERANCE = 0.05
"""Of numbers with a decimal point, relative: they may differ in their last digits between versions of libraries."""

_PIECE = re.compile(
    r"(?P<any>…)"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?Z?|\b\d\d:\d\d:\d\d\b)"
    r"|(?P<hex>\b(?:0x)?[0-9a-fA-F]{16,}\b)"
    r"|(?P<seconds>\b\d+(?:\.\d+)? s\b)"
    r"|(?P<decimal>\d+\.\d+)"
    r"|(?P<blank>\s+)"
    r"|(?P<rule>─+)"
)
_AS = {
    "any": ".*?",
    "time": r"[\d:TZ. -]+",
    "hex": r"((?:0x)?[0-9a-fA-F]+)",
    "seconds": r"\d+(?:\.\d+)? s",
    "decimal": r"(\d+\.\d+)",
    "blank": r"\s+",
    "rule": "─+",
}


def difference(said: Sequence[str], printed: Sequence[str], known: dict[str, str] | None = None) -> str | None:
    """The first line of the page that was not printed, or None; blank lines do not count.

    Args:
        said: lines of the page, `…` on a line of its own for any number of lines.
        printed: lines of the command.
        known: what stands for each digest, id and address of the page; filled, so that one that the page shows twice
            must be printed twice.
    """
    known = {} if known is None else known
    wanted = [line.strip() for line in said if line.strip()]
    found = [line.strip() for line in printed if line.strip()]
    position, free = 0, False
    for number, line in enumerate(wanted):
        if line == "…":
            free = True
            continue
        rest = range(position, len(found))
        if free and "…" not in wanted[number:]:  # what is left must fit to the end
            rest = range(max(position, len(found) - (len(wanted) - number)), len(found))
        candidates = rest if free else rest[:1]
        at = next((one for one in candidates if same(line, found[one], known)), None)
        if at is None:
            return line
        position, free = at + 1, False
    if position < len(found) and not free:
        return f"(nothing more; printed: {found[position]})"
    return None


def same(said: str, printed: str, known: dict[str, str]) -> bool:
    """Whether a printed line is the one that the page shows; if so, `known` learns its digests."""
    pattern, shown, position = "", [], 0
    for match in _PIECE.finditer(said):
        pattern += re.escape(said[position : match.start()]) + _AS[str(match.lastgroup)]
        if match.lastgroup in ("decimal", "hex"):
            shown.append((match.lastgroup, match[0]))
        position = match.end()
    matched = re.fullmatch(pattern + re.escape(said[position:]), printed)
    if matched is None:
        return False
    learned = dict(known)
    for (kind, text), found in zip(shown, matched.groups(), strict=True):
        if kind == "hex" and learned.setdefault(text, found) != found:
            return False
        if kind == "decimal" and not math.isclose(float(text), float(found), rel_tol=TOLERANCE):
            return False
    known.update(learned)
    return True
