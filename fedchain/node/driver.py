"""Runs a party's generator over the chain: carries out each action exactly as `fedchain.protocol.actions` tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bind_contextvars, unbind_contextvars

from fedchain.errors import (
    DeadlineError,
    JobAbortedError,
    PeerError,
    RoundRolledBackError,
    StoppingError,
    UplinkRejectedError,
)
from fedchain.exchange.auditing import JobAudit
from fedchain.exchange.channel import JobChannel
from fedchain.node.journal import Journal
from fedchain.protocol.actions import (
    Action,
    AwaitAudit,
    BeginRound,
    Checkpoint,
    CloseRound,
    CommitLabels,
    Conclude,
    DeclareAligned,
    DeclareStop,
    Flag,
    Freeze,
    Gather,
    Keep,
    Party,
    PostLosses,
    ReadRecord,
    Recall,
    Receive,
    RecordContribution,
    Remember,
    RevealSeed,
    Send,
    Stage,
    Vote,
)
from fedchain.protocol.audits import AuditState

log = structlog.get_logger(__name__)

T = TypeVar("T")
OnStage = Callable[[Stage], None]
OnKeep = Callable[[object], None]

_AUDIT = (CommitLabels, Freeze, PostLosses, RevealSeed, Vote, AwaitAudit, Conclude)


def run_party(
    party: Party[T],
    channel: JobChannel,
    on_stage: OnStage | None = None,
    on_keep: OnKeep | None = None,
    journal: Journal | None = None,
) -> T:
    """Run a generator to its end; when anything fails, the job is aborted on chain and the error raised.

    When the node stops the job stays as it is, and goes on from its journal when the node is started again.

    Args:
        party: the generator.
        channel: of its job, or of its inference request.
        on_stage: is told of progress.
        on_keep: stores an outcome; a generator that asks for it needs it.
        journal: keeps what a restarted party needs; a generator that remembers anything needs it.

    Raises:
        UplinkRejectedError: the contract rejected an uplink of any party; names it.
        ProtocolViolationError: a peer's message is malformed or not what it committed to; names it.
        DeadlineError: a peer kept silent for longer than the job's policy allows; names it.
        JobAbortedError: another party aborted the job.
        StoppingError: this node stops.
        RoundRolledBackError: the round is tried again; see `run_job`.
        FedchainError: whatever the generator itself raises.
    """
    answer: object = None
    bind_contextvars(job=channel.job_id)
    try:
        while True:
            bind_contextvars(round=channel.round, attempt=channel.attempt)
            try:
                action = party.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(action, Keep) and on_keep is not None:
                on_keep(action.outcome)
                answer = None
            elif isinstance(action, Checkpoint) and journal is not None:
                channel.after_closing(partial(journal.checkpoint, action.name, action.state, action.round))
                answer = None
            elif isinstance(action, (Remember, Recall)) and journal is not None:
                answer = _note(action, journal)
            else:
                answer = carry_out(action, channel, on_stage)
    except (StoppingError, RoundRolledBackError) as error:
        party.close()
        log.info("this party pauses", job=channel.job_id, round=channel.round, reason=str(error))
        raise
    except BaseException as error:
        party.close()
        reason = public_reason(error, channel)
        tell = log.info if isinstance(error, JobAbortedError) else log.error
        tell("this party gives up", job=channel.job_id, round=channel.round, reason=reason, error=str(error))
        channel.give_up(reason)
        raise
    finally:
        unbind_contextvars("round", "attempt")


def run_job(
    make: Callable[[], Party[T]], channel: JobChannel, on_stage: OnStage | None, on_keep: OnKeep, journal: Journal
) -> T:
    """Run a job's generator to its end, anew from its last round checkpoint whenever a round is rolled back.

    Args:
        make: gives a generator of the party.
        channel, on_stage, on_keep, journal: see `run_party`.

    Raises:
        As `run_party`, but for RoundRolledBackError.
    """
    while True:
        try:
            return run_party(make(), channel, on_stage, on_keep, journal)
        except RoundRolledBackError as error:
            journal.roll_back(error.round)
            channel.start_over(error.attempt)


def carry_out(action: Action, channel: JobChannel, on_stage: OnStage | None = None) -> object:
    """Carry out one action; returns what its generator is answered with."""
    if isinstance(action, Stage):
        if on_stage is not None:
            on_stage(action)
    elif isinstance(action, Send):
        channel.send(action.message, action.step, action.recipient, action.statistic_e6)
    elif isinstance(action, Receive):
        if action.within_seconds is not None:
            return channel.receive_or_none(action.message_type, action.step, action.sender, action.within_seconds)
        return channel.receive(action.message_type, action.step, action.sender, to_me=action.to_me)
    elif isinstance(action, Gather):
        return channel.gather(action.message_type, action.step, action.senders, to_me=action.to_me)
    elif isinstance(action, BeginRound):
        channel.begin_round(action.round)
    elif isinstance(action, CloseRound):
        channel.close_round(action.round, last=action.last)
    elif isinstance(action, DeclareAligned):
        channel.declare_aligned(action.order_digest, action.rows)
    elif isinstance(action, DeclareStop):
        channel.declare_stop(action.round)
    elif isinstance(action, RecordContribution):
        channel.record_contribution(action.shares_e6, action.utility_full_e6, action.utility_empty_e6)
    elif isinstance(action, ReadRecord):
        return channel.recorded_contribution()
    elif isinstance(action, _AUDIT):
        return _carry_out_audit(action, channel.audit)
    elif isinstance(action, Flag):
        channel.flag(action)
    else:
        raise TypeError(f"a party yielded {type(action).__name__}, which is no action")
    return None


def _carry_out_audit(action: object, audit: JobAudit) -> AuditState | None:
    if isinstance(action, AwaitAudit):
        return audit.wait(action.stage)
    if isinstance(action, Conclude):
        return audit.conclude()
    if isinstance(action, CommitLabels):
        audit.commit_labels(action)
    elif isinstance(action, Freeze):
        audit.freeze(action)
    elif isinstance(action, PostLosses):
        audit.post(action)
    elif isinstance(action, RevealSeed):
        audit.reveal(action)
    elif isinstance(action, Vote):
        audit.vote(action)
    return None


def _note(action: Remember | Recall, journal: Journal) -> bytes | None:
    if isinstance(action, Remember):
        return journal.remember(action.name, action.make)
    return journal.recall(action.name)


def public_reason(error: BaseException, channel: JobChannel) -> str:
    """Why a party gives up, for all to read on chain: who and what kind, never a value, an id, or a path."""
    if isinstance(error, UplinkRejectedError):
        return f"uplink of party {error.sender} rejected: {error.reason}"
    where = f"round {channel.round}"
    if isinstance(error, PeerError):
        return f"{type(error).__name__} by party {error.culprit} in {where}"
    if isinstance(error, DeadlineError):
        for_whom = f" for {', '.join(error.who)}" if error.who else ""
        return f"party {channel.me} waited in vain{for_whom} in {where}"
    if isinstance(error, JobAbortedError):
        return f"party {channel.me} stopped in {where}"
    return f"party {channel.me} failed in {where}: {type(error).__name__}"
