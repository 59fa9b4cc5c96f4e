"""Runs a party's generator over the chain: carries out each action exactly as `fedchain.protocol.actions` tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from fedchain.errors import (
    DeadlineError,
    JobAbortedError,
    PeerError,
    UplinkRejectedError,
)
from fedchain.exchange.channel import JobChannel
from fedchain.protocol.actions import (
    Action,
    BeginRound,
    DeclareAligned,
    DeclareStop,
    Gather,
    Keep,
    Party,
    Receive,
    RecordContribution,
    Send,
    Stage,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
OnStage = Callable[[Stage], None]
OnKeep = Callable[[object], None]


def run_party(
    party: Party[T], channel: JobChannel, on_stage: OnStage | None = None, on_keep: OnKeep | None = None
) -> T:
    """Run a generator to its end; when anything fails, the job is aborted on chain and the error raised.

    Args:
        party: the generator.
        channel: of its job, or of its inference request.
        on_stage: is told of progress.
        on_keep: stores an outcome; a generator that asks for it needs it.

    Raises:
        UplinkRejectedError: the contract rejected an uplink of any party; names it.
        ProtocolViolationError: a peer's message is malformed or not what it committed to; names it.
        DeadlineError: a peer kept silent for longer than the job's policy allows; names it.
        JobAbortedError: another party aborted the job.
        FedchainError: whatever the generator itself raises.
    """
    answer: object = None
    try:
        while True:
            try:
                action = party.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if isinstance(action, Keep) and on_keep is not None:
                on_keep(action.outcome)
                answer = None
            else:
                answer = carry_out(action, channel, on_stage)
    except BaseException as error:
        party.close()
        reason = public_reason(error, channel)
        tell = log.info if isinstance(error, JobAbortedError) else log.error
        tell("this party gives up", job=channel.job_id, round=channel.round, reason=reason, error=str(error))
        channel.give_up(reason)
        raise


def carry_out(action: Action, channel: JobChannel, on_stage: OnStage | None = None) -> object:
    """Carry out one action; returns what its generator is answered with."""
    if isinstance(action, Stage):
        if on_stage is not None:
            on_stage(action)
    elif isinstance(action, Send):
        channel.send(action.message, action.step, action.recipient, action.statistic_e6)
    elif isinstance(action, Receive):
        return channel.receive(action.message_type, action.step, action.sender, to_me=action.to_me)
    elif isinstance(action, Gather):
        return channel.gather(action.message_type, action.step, action.senders, to_me=action.to_me)
    elif isinstance(action, BeginRound):
        channel.begin_round(action.round)
    elif isinstance(action, DeclareAligned):
        channel.declare_aligned(action.order_digest, action.rows)
    elif isinstance(action, DeclareStop):
        channel.declare_stop(action.round)
    elif isinstance(action, RecordContribution):
        channel.record_contribution(action.shares_e6, action.utility_full_e6, action.utility_empty_e6)
    else:
        raise TypeError(f"a party yielded {type(action).__name__}, which is no action")
    return None


def public_reason(error: BaseException, channel: JobChannel) -> str:
    """Why a party gives up, for all to read on chain: who and what kind, never a value, an id, or a path."""
    if isinstance(error, UplinkRejectedError):
        return f"uplink of party {error.sender} rejected: {error.reason}"
    where = f"round {channel.round}"
    if isinstance(error, PeerError):
        return f"{type(error).__name__} by party {error.culprit} in {where}"
    if isinstance(error, DeadlineError):
        return f"party {channel.me} waited in vain in {where}"
    if isinstance(error, JobAbortedError):
        return f"party {channel.me} stopped in {where}"
    return f"party {channel.me} failed in {where}: {type(error).__name__}"
