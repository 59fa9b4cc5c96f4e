"""Decimal numbers as tables write them."""

from __future__ import annotations

MAX_NUMBER_LENGTH = 400
"""Characters: longer texts are no numbers."""


def parse_number(text: str) -> float | None:
    """A trimmed cell as float, or None if it is no decimal number.

    Accepts ASCII decimal notation with optional sign and exponent, and what overflows or says ``inf`` as an infinity;
    refuses NaN spellings, digit grouping (``1_000``, ``1,000``) and other scripts' digits. Minus zero becomes zero.
    """
    if len(text) > MAX_NUMBER_LENGTH or not text.isascii() or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return None if number != number else number + 0.0
