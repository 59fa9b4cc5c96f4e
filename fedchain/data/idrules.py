"""How ids are spelled: the parts of an id, the rules for each, and one spelling of them all together.

A job declares the rules and every party applies them to its own cells, so that one customer has one spelling at all of
them. The rules have a canonical encoding; its digest is on chain with the job, and every party declares the one it
applied before it sends anything that was made from ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from fedchain.data.ids import is_missing, normalize_id, whole_number
from fedchain.data.phone import PhoneFormat
from fedchain.data.unicode import UNICODE_VERSION, Form, folded, normal_form

VERSION = "fedchain-id-rules-1"
"""Of what the rules mean: another meaning gets another version, and so another digest."""

Rule = Literal["trim", "nfc", "nfkc", "casefold", "squeeze", "digits", "phone", "whole_number"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""In the order in which they are applied."""

MAX_PARTS = 8
"""Parts of an id."""

_ALONE: tuple[Rule, ...] = ("digits", "phone")
_BLANKS = re.compile(r"\s+")
_NO_DIGITS = re.compile(r"[^0-9]+")


def in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules in canonical form: in the order of `RULES`, each once, with ``trim`` and what others need.

    ``casefold`` needs a normal form and brings ``nfc`` unless ``nfkc`` is there.

    Raises:
        ValueError: rules that exclude each other.
    """
    chosen = {*rules, "trim"}
    if "casefold" in chosen and "nfkc" not in chosen:
        chosen.add("nfc")
    if {"nfc", "nfkc"} <= chosen:
        raise ValueError("nfc and nfkc exclude each other")
    for alone in _ALONE:
        if alone in chosen and chosen != {alone, "trim"}:
            raise ValueError(f"{alone} says all; beside it there may be trim alone")
    return tuple(rule for rule in RULES if rule in chosen)


def _joined(texts: Sequence[str | None]) -> str | None:
    joined = ""
    for text in texts:
        if text is None:
            return None
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        joined += f"{size}:{text},"
    return joined


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class IdPart:
    """One part of an id: what it is called, and how it is spelled.

    Rules, applied in this order:

    | rule | what it does |
    |---|---|
    | ``trim`` | cuts white space around the text; always there |
    | ``nfc``, ``nfkc`` | Unicode normal form; ``nfkc`` makes full-width letters, ligatures … plain |
    | ``casefold`` | full case folding: no difference between upper and lower case in any script |
    | ``squeeze`` | white space inside the text is one blank |
    | ``digits`` | digits alone count; full-width ones are plain ones |
    | ``phone`` | E.164, see `fedchain.data.phone` |
    | ``whole_number`` | a whole number written as a float loses its zeros: ``12.0`` is ``12`` |

    Attributes:
        name: of the part; parties say which of their columns holds it.
        rules: as `in_order` gives them.
        phone: how telephone numbers are meant; with rule ``phone``.
    """

    name: str
    rules: tuple[Rule, ...] = ("trim", "whole_number")
    phone: PhoneFormat = field(default_factory=PhoneFormat)

    @property
    def speller(self) -> Callable[[str], str | None]:
        """`normalize`, or what is quicker and does the same."""
        return normalize_id if self.rules == ("trim", "whole_number") else self.normalize

    def normalize(self, text: str) -> str | None:
        """The canonical spelling of a cell, or None where it is blank or unreadable. Idempotent."""
        text = text.strip()
        if is_missing(text):
            return None
        rules = self.rules
        if "phone" in rules:
            return self.phone.read(text)
        if "digits" in rules:
            return _NO_DIGITS.sub("", whole_number(normal_form(text, "NFKC").strip())) or None
        if "casefold" in rules:
            text = folded(text, self._form).strip()
        elif len(rules) > 1 and rules[1] in ("nfc", "nfkc"):
            text = normal_form(text, self._form).strip()
        if "squeeze" in rules:
            text = _BLANKS.sub(" ", text)
        if "whole_number" in rules:
            text = whole_number(text)
        return None if is_missing(text) else text

    @cached_property
    def _form(self) -> Form:
        return "NFKC" if "nfkc" in self.rules else "NFC"

    def to_json(self) -> dict[str, object]:
        """Name, rules in order, and the phone format where it counts."""
        found: dict[str, object] = {"name": self.name, "rules": list(self.rules)}
        if "phone" in self.rules:
            found["phone"] = {
                "country_code": self.phone.country_code,
                "trunk_prefix": self.phone.trunk_prefix,
                "international_prefix": self.phone.international_prefix,
                "national_digits": sorted(self.phone.national_digits),
            }
        return found


@dataclass(frozen=True)
class IdRules:
    """All parts of an id, in the job's order.

    Attributes:
        parts: 1 to `MAX_PARTS`, of distinct names.
    """

    parts: tuple[IdPart, ...] = (IdPart("id"),)

    def spell(self, columns: Sequence[Sequence[str]]) -> list[str | None]:
        """One id for each row, or None where a part is blank or unreadable: such a row matches nobody's.

        A single part is itself. Several are joined as netstrings, ``<bytes in UTF-8>:<text>,`` one after the other,
        so that no two different rows are spelled alike, whatever their cells hold.

        Args:
            columns: one per part, in order; all of one length.
        """
        spelled = [list(map(part.speller, column)) for part, column in zip(self.parts, columns, strict=True)]
        ids = spelled[0] if len(spelled) == 1 else [_joined(texts) for texts in zip(*spelled, strict=True)]
        try:
            "".join([one for one in ids if one is not None]).encode()
        except UnicodeEncodeError:  # half a surrogate pair is no text
            return [None if one is None or not _is_text(one) else one for one in ids]
        return ids

    def encode(self) -> bytes:
        """Canonical encoding: JSON in ASCII, keys sorted, without blanks."""
        document = {
            "version": VERSION,
            "unicode": UNICODE_VERSION,
            "joined": "netstrings" if len(self.parts) > 1 else "single",
            "parts": [part.to_json() for part in self.parts],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical encoding, 32 bytes: equal where and only where ids are spelled alike."""
        return hashlib.sha256(self.encode()).digest()


DEFAULT_RULES = IdRules()
"""A single part, trimmed, whole numbers without zeros."""
