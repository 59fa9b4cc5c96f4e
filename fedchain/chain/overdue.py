"""What anybody may do about a job whose deadline is over: name who is missing, and later end it."""

from __future__ import annotations

import time
from enum import Enum

from fedchain.chain.contracts import Consortium
from fedchain.chain.views import JobView
from fedchain.types import Phase


class Step(Enum):
    """What is due."""

    NOTHING = "nothing"
    CLOSE = "close"
    EXPIRE = "expire"


def next_block_time(consortium: Consortium) -> int:
    """About when a transaction that is sent now is mined, seconds of the chain's clock.

    The later one of this machine's clock and of the newest block's: a chain where nothing happens has an old block, and
    the contracts go by the time of the block that a transaction is mined in.
    """
    return max(int(time.time()), consortium.chain_time())


def step_due(consortium: Consortium, view: JobView) -> Step:
    """What is due in a job now.

    Args:
        consortium: is asked about suspensions, where the job's policy says that they end it.
        view: the job.
    """
    if not view.deadline:
        return Step.NOTHING
    now = next_block_time(consortium)
    if now > view.expires_after or (view.policy.ends_on_suspension and consortium.is_expirable(view.job_id)):
        return Step.EXPIRE
    return Step.CLOSE if now > view.deadline and not view.closed else Step.NOTHING


def take_step(consortium: Consortium, view: JobView, step: Step) -> None:
    """Do what is due.

    Raises:
        TransactionError: `DeadlineNotReached(…)`: by the chain's clock it is not due yet; `WrongPhase(…)`,
            `JobEnded(…)`: the job has gone on meanwhile.
    """
    if step is Step.EXPIRE:
        consortium.expire(view.job_id)
    elif step is Step.CLOSE and view.phase is Phase.TRAINING:
        consortium.close_round(view.job_id)
    elif step is Step.CLOSE:
        consortium.mark_missing(view.job_id)
