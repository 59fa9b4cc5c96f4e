"""Subscriber: every event once, in order, never beyond what counts, whatever the chain does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.errors import ChainError, FedchainError, ProtocolViolationError, WrongChainError
from fedchain.exchange import Inbox, NodeState, Slot, Subscriber
from fedchain.exchange.subscriber import FIRST_RANGE, LARGEST_RANGE
from fedchain.types import JobId, Kind, Phase
from tests.unit.exchange.ledger import ALPHA, BETA, JOB, Ledger, Names, phase, proposed, uplink

SLOT = Slot(0, 0, 0, Kind.BLINDED_IDS, BETA.lower(), "")


class Reader:
    """A subscriber over a ledger, with all that it tells."""

    def __init__(self, path: Path, ledger: Ledger, **options: Any) -> None:
        self.ledger = ledger
        self.jobs: list[JobId] = []
        self.gone_back: list[JobId] = []
        self.looks = 0
        self.state = NodeState(path, chain_id=1337, genesis_hash=ledger.genesis_hash())
        anything: Any = ledger
        names: Any = Names()
        nothing: Any = None
        self.subscriber = Subscriber(
            anything,
            anything,
            self.state,
            names,
            nothing,
            me=ALPHA,
            on_job=lambda event, inbox: self.jobs.append(event.job_id),
            on_request=lambda event, inbox: None,
            on_reorganisation=self.gone_back.append,
            on_look=self._look,
            **({"poll_seconds": 0.005, "idle_poll_seconds": 0.005} | options),
        )

    def _look(self) -> None:
        self.looks += 1

    def reads_to(self, height: int) -> None:
        """Wait until it has read so far."""
        until(lambda: self.subscriber.height == height)

    @property
    def inbox(self) -> Inbox:
        found = self.subscriber.inbox(JOB)
        assert found is not None
        return found

    def close(self) -> None:
        self.subscriber.close(FedchainError("the test is over"))
        self.state.close()


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def reader(tmp_path: Path, ledger: Ledger) -> Iterator[Callable[..., Reader]]:
    made: list[Reader] = []

    def make(**options: Any) -> Reader:
        for earlier in made:
            earlier.close()
        made.append(Reader(tmp_path / "node.sqlite", ledger, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def take(inbox: Inbox, slot: Slot = SLOT) -> bytes:
    return inbox.take([slot], time.monotonic() + 5)[0]


def test_each_event_is_delivered_once_and_ranges_neither_overlap_nor_leave_gaps(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    for step in range(3 * FIRST_RANGE):
        ledger.mine(*([proposed()] if step == 5 else [uplink(b"%d" % step, step)] if step > 5 else []))
    one = reader()
    one.subscriber.start()
    one.reads_to(3 * FIRST_RANGE)
    assert one.jobs == [JOB]
    for step in range(6, 3 * FIRST_RANGE):
        assert take(one.inbox, Slot(0, 0, step, Kind.BLINDED_IDS, BETA.lower(), "")) == b"%d" % step
    first = [start for start, _ in ledger.asked]
    assert first == [0] + [end + 1 for _, end in ledger.asked[:-1]]


def test_ranges_grow_while_answers_come_and_shrink_when_the_node_refuses(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    for _ in range(4 * LARGEST_RANGE):
        ledger.mine()
    ledger.mine(proposed())
    one = reader()
    one.subscriber.start()
    one.reads_to(4 * LARGEST_RANGE + 1)
    widths = [end - start + 1 for start, end in ledger.asked]
    assert widths[0] == FIRST_RANGE
    assert max(widths) == LARGEST_RANGE
    one.close()

    ledger.asked.clear()
    ledger.widest = 3
    for _ in range(40):
        ledger.mine(uplink(b"x"))
    again = reader()
    again.subscriber.start()
    again.reads_to(4 * LARGEST_RANGE + 41)
    taken = [end - start + 1 for start, end in ledger.asked if end - start + 1 <= 3]
    assert sum(taken) == 40
    assert all(end <= ledger.head() for _, end in ledger.asked)


def test_a_block_counts_once_enough_blocks_lie_above_it(reader: Callable[..., Reader], ledger: Ledger) -> None:
    one = reader(confirmations=3)
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine()
    ledger.mine()
    until(lambda: one.subscriber.height == 0)
    time.sleep(0.05)
    assert one.jobs == []
    ledger.mine()
    until(lambda: one.jobs == [JOB])
    assert all(end <= ledger.head() - 3 for _, end in ledger.asked)


def test_a_node_goes_back_to_a_block_that_stands_and_delivers_what_is_there_now(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine(phase(Phase.ALIGNING))
    ledger.mine(uplink(b"gone", 1))
    one.reads_to(3)
    inbox = one.inbox
    assert inbox.phase == Phase.ALIGNING
    ledger.take_back(2)
    ledger.mine(uplink(b"first", 0), salt=1)
    ledger.mine(phase(Phase.ALIGNING), salt=1)
    ledger.mine(salt=1)
    assert take(inbox) == b"first"
    until(lambda: inbox.phase == Phase.ALIGNING)
    assert one.gone_back == [JOB]
    assert one.jobs == [JOB]
    with pytest.raises(FedchainError, match="no blinded_ids"):
        inbox.take([Slot(0, 0, 1, Kind.BLINDED_IDS, BETA.lower(), "")], time.monotonic() + 0.05)


def test_a_block_that_is_replaced_by_another_of_its_number_is_noticed_without_a_new_one(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine()
    one.reads_to(2)
    ledger.blocks[2:], ledger.salts[2:] = [], []
    ledger.mine(uplink(b"now here"), salt=7)
    assert take(one.inbox) == b"now here"
    assert one.looks > 0


def test_another_digest_in_a_slot_that_was_used_before_the_reorganisation_names_its_sender(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine(uplink(b"one"))
    one.reads_to(2)
    assert take(one.inbox) == b"one"
    ledger.take_back(1)
    ledger.mine(uplink(b"two"), salt=1)
    ledger.mine()

    def named() -> bool:
        try:
            one.inbox.raise_if_failed(0)
        except ProtocolViolationError as error:
            return error.culprit == "beta" and "two digests in one slot" in str(error)
        return False

    until(named)


def test_a_reorganisation_while_the_node_was_down_is_noticed_at_its_start(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine(uplink(b"one"))
    one.reads_to(2)
    one.close()
    ledger.take_back(1)
    ledger.mine(salt=1)
    ledger.mine(uplink(b"other", 1), salt=1)
    again = reader()
    assert again.subscriber.height == 1
    inbox = again.subscriber.resume(JOB, 1)
    again.subscriber.start()
    assert take(inbox, Slot(0, 0, 1, Kind.BLINDED_IDS, BETA.lower(), "")) == b"other"


def test_a_replay_brings_what_lies_below_the_cursor_and_the_rest_comes_as_usual(
    reader: Callable[..., Reader], ledger: Ledger
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    ledger.mine(phase(Phase.ALIGNING), uplink(b"zero", 0))
    one.reads_to(2)
    one.close()
    ledger.mine(uplink(b"one", 1))
    again = reader()
    inbox = again.subscriber.resume(JOB, 1)
    assert inbox.phase == Phase.ALIGNING
    assert take(inbox) == b"zero"
    again.subscriber.start()
    assert take(inbox, Slot(0, 0, 1, Kind.BLINDED_IDS, BETA.lower(), "")) == b"one"
    assert again.jobs == []  # the node knows its jobs


def test_a_reset_chain_ends_reading_with_both_genesis_hashes(reader: Callable[..., Reader], ledger: Ledger) -> None:
    one = reader()
    one.subscriber.start()
    for _ in range(5):
        ledger.mine()
    one.reads_to(5)
    recorded = ledger.genesis_hash()
    ledger.blocks, ledger.salts = [[]], [99]
    until(lambda: one.subscriber.failure is not None)
    assert isinstance(one.subscriber.failure, WrongChainError)
    assert recorded.hex() in str(one.subscriber.failure)
    assert ledger.genesis_hash().hex() in str(one.subscriber.failure)


def test_blocks_that_vanish_between_two_questions_do_not_end_reading(
    reader: Callable[..., Reader], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = reader()
    one.subscriber.start()
    ledger.mine(proposed())
    one.reads_to(1)
    lies = iter([9, 9, 9])
    real = ledger.head
    monkeypatch.setattr(ledger, "head", lambda: next(lies, None) or real())
    ledger.mine(uplink(b"still read"))
    assert take(one.inbox) == b"still read"
    assert one.subscriber.failure is None


def test_a_node_that_refuses_again_and_again_ends_reading_with_its_words(
    reader: Callable[..., Reader], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.exchange.subscriber._REFUSALS", 3)

    def refuse(first: int, last: int) -> Any:
        raise ChainError("eth_getLogs is switched off")

    ledger.mine(proposed())
    monkeypatch.setattr(ledger, "events", refuse)
    one = reader()
    one.subscriber.start()
    until(lambda: one.subscriber.failure is not None)
    assert "switched off" in str(one.subscriber.failure)


def test_events_that_change_with_the_chain_while_they_are_read_are_read_again(
    reader: Callable[..., Reader], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is of blocks that are gone when the last one's hash is asked for."""
    one = reader()
    ledger.mine(proposed())
    ledger.mine()
    ledger.mine()
    real = ledger.events
    asked: list[int] = []

    def swap(first: int, last: int) -> Any:
        answer = real(first, last)
        asked.append(last)
        if len(asked) == 2:  # between the two questions for the hash of block 3
            ledger.take_back(2)
            ledger.mine(uplink(b"of the other branch"), salt=1)
            ledger.mine(salt=1)
        return answer

    monkeypatch.setattr(ledger, "events", swap)
    one.subscriber.start()
    one.reads_to(3)
    assert take(one.inbox) == b"of the other branch"


@pytest.mark.parametrize(("phase", "looks_often"), [(Phase.ALIGNING, True), (Phase.TRAINING, False)])
def test_while_a_round_is_closed_beside_its_partys_work_the_chain_is_looked_at_less_often(
    reader: Callable[..., Reader], ledger: Ledger, phase: Phase, looks_often: bool
) -> None:
    ledger.mine(proposed())
    one = reader(poll_seconds=0.08)
    one.subscriber.start()
    until(lambda: one.jobs == [JOB])
    one.inbox.pipelined, one.inbox.phase, one.inbox.waiting = True, phase, 1
    one.subscriber._active_at = time.monotonic()
    assert (one.subscriber._interval() < 0.08) is looks_often


def test_a_nudge_is_heeded_while_somebody_waits_and_only_then(reader: Callable[..., Reader], ledger: Ledger) -> None:
    ledger.mine(proposed())
    one = reader(idle_poll_seconds=3600.0, poll_seconds=3600.0)
    one.subscriber.start()
    until(lambda: one.jobs == [JOB])
    time.sleep(0.05)
    height = ledger.head()
    ledger.mine(uplink(b"nobody waits for it", 7))
    one.subscriber.look()
    time.sleep(0.05)
    assert one.subscriber.height == height
    taken: list[bytes] = []
    slot = Slot(0, 0, 8, Kind.BLINDED_IDS, BETA.lower(), "")
    waiting = threading.Thread(target=lambda: taken.append(take(one.inbox, slot)))
    waiting.start()
    until(lambda: one.inbox.waiting > 0 and one.subscriber.height == height + 1)
    ledger.mine(uplink(b"awaited", 8))
    one.subscriber.look()
    waiting.join(5)
    assert taken == [b"awaited"]
