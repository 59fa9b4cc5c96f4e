"""What `fedchain contributions --history` shows: contributions over all jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedchain.cli.options import opened
from fedchain.cli.output import print_json, print_rows, short
from fedchain.cli.steward import find_participant
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.node.history import JobLine

_E6 = 1_000_000
_ADDRESS_LENGTH = 42


def _share(job: JobLine) -> str:
    share = f"{job.share_e6 / _E6:+.6f}"
    if job.block is None:
        return f"{share} (not recorded)"
    return share if job.recorded_e6 is None else f"{share} (recorded as {job.recorded_e6 / _E6:+.6f})"


def show_history(party: str, rpc: str, deployment: Path, *, as_json: bool) -> None:
    """One party's jobs, or, where none is named, a line for everybody.

    Raises:
        ConfigError: nobody has registered that name, or it is none.
    """
    from fedchain.node.history import read_histories

    if party.startswith("0x") and len(party) != _ADDRESS_LENGTH:
        raise ConfigError("--history takes a participant's name, or nothing for all of them; a job is shown without it")
    with opened(rpc, deployment) as consortium:
        wanted = [find_participant(consortium, party)] if party else consortium.participants()
        histories = read_histories(consortium, wanted)
    if as_json:
        print_json({"parties": [one.as_dict() for one in histories]})
        return
    if party:
        (one,) = histories
        print_rows(
            f"{len(one.jobs)} jobs with contributions of {one.name}",
            ("job", "block", "phase", "share", "part", "audit", "points", "withheld", "settlement"),
            [
                (
                    job.job_id,
                    "-" if job.block is None else job.block,
                    job.phase,
                    _share(job),
                    f"{job.part:.1%}",
                    job.audit or "-",
                    "-" if job.points is None else job.points,
                    job.withheld or "-",
                    job.settlement or "-",
                )
                for job in one.jobs
            ],
        )
    print_rows(
        "over all jobs",
        ("party", "jobs", "verified", "mean part", "points", "withheld", "faults", "overturned", "address"),
        [
            (
                one.name,
                len(one.jobs),
                one.verified,
                "-" if one.mean_part is None else f"{one.mean_part:.1%}",
                one.points,
                one.withheld,
                one.faults,
                one.overturned,
                short(one.address),
            )
            for one in histories
        ],
    )
