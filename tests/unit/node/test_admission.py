"""How often, and with how small sets, peers may align with this node."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.errors import AlignmentPolicyError
from fedchain.exchange.records import JobRecord
from fedchain.node.admission import DAY_SECONDS, Admission, require_size
from fedchain.node.sections import AlignmentSection
from fedchain.types import JobId, PartyId, Phase

ME, BANK, SHOP = "0xme", "0xbank", "0xshop"
NOW = 10 * DAY_SECONDS


@dataclass
class Chain:
    """As much of a consortium as is asked; a block lasts an hour, and the newest one is number 240."""

    jobs: dict[JobId, tuple[int, tuple[str, ...], Phase, bool, int]] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        return SimpleNamespace(block_time=lambda block=240: (block, block * 3600))

    def add(
        self,
        name: str,
        block: int,
        *peers: str,
        phase: Phase = Phase.COMPLETED,
        accepted: bool = True,
        uplinks: int = 9,
    ) -> JobId:
        self.jobs[JobId(name)] = (block, (ME, *peers), phase, accepted, uplinks)
        return JobId(name)

    def records(self) -> list[JobRecord]:
        return [JobRecord(job, block, ME, b"", "proposed") for job, (block, *_) in self.jobs.items()]

    def job(self, job_id: JobId) -> Any:
        return SimpleNamespace(roster=self.jobs[job_id][1], phase=self.jobs[job_id][2])

    def has_accepted(self, job_id: JobId, address: str) -> bool:
        assert address == ME
        return self.jobs[job_id][3]

    def counts(self, job_id: JobId) -> tuple[int, int]:
        return self.jobs[job_id][4], 0

    def admission(self, most: int) -> Admission:
        consortium: Any = self
        return Admission(AlignmentSection(max_runs_per_peer_and_day=most), consortium, self.records, ME)


PARTIES = {PartyId("me"): ME, PartyId("bank"): BANK}


def asks(chain: Chain, most: int) -> None:
    job = chain.add("new", 240, BANK, phase=Phase.PROPOSED, accepted=False, uplinks=0)
    chain.admission(most).admit(job, PARTIES)


def test_runs_of_the_last_day_with_the_peer_count_whatever_became_of_them() -> None:
    chain = Chain()
    chain.add("a", 220, BANK)
    chain.add("b", 230, SHOP, BANK, phase=Phase.ABORTED)
    chain.add("c", 239, BANK, phase=Phase.ALIGNING, uplinks=0)
    asks(chain, 4)
    with pytest.raises(AlignmentPolicyError, match="'bank' has taken part in 3 alignments") as caught:
        asks(chain, 3)
    assert (caught.value.peer, caught.value.exit_code) == ("bank", 3)


@pytest.mark.parametrize(
    "job",
    [
        {"block": 215, "peers": (BANK,)},
        {"block": 239, "peers": (SHOP,)},
        {"block": 239, "peers": (BANK,), "accepted": False, "phase": Phase.PROPOSED},
        {"block": 239, "peers": (BANK,), "phase": Phase.ABORTED, "uplinks": 2},
    ],
    ids=["older", "with another", "not accepted", "ended before ids were sent"],
)
def test_others_do_not(job: dict[str, Any]) -> None:
    chain = Chain()
    chain.add("a", job.pop("block"), *job.pop("peers"), **job)
    asks(chain, 1)


def test_jobs_that_are_about_to_be_accepted_count_too() -> None:
    chain = Chain()
    jobs = [chain.add(name, 240, BANK, phase=Phase.PROPOSED, accepted=False, uplinks=0) for name in ("a", "b")]
    admission = chain.admission(1)
    admission.admit(jobs[0], PARTIES)
    admission.admit(jobs[0], PARTIES)
    with pytest.raises(AlignmentPolicyError, match="'bank'"):
        admission.admit(jobs[1], PARTIES)


def test_a_job_that_was_accepted_before_a_restart_goes_on() -> None:
    chain = Chain()
    chain.add("a", 239, BANK)
    job = chain.add("b", 239, BANK, phase=Phase.ALIGNING)
    chain.admission(1).admit(job, PARTIES)


@pytest.mark.parametrize(
    ("size", "own", "words"), [(19, 19, "min_set_size"), (20, 41, "max_size_ratio"), (20, 40, ""), (10**6, 20, "")]
)
def test_small_sets_are_refused(size: int, own: int, words: str) -> None:
    policy = AlignmentSection(min_set_size=20, max_size_ratio=2)
    if words:
        with pytest.raises(AlignmentPolicyError, match=rf"party 'bank' wants to align a set of {size} ids.*{words}"):
            require_size(policy, PartyId("bank"), size, own)
    else:
        require_size(policy, PartyId("bank"), size, own)
