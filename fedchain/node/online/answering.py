"""Answers asks of peers: who asks, what it may ask, whether its serials are fresh, then the bits, and a receipt.

A passive party answers the active party alone, with bits. The active party answers passive ones, with scores. What is
refused is refused before anything of the table is looked up, and says nothing of it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from fedchain.chain import Participant, recover_signer
from fedchain.errors import (
    AskError,
    AskRefusedError,
    BusyError,
    ChainError,
    ConfigError,
    DataError,
    DeadlineError,
    FedchainError,
    MessageError,
    ModelFormatError,
    NotAccreditedError,
    PeerError,
    QuotaExceededError,
)
from fedchain.exchange import Exchange
from fedchain.inference.receipts import UNSIGNED, check_ask, sign_answer, sign_score_answer
from fedchain.messages.base import decode, encode
from fedchain.messages.online import Answer, Ask, ScoreAnswer, ScoreAsk, most_rows
from fedchain.node.online.job import EPOCH, OnlineJob, OnlineJobs
from fedchain.node.online.meter import Meter
from fedchain.node.online.refusals import FAILED, FORGED, MODEL, SILENT, TERMS, UNKNOWN_JOB, refusal_of
from fedchain.node.online.rounds import ASK, PREPARE, SCORE_ASK, Rounds
from fedchain.node.online.serials import Serials
from fedchain.types import JobId, PartyId

log = structlog.get_logger(__name__)

A = TypeVar("A", Ask, ScoreAsk)
_PREPARE_BYTES = 33
_MOST_RELAYS = 6
_CALLS_FOR_RELAYS = 18
"""Of the calls that a party takes of another at once (`ASK_LIMITS`); the rest is for the active party's own asks."""

_RELAYED = 0.75
"""Part of a job's deadline that the active party has for its own asks when it relays one."""


class Answering:
    """Safe to use from several threads.

    Args:
        jobs: finished jobs.
        serials: what is spent.
        exchange: for signing.
        rounds: a job's rounds, to ask other parties in a passive requester's turn.
        meter: is told of answers.
    """

    def __init__(
        self,
        jobs: OnlineJobs,
        serials: Serials,
        exchange: Exchange,
        rounds: Callable[[OnlineJob], Rounds],
        meter: Meter,
    ) -> None:
        self._jobs, self._serials, self._exchange = jobs, serials, exchange
        self._rounds, self._meter = rounds, meter
        self._lock = threading.Lock()
        self._relays: Counter[PartyId] = Counter()

    def answer(self, caller: Participant, question: bytes) -> bytes:
        """Answer one question.

        Args:
            caller: whose node asks; accredited, and proven by its certificate.
            question: a byte that says of which kind, and the message.

        Raises:
            AskRefusedError: says why; the text holds nothing of this node's rows.
            BusyError: too many asks of this caller are under way; nothing was spent.
        """
        begun = time.monotonic()
        try:
            if question[:1] == ASK:
                rows, answer = self._bits(caller, _decoded(question, Ask, caller))
            elif question[:1] == PREPARE:
                if len(question) != _PREPARE_BYTES:
                    raise AskRefusedError(FORGED, f"to prepare a job takes {_PREPARE_BYTES} bytes")
                return self._prepare(caller, question[1:])
            elif question[:1] == SCORE_ASK:
                rows, answer = self._scores(caller, _decoded(question, ScoreAsk, caller))
            else:
                raise AskRefusedError(FORGED, "a question of no known kind")
        except AskRefusedError:
            raise
        except AskError as error:
            raise AskRefusedError(FORGED, str(error)) from error
        except DeadlineError as error:
            raise AskRefusedError(SILENT, str(error)) from error
        except PeerError as error:
            raise AskRefusedError(TERMS if "terms" in str(error) else FAILED, str(error)) from error
        except ChainError as error:
            log.warning("question not answered: the chain cannot be read", party=caller.name, error=str(error))
            raise AskRefusedError(FAILED, "this node cannot read the chain now") from error
        except (DataError, ModelFormatError, ConfigError) as error:
            log.error("question not answered", party=caller.name, error=str(error))
            raise AskRefusedError(FAILED, "this node's table or files do not serve the job now; see its log") from error
        self._meter.on_answered(rows, time.monotonic() - begun, caller.name)
        return answer

    # -- inside -----------------------------------------------------------------------------------------------------

    def _bits(self, caller: Participant, ask: Ask) -> tuple[int, bytes]:
        job = self._job(caller, ask.job)
        requester = PartyId(caller.name)
        if requester != job.active or job.is_active:
            raise AskRefusedError(FORGED, f"bits are for the active party '{job.active}' alone")
        digest = self._admit(job, caller, ask, job.table.bit_count)
        bits = job.answers.answer(requester, ask.tags, ask.planes, epoch=EPOCH)
        answer = Answer(first_serial=ask.first_serial, rows=ask.rows, bits=bits, time_ms=_now_ms(), signature=UNSIGNED)
        return ask.rows, encode(sign_answer(job.domain, ask, digest, answer, self._exchange.consortium.sign_uplink))

    def _scores(self, caller: Participant, ask: ScoreAsk) -> tuple[int, bytes]:
        job = self._job(caller, ask.job)
        requester = PartyId(caller.name)
        if not job.is_active or requester == job.active:
            raise AskRefusedError(FORGED, f"scores are asked for at the active party '{job.active}'")
        with self._relayed(job, requester):
            return self._scored(job, caller, ask)

    @contextmanager
    def _relayed(self, job: OnlineJob, requester: PartyId) -> Iterator[None]:
        """A relay under way: so few per requester that the other parties take this node's own asks, too.

        Raises:
            BusyError: there are too many; no serial is spent.
        """
        most = max(1, min(_MOST_RELAYS, _CALLS_FOR_RELAYS // len(job.passive)))
        with self._lock:
            if self._relays[requester] >= most:
                raise BusyError(f"{most} asks for party '{requester}' are under way")
            self._relays[requester] += 1
        try:
            yield
        finally:
            with self._lock:
                self._relays[requester] -= 1

    def _scored(self, job: OnlineJob, caller: Participant, ask: ScoreAsk) -> tuple[int, bytes]:
        requester = PartyId(caller.name)
        if ask.explain and (ask.planes or not job.spec.inference.explanations):
            raise AskRefusedError(FORGED, "this job explains no scores, or not in that form")
        digest = self._admit(job, caller, ask, job.most_bits)
        positions = job.answers.positions(requester, ask.tags, EPOCH)
        try:
            scored = (
                self._rounds(job)
                .begin(
                    positions,
                    planes=ask.planes,
                    explained=ask.explain,
                    given={requester: ask.bits},
                    deadline_seconds=_RELAYED * job.spec.inference.deadline_ms / 1000 * (1 + 30 * ask.planes),
                )
                .finish()
            )
        except (QuotaExceededError, NotAccreditedError) as error:
            raise refusal_of(error) from error
        except (DeadlineError, ChainError, ConfigError, DataError, ModelFormatError):
            raise  # their texts are this node's own affair, see `answer`
        except FedchainError as error:
            raise refusal_of(error) from error
        answer = ScoreAnswer(
            first_serial=ask.first_serial,
            rows=ask.rows,
            outputs=job.outputs,
            scores=scored.scores.astype("<f8").tobytes(),
            flags=scored.flags.tobytes(),
            base=b"" if scored.base is None else scored.base.astype("<f8").tobytes(),
            contributions=b"" if scored.contributions is None else scored.contributions.astype("<f8").tobytes(),
            receipts=scored.receipts,
            time_ms=_now_ms(),
            signature=UNSIGNED,
        )
        signed = sign_score_answer(job.domain, ask, digest, answer, self._exchange.consortium.sign_uplink)
        return ask.rows, encode(signed)

    def _prepare(self, caller: Participant, job_id: bytes) -> bytes:
        """Load a job before it is asked: a large table takes longer than an ask may wait."""
        job = self._job(caller, job_id)
        if job.is_active:
            self._rounds(job)  # which has the others prepare
        # the active party sees default bits whenever it asks with a decoy; now it has them should this node be silent
        return PREPARE + (job.table.default if not job.is_active and caller.name == job.active else b"")

    def _job(self, caller: Participant, raw: bytes) -> OnlineJob:
        job_id = JobId("0x" + raw.hex())
        record = self._exchange.state.job(job_id)
        if record is None:
            raise AskRefusedError(UNKNOWN_JOB, f"job {job_id} is unknown to this node")
        if caller.address not in self._jobs.roster(job_id):  # before a table is loaded for it
            raise AskRefusedError(UNKNOWN_JOB, f"job {job_id} is none of party '{caller.name}'")
        return self._jobs.get(job_id)

    def _admit(self, job: OnlineJob, caller: Participant, ask: Ask, bit_count: int) -> bytes:
        """The ask's digest, once it is its sender's, about this model, and its serials are spent."""
        requester, mine = PartyId(caller.name), job.address_bytes(job.me)
        if ask.requester != job.address_bytes(requester):
            raise AskRefusedError(FORGED, f"the ask is in another party's name, not in that of '{requester}'")
        digest = check_ask(job.domain, ask, requester, caller.signer, mine, recover_signer)
        if ask.model != job.model:
            raise AskRefusedError(MODEL, f"job {job.job_id} has another model here")
        if ask.epoch != EPOCH:
            raise AskRefusedError(FORGED, f"tags are of epoch {ask.epoch}, which is not in force")
        is_relay = isinstance(ask, ScoreAsk)  # a decoy may join it on its way
        most = most_rows(bit_count, ask.planes) + (not ask.planes and not is_relay)
        if ask.rows > most:
            raise AskRefusedError(FORGED, f"an ask in that form is of {most} rows at most, not of {ask.rows}")
        self._serials.spend(job.job_id, caller.address, ask.first_serial, ask.rows)
        return digest


def _decoded(question: bytes, kind: type[A], caller: Participant) -> A:
    try:
        return decode(question[1:], kind)
    except MessageError as error:
        raise AskRefusedError(FORGED, f"party '{caller.name}' asks with something that is no ask") from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
