"""Asking and answering without a network: tags find their rows, decoys find none, flags say what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from fedchain.errors import AskError, DeadlineError, ProtocolViolationError
from fedchain.inference.answering import Answers
from fedchain.inference.asking import Asking, Combining, Flag, Scored
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import LeafTable
from fedchain.inference.scoring import margins
from fedchain.messages.online import MAX_ASK_ROWS
from fedchain.model.leaf_mask import leaf_bits, unpack_bits, whole_bits
from fedchain.model.link import predictions
from fedchain.types import PartyId
from tests.unit.inference.models import BINS, FEATURES, N_BINS, full_model, some_bins

A, B, C = ROSTER = tuple(PartyId(one) for one in "abc")
PEOPLE = {A: "defgh", B: "defg", C: "defh"}
"""d, e and f are known to all, g to a and b, h to a and c; b and c each know one whom a does not know."""
EPOCH = 5


def tags_of(me: PartyId, ids: tuple[str, ...]) -> Callable[[PartyId, int], bytes]:
    def made(peer: PartyId, epoch: int) -> bytes:
        pair = "".join(sorted((me, peer)))
        return b"".join(hashlib.md5(f"{pair}/{epoch}/{one}".encode()).digest() for one in ids)

    return made


class Federation:
    """Three parties, their rows in their own order, and a model."""

    def __init__(self) -> None:
        random = np.random.default_rng(11)
        self.model = full_model(random, 4, 3)
        self.known, self.bins, self.table = {}, {}, {}
        for party, shard in zip(ROSTER, self.model, strict=True):
            ids = ("d", "e", "f", *sorted(set(PEOPLE[party]) - set("def")))
            holders = [sum(1 << place for place, one in enumerate(ROSTER) if who in PEOPLE[one]) for who in ids]
            self.known[party] = KnownRows(party, ROSTER, ids, np.array(holders, np.uint8), tags_of(party, ids))
            self.bins[party] = some_bins(random, len(ids))
            self.table[party] = LeafTable(shard, self.bins[party], N_BINS)
        self.answers = {party: Answers(self.known[party], self.table[party]) for party in (B, C)}
        for one in self.answers.values():
            one.prepare(A, EPOCH)
        self.asking, self.combining = Asking(self.known[A]), Combining(self.model[0], self.table[A])

    def ask(self, ids: str, *, planes: bool = False, silent: str = "", explained: bool = False) -> Scored:
        positions = self.asking.positions(list(ids))
        found: dict[PartyId, bytes | None] = {
            peer: None
            if peer in silent
            else self.answers[peer].answer(A, self.asking.tags(peer, EPOCH, positions), planes, epoch=EPOCH)
            for peer in (B, C)
        }
        flags = self.asking.flags(positions)
        return self.combining.combine(positions, flags, found, planes=planes, explained=explained)

    def expected(self, who: str, without: str = "") -> float:
        """A margin by the plain way; parties that do not hold the row, or are `without`, have no values."""
        bits = []
        for index, (party, shard) in enumerate(zip(ROSTER, self.model, strict=True)):
            ids = self.known[party].ids
            row = np.full((1, FEATURES), BINS, np.uint8)
            if who in ids and party not in without:
                row = self.bins[party][[ids.index(who)]]
            bits.append(whole_bits(self.model[0], index, leaf_bits(shard, row, N_BINS)))
        return float(margins(self.model[0], bits, "nobody")[0, 0])


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation()


@pytest.mark.parametrize("planes", [False, True])
def test_scores_are_those_of_the_rows_and_flags_name_what_is_missing(federation: Federation, planes: bool) -> None:
    scored = federation.ask("hxdgfedd", planes=planes)
    assert scored.flags.tolist() == [Flag.MISSING_PARTY, Flag.UNKNOWN_ID, 0, Flag.MISSING_PARTY, 0, 0, 0, 0]
    for place, who in enumerate("hxdgfedd"):
        if who == "x":
            assert np.isnan(scored.margins[place]).all()
            assert np.isnan(scored.scores[place])
            continue
        assert scored.margins[place, 0] == federation.expected(who)
    known = ~np.isnan(scored.scores)
    np.testing.assert_array_equal(scored.scores[known], predictions("binary", scored.margins[known]))


def test_rows_in_both_forms_are_the_same_to_the_last_bit(federation: Federation) -> None:
    one, other = federation.ask("defgh" * 9), federation.ask("defgh" * 9, planes=True)
    assert one.margins.tobytes() == other.margins.tobytes()
    assert one.scores.tobytes() == other.scores.tobytes()


@pytest.mark.parametrize("planes", [False, True])
def test_a_silent_party_s_default_bits_count_once_they_are_known(planes: bool) -> None:
    federation = Federation()
    with pytest.raises(DeadlineError, match="no answer from b") as caught:
        federation.ask("de", planes=planes, silent="b")
    assert caught.value.who == (B,)
    assert not federation.combining.knows_default(B)
    decoy = federation.asking.tags(B, EPOCH, np.array([-1]))
    federation.combining.learn_default(B, federation.answers[B].answer(A, decoy, epoch=EPOCH))
    assert federation.combining.knows_default(B)
    scored = federation.ask("dhx", planes=planes, silent="b")
    assert scored.flags.tolist() == [
        Flag.SILENT_PARTY,
        Flag.SILENT_PARTY | Flag.MISSING_PARTY,
        Flag.SILENT_PARTY | Flag.UNKNOWN_ID,
    ]
    assert scored.margins[:2, 0].tolist() == [federation.expected("d", without="b"), federation.expected("h")]
    with pytest.raises(ProtocolViolationError, match="bytes") as violation:
        federation.combining.learn_default(C, b"")
    assert violation.value.culprit == C


def test_an_explanation_sums_to_the_margin(federation: Federation) -> None:
    scored = federation.ask("dgh", explained=True)
    assert scored.explanation is not None
    total = scored.explanation.base + scored.explanation.contributions.sum(axis=1)
    np.testing.assert_allclose(total, scored.margins, rtol=0, atol=1e-9)
    assert federation.ask("d").explanation is None


def test_a_tag_goes_to_those_alone_that_hold_the_row(federation: Federation) -> None:
    """Of a row that the peer does not hold, and of an unknown one, it gets fresh random bytes."""
    positions = federation.asking.positions(["d", "g", "h", "x"])
    one, other = (federation.asking.tags(C, EPOCH, positions) for _ in range(2))
    assert len(one) == len(other) == 16 * 4
    same = [one[16 * i : 16 * i + 16] == other[16 * i : 16 * i + 16] for i in range(4)]
    assert same == [True, False, True, False]
    known = federation.known[A].tags_of(C, EPOCH)
    assert one[:16] == known[:16]
    assert all(known[16 * i : 16 * i + 16] not in one for i in range(5) if federation.known[A].ids[i] not in "dh")


def test_a_miss_is_answered_as_a_row_without_values_of_the_same_size(federation: Federation) -> None:
    hit = federation.asking.tags(B, EPOCH, np.array([0]))
    for planes in (False, True):
        found, missed = (federation.answers[B].answer(A, tag, planes, epoch=EPOCH) for tag in (hit, b"?" * 16))
        assert len(found) == len(missed)
    default = federation.answers[B].answer(A, b"?" * 16, epoch=EPOCH)
    bits = unpack_bits(default, 1, federation.table[B].bit_count, "b")
    missing = np.full((1, FEATURES), BINS, np.uint8)
    assert bits.tolist() == leaf_bits(federation.model[1], missing, N_BINS).tolist()


def test_a_party_finds_no_row_by_a_tag_of_another_pair_or_epoch(federation: Federation) -> None:
    answers = federation.answers[B]
    other_pair, other_epoch = federation.known[A].tags_of(C, EPOCH), federation.known[A].tags_of(B, EPOCH + 1)
    assert set(answers.positions(A, other_pair + other_epoch, EPOCH).tolist()) == {-1}
    assert answers.positions(A, federation.known[A].tags_of(B, EPOCH), EPOCH).tolist() == [0, 1, 2, 3, -1]


def test_bits_are_for_the_active_party_alone(federation: Federation) -> None:
    answers = Answers(federation.known[B], federation.table[B])
    answers.prepare(C, EPOCH)
    tags = federation.known[C].tags_of(B, EPOCH)
    with pytest.raises(AskError, match="active party alone") as caught:
        answers.answer(C, tags, epoch=EPOCH)
    assert caught.value.culprit == C
    assert answers.positions(C, tags, EPOCH).tolist() == [0, 1, 2, -1], "of which it may seal the bits to a"


def test_strangers_other_epochs_and_misshapen_tags_are_refused(federation: Federation) -> None:
    answers = Answers(federation.known[B], federation.table[B])
    for stranger in (B, PartyId("z")):
        with pytest.raises(AskError, match="may not ask"):
            answers.prepare(stranger, EPOCH)
    answers.prepare(A, EPOCH)
    answers.prepare(A, EPOCH + 1)
    for tags in (b"", bytes(15), bytes(17), bytes(16 * MAX_ASK_ROWS + 16)):
        with pytest.raises(AskError, match="tags of 16") as caught:
            answers.answer(A, tags, epoch=EPOCH)
        assert caught.value.culprit == A
    with pytest.raises(AskError, match="not in force"):
        answers.answer(A, bytes(16), epoch=EPOCH + 2)
    answers.forget_before(EPOCH + 1)
    with pytest.raises(AskError, match="not in force"):
        answers.answer(A, bytes(16), epoch=EPOCH)
    answers.answer(A, bytes(16), epoch=EPOCH + 1)


def test_a_table_of_other_rows_is_refused(federation: Federation) -> None:
    with pytest.raises(ValueError, match="are known"):
        Answers(federation.known[A], federation.table[B])


def test_a_party_that_knows_no_row_asks_with_decoys(federation: Federation) -> None:
    asking = Asking(KnownRows(A, ROSTER, (), np.zeros(0, np.uint8), tags_of(A, ())))
    positions = asking.positions(["d"])
    assert positions.tolist() == [-1]
    assert len(asking.tags(B, EPOCH, positions)) == 16
    assert asking.flags(positions).tolist() == [Flag.UNKNOWN_ID]


def test_a_row_that_the_requester_does_not_hold_is_not_found_for_it(federation: Federation) -> None:
    """It could make the tag: all parties see the row tags of everybody's sets."""
    answers = Answers(federation.known[A], federation.table[A])
    answers.prepare(B, EPOCH)
    assert federation.known[A].ids == ("d", "e", "f", "g", "h")
    assert answers.positions(B, federation.known[A].tags_of(B, EPOCH), EPOCH).tolist() == [0, 1, 2, 3, -1]


def test_an_unknown_row_is_not_explained_either(federation: Federation) -> None:
    """Base and contributions sum to the margin: they would give away the score that is not given."""
    found = federation.ask("dxe", explained=True)
    assert found.explanation is not None
    assert found.flags.tolist() == [0, Flag.UNKNOWN_ID, 0]
    nothing = np.isnan(found.explanation.contributions)
    assert nothing[1].all()
    assert not nothing[[0, 2]].any()


def test_explanations_are_the_same_in_parts(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = federation.ask("defgh", explained=True).explanation
    monkeypatch.setattr("fedchain.inference.asking._EXPLAINED_ROWS", 2)
    parts = federation.ask("defgh", explained=True).explanation
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(whole.contributions, parts.contributions, atol=1e-12)
    np.testing.assert_array_equal(whole.base, parts.base)
