"""Waiting for what the chain brings for one job; the job's thread does, and every wait is entered in the register."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fedchain.errors import DeadlineError, DigestMismatchError, ProtocolViolationError
from fedchain.exchange.arrivals import Arrival
from fedchain.exchange.failures import ANY_ROUND
from fedchain.exchange.news import JobNews
from fedchain.exchange.slot import Slot
from fedchain.exchange.waits import Wait
from fedchain.protocol.actions import AuditStage
from fedchain.types import PartyId, Phase

T = TypeVar("T")


class Inbox(JobNews):
    """What has come for one job, and waits for what is to come. Thread-safe; one per job."""

    # -- messages -----------------------------------------------------------------------------------------------------

    def take(self, slots: Sequence[Slot], deadline: float) -> list[bytes]:
        """Wait for the accepted uplinks of slots that differ in their senders alone.

        Args:
            slots: which ones; at least one.
            deadline: in `time.monotonic()` seconds.

        Returns:
            Their payloads, each verified against the digest on chain.

        Raises:
            ProtocolViolationError: a sender served other bytes; names it.
            PayloadUnavailableError: a sender does not serve them.
            DeadlineError, UplinkRejectedError, JobAbortedError: see `_wait`; all that are missing are named.
        """
        slot, begun = slots[0], time.monotonic()
        senders = {one: self.directory.name_of(self._checksummed(one.sender)) for one in slots}
        about = slot.kind.name.lower()
        what = f"{about} in round {slot.round} step {slot.step}"
        payloads: dict[Slot, bytes] = {}

        def ready(wait: Wait) -> bool | None:
            is_fetching = False
            for one in slots:
                is_ready, arrival = (False, None) if one in payloads else self.arrivals.ready(one)
                if arrival is not None and is_ready:
                    payloads[one] = self._payload(one, arrival, senders[one])
                    if len(slots) > 1 and self.patience is not None:  # where it is for one, the wait itself teaches
                        self.waits.learn(self.job_id, senders[one], about, time.monotonic() - begun)
                is_fetching |= arrival is not None and not is_ready
            wait.what = f"payload of {what}" if is_fetching else what
            return True if len(payloads) == len(slots) else None

        self._wait(
            ready,
            deadline,
            round=slot.round,
            about=about,
            what=what,
            who=lambda: tuple(senders[one] for one in slots if one not in payloads),
            on_chain=not self.is_overlapping,
        )
        return [payloads[one] for one in slots]

    def _payload(self, slot: Slot, arrival: Arrival, sender: PartyId) -> bytes:
        """Take an uplink that is ready."""
        payload = self.arrivals.take(slot, arrival)
        if arrival.error is not None:
            raise arrival.error
        if payload is not None:
            return payload
        assert arrival.fetch is not None
        try:
            return arrival.fetch.result(0)  # it is done
        except DigestMismatchError as error:
            raise ProtocolViolationError(sender, str(error).removeprefix(f"party '{sender}' ")) from error

    def wait_committed(self, wanted: Mapping[Slot, bytes], deadline: float, *, round: int) -> None:
        """Wait until the contract has accepted these digests in these slots.

        Raises:
            ProtocolViolationError: it accepted another digest of a slot; names the sender.
            DeadlineError: a verdict is missing; names the senders of what is missing.
            UplinkRejectedError: it has rejected a missing one; names the sender.
            JobAbortedError, RoundRolledBackError: see `raise_if_failed`.
        """

        def ready(wait: Wait) -> bool | None:
            waits = self._commitments.missing(wanted)
            other = self._commitments.contradicted(waits)
            if other is not None:
                raise ProtocolViolationError(self._name(other), "committed to another digest than it had signed")
            rejection = self._commitments.rejection(wanted)
            if rejection is not None:
                raise rejection()
            wait.what = f"verdicts on {len(waits)} uplinks in round {round}"
            return None if waits else True

        def who() -> tuple[str, ...]:
            senders = {self._checksummed(slot.sender) for slot in self._commitments.missing(wanted)}
            return tuple(sorted(self._names.get(one, one) for one in senders))

        self._wait(ready, deadline, round=round, about="verdict", what=f"verdicts in round {round}", who=who)
        with self._changed:
            self._commitments.forget_rejections()

    # -- phases and rounds --------------------------------------------------------------------------------------------

    def wait_attempt(self, after: int, deadline: float) -> None:
        """Wait until the active party tries a round again: always ends with an error.

        Raises:
            RoundRolledBackError: it does.
            JobAbortedError: it, or another party, gave up.
            DeadlineError: it did not in time.
        """
        self._wait(
            lambda _: True if self.attempt > after else None,
            deadline,
            round=ANY_ROUND,
            about="attempt",
            what=f"attempt {after + 1} of a round that was not accepted",
            who=self._active,
        )
        error = self._rounds.rolled_back_since(after)
        assert error is not None
        raise error

    def _name(self, slot: Slot) -> str:
        return self.directory.name_of(self._checksummed(slot.sender))

    def wait_phase(self, phase: Phase, deadline: float) -> None:
        """Wait until the job has reached a phase, or a later one."""

        def who() -> tuple[str, ...]:
            return tuple(self._names.get(one, one) for one in self._declared.missing(phase, self.roster))

        self._wait(
            lambda _: True if self.phase >= phase else None,
            deadline,
            round=0,
            about="phase",
            what=f"phase {phase.name}",
            who=who,
        )

    def wait_round(self, round: int, deadline: float) -> int:
        """Wait until the active party has begun a round; returns its attempt."""
        return self._wait(
            lambda _: self._rounds.begun(round),
            deadline,
            round=round,
            about="round",
            what=f"beginning of round {round}",
            who=self._active,
        )

    def wait_first_round(self, deadline: float) -> None:
        """Wait until the active party has begun any round."""
        self._wait(
            lambda _: True if self._rounds.any_begun else None,
            deadline,
            round=0,
            about="round",
            what="beginning of the first round",
            who=self._active,
        )

    # -- the audit ----------------------------------------------------------------------------------------------------

    def wait_audit(self, stage: AuditStage, deadline: float, *, round: int) -> None:
        """Wait until the audit has come so far, or has ended.

        Raises:
            DeadlineError: it has not in time; names who is missing.
        """
        self._wait(
            lambda _: True if self._audited.is_concluded or not self._audited.missing(stage, self.roster) else None,
            deadline,
            round=round,
            about="audit_step",
            what=f"step of the audit ({stage})",
            who=lambda: tuple(self._names.get(one, one) for one in self._audited.missing(stage, self.roster)),
        )

    def wait_concluded(self, deadline: float, *, round: int) -> bool:
        """Wait until the audit has ended, which is the active party's to do first; False if it has not in time.

        Raises:
            JobAbortedError, UplinkRejectedError: see `raise_if_failed`.
        """
        self._learn_names()
        what = "end of the audit"
        with self._waiting(), self.waits.on(self._active(), "conclusion", what, deadline, job_id=self.job_id):
            while not self._audited.is_concluded:
                self.raise_if_failed(round)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.5))
            return True

    # -- the chain ----------------------------------------------------------------------------------------------------

    def wait_height(self, height: int, deadline: float) -> bool:
        """Wait until the events up to a block are here; False if they are not in time. Raises nothing."""
        with self._waiting():
            while self._height < height and self._fatal is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.5))
            return self._fatal is None

    def pause(self, seconds: float) -> None:
        """Pass the time. Raises what ended the reading of the chain, StoppingError for example, and nothing else."""
        with self._changed:
            self._changed.wait_for(lambda: self._fatal is not None, seconds)
            if self._fatal is not None:
                raise self._fatal

    # -- inside -------------------------------------------------------------------------------------------------------

    def _active(self) -> tuple[str, ...]:
        return (self._names.get(self.roster[0], self.roster[0]),)

    def _learn_names(self) -> None:
        """Without the lock: the registry may have to be asked, and while one waits it may not be."""
        for address in self.roster:
            name = self._names.get(address) or self.directory.name_of(address)
            if name != address:
                self._names[address] = name

    def _wait(
        self,
        ready: Callable[[Wait], T | None],
        deadline: float,
        *,
        round: int,
        about: str,
        what: str,
        who: Callable[[], tuple[str, ...]],
        on_chain: bool = True,
    ) -> T:
        """Wait until `ready()` gives something; it and `who` are called with the inbox locked.

        The wait is entered in the register of waits, with those who are waited for at each moment. What is not awaited
        from the chain (`on_chain`) is no reason to look at it more often.

        Raises:
            UplinkRejectedError: an uplink of a roster member was rejected, unless rounds overlap now.
            JobAbortedError: the job was aborted, or the inference request closed.
            DeadlineError: nothing came before the deadline (`time.monotonic()` seconds), or, where the job's policy
                says so, before the hard deadline of those who are waited for; names what and whom.
        """
        self._learn_names()
        with (
            self._waiting(on_chain),
            self.waits.on(who(), about, what, deadline, job_id=self.job_id, patience=self.patience) as wait,
        ):
            while True:
                self.raise_if_failed(round)
                value = ready(wait)
                if value is not None:
                    return value
                wait.who = who()
                self.waits.look(wait)
                remaining = wait.give_up_at - time.monotonic()
                if remaining <= 0:
                    raise self._overdue(wait, deadline)
                self._changed.wait(min(remaining, 0.5))

    def _overdue(self, wait: Wait, deadline: float) -> DeadlineError:
        trouble = f" ({self.trouble})" if self.trouble else ""
        in_time = "in time" if time.monotonic() >= deadline else f"within {wait.hard_seconds:.1f} s, the hard deadline"
        names = ", ".join(wait.who)
        return DeadlineError(f"job {self.job_id}: no {wait.what} from {names} {in_time}{trouble}", wait.who)

    def _waiting(self, on_chain: bool = True) -> _Waiting:
        return _Waiting(self, on_chain)


class _Waiting:
    """Holds the inbox's lock and counts who waits for the chain, so that the subscriber polls briskly."""

    def __init__(self, inbox: Inbox, on_chain: bool) -> None:
        self._inbox, self._on_chain = inbox, on_chain

    def __enter__(self) -> None:
        self._inbox._changed.acquire()
        if self._on_chain:
            self._inbox.waiting += 1
            self._inbox.on_wait()

    def __exit__(self, *_: object) -> None:
        self._inbox.waiting -= int(self._on_chain)
        self._inbox._changed.release()
