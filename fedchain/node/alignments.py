"""Alignments on the chain's record: with whom, when, with how large sets, and how many ids were common."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import combinations
from typing import TYPE_CHECKING, Any

from fedchain.alignment.chunks import HEADER_STEP
from fedchain.chain import AlignmentDeclared, ChainEvent, JobProposed, UplinkJudged
from fedchain.chain.reads import BLOCKS_PER_QUERY
from fedchain.errors import ConfigError, MessageError
from fedchain.federation.spec import JobSpec
from fedchain.messages import AskingSet, CachedSet, IdSet, decode
from fedchain.node.admission import DAY_SECONDS
from fedchain.types import JobId, Kind, Reason

if TYPE_CHECKING:
    from fedchain.chain import ChainClient, Consortium


@dataclass
class AlignmentRun:
    """One job's alignment.

    Attributes:
        job_id: the job.
        name: the job's.
        block: of its proposal.
        time: of that block, seconds since 1970.
        parties: address by name, in roster order.
        sizes: number of ids, with padding, that each party committed to, by name; none before it did.
        rows: common ids, by the party that declared them.
    """

    job_id: JobId
    name: str
    block: int
    time: int
    parties: dict[str, str]
    sizes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "job_id": self.job_id,
            "name": self.name,
            "block": self.block,
            "time": datetime.fromtimestamp(self.time, timezone.utc).isoformat(),
            "parties": list(self.parties),
            "sizes": {name: self.sizes.get(name) for name in self.parties},
            "rows": {name: self.rows.get(name) for name in self.parties},
        }


def read_alignments(consortium: Consortium, days: float) -> list[AlignmentRun]:
    """Every job whose alignment began within so many days, oldest first.

    Raises:
        ChainUnreachableError: the chain's node does not answer.
        ChainError: it refuses, or answers with something of another shape.
    """
    client = consortium.client
    head, now = client.block_time()
    runs: dict[JobId, AlignmentRun] = {}
    for start in range(_first_since(client, head, now - days * DAY_SECONDS), head + 1, BLOCKS_PER_QUERY):
        for event in consortium.events(start, min(head, start + BLOCKS_PER_QUERY - 1)):
            _take(event, runs, client)
    return [run for run in runs.values() if run.sizes]


def pairs_within_a_day(runs: Sequence[AlignmentRun], now: int, of: str | None = None) -> dict[tuple[str, str], int]:
    """How many alignments each pair of parties had within a day before `now`; most frequent first.

    Args:
        runs: as `read_alignments` gives them.
        now: seconds since 1970.
        of: pairs with this party alone.
    """
    counts = Counter(
        pair
        for run in runs
        if run.time >= now - DAY_SECONDS
        for pair in combinations(run.parties, 2)
        if of is None or of in pair
    )
    return dict(counts.most_common())


def _first_since(client: ChainClient, head: int, since: float) -> int:
    """The first block that is not older, by bisection."""
    low, high = 0, head
    while low < high:
        middle = (low + high) // 2
        if client.block_time(middle)[1] < since:
            low = middle + 1
        else:
            high = middle
    return low


def _take(event: ChainEvent, runs: dict[JobId, AlignmentRun], client: ChainClient) -> None:
    if isinstance(event, JobProposed):
        try:
            spec = JobSpec.from_bytes(event.spec)
        except ConfigError:
            return  # nobody accepts it
        time = client.block_time(event.block_number)[1]
        parties = {str(name): address for name, address in zip(spec.names, event.roster, strict=False)}
        runs[event.job_id] = AlignmentRun(event.job_id, spec.name, event.block_number, time, parties)
        return
    run = runs.get(getattr(event, "job_id", JobId("")))
    if run is None:
        return
    names = {address: name for name, address in run.parties.items()}
    if isinstance(event, AlignmentDeclared) and event.party in names:
        run.rows[names[event.party]] = event.rows
    elif isinstance(event, UplinkJudged) and event.sender in names and event.reason == Reason.ACCEPTED:
        size = own_set_size(event)
        if size is not None:
            run.sizes.setdefault(names[event.sender], size)


def own_set_size(event: UplinkJudged) -> int | None:
    """How large a set is that a party commits to in this uplink, with padding; None if it is another one."""
    envelope = event.envelope
    if envelope.kind is not Kind.BLINDED_IDS or envelope.round != 0 or envelope.step != HEADER_STEP:
        return None
    types: tuple[type[IdSet | CachedSet | AskingSet], ...] = (IdSet, CachedSet, AskingSet)
    for message_type in types:
        with contextlib.suppress(MessageError):
            return decode(event.payload, message_type).count
    return None  # its peers name it, and go on no further
