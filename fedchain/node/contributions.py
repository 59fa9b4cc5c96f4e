"""What the contribution ledger holds of a job, for `fedchain contributions` and the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedchain.chain import Consortium, JobView
from fedchain.contribution.gain import gain_shares
from fedchain.errors import ConfigError
from fedchain.types import JobId


@dataclass(frozen=True)
class Contributions:
    """A job's recorded shares.

    Attributes:
        job_id: the job.
        shares_e6: Shapley value by party in roster order, scale 1e6; they sum to `full_e6 - empty_e6`.
        full_e6, empty_e6: utility of all parties, and of nobody, scale 1e6.
        block: in which they were recorded.
    """

    job_id: JobId
    shares_e6: dict[str, int]
    full_e6: int
    empty_e6: int
    block: int

    @property
    def parts(self) -> dict[str, float]:
        """Each party's part of the whole gain."""
        return gain_shares(self.shares_e6)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "job_id": self.job_id,
            "contributions": self.parts,
            "contributions_e6": self.shares_e6,
            "utility_full_e6": self.full_e6,
            "utility_empty_e6": self.empty_e6,
            "block": self.block,
        }


def read_contributions(consortium: Consortium, view: JobView) -> Contributions:
    """Read them back from the chain.

    Raises:
        ConfigError: none are recorded (yet).
        ChainUnreachableError: the chain's node does not answer.
    """
    record = consortium.contribution(view.job_id)
    if record is None:
        raise ConfigError(
            f"job {view.job_id} has no contribution recorded: it is {view.phase.name.lower()}; "
            "the active party records it when it evaluates the finished model"
        )
    names = [consortium.participant(address).name for address in record.roster]
    return Contributions(
        view.job_id,
        dict(zip(names, record.shares_e6, strict=True)),
        record.full,
        record.empty,
        record.block_number,
    )
