"""Requests over a finished job: the same scores bit for bit, for the requester alone, and only for sound requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.errors import DataError, ProtocolViolationError, SealError, UplinkRejectedError
from fedchain.federation.answering import answerer_of, predict_party
from fedchain.federation.session import Session
from fedchain.inference.request import Answerer, Scores
from fedchain.messages import PredictAnswer, PredictRequest, decode
from fedchain.model.shard import Shard
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel, Tap
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, changing, tapping
from tests.protocol.cases import make_case
from tests.protocol.conftest import Finished

NAME = "three parties"
OPERATOR, BANK, SHOP = PartyId("operator"), PartyId("bank"), PartyId("shop")
ALIGNED = len(set.intersection(*(set(table.ids) for table in make_case(NAME).tables.values())))
Answerers = Mapping[PartyId, Answerer]
Wrap = Callable[[Party[Any]], Party[Any]]


@pytest.fixture(scope="module")
def answerers(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Answerers:
    """Every party's side from what it kept on disk: shard, session, table."""
    result, _ = finished(NAME)
    folder = tmp_path_factory.mktemp("kept")
    restored = {}
    for party, outcome in result.outcomes.items():
        outcome.shard.save(folder / f"{party}.shard")
        outcome.session.save(folder / f"{party}.session")
        shard, session = Shard.load(folder / f"{party}.shard"), Session.load(folder / f"{party}.session")
        assert (shard, session) == (outcome.shard, outcome.session)
        restored[party] = answerer_of(shard, session, make_case(NAME).tables[party])
    return restored


@pytest.fixture(scope="module")
def holdout(finished: Finished) -> NDArray[np.int64]:
    return np.asarray(finished(NAME)[0].active.session.holdout, dtype=np.int64)


def predict(
    answerers: Answerers,
    requester: PartyId,
    positions: NDArray[np.int64],
    *,
    request_id: int = 2**31,
    tap: Tap | None = None,
    wrap: Mapping[PartyId, Wrap] | None = None,
) -> dict[PartyId, Scores | None]:
    parties: dict[PartyId, Party[Scores | None]] = {}
    for party, answerer in answerers.items():
        asked = positions if party == requester else None
        generator = predict_party(answerer, requester, request_id, asked)
        parties[party] = wrap[party](generator) if wrap and party in wrap else generator
    return Channel(tap=tap).run(parties)


def with_(message: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(message, **changes)


@pytest.mark.parametrize("requester", [OPERATOR, BANK, SHOP])
def test_the_requester_alone_gets_the_scores_of_the_evaluation_bit_for_bit(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished, requester: PartyId
) -> None:
    scores = predict(answerers, requester, holdout)
    at_requester = scores.pop(requester)
    assert at_requester is not None
    assert at_requester.dtype == np.float64
    expected = finished(NAME)[0].active.holdout_scores
    assert expected is not None
    assert at_requester.tobytes() == expected.tobytes()
    assert set(scores.values()) == {None}


def test_a_row_s_score_does_not_depend_on_its_batch(answerers: Answerers, holdout: NDArray[np.int64]) -> None:
    every = np.arange(answerers[OPERATOR].aligned_rows, dtype=np.int64)
    together = predict(answerers, BANK, every)[BANK]
    assert together is not None
    for position in (0, 7, len(every) - 1):
        alone = predict(answerers, BANK, every[position : position + 1])[BANK]
        assert alone is not None
        assert alone.tobytes() == together[position : position + 1].tobytes()


def test_the_scores_on_the_wire_open_for_the_requester_alone(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished
) -> None:
    recorder = Recorder()
    scores = predict(answerers, BANK, holdout, tap=recorder)[BANK]
    assert scores is not None
    slot, payload = recorder.of(Kind.PREDICT_ANSWER)[-1]
    assert (slot.sender, slot.recipient) == (OPERATOR, BANK)
    sealed, context = decode(payload, PredictAnswer).sealed, f"predict/{2**31}/scores"
    sessions = {party: outcome.session for party, outcome in finished(NAME)[0].outcomes.items()}
    assert sessions[BANK].keys.unseal(sealed, context, OPERATOR) == scores.astype("<f8").tobytes()
    for other in (SHOP, OPERATOR):
        with pytest.raises(SealError, match="not for"):
            sessions[other].keys.unseal(sealed, context, OPERATOR)
    everything = b"".join(payload for _, payload in recorder.seen)
    assert not any(one.tobytes() in everything for one in scores)


def test_leaf_bits_on_the_wire_open_for_the_active_party_alone(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished
) -> None:
    recorder = Recorder()
    predict(answerers, SHOP, holdout, tap=recorder)
    bits = [one for one in recorder.of(Kind.PREDICT_ANSWER) if one[0].sender != OPERATOR]
    assert {slot.recipient for slot, _ in bits} == {OPERATOR}
    keys = finished(NAME)[0].outcomes[SHOP].session.keys
    sealed = next(decode(payload, PredictAnswer).sealed for slot, payload in bits if slot.sender == BANK)
    with pytest.raises(SealError, match="not for 'shop'"):
        keys.unseal(sealed, f"predict/{2**31}/bits", BANK)


@pytest.mark.parametrize("requester", [OPERATOR, BANK])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p[::-1], "out of order or beyond"),
        (lambda p: np.concatenate([p[:1], p[:-1]]), "out of order or beyond"),
        (lambda p: np.concatenate([p[:-1], [ALIGNED]]), "out of order or beyond"),
        (lambda p: np.concatenate([p[:-1], [2**32 - 1]]), "out of order or beyond"),
    ],
    ids=["descending", "repeated", "one beyond", "far beyond"],
)
def test_bad_positions_are_refused_naming_the_requester(
    answerers: Answerers,
    holdout: NDArray[np.int64],
    requester: PartyId,
    change: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    says: str,
) -> None:
    bad = change(holdout).astype("<u4").tobytes()

    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictRequest, lambda message: with_(message, positions=bad))

    with pytest.raises(ProtocolViolationError, match=says) as caught:
        predict(answerers, requester, holdout, wrap={requester: wrap})
    assert caught.value.culprit == requester


@pytest.mark.parametrize("requester", [OPERATOR, BANK])
@pytest.mark.parametrize("positions", [[], [3, 2], [2, 2], [-1, 2], [0, ALIGNED], [2**32]])
def test_a_party_does_not_send_a_request_that_others_would_refuse(
    answerers: Answerers, requester: PartyId, positions: list[int]
) -> None:
    recorder = Recorder()
    with pytest.raises(DataError, match="aligned positions, ascending and distinct"):
        predict(answerers, requester, np.array(positions, dtype=np.int64), tap=recorder)
    assert not recorder.seen


@pytest.mark.parametrize("cut", [-1, -4, 0])
def test_a_request_with_fewer_positions_than_it_says_is_refused(
    answerers: Answerers, holdout: NDArray[np.int64], cut: int
) -> None:
    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictRequest, lambda message: with_(message, positions=message.positions[:cut]))

    with pytest.raises(ProtocolViolationError, match="as many positions as it says") as caught:
        predict(answerers, BANK, holdout, wrap={BANK: wrap})
    assert caught.value.culprit == BANK


def test_an_answer_for_another_number_of_rows_names_its_sender(
    answerers: Answerers, holdout: NDArray[np.int64]
) -> None:
    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda message: with_(message, rows=message.rows + 1))

    with pytest.raises(ProtocolViolationError, match="another number of rows") as caught:
        predict(answerers, OPERATOR, holdout, wrap={SHOP: wrap})
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize("change", [lambda bits: bits[:-1], lambda bits: bits + b"\0", lambda bits: b""])
def test_leaf_bits_of_the_wrong_length_name_their_sender(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished, change: Callable[[bytes], bytes]
) -> None:
    keys, context = finished(NAME)[0].outcomes[SHOP].session.keys, f"predict/{2**31}/bits"
    good = answerers[SHOP].bits(holdout)
    packed = change(np.packbits(good, axis=1, bitorder="little").tobytes())

    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda m: with_(m, sealed=keys.seal_to(OPERATOR, packed, context)))

    with pytest.raises(ProtocolViolationError, match=r"bytes, .* expected") as caught:
        predict(answerers, OPERATOR, holdout, wrap={SHOP: wrap})
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize("fill", [False, True])
def test_bits_that_lead_to_no_leaf_or_to_several_name_their_sender(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished, fill: bool
) -> None:
    keys, context = finished(NAME)[0].outcomes[SHOP].session.keys, f"predict/{2**31}/bits"
    bits = np.full_like(answerers[SHOP].bits(holdout), fill)
    packed = np.packbits(bits, axis=1, bitorder="little").tobytes()

    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda m: with_(m, sealed=keys.seal_to(OPERATOR, packed, context)))

    with pytest.raises(ProtocolViolationError, match="are no decisions" if fill else "exclude every leaf") as caught:
        predict(answerers, OPERATOR, holdout, wrap={SHOP: wrap})
    assert caught.value.culprit == SHOP


def test_an_answer_to_an_earlier_request_is_refused(answerers: Answerers, holdout: NDArray[np.int64]) -> None:
    recorder = Recorder()
    predict(answerers, OPERATOR, holdout, tap=recorder, request_id=2**31)
    old = next(payload for slot, payload in recorder.of(Kind.PREDICT_ANSWER) if slot.sender == BANK)
    with pytest.raises(ProtocolViolationError, match="another context") as caught:
        predict(
            answerers,
            OPERATOR,
            holdout,
            request_id=2**31 + 1,
            tap=tapping(Kind.PREDICT_ANSWER, lambda _: old, sender=BANK),
        )
    assert caught.value.culprit == BANK


def test_scores_of_another_length_name_the_active_party(
    answerers: Answerers, holdout: NDArray[np.int64], finished: Finished
) -> None:
    keys, context = finished(NAME)[0].active.session.keys, f"predict/{2**31}/scores"

    def wrap(party: Party[Any]) -> Party[Any]:
        return changing(party, PredictAnswer, lambda m: with_(m, sealed=keys.seal_to(BANK, bytes(8), context)))

    with pytest.raises(ProtocolViolationError, match="another number of scores") as caught:
        predict(answerers, BANK, holdout, wrap={OPERATOR: wrap})
    assert caught.value.culprit == OPERATOR


def test_a_rejected_answer_gives_no_score(answerers: Answerers, holdout: NDArray[np.int64]) -> None:
    with pytest.raises(UplinkRejectedError, match="predict_answer") as caught:
        predict(answerers, OPERATOR, holdout, tap=tapping(Kind.PREDICT_ANSWER, lambda _: None, sender=SHOP))
    assert caught.value.sender == SHOP


def test_a_table_that_lost_aligned_rows_is_refused(finished: Finished) -> None:
    outcome = finished(NAME)[0].outcomes[BANK]
    table = make_case(NAME).tables[BANK]
    lost = table.take([one for one in table.ids if one != outcome.session.ids[3]])
    with pytest.raises(DataError, match=r"1 of .* ids asked for are not in the table"):
        answerer_of(outcome.shard, outcome.session, lost)
