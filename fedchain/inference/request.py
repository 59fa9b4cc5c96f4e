"""One inference request over aligned rows: every party's side.

1. the requester names aligned positions, to the roster;
2. each passive party answers with its leaf bits for these rows, sealed to the active party;
3. the active party joins them with its own, adds leaf weights, and seals the scores to the requester.

Reveals the positions to the roster; each passive party's decisions on these rows to the active party (those at nodes
that are compatible with the party's own path); the scores to the requester.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import DataError, ProtocolViolationError, SealError
from fedchain.inference.scoring import margins
from fedchain.messages import PredictAnswer, PredictRequest
from fedchain.model.leaf_mask import Bits, bit_count, pack_bits, require_decisions, unpack_bits, whole_bits
from fedchain.model.link import predictions
from fedchain.model.shard import Shard
from fedchain.protocol import Party, Send, Stage, gather, receive
from fedchain.types import PartyId

REQUEST, ANSWER, SCORES = 0, 1, 2
MAX_OUTPUTS = 64
Positions = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Answerer:
    """What a party needs to take part in a request.

    Attributes:
        me, roster: names; the active party is first.
        aligned_rows: how many aligned rows there are.
        shard: this party's.
        bits: leaf bits of the rows at given aligned positions, from this party's own table.
        seal_to: seal bytes to one party under a context.
        unseal: open what a party sealed to this one.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    aligned_rows: int
    shard: Shard
    bits: Callable[[Positions], Bits]
    seal_to: Callable[[PartyId, bytes, str], bytes]
    unseal: Callable[[bytes, str, PartyId], bytes]

    @property
    def active(self) -> PartyId:
        """The label holder."""
        return self.roster[0]

    def ask(self, positions: Positions) -> Party[None]:
        """Send a request for these positions.

        Raises:
            DataError: none, not ascending, or beyond the aligned rows; nothing is sent.
        """
        if not self._sound(positions):
            raise DataError(f"a request names 1 to {self.aligned_rows} aligned positions, ascending and distinct")
        yield Send(PredictRequest(len(positions), positions.astype("<u4").tobytes()), REQUEST)

    def positions_of(self, requester: PartyId) -> Party[Positions]:
        """The positions that another party asks for.

        Raises:
            ProtocolViolationError: not ascending, or beyond the aligned rows; names the requester.
        """
        request = yield from receive(PredictRequest, REQUEST, requester)
        if len(request.positions) != 4 * request.rows:
            raise ProtocolViolationError(requester, "request does not hold as many positions as it says")
        positions = np.frombuffer(request.positions, dtype="<u4").astype(np.int64)
        if not self._sound(positions):
            raise ProtocolViolationError(requester, "request has positions out of order or beyond the aligned rows")
        return positions

    def answer(self, positions: Positions, purpose: str) -> Party[bytes]:
        """Passive party: send own leaf bits, sealed to the active party; returns them as packed."""
        packed = pack_bits(self.bits(positions))
        yield Send(
            PredictAnswer(len(positions), self.seal_to(self.active, packed, f"{purpose}/bits")), ANSWER, self.active
        )
        return packed

    def collect(self, positions: Positions, purpose: str) -> Party[list[Bits]]:
        """Active party: the bits of every party over all leaves, roster order.

        Raises:
            ProtocolViolationError: an answer out of shape; names its sender.
        """
        packed = yield from self.collect_packed(positions, purpose)
        return self.unpacked(packed, len(positions))

    def collect_packed(self, positions: Positions, purpose: str) -> Party[list[bytes]]:
        """Active party: the bits of every party as it packs them, roster order.

        Raises:
            ProtocolViolationError: an answer that does not open, or of another number of rows; names its sender.
        """
        passive = self.roster[1:]
        answers = yield from gather(PredictAnswer, ANSWER, passive, to_me=True)
        packed = [pack_bits(self.bits(positions))]
        for party in passive:
            if answers[party].rows != len(positions):
                raise ProtocolViolationError(party, "answered another number of rows than was asked")
            packed.append(self.open_from(party, answers[party].sealed, f"{purpose}/bits"))
        return packed

    def unpacked(self, packed: Sequence[bytes], rows: int) -> list[Bits]:
        """Active party: the bits of every party over all leaves, from what `collect_packed` gives.

        Raises:
            ProtocolViolationError: of another length, or not of decisions at the party's nodes; names the party.
        """
        spread = []
        for index, party in enumerate(self.roster):
            bits = unpack_bits(packed[index], rows, bit_count(self.shard, index), party)
            require_decisions(self.shard, index, bits, party)
            spread.append(whole_bits(self.shard, index, bits))
        return spread

    def predict(self, requester: PartyId, positions: Positions | None, request_id: int) -> Party[Scores | None]:
        """One whole request; predictions in the order of positions at the requester, else None.

        Shape (rows,), or (rows, classes) with several classes; float64.

        Args:
            requester: who asks.
            positions: at the requester only.
            request_id: the router's number of this request.
        """
        purpose = f"predict/{request_id}"
        if requester == self.me:
            assert positions is not None, "the requester knows what it asks for"
            yield from self.ask(positions)
        else:
            positions = yield from self.positions_of(requester)
        yield Stage("predict", 0, 1, f"{len(positions)} rows")
        if self.me != self.active:
            yield from self.answer(positions, purpose)
            if requester != self.me:
                return None
            reply = yield from receive(PredictAnswer, SCORES, self.active, to_me=True)
            return self.scores_of(self.open_from(self.active, reply.sealed, f"{purpose}/scores"), len(positions))
        bits = yield from self.collect(positions, purpose)
        scores = predictions(self.shard.objective, margins(self.shard, bits, ", ".join(self.roster[1:])))
        sealed = self.seal_to(requester, scores.astype("<f8").tobytes(), f"{purpose}/scores")
        yield Send(PredictAnswer(len(scores), sealed), SCORES, requester)
        yield Stage("predict", 1, 1)
        return scores if requester == self.me else None

    def _sound(self, positions: Positions) -> bool:
        """Whether positions are some, ascend, and lie within the aligned rows."""
        if len(positions) == 0 or positions[0] < 0 or positions[-1] >= self.aligned_rows:
            return False
        return bool((np.diff(positions) > 0).all())

    def open_from(self, sender: PartyId, sealed: bytes, context: str) -> bytes:
        """Open what a party sealed to this one.

        Raises:
            ProtocolViolationError: it does not open; names the sender.
        """
        try:
            return self.unseal(sealed, context, sender)
        except SealError as error:
            raise ProtocolViolationError(sender, f"answer: {error}") from error

    def scores_of(self, raw: bytes, rows: int) -> NDArray[np.float64]:
        """Scores that the active party returned: shape (rows,), or (rows, classes) with several classes.

        Raises:
            ProtocolViolationError: of another number.
        """
        outputs, rest = divmod(len(raw), 8 * rows)
        several = self.shard.objective == "multiclass"
        if rest or not 1 <= outputs <= MAX_OUTPUTS or (outputs > 1) != several:
            raise ProtocolViolationError(self.active, "returned another number of scores than was asked")
        scores = np.frombuffer(raw, dtype="<f8").astype(np.float64)
        return scores if outputs == 1 else scores.reshape(rows, outputs)
