"""`fedchain steward change`, `cancel` and `status`: who decides, and what is open."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.acting import Acting, sends
from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    Rpc,
    opened,
)
from fedchain.cli.output import note, print_json, print_pairs
from fedchain.cli.steward import as_dict, find_participant
from fedchain.errors import ConfigError
from fedchain.types import Status

if TYPE_CHECKING:
    from fedchain.chain import Consortium, PendingChange


@sends
def change(
    steward: Annotated[
        list[str],
        typer.Option("--steward", metavar="ADDRESS", help="A steward from then on; repeatable.", show_default=False),
    ],
    threshold: Annotated[
        int | None,
        typer.Option("--threshold", min=1, metavar="K", help="So many decide then. Default: more than half."),
    ] = None,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote for other stewards, or another threshold; name all who shall be stewards, in the order of the others' votes.

    Once enough of today's stewards have voted for the same, it holds at once, and every open vote is void.

    Example: fedchain steward change --steward 0x5B38… --steward 0xAb84… --threshold 2 --rpc http://127.0.0.1:8545
    """
    from fedchain.chain.deploying import checked_stewards
    from fedchain.chain.deploylog import checked_threshold

    steward = checked_stewards(steward)
    wanted = checked_threshold(threshold, steward)
    with by.opened() as consortium:
        vote = consortium.stewards.change(steward, wanted)
        members, now = consortium.stewards.members(), consortium.stewards.threshold()
    if as_json:
        print_json({**vote.as_dict(), "stewards": list(members), "threshold_now": now})
        return
    if vote.carried:
        print(f"{vote}: {now} of {len(members)} stewards decide now: {', '.join(members)}")
    else:
        print(f"{vote} for {wanted} of {len(steward)} stewards; not carried yet")


@sends
def cancel(
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote to drop the pending upgrade: it will not come into force.

    Example: fedchain steward cancel --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with by.opened() as consortium:
        pending = consortium.versions.pending()
        if pending is None:
            raise ConfigError("no upgrade is pending in this consortium; `fedchain steward status` shows its state")
        vote = consortium.versions.cancel()
    if as_json:
        print_json({"version": pending.version, **vote.as_dict()})
    else:
        print(f"{vote} to drop version {pending.version}; {'dropped' if vote.carried else 'not carried yet'}")


def status(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show the open votes on this participant, too.", show_default=False),
    ] = None,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show the stewards, how many decide, the version in force and a pending one; and the open votes on a participant.

    Example: fedchain steward status operator --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with opened(rpc, deployment) as consortium:
        members, threshold = consortium.stewards.members(), consortium.stewards.threshold()
        version, delay = consortium.versions.current(), consortium.versions.delay_seconds()
        pending = consortium.versions.pending()
        recorded = consortium.deployment.version
        found = None if name is None else find_participant(consortium, name)
        votes = {} if found is None else _open_votes(consortium, found.address)
    if as_json:
        report: dict[str, object] = {
            "stewards": list(members),
            "threshold": threshold,
            "version": version,
            "deployment_version": recorded,
            "delay_seconds": delay,
            "pending": None if pending is None else _as_dict(pending),
        }
        if found is not None:
            report["participant"] = as_dict(found)
            report["votes"] = {status.name.lower(): list(voters) for status, voters in votes.items()}
        print_json(report)
        return
    rows: list[tuple[str, object]] = [
        ("stewards", ", ".join(members)),
        ("decide", f"{threshold} of {len(members)}"),
        ("version in force", version),
        ("delay of a change", f"{delay} s"),
        ("pending", "-" if pending is None else f"version {pending.version}, not before {_time(pending.not_before)}"),
    ]
    if found is not None:
        rows.append((found.name, f"{found.status.name.lower()}, {found.strikes} strikes ({found.address})"))
        rows.extend(
            (f"votes: {status.name.lower()}", f"{len(voters)} of {threshold}: {', '.join(voters)}")
            for status, voters in votes.items()
        )
    print_pairs("", rows)
    if recorded != version:
        note(f"{deployment} records version {recorded}; get the file of version {version} of a steward")


def _open_votes(consortium: Consortium, address: str) -> dict[Status, tuple[str, ...]]:
    """Who has voted for which status of a participant, without those for which nobody has."""
    found = {
        status: consortium.stewards.voters(address, status)
        for status in (Status.ACCREDITED, Status.SUSPENDED, Status.BANNED)
    }
    return {status: voters for status, voters in found.items() if voters}


def _as_dict(pending: PendingChange) -> dict[str, object]:
    return {
        "version": pending.version,
        "not_before": _time(pending.not_before),
        "contracts": pending.addresses,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
