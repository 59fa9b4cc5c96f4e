"""`fedchain audit`: what happened in a job, from the chain alone, and whether all of it fits together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    JobIdArgument,
    Rpc,
    known_job,
    opened,
)
from fedchain.cli.output import print_json, print_pairs, print_rows, size_text
from fedchain.errors import AuditError

if TYPE_CHECKING:
    from fedchain.node.audit import AuditReport, PartyVerdict


def audit(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    state: Annotated[
        list[Path] | None,
        typer.Option("--state", metavar="DIR", help="A node's state folder, for its payload files; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the story of a job from the chain alone, check every digest in reach, and give a verdict on each party.

    The exit code is 1 when something does not match. Recorded faults, such as rejected uplinks, do match.

    Example: fedchain audit 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.node.audit import StateFolder, audit_job

    folders = [StateFolder(path) for path in state or ()]
    with opened(rpc, deployment) as consortium:
        report = audit_job(consortium, known_job(consortium, job).job_id, folders)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    if not report.is_consistent:
        first = report.mismatches[0]
        more = f" (and {len(report.mismatches) - 1} more)" if len(report.mismatches) > 1 else ""
        raise AuditError(f"job {report.job_id}: {first.check}: {first.detail}{more}")


def _print(report: AuditReport) -> None:
    print_rows(
        f"story of job {report.job_id}",
        ("block", "who", "what"),
        [(moment.block, moment.who, moment.what) for moment in report.moments],
    )
    print_rows(
        "rounds",
        ("round", "attempt", "blocks", "accepted", "rejected", "payloads"),
        [
            (
                one.round,
                one.attempt,
                f"{one.first_block} to {one.last_block}",
                one.accepted,
                one.rejected,
                size_text(one.bytes),
            )
            for one in report.rounds
        ],
    )
    print_rows(
        "checks",
        ("what", "checked", "do not match", "out of reach"),
        [(name, one.checked, one.failed, one.unreachable) for name, one in report.checks.items()],
    )
    names = {party.address: party.name for party in report.parties}
    if report.mismatches:
        print_rows(
            "what does not match",
            ("check", "party", "block", "detail"),
            [
                (one.check, names.get(one.party or "", "-"), "-" if one.block is None else one.block, one.detail)
                for one in report.mismatches
            ],
        )
    print_rows(
        "parties",
        ("party", "role", "verdict", "accepted", "rejected", "strikes", "why"),
        [
            (one.name, one.role, one.standing, one.accepted, sum(one.rejected.values()), one.strikes, _why(one))
            for one in report.parties
        ],
    )
    pairs: list[tuple[str, object]] = [("phase", report.phase), ("block", report.head)]
    if report.aborted:
        pairs.append(("aborted", report.aborted))
    if report.model_digest:
        pairs.append(("model digest", report.model_digest))
    print_pairs("", [*pairs, ("verdict", report.verdict)])


def _why(party: PartyVerdict) -> str:
    words = [f"{reason} {count}×" for reason, count in sorted(party.rejected.items())]
    words += party.faults
    if party.missing:
        words.append(f"missing: {', '.join(party.missing)}")
    if party.overtaken:
        words.append(f"{party.overtaken} overtaken, nobody's fault")
    if party.mismatches:
        words.append(f"{party.mismatches} do not match")
    return "; ".join(words) or "-"
