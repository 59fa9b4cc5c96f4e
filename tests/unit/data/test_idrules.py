"""Ids of several parts have one spelling at all parties, and no two customers the same."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.idrules import DEFAULT_RULES, RULES, IdPart, IdRules, Rule, in_order
from fedchain.data.ids import normalize_id
from fedchain.data.phone import PhoneFormat

PHONE = IdPart("phone", ("trim", "phone"), PhoneFormat("44", national_digits=(10,)))
NAME = IdPart("name", ("trim", "nfkc", "casefold", "squeeze"))
BOTH = IdRules((PHONE, NAME))


LIKE_JOINED = st.one_of(st.text("a1:,", max_size=4), st.text(max_size=5))


def _sets() -> list[tuple[Rule, ...]]:
    found = []
    for size in range(len(RULES) + 1):
        for some in combinations(RULES, size):
            try:
                found.append(in_order(some))
            except ValueError:
                continue
    return sorted(set(found))


def spell(rules: IdRules, *cells: str) -> str | None:
    (found,) = rules.spell([[cell] for cell in cells])
    return found


@given(st.sampled_from(_sets()), st.text(max_size=12))
def test_spelling_again_changes_nothing(rules: tuple[Rule, ...], text: str) -> None:
    part = IdPart("x", rules, PhoneFormat("44"))
    once = part.normalize(text)
    assert once is None or part.normalize(once) == once


@given(st.text(max_size=12))
def test_the_default_is_the_rule_of_jobs_without_parts(text: str) -> None:
    assert DEFAULT_RULES.spell([[text]]) == [normalize_id(text)]


@given(st.lists(LIKE_JOINED, min_size=3, max_size=3), st.sampled_from(["", ",", ":", "1:"]))
def test_different_parts_are_never_joined_to_one_id(texts: list[str], between: str) -> None:
    plain = IdRules((IdPart("a", ("trim",)), IdPart("b", ("trim",))))
    one, two, three = texts
    rows = [(f"{one}{between}{two}", three), (one, f"{two}{between}{three}")]
    spelled = [tuple(part.normalize(cell) for part, cell in zip(plain.parts, row, strict=True)) for row in rows]
    first, second = (spell(plain, *row) for row in rows)
    if None not in (first, second):
        assert (first == second) == (spelled[0] == spelled[1])


@pytest.mark.parametrize(
    ("one", "other"), [(("1", "23"), ("12", "3")), (("a,1:b", "c"), ("a", "b,1:c")), (("1:1", "x"), ("1", "1:x"))]
)
def test_separators_in_the_data_confuse_nobody(one: tuple[str, str], other: tuple[str, str]) -> None:
    plain = IdRules((IdPart("a"), IdPart("b")))
    assert spell(plain, *one) != spell(plain, *other)


def test_parts_are_joined_with_their_lengths_in_bytes() -> None:
    assert spell(BOTH, " 07700 900123", "Zoë\u2003 SMITH ") == "13:+447700900123,10:zoë smith,"
    assert spell(BOTH, "+44 (0)7700 900123", "ZOE\u0308 ＳＭＩＴＨ") == "13:+447700900123,10:zoë smith,"


def test_a_blank_or_unreadable_part_makes_no_id() -> None:
    assert [spell(BOTH, *cells) for cells in (("", "ann"), ("07700900123", " n/a "), ("ask him", "ann"))] == [None] * 3


def test_half_a_surrogate_pair_is_no_id_and_leaves_others_alone() -> None:
    assert DEFAULT_RULES.spell([["a", "\ud800", " ", "b"]]) == ["a", None, None, "b"]


def test_digits_and_whole_numbers() -> None:
    digits, text = IdPart("d", ("trim", "digits")), IdPart("t", ("trim", "nfkc", "whole_number"))
    assert [digits.normalize(one) for one in ("12-34 5", "１２３４５", "12345.0", "no", "007")] == ["12345"] * 3 + [
        None,
        "007",
    ]
    assert [text.normalize(one) for one in ("12.0", "１２.００", "0012", "1.5")] == ["12", "12", "0012", "1.5"]


@pytest.mark.parametrize(
    "rules", [("nfc", "nfkc"), ("phone", "casefold"), ("digits", "whole_number"), ("digits", "phone")]
)
def test_rules_that_exclude_each_other_are_refused(rules: tuple[Rule, ...]) -> None:
    with pytest.raises(ValueError, match=r"exclude|says all"):
        in_order(rules)


def test_rules_have_one_order_and_bring_what_they_need() -> None:
    assert in_order(("casefold",)) == in_order(("casefold", "nfc", "trim", "casefold")) == ("trim", "nfc", "casefold")
    assert in_order(("whole_number", "squeeze", "casefold", "nfkc")) == (
        "trim",
        "nfkc",
        "casefold",
        "squeeze",
        "whole_number",
    )


def test_the_digest_is_of_the_canonical_encoding_and_stays() -> None:
    assert json.loads(BOTH.encode())["parts"][0]["phone"]["national_digits"] == [10]
    assert DEFAULT_RULES.digest.hex() == "81a38fa1bf3d1dfb575a6bbceee64b5f6151077af5be5ae918d786fb7d0743d4"


def test_whatever_spells_otherwise_has_another_digest() -> None:
    variants = [
        DEFAULT_RULES,
        BOTH,
        IdRules((NAME, PHONE)),
        IdRules((PHONE,)),
        IdRules((IdPart("phone", PHONE.rules, PhoneFormat("44")), NAME)),
        IdRules((IdPart("phone", PHONE.rules, PhoneFormat("49", national_digits=(10,))), NAME)),
        IdRules((PHONE, IdPart("name", ("trim", "nfc", "casefold", "squeeze")))),
        *(IdRules((IdPart("id", rules, PhoneFormat("44")),)) for rules in _sets() if rules != ("trim", "whole_number")),
    ]
    assert len({rules.digest for rules in variants}) == len(variants)
    unused = IdRules((IdPart("id", ("trim", "whole_number"), PhoneFormat("44")),))
    assert unused.digest == DEFAULT_RULES.digest
