"""Unicode normal forms and case folding that are the same under every Python that fedchain runs on.

Python brings its own Unicode tables: 13.0 in Python 3.10, 15.1 in 3.13. Unicode never changes the forms of a character
that is assigned (https://www.unicode.org/policies/stability_policy.html), but a newer version gives forms to
characters that an older one does not know. So characters that came after 13.0 and have any are left alone: text between
them is treated as Unicode 13.0 treats it, for which they are unassigned.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal
from unicodedata import normalize

UNICODE_VERSION = "13.0"
"""Whose tables count."""

KNOWN_VERSIONS = ("13.0.0", "14.0.0", "15.0.0", "15.1.0")
"""Of the tables that `_LATER` was made for: Python 3.10 to 3.13."""

Form = Literal["NFC", "NFKC"]

_LATER = re.compile(
    "(["
    "\u0898-\u089f\u08ca-\u08d2\u0c3c\u1715\u1ac1-\u1ace\u1dfa\u2c2f\ua7c0\ua7d0\ua7d6\ua7d8\ua7f2-\ua7f4"
    "\U00010570-\U0001057a\U0001057c-\U0001058a\U0001058c-\U00010592\U00010594-\U00010595"
    "\U00010781-\U00010785\U00010787-\U000107b0\U000107b2-\U000107ba\U00010efd-\U00010eff\U00010f82-\U00010f85"
    "\U00011070\U00011f41-\U00011f42\U0001e030-\U0001e06d\U0001e08f\U0001e2ae\U0001e4ec-\U0001e4ef"
    "]+)"
)
"""Characters assigned after 13.0 with a case folding, a decomposition or a combining class of their own."""

_ROUNDS = 4


def normal_form(text: str, form: Form) -> str:
    """The text in a normal form of Unicode 13.0. Idempotent."""
    if text.isascii():
        return text
    return _between_later(text, lambda piece: normalize(form, piece))


def folded(text: str, form: Form) -> str:
    """The text without differences of case, in a normal form. Idempotent.

    Full case folding of the canonical decomposition, normalised, until nothing changes: Unicode 13.0, section 3.13,
    definitions D145 (``NFC``) and, nearly, D146 (``NFKC``).
    """
    if text.isascii():
        return text.lower()
    return _between_later(text, lambda piece: _folded(piece, form))


def _folded(text: str, form: Form) -> str:
    for _ in range(_ROUNDS):
        again = normalize(form, normalize("NFD", text).casefold())
        if again == text:
            break
        text = again
    return text


def _between_later(text: str, change: Callable[[str], str]) -> str:
    pieces = _LATER.split(text)
    if len(pieces) == 1:
        return change(text)
    return "".join(piece if place % 2 else change(piece) for place, piece in enumerate(pieces))
