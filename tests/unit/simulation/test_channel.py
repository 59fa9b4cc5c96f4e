"""The in-memory channel keeps the rules that the contracts keep."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from fedchain.errors import DeadlineError, JobAbortedError, ProtocolViolationError, UplinkRejectedError
from fedchain.messages import BlindedIds, ShardDigest, encode
from fedchain.protocol import (
    Action,
    BeginRound,
    DeclareAligned,
    DeclareStop,
    Gather,
    Receive,
    RecordContribution,
    Send,
    Stage,
    gather,
    receive,
)
from fedchain.simulation.channel import Channel, Slot
from fedchain.types import Kind, PartyId

A, B, C = PartyId("a"), PartyId("b"), PartyId("c")
Script = Generator[Action, Any, Any]
ONE, TWO = ShardDigest(b"1" * 32), ShardDigest(b"2" * 32)


def script(*actions: Action) -> Script:
    """Yields these actions and ends with what they were answered with."""
    answers = []
    for action in actions:
        answers.append((yield action))
    return answers


def test_a_message_to_the_roster_reaches_everybody_and_one_to_a_party_reaches_it_alone() -> None:
    result = Channel().run(
        {
            A: script(Send(ONE, 0), Send(TWO, 0, B)),
            B: script(Receive(ShardDigest, 0, A), Receive(ShardDigest, 0, A, to_me=True)),
            C: script(Receive(ShardDigest, 0, A)),
        }
    )
    assert result == {A: [None, None], B: [ONE, TWO], C: [ONE]}


def test_a_message_to_another_party_cannot_be_received() -> None:
    with pytest.raises(DeadlineError, match="'c' waits for Receive"):
        Channel().run({A: script(Send(TWO, 0, B)), B: script(), C: script(Receive(ShardDigest, 0, A, to_me=True))})


def test_gathered_messages_come_in_the_order_asked_for() -> None:
    def asking() -> Script:
        found = yield from gather(ShardDigest, 3, (C, A))
        return list(found.items())

    result = Channel().run({A: script(Send(ONE, 3)), B: asking(), C: script(Send(TWO, 3))})
    assert result[B] == [(C, TWO), (A, ONE)]


def test_receive_gives_the_message_that_was_sent_through_the_codec() -> None:
    def asking() -> Script:
        return (yield from receive(ShardDigest, 0, A))

    result = Channel().run({A: script(Send(ONE, 0)), B: asking()})
    assert result[B] == ONE
    assert result[B] is not ONE


def test_a_second_message_for_a_slot_is_rejected_naming_its_sender() -> None:
    with pytest.raises(UplinkRejectedError, match="SLOT_TAKEN") as caught:
        Channel().run({A: script(Send(ONE, 0), Send(TWO, 0)), B: script()})
    assert caught.value.sender == A
    assert caught.value.reason == "SLOT_TAKEN"


def test_step_recipient_kind_and_round_make_other_slots() -> None:
    Channel().run(
        {
            A: script(
                Send(ONE, 0),
                Send(ONE, 1),
                Send(ONE, 0, B),
                Send(BlindedIds(0, 1, 0, b""), 0),
                BeginRound(1),
                Send(ONE, 0),
            ),
            B: script(),
        }
    )


def test_a_passive_party_waits_until_the_active_party_opens_the_round() -> None:
    order: list[tuple[PartyId, str]] = []
    channel = Channel(on_stage=lambda party, stage: order.append((party, stage.name)))
    channel.run(
        {
            A: script(Receive(ShardDigest, 0, B), Stage("a opens"), BeginRound(1)),
            B: script(Send(ONE, 0), BeginRound(1), Stage("b is in")),
        }
    )
    assert order == [(A, "a opens"), (B, "b is in")]


def test_a_round_that_nobody_opens_ends_in_an_error_that_says_who_waits() -> None:
    with pytest.raises(DeadlineError, match=r"'b' waits for BeginRound\(round=1\)"):
        Channel().run({A: script(), B: script(BeginRound(1))})


def test_declarations_wait_for_everybody() -> None:
    """A message sent after the barrier cannot be there before all have declared."""
    seen: list[str] = []
    channel = Channel(on_stage=lambda party, stage: seen.append(stage.name))
    same = DeclareAligned(b"d" * 32, 3)
    channel.run({A: script(same, Stage("after")), B: script(Stage("before"), same)})
    assert seen == ["before", "after"]
    with pytest.raises(DeadlineError, match="DeclareStop"):
        Channel().run({A: script(DeclareStop(1)), B: script()})


def test_stopping_moves_to_the_round_after_the_last() -> None:
    slots: list[Slot] = []

    def tap(slot: Slot, payload: bytes) -> bytes:
        slots.append(slot)
        return payload

    Channel(tap=tap).run(
        {
            A: script(BeginRound(1), BeginRound(2), DeclareStop(2), Send(ONE, 0)),
            B: script(BeginRound(1), BeginRound(2), DeclareStop(2), Receive(ShardDigest, 0, A)),
        }
    )
    assert slots == [Slot(3, 0, A, None, Kind.SHARD_DIGEST)]


@pytest.mark.parametrize("other", [DeclareAligned(b"e" * 32, 3), DeclareAligned(b"d" * 32, 4)])
def test_other_orders_abort_the_job(other: DeclareAligned) -> None:
    with pytest.raises(JobAbortedError, match="alignment differs"):
        Channel().run({A: script(DeclareAligned(b"d" * 32, 3)), B: script(other)})


def test_the_tap_changes_what_is_received() -> None:
    result = Channel(tap=lambda _, __: encode(TWO)).run(
        {A: script(Send(ONE, 0)), B: script(Gather(ShardDigest, 0, (A,)))}
    )
    assert result[B] == [{A: TWO}]


def test_a_rejected_message_is_an_error_at_whoever_waits_for_it() -> None:
    with pytest.raises(UplinkRejectedError, match="shard_digest, round 0, step 4") as caught:
        Channel(tap=lambda _, __: None).run({A: script(Send(ONE, 4)), B: script(Receive(ShardDigest, 4, A))})
    assert caught.value.sender == A


def test_bytes_that_are_no_message_name_the_sender() -> None:
    with pytest.raises(ProtocolViolationError, match="payload is not a valid ShardDigest") as caught:
        Channel(tap=lambda _, __: b"junk").run({A: script(Send(ONE, 0)), B: script(Receive(ShardDigest, 0, A))})
    assert caught.value.culprit == A


def test_traffic_and_contribution_are_counted() -> None:
    channel = Channel()
    record = RecordContribution((1, 2), 3, 0)
    channel.run({A: script(Send(ONE, 0), Send(TWO, 1), record), B: script()})
    assert channel.traffic.uplinks == {"shard_digest": 2}
    assert channel.traffic.payload_bytes == {"shard_digest": len(encode(ONE)) + len(encode(TWO))}
    assert channel.contribution == record
