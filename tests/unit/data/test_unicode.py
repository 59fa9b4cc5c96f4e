"""Case and normal forms are the same under every Python."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.unicode import KNOWN_VERSIONS, Form, folded, normal_form

FORMS: tuple[Form, ...] = ("NFC", "NFKC")
OF_ALL = "71beaa27918bb149aac39bd27aec1c6f9cf344fa43b7c1c91b261e6a8628cc84"


def test_every_python_gives_the_same_forms_of_every_character() -> None:
    assert unicodedata.unidata_version in KNOWN_VERSIONS, "extend `_LATER` by what this Unicode version brought"
    hashed = hashlib.sha256()
    for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20)):
        character = chr(code)
        for form in FORMS:
            hashed.update(f"{normal_form(character, form)}\0{folded(character, form)}\0".encode())
    assert hashed.hexdigest() == OF_ALL


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text())
def test_forms_of_forms_are_themselves(form: Form, text: str) -> None:
    once = normal_form(text, form)
    assert normal_form(once, form) == once
    once = folded(text, form)
    assert folded(once, form) == once == normal_form(once, form)


@pytest.mark.parametrize("code", [0x0345, 0x03B0, 0x1F80, 0x1FB4, 0x0130, 0x1E9E, 0xFB03, 0x3300, 0x1D15E, 0xA7F2])
def test_awkward_characters_settle_at_once(code: int) -> None:
    for form in FORMS:
        once = folded(f"a{chr(code)}\u0301", form)
        assert folded(once, form) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("STRAẞE", "strasse"),
        ("Ἀθηνᾶ", "ἈΘΗΝΑ\u0342"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("Zoë", "ZOE\u0308"),
    ],
)
def test_case_folding_joins_what_a_reader_would_call_the_same(one: str, other: str) -> None:
    assert folded(one, "NFC") == folded(other, "NFC")


def test_compatibility_characters_are_plain_in_one_form_alone() -> None:
    assert folded("ＡＮＮ ﬁ", "NFKC") == "ann fi"
    assert folded("ＡＮＮ", "NFC") != "ann"


def test_characters_of_later_unicode_versions_stay_as_they_are() -> None:
    assert folded("A\U00010570B", "NFC") == "a\U00010570b"
    assert normal_form("e\u0301\ua7f2e\u0301", "NFKC") == "é\ua7f2é"
