"""What others wrote, made fit to be shown: no character of it does more than be read."""

from __future__ import annotations

from unicodedata import category

_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of text; with them a line can be made to read as another."""
_KEPT = "\n\t"


def printable(text: str) -> str:
    """A text without control characters (C0 with escape, C1, delete), lone surrogates and marks of direction.

    Each is replaced by U+FFFD, so that something is seen to have been there; ends of lines and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if _is_odd(one) else one for one in text)


def one_line(text: str) -> str:
    """The same in one line, with single spaces."""
    return printable(" ".join(text.split()))


def escaped(json_text: str) -> str:
    """JSON of the same meaning, in which these characters are escaped."""
    if json_text.isascii() and "\x7f" not in json_text:
        return json_text
    return "".join(f"\\u{ord(one):04x}" if _is_odd(one) else one for one in json_text)


def _is_odd(one: str) -> bool:
    return one in _DIRECTIONS or (category(one) in ("Cc", "Cs") and one not in _KEPT)
