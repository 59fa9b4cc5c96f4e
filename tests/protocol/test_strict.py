"""Strict requests: the same score bit for bit, a body that each opens its own part of, refusals that name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from fedchain.errors import AskError, ProtocolViolationError
from fedchain.federation.answering import answerer_of
from fedchain.federation.serving import known_rows_of, leaf_table_of
from fedchain.inference.answering import Answers
from fedchain.inference.asking import Asking
from fedchain.inference.request import Scores
from fedchain.inference.strict import NOBODY, StrictSide
from fedchain.messages import PredictAnswer, decode, encode
from fedchain.messages.strict import MAX_BODY_BYTES, StrictBody
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel, Tap
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, changing, tapping
from tests.protocol.cases import make_case
from tests.protocol.conftest import Finished

NAME = "three parties"
OPERATOR, BANK, SHOP = ROSTER = PartyId("operator"), PartyId("bank"), PartyId("shop")
EPOCH = 7
REQUEST = 2**31
Wrap = Callable[[Party[Any]], Party[Any]]


@dataclass(frozen=True)
class Side:
    strict: StrictSide
    asking: Asking
    ids: tuple[str, ...]

    def tags(self, position: int, **others: bytes) -> dict[PartyId, bytes]:
        me = self.strict.answerer.me
        at = np.array([position])
        return {party: others.get(party) or self.asking.tags(party, EPOCH, at) for party in ROSTER if party != me}


@pytest.fixture(scope="module")
def sides(finished: Finished) -> dict[PartyId, Side]:
    found = {}
    for party, outcome in finished(NAME)[0].outcomes.items():
        table = make_case(NAME).tables[party]
        known = known_rows_of(outcome.shard, outcome.session)
        answers = Answers(known, leaf_table_of(outcome.shard, outcome.session, table))
        for requester in ROSTER:
            if requester != party:
                answers.prepare(requester, EPOCH)
        strict = StrictSide(answerer_of(outcome.shard, outcome.session, table), answers)
        found[party] = Side(strict, Asking(known), outcome.session.ids)
    return found


def ask(
    sides: Mapping[PartyId, Side],
    requester: PartyId,
    position: int,
    *,
    tags: Mapping[PartyId, bytes] | None = None,
    tap: Tap | None = None,
    wrap: Mapping[PartyId, Wrap] | None = None,
    request_id: int = REQUEST,
) -> dict[PartyId, Scores | None]:
    body = sides[requester].strict.body_of(tags or sides[requester].tags(position), EPOCH)
    parties: dict[PartyId, Party[Scores | None]] = {}
    for party, side in sides.items():
        own = position if party == requester else side.strict.asked_for(requester, body)
        generator = side.strict.take_part(requester, request_id, own)
        parties[party] = wrap[party](generator) if wrap and party in wrap else generator
    return Channel(tap=tap).run(parties)


@pytest.mark.parametrize("requester", ROSTER)
def test_the_requester_alone_gets_the_score_of_the_evaluation_bit_for_bit(
    sides: Mapping[PartyId, Side], finished: Finished, requester: PartyId
) -> None:
    outcome = finished(NAME)[0].active
    assert outcome.holdout_scores is not None
    for place in (0, 5, len(outcome.session.holdout) - 1):
        scores = ask(sides, requester, outcome.session.holdout[place])
        mine = scores.pop(requester)
        assert mine is not None
        assert mine.tobytes() == outcome.holdout_scores[place : place + 1].tobytes()
        assert set(scores.values()) == {None}


def test_each_party_finds_its_own_row_by_its_tag(sides: Mapping[PartyId, Side]) -> None:
    body = sides[BANK].strict.body_of(sides[BANK].tags(11), EPOCH)
    assert [sides[party].strict.asked_for(BANK, body) for party in (OPERATOR, SHOP)] == [11, 11]


def test_a_party_that_does_not_hold_the_row_answers_as_long_and_with_its_default_bits(
    sides: Mapping[PartyId, Side],
) -> None:
    recorder, decoyed = Recorder(), Recorder()
    ask(sides, OPERATOR, 3, tap=recorder)
    decoy = sides[OPERATOR].tags(3, shop=os.urandom(16))
    scores = ask(sides, OPERATOR, 3, tags=decoy, tap=decoyed)[OPERATOR]
    assert scores is not None
    assert np.isfinite(scores).all()
    body = sides[OPERATOR].strict.body_of(decoy, EPOCH)
    assert sides[SHOP].strict.asked_for(OPERATOR, body) == NOBODY
    assert len(body) == len(sides[OPERATOR].strict.body_of(sides[OPERATOR].tags(3), EPOCH)) <= MAX_BODY_BYTES
    sizes = [[len(payload) for _, payload in one.of(Kind.PREDICT_ANSWER)] for one in (recorder, decoyed)]
    assert sizes[0] == sizes[1]


def test_a_body_holds_no_tag_and_opens_part_by_part(sides: Mapping[PartyId, Side], finished: Finished) -> None:
    tags = sides[OPERATOR].tags(4)
    body = sides[OPERATOR].strict.body_of(tags, EPOCH)
    assert not any(tag in body for tag in tags.values())
    parts = decode(body, StrictBody).parts
    swapped = encode(StrictBody(parts[::-1]))
    with pytest.raises(ProtocolViolationError, match="not for 'bank'") as caught:
        sides[BANK].strict.asked_for(OPERATOR, swapped)
    assert caught.value.culprit == OPERATOR


def test_another_requester_cannot_use_a_copied_body(sides: Mapping[PartyId, Side]) -> None:
    body = sides[OPERATOR].strict.body_of(sides[OPERATOR].tags(4), EPOCH)
    for me in (OPERATOR, BANK):
        with pytest.raises(ProtocolViolationError, match="strict request") as caught:
            sides[me].strict.asked_for(SHOP, body)
        assert caught.value.culprit == SHOP


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"", lambda b: b + b"\0", lambda b: os.urandom(len(b))])
def test_a_body_out_of_shape_names_the_requester(
    sides: Mapping[PartyId, Side], change: Callable[[bytes], bytes]
) -> None:
    body = change(sides[OPERATOR].strict.body_of(sides[OPERATOR].tags(4), EPOCH))
    with pytest.raises(ProtocolViolationError) as caught:
        sides[BANK].strict.asked_for(OPERATOR, body)
    assert caught.value.culprit == OPERATOR


def test_a_body_with_too_few_parts_names_the_requester(sides: Mapping[PartyId, Side]) -> None:
    parts = decode(sides[OPERATOR].strict.body_of(sides[OPERATOR].tags(4), EPOCH), StrictBody).parts
    with pytest.raises(ProtocolViolationError, match="1 parts for 2 parties"):
        sides[BANK].strict.asked_for(OPERATOR, encode(StrictBody(parts[:1])))


def test_tags_of_another_epoch_are_refused(sides: Mapping[PartyId, Side]) -> None:
    body = sides[OPERATOR].strict.body_of(sides[OPERATOR].tags(4), EPOCH + 5)
    with pytest.raises(AskError, match="epoch 12") as caught:
        sides[BANK].strict.asked_for(OPERATOR, body)
    assert caught.value.culprit == OPERATOR


def test_a_row_that_the_active_party_does_not_hold_is_refused_naming_the_requester(
    sides: Mapping[PartyId, Side],
) -> None:
    with pytest.raises(ProtocolViolationError, match="does not hold") as caught:
        ask(sides, BANK, 2, tags=sides[BANK].tags(2, operator=os.urandom(16)))
    assert caught.value.culprit == BANK


def test_an_answer_to_an_earlier_request_is_refused(sides: Mapping[PartyId, Side]) -> None:
    recorder = Recorder()
    ask(sides, OPERATOR, 3, tap=recorder)
    old = next(payload for slot, payload in recorder.of(Kind.PREDICT_ANSWER) if slot.sender == BANK)
    replayed = tapping(Kind.PREDICT_ANSWER, lambda _: old, sender=BANK)
    with pytest.raises(ProtocolViolationError, match="another context") as caught:
        ask(sides, OPERATOR, 3, tap=replayed, request_id=REQUEST + 1)
    assert caught.value.culprit == BANK


def test_an_answer_of_two_rows_and_one_that_contradicts_are_refused(sides: Mapping[PartyId, Side]) -> None:
    def two(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda message: msgspec.structs.replace(message, rows=2))

    with pytest.raises(ProtocolViolationError, match="another number of rows") as caught:
        ask(sides, OPERATOR, 3, wrap={SHOP: two})
    assert caught.value.culprit == SHOP

    shop = sides[SHOP].strict
    size = len(shop.answers.table.rows_at(np.array([0])))
    sealed = shop.answerer.seal_to(OPERATOR, bytes(size), f"strict/{REQUEST}/bits")

    def empty(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda message: msgspec.structs.replace(message, sealed=sealed))

    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as caught:
        ask(sides, OPERATOR, 3, wrap={SHOP: empty})
    assert SHOP in caught.value.culprit
