"""Telephone numbers have one spelling each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.phone import PhoneFormat

UK = PhoneFormat("44", national_digits=(9, 10))
US = PhoneFormat("1", trunk_prefix="1", international_prefix="011", national_digits=(10,))
ITALY = PhoneFormat("39", trunk_prefix="")


@pytest.mark.parametrize(
    "text",
    [
        "+447700900123",
        "+44 7700 900123",
        "+44 (0)7700 900-123",
        "+44(0) 7700.900.123",
        "00447700900123",
        "00 44 (0) 7700 900 123",
        "07700900123",
        "(07700) 900 123",
        "07700/900–123",
        "7700900123",
        "7700900123.0",
        "447700900123",
        "447700900123.00",
        "tel:+44-7700-900123",
        "TEL:07700 900123",
        "\u202a+44\u00a07700\u2011900123\u202c",
        "＋４４ ７７００ ９００１２３",
    ],
)
def test_all_spellings_of_a_number_are_one(text: str) -> None:
    assert UK.read(text) == "+447700900123"


@pytest.mark.parametrize(
    "text",
    ["12", "+44", "+", "-", "hello", "07700 900123 x5", "07700900123;ext=5", "+0447700900123", "++447700900123",
     "07700+900123", "+44770090012345678", "770090012", "4.477e11", "٠٧٧٠٠٩٠٠١٢٣", "0"],
)  # fmt: skip
def test_what_is_no_number_is_unreadable(text: str) -> None:
    assert PhoneFormat("44", national_digits=(10,)).read(text) is None


def test_other_countries_other_prefixes() -> None:
    assert US.read("(212) 555-0123") == US.read("1-212-555-0123") == US.read("+1 212 555 0123") == "+12125550123"
    assert US.read("011 44 7700 900123") == "+447700900123"
    assert ITALY.read("06 6982 1234") == "+390669821234" == ITALY.read("+39 06 6982 1234")


def test_without_a_country_code_national_numbers_are_unreadable() -> None:
    assert PhoneFormat().read("07700900123") is None
    assert PhoneFormat().read("+44 7700 900123") == "+447700900123"


def test_without_lengths_a_number_that_begins_with_the_country_code_is_national() -> None:
    assert PhoneFormat("44").read("447700900123") == "+44447700900123"


FORMATS = st.builds(
    PhoneFormat,
    st.sampled_from([None, "1", "44", "420"]),
    st.sampled_from(["", "0", "1", "8", "06"]),
    st.sampled_from(["", "00", "011", "810"]),
    st.lists(st.integers(6, 11), max_size=3).map(tuple),
)
MESSY = st.text(st.sampled_from("0123456789+-()./ \u202a００tel:ext.x٣"), max_size=20)


@given(FORMATS, st.one_of(MESSY, st.text(max_size=20)))
def test_reading_again_changes_nothing(form: PhoneFormat, text: str) -> None:
    once = form.read(text.strip())
    assert once is None or form.read(once) == once


@given(st.from_regex(r"[1-9][0-9]{9}", fullmatch=True), st.data())
def test_every_promised_spelling_is_the_same_number(national: str, data: st.DataObject) -> None:
    gap = st.sampled_from(["", " ", "-", ".", "/", "\u00a0", "\u2011", "\u200b"])

    def spread(digits: str) -> str:
        return digits[0] + "".join(data.draw(gap) + digit for digit in digits[1:])

    number = spread(national)
    spelled = [f"+44{number}", f"+44 (0){number}", f"0044 {number}", f"0{number}", f"(0{number[:1]}){number[1:]}"]
    spelled += [number, f"44{number}", f"tel:+44{number}", f"{national}.0", f"44{national}.0"]
    assert {UK.read(text) for text in spelled} == {f"+44{national}"}
