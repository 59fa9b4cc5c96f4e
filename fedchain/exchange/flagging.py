"""Puts a flag on a decrypted histogram on the record. A flag accuses nobody, so nothing about it may end a job."""

from __future__ import annotations

import structlog

from fedchain.chain import Consortium
from fedchain.errors import ChainError
from fedchain.messages import Envelope
from fedchain.protocol import Flag
from fedchain.types import JobId, Kind

log = structlog.get_logger(__name__)


def flag_histogram(
    consortium: Consortium, job_id: JobId, flag: Flag, *, round: int, attempt: int, sender: str, active: str
) -> None:
    """Have a passive party's histogram flagged; the record takes one per party and round, also of a restarted party.

    Args:
        consortium: with the active party's sender.
        job_id: the job.
        flag: the statistic and its score, which become public.
        round, attempt: in force.
        sender: address of the passive party.
        active: address of the active party.
    """
    told = {"job": job_id, "round": round, "party": flag.party, "score": f"{flag.score_e6 / 1e6:.1f}"}
    try:
        evidence = consortium.slot(sender, _slot(job_id, flag, round, attempt, active))
        consortium.faults.flag(sender, job_id, round, evidence, flag.statistic_e6, flag.score_e6)
    except ChainError as error:
        log.warning("a flag on a histogram is not on record", **told, error=str(error))
        return
    log.warning("a histogram is unlike those before it: flagged, which accuses nobody", **told)


def _slot(job_id: JobId, flag: Flag, round: int, attempt: int, active: str) -> Envelope:
    """An envelope of the histogram's slot; digest and size are no part of a slot."""
    return Envelope(
        job_id=bytes.fromhex(job_id.removeprefix("0x")),
        round=round,
        attempt=attempt,
        step=flag.step,
        kind=Kind.HISTOGRAM,
        recipient=bytes.fromhex(active.removeprefix("0x")),
        digest=bytes(32),
        size=0,
    )
