"""A round at the active party: it asks the passive ones, joins their bits with its own, and adds leaf weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import AskRefusedError, DeadlineError, PeerError
from fedchain.inference.bitplanes import Positions
from fedchain.messages.online import Answer, Ask, Receipt
from fedchain.node.online.rowscores import Asked, RowScores
from fedchain.types import PartyId

if TYPE_CHECKING:
    from fedchain.node.online.rounds import Rounds

TRIES = 4
"""Rounds until all answerers take the serials: each may have been started anew."""


class ActiveRound:
    """Asks the passive parties for their bits; arguments as of `Rounds.begin`."""

    def __init__(
        self,
        rounds: Rounds,
        positions: Positions,
        flags: NDArray[np.uint8],
        planes: bool,
        explained: bool,
        given: dict[PartyId, bytes],
        seconds: float,
    ) -> None:
        self._rounds, self._job = rounds, rounds.job
        self._positions, self._flags = positions, flags
        self._planes, self._explained = planes, explained
        self._given, self._seconds = given, seconds
        combining = rounds.job.combining
        assert combining is not None
        self._combining = combining
        self._defaults = rounds.job.spec.inference.on_silence == "default"
        self._begin()

    def _begin(self) -> None:
        others = [party for party in self._job.passive if party not in self._given]
        knows = all(self._combining.knows_default(party) for party in others)
        # one decoy more, until everybody's default bits are known
        self._extra = int(self._defaults and not knows and not self._planes)
        asked_for = np.concatenate([self._positions, np.full(self._extra, -1, np.int64)])
        self._rows = len(asked_for)
        self._first = self._rounds.reservations.take(self._rows) if others else 0
        self._asked: list[Asked] = []
        self._receipts: list[Receipt] = []
        self._silent: list[PartyId] = []
        for party in others:
            if self._defaults and self._rounds.is_silent(party) and self._combining.knows_default(party):
                self._silent.append(party)
                continue
            fields = self._rounds.common(party, self._first, asked_for, self._planes)
            size = -(-self._rows // 8) * self._job.bit_count(party)
            size = size if self._planes else self._rows * self._job.row_bytes(party)
            self._asked.append(self._rounds.send(party, Ask(**fields), size, self._seconds))

    def finish(self) -> RowScores:
        """Wait for the answers, and score; see `Rounds.begin`."""
        for tries in range(1, TRIES + 1):
            answers, refusals = self._answers()
            if not refusals:
                return self._scored(answers)
            self._rounds.renew(refusals, self._first, self._rows, tries)
            self._begin()
        raise AssertionError("the last try raises")

    def _answers(self) -> tuple[dict[PartyId, bytes | None], list[tuple[PartyId, AskRefusedError]]]:
        try:
            return self._waited_for()
        finally:
            if self._receipts:  # at once: an anchor counts the serials that they share once
                self._rounds.receipts.append(self._receipts)

    def _waited_for(self) -> tuple[dict[PartyId, bytes | None], list[tuple[PartyId, AskRefusedError]]]:
        answers: dict[PartyId, bytes | None] = {**self._given, **dict.fromkeys(self._silent)}
        refusals: list[tuple[PartyId, AskRefusedError]] = []
        late: list[PartyId] = []
        failed: PeerError | None = None
        for asked in self._asked:  # all of them: what the others answered leaves its receipts
            try:
                answer, receipt = self._rounds.answer_of(asked, Answer)
                self._receipts.append(receipt)
                answers[asked.party] = self._without_extra(asked.party, answer.bits)
            except AskRefusedError as refusal:
                refusals.append((asked.party, refusal))
            except DeadlineError:
                self._rounds.note_silence(asked.party, self._seconds)
                answers[asked.party] = None
                late.append(asked.party)
            except PeerError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        if late and not self._defaults:
            raise DeadlineError(
                f"no answer from {', '.join(late)} within {self._seconds * 1000:.0f} ms ([inference] deadline_ms), and "
                'the job says on_silence = "refuse"',
                tuple(late),
            )
        return answers, refusals

    def _without_extra(self, party: PartyId, bits: bytes) -> bytes:
        if not self._extra:
            return bits
        width = self._job.row_bytes(party)
        if len(bits) != width * self._rows:
            return bits  # the scorer says what is wrong with it
        self._combining.learn_default(party, bits[-width:] if width else b"")
        return bits[: width * (self._rows - 1)]

    def _scored(self, answers: dict[PartyId, bytes | None]) -> RowScores:
        try:
            scored = self._combining.combine(
                self._positions, self._flags, answers, planes=self._planes, explained=self._explained
            )
        except PeerError as error:
            self._rounds.blame(error)
            raise
        explanation = scored.explanation
        return RowScores(
            self._first,
            scored.scores,
            scored.flags,
            None if explanation is None else explanation.base,
            None if explanation is None else explanation.contributions,
            tuple(self._receipts),
        )
