"""The points at which a node is killed: `points.txt` lists them, each under a job and a party that reach it.

`tests.recovery.entry` names a point wherever a node acts or waits. A point that is reached and not listed fails a test;
a point that is listed is one that the whole matrix kills a node at. `python -m tests.recovery.points` writes the list.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedchain.chain import start_dev_chain
from tests.recovery.federation import ALGORITHMS, Arm, RecoveringFederation

PATH = Path(__file__).with_name("points.txt")
KILLED = "KILLED"
CONCLUDING = [
    "passive evaluation after entering ContributionAudit.conclude into the outbox",
    "passive evaluation after sending ContributionAudit.conclude",
    "passive evaluation after waiting until ContributionAudit.conclude is mined",
]
"""Reached only where the active party is away or slow: not in the list, and killed at in a test of their own."""
_STARTING = "any starting "


@dataclass(frozen=True)
class Place:
    """A point, and where it is reached.

    Attributes:
        algorithm: of the job.
        company: index of the party.
        point: its name.
        times: how often the party reaches it in the recorded job.
    """

    algorithm: str
    company: int
    point: str
    times: int

    @property
    def is_starting(self) -> bool:
        """Whether a node comes by whenever it is started."""
        return self.point.startswith(_STARTING)


def load() -> list[Place]:
    """All listed points, in the order in which a job reaches them."""
    places = []
    algorithm, company = "", 0
    for line in PATH.read_text().splitlines():
        if line.startswith("["):
            algorithm, index = line.strip("[]").split()
            company = int(index)
        elif line and not line.startswith("#"):
            times, point = line.split(maxsplit=1)
            places.append(Place(algorithm, company, point, int(times)))
    return places


def reached(federation: RecoveringFederation) -> list[list[str]]:
    """The points that each party has reached so far."""
    return [[point for point in company.points() if point != KILLED] for company in federation.companies]


def unlisted(federation: RecoveringFederation) -> set[str]:
    """Points that were reached and are not in the list: waits without a kill test."""
    listed = {place.point for place in load()} | set(CONCLUDING)
    return {point for points in reached(federation) for point in points} - listed


def arms_of(places: Iterable[Place]) -> list[Arm]:
    """Where a node dies: in training in the second round, where there is one."""
    return [Arm(place.point, 2 if " training " in place.point and place.times >= 3 else 1) for place in places]


def starter(role: str) -> str:
    """A point that a party often comes by: where it dies to be started again, with something in its outbox."""
    return f"{role} training after entering {'SPLIT' if role == 'active' else 'HISTOGRAM'} into the outbox"


def record(federation: RecoveringFederation) -> list[Place]:
    """Run a job of each algorithm with a request from each party, the standard one with a restart of each party."""
    found: dict[str, Place] = {}
    read = [0, 0, 0]
    for algorithm in ALGORITHMS:
        if algorithm == "standard":
            for company in federation.companies:
                company.arm([Arm(starter(company.role))])
        job_id = federation.submit(algorithm)
        federation.complete(job_id, algorithm)
        for asker in federation.companies:
            federation.predict(job_id, asker, [0, 3])
        counted = [Counter(points[start:]) for points, start in zip(reached(federation), read, strict=True)]
        read = [start + sum(one.values()) for start, one in zip(read, counted, strict=True)]
        points = dict.fromkeys(point for one in counted for point in one if point not in CONCLUDING)
        fresh = [point for point in points if point not in found]
        for number, point in enumerate(fresh):
            companies = [index for index, one in enumerate(counted) if point in one]
            company_index = companies[number % len(companies)]
            found[point] = Place(algorithm, company_index, point, counted[company_index][point])
    return list(found.values())


def write(places: list[Place]) -> None:
    """Write the list."""
    lines = ["# Written by `python -m tests.recovery.points`: how often in an undisturbed job, and the point."]
    for algorithm in ALGORITHMS:
        for company in range(3):
            here = [place for place in places if (place.algorithm, place.company) == (algorithm, company)]
            lines += [f"[{algorithm} {company}]"] + [f"{place.times} {place.point}" for place in here]
    PATH.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Record on a fresh chain and write the list."""
    with tempfile.TemporaryDirectory() as folder, start_dev_chain("anvil") as chain:
        federation = RecoveringFederation(Path(folder), chain.rpc_url)
        try:
            places = record(federation)
        finally:
            federation.close()
    write(places)
    print(f"{len(places)} points", file=sys.stderr)


if __name__ == "__main__":
    main()
