"""One strict request for one row: every party's side.

1. the requester seals each other party's request tag of the row to it; the sealed parts are the body of the request,
   which the contract judges and records (`body_of`);
2. each party that is asked opens its part, and each passive party answers with its leaf bits, sealed to the active
   party, as an uplink of the request: those of the row, or its default bits where it does not hold the row;
3. the active party joins them with its own and adds leaf weights; where another party asked, it seals the score to it.

Reveals to each party asked which of its rows is asked for; to the active party each passive party's decisions on the
row; to everybody who asked, and when, and that it was answered; nothing about the row, for parts and answers are of one
size whether a party holds it or not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import MessageError, ProtocolViolationError, SealError
from fedchain.inference.answering import Answers
from fedchain.inference.request import ANSWER, SCORES, Answerer
from fedchain.inference.scoring import margins
from fedchain.messages import PredictAnswer, decode, encode
from fedchain.messages.strict import StrictBody, StrictPart
from fedchain.model.leaf_mask import Bits, bit_count, unpack_bits, whole_bits
from fedchain.model.link import predictions
from fedchain.protocol import Party, Send, gather, receive
from fedchain.types import PartyId

CONTEXT = "strict/ask"
NONCE_BYTES = 16
NOBODY = -1
"""The position of a row that a party does not hold."""


@dataclass(frozen=True)
class StrictSide:
    """What a party needs to take part in strict requests.

    Attributes:
        answerer: names, shard and sealing; its rows are not looked at.
        answers: the known rows by tag, and their leaf bits.
    """

    answerer: Answerer
    answers: Answers

    def body_of(self, tags: Mapping[PartyId, bytes], epoch: int) -> bytes:
        """The body of a request for one row.

        Args:
            tags: 16 bytes for every party but this one; random ones for those that do not hold the row.
            epoch: of the tags.
        """
        parts = []
        for party in self.answerer.roster:
            if party != self.answerer.me:
                part = StrictPart(tags[party], epoch.to_bytes(8, "little"), os.urandom(NONCE_BYTES))
                parts.append(self.answerer.seal_to(party, encode(part), CONTEXT))
        return encode(StrictBody(tuple(parts)))

    def asked_for(self, requester: PartyId, body: bytes) -> int:
        """The known row that another party asks this one for, `NOBODY` if this party does not hold it.

        Raises:
            ProtocolViolationError: the body is not of a strict request of this roster; names the requester.
            AskError: the tag is of an epoch that is not in force; names the requester.
        """
        others = [party for party in self.answerer.roster if party != requester]
        try:
            parts = decode(body, StrictBody).parts
            if len(parts) != len(others):
                raise MessageError(f"{len(parts)} parts for {len(others)} parties")
            part = decode(self.answerer.unseal(parts[others.index(self.answerer.me)], CONTEXT, requester), StrictPart)
        except (MessageError, SealError) as error:
            raise ProtocolViolationError(requester, f"strict request: {error}") from error
        return int(self.answers.positions(requester, part.tag, int.from_bytes(part.epoch, "little"))[0])

    def take_part(self, requester: PartyId, request_id: int, position: int) -> Party[NDArray[np.float64] | None]:
        """One whole request, once it is open; the scores of its row at the requester, else None.

        Shape (1,), or (1, classes) with several classes; float64.

        Args:
            requester: who asks.
            request_id: the router's number of the request.
            position: this party's known row, or `NOBODY`.

        Raises:
            ProtocolViolationError: an answer out of shape, or a request for a row that the active party does not hold;
                names its sender.
        """
        answerer, purpose = self.answerer, f"strict/{request_id}"
        if answerer.me != answerer.active:
            sealed = answerer.seal_to(answerer.active, self._packed(position), f"{purpose}/bits")
            yield Send(PredictAnswer(1, sealed), ANSWER, answerer.active)
            if requester != answerer.me:
                return None
            reply = yield from receive(PredictAnswer, SCORES, answerer.active, to_me=True)
            return answerer.scores_of(answerer.open_from(answerer.active, reply.sealed, f"{purpose}/scores"), 1)
        if position == NOBODY:
            raise ProtocolViolationError(requester, "asks strictly for a row that the active party does not hold")
        answers = yield from gather(PredictAnswer, ANSWER, answerer.roster[1:], to_me=True)
        bits = [self._bits(0, answerer.me, self._packed(position))]
        for index, party in enumerate(answerer.roster[1:], start=1):
            if answers[party].rows != 1:
                raise ProtocolViolationError(party, "answered another number of rows than was asked")
            bits.append(self._bits(index, party, answerer.open_from(party, answers[party].sealed, f"{purpose}/bits")))
        found = predictions(answerer.shard.objective, margins(answerer.shard, bits, ", ".join(answerer.roster[1:])))
        if requester == answerer.me:
            return found
        sealed = answerer.seal_to(requester, found.astype("<f8").tobytes(), f"{purpose}/scores")
        yield Send(PredictAnswer(1, sealed), SCORES, requester)
        return None

    def _packed(self, position: int) -> bytes:
        """Own leaf bits of a known row; the default bits for `NOBODY`."""
        return self.answers.table.rows_at(np.array([position], dtype=np.int64))

    def _bits(self, index: int, party: PartyId, packed: bytes) -> Bits:
        shard = self.answerer.shard
        return whole_bits(shard, index, unpack_bits(packed, 1, bit_count(shard, index), party))
