"""Whether this node aligns with its peers once more: its own policy against what the chain and their sets say.

A party can put ids of its choice into its set, and alignment tells it which of them the others hold. So how often and
with how small a set a peer may ask is bounded, by each node for itself (`[alignment]` of node.toml). Runs are counted
from the contracts' state, so that a restart does not forget; a peer's size is looked at before this node blinds any of
the peer's ids, so that a set that is too small tells the peer nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from fedchain.chain import Consortium
from fedchain.errors import AlignmentPolicyError
from fedchain.exchange.records import JobRecord
from fedchain.node.sections import AlignmentSection
from fedchain.types import JobId, PartyId, Phase

DAY_SECONDS = 86_400


class Admission:
    """One node's policy on alignments. Safe to use from several threads.

    Args:
        policy: `[alignment]` of node.toml.
        consortium: to read from.
        records: all jobs that have this node on their roster, as it heard of them from the chain, oldest first.
        address: this node's.
    """

    def __init__(
        self,
        policy: AlignmentSection,
        consortium: Consortium,
        records: Callable[[], list[JobRecord]],
        address: str,
    ) -> None:
        self._policy = policy
        self._consortium = consortium
        self._records = records
        self._address = address
        self._lock = threading.Lock()
        self._admitted: set[JobId] = set()

    def admit(self, job_id: JobId, parties: Mapping[PartyId, str]) -> None:
        """Count a job as a run with each peer, if the policy has room for it. To be asked before a job is accepted.

        A job that this node has accepted already was admitted then.

        Args:
            job_id: the job.
            parties: address by name of its roster, this node's own among them.

        Raises:
            AlignmentPolicyError: there were as many runs with a peer within a day; names the peer.
            ChainUnreachableError: the chain does not answer.
        """
        with self._lock:
            if job_id in self._admitted or self._consortium.has_accepted(job_id, self._address):
                return
            most = self._policy.max_runs_per_peer_and_day
            runs = self._runs_within_a_day(job_id)
            for name, address in parties.items():
                if address != self._address and runs.get(address, 0) >= most:
                    raise AlignmentPolicyError(
                        name,
                        f"has taken part in {runs[address]} alignments with this node within a day, and [alignment] "
                        f"max_runs_per_peer_and_day of node.toml is {most}; `fedchain alignment record` lists them",
                    )
            self._admitted.add(job_id)

    def _runs_within_a_day(self, but: JobId) -> dict[str, int]:
        """Number of alignments with each peer's address that were accepted here, a job at hand left out."""
        client, counts = self._consortium.client, dict[str, int]()
        _, now = client.block_time()
        for record in reversed(self._records()):
            if record.job_id == but:
                continue
            _, proposed = client.block_time(record.block)
            if proposed < now - DAY_SECONDS:
                break
            job = self._consortium.job(record.job_id)
            if record.job_id not in self._admitted and not self._consortium.has_accepted(record.job_id, self._address):
                continue
            if job.phase == Phase.ABORTED and self._consortium.counts(record.job_id)[0] <= len(job.roster):
                continue  # it ended before anybody but for its keys had sent anything
            for address in job.roster:
                if address != self._address:
                    counts[address] = counts.get(address, 0) + 1
        return counts


def require_size(policy: AlignmentSection, peer: PartyId, size: int, own: int) -> None:
    """A peer's set is neither so small nor so unlike the own one that it looks like probing.

    Args:
        policy: `[alignment]` of node.toml.
        peer: whose set it is.
        size: ids in it, with padding.
        own: ids in the own set.

    Raises:
        AlignmentPolicyError: it is; names the peer.
    """
    if size < policy.min_set_size:
        raise AlignmentPolicyError(
            peer,
            f"wants to align a set of {size} ids, and [alignment] min_set_size of node.toml is {policy.min_set_size}: "
            "a small set probes for single customers; ask that party for a larger one, or lower the bound",
        )
    if own > size * policy.max_size_ratio:
        raise AlignmentPolicyError(
            peer,
            f"wants to align a set of {size} ids with this node's {own}, and [alignment] max_size_ratio of node.toml "
            f"is {policy.max_size_ratio}; ask that party for a larger set, or raise the bound",
        )
