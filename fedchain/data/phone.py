"""Telephone numbers in one spelling: that of ITU-T E.164, ``+`` and up to 15 digits.

By rule, not by a table of all countries' numbering plans: two parties may hold different editions of such a table, and
then spell one number differently. What a national number looks like the job says (`PhoneFormat`), and all apply it.

A cell is read in this order:

1. an optional ``tel:`` is cut, and a whole number written as a float loses its zeros (``7700900123.0``);
2. a leading ``+``, or the international prefix (``00``), says that the country code follows. In such a number, the
   trunk prefix in brackets, as in ``+44 (0)20``, is left out;
3. blanks, ``- . / ( )``, dashes and invisible marks of writing direction are left out; whatever is no digit then, as a
   letter or an extension, makes the cell unreadable;
4. any other number is national: its trunk prefix (``0``) is cut, and the country code goes before it. Where the job
   gives the lengths of national numbers, one that has none of them without its trunk prefix may begin with the
   country code instead (``447700900123``), and is unreadable otherwise;
5. a number of fewer than 7 or more than 15 digits, or whose country code begins with 0, is unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedchain.data.unicode import normal_form

MIN_DIGITS = 7
"""Digits with the country code: the shortest in use are those of small islands."""

MAX_DIGITS = 15
"""Digits with the country code, by E.164."""

_WHOLE_FLOAT = re.compile(r"([1-9][0-9]{0,17})\.0+", re.ASCII)
_LEFT_OUT = str.maketrans(
    "",
    "",
    " \t\n\r\x0b\x0c\xa0\xad-./()"
    "\u200b\u200c\u200d\u200e\u200f\u2010\u2011\u2012\u2013\u2014\u2015\u202a\u202b\u202c\u202d\u202e\u2060\u2066"
    "\u2067\u2068\u2069\u2212\ufeff",
)


@dataclass(frozen=True)
class PhoneFormat:
    """How numbers without a country code are meant.

    Attributes:
        country_code: 1 to 3 digits, such as ``44``; None: numbers without one are unreadable.
        trunk_prefix: digits before a national number that are no part of it; empty where there are none, as in Italy.
        international_prefix: digits that stand for ``+``.
        national_digits: how many digits a national number may have, without its trunk prefix; empty: any.
    """

    country_code: str | None = None
    trunk_prefix: str = "0"
    international_prefix: str = "00"
    national_digits: tuple[int, ...] = ()

    def read(self, text: str) -> str | None:
        """A number as ``+`` and digits, or None where the text is no number. Idempotent.

        Args:
            text: a trimmed cell.
        """
        if not (text.isascii() and text.isdigit()):
            text = normal_form(text, "NFKC").strip()
            if text[:4].lower() == "tel:":
                text = text[4:]
            whole = _WHOLE_FLOAT.fullmatch(text)
            if whole:
                text = whole.group(1)
        digits = text.translate(_LEFT_OUT)
        prefix = self.international_prefix
        if digits.startswith("+"):
            number = self._without_trunk(text)[1:]
        elif prefix and digits.startswith(prefix):
            number = self._without_trunk(text)[len(prefix) :]
        else:
            national = self._of_national(digits)
            if national is None:
                return None
            number = national
        if not (number.isascii() and number.isdigit()) or number[0] == "0":
            return None
        return "+" + number if MIN_DIGITS <= len(number) <= MAX_DIGITS else None

    def _without_trunk(self, text: str) -> str:
        """A number with a country code, without ``(0)`` and punctuation."""
        if self.trunk_prefix and "(" in text:
            text = text.replace(f"({self.trunk_prefix})", "", 1)
        return text.translate(_LEFT_OUT)

    def _of_national(self, digits: str) -> str | None:
        """Country code and national number."""
        code, trunk = self.country_code, self.trunk_prefix
        if code is None:
            return None
        national = digits[len(trunk) :] if trunk and digits.startswith(trunk) else digits
        if not self.national_digits or len(national) in self.national_digits:
            return code + national
        if digits.startswith(code) and len(digits) - len(code) in self.national_digits:
            return digits
        return None
