"""Settling a job's contributions: the active party's node does it by itself once the job is completed."""

from __future__ import annotations

import time

import structlog

from fedchain.chain import Consortium
from fedchain.errors import ChainError, TransactionError
from fedchain.exchange.outages import through_outages
from fedchain.federation.spec import JobSpec
from fedchain.types import JobId

log = structlog.get_logger(__name__)

_OUTAGE_SECONDS = 120.0


def settle(consortium: Consortium, job_id: JobId, spec: JobSpec, me: str) -> None:
    """Settle a completed job, unless that is done, or not for this party to do.

    Raises nothing: the job is over whatever comes of it, and anybody may settle later.

    Args:
        consortium: with a sender.
        job_id: the job.
        spec: the job's.
        me: this party's name.
    """
    if not spec.contribution.budget or me != spec.active.name:
        return

    def settled() -> bool | None:
        return True if consortium.settlements.settlement(job_id) is not None else None

    def act() -> bool:
        if settled() is None:
            consortium.settlements.settle(job_id)
        return True

    try:
        through_outages(act, settled, time.monotonic() + _OUTAGE_SECONDS, "settling contributions")
        log.info("contributions are settled", job=job_id)
    except TransactionError as error:
        if not error.reason.startswith("AlreadySettled("):
            log.warning("contributions are not settled", job=job_id, reason=error.reason)
    except ChainError as error:
        log.warning("contributions are not settled; do it by hand", job=job_id, error=str(error))
