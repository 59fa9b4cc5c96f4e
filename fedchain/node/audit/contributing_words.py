"""The events of contribution audits and settlements in words."""

from __future__ import annotations

from collections.abc import Callable

from fedchain.chain import (
    AuditConcluded,
    AuditVoted,
    ChainEvent,
    JobSettled,
    LabelsCommitted,
    LossesPosted,
    OutputsFrozen,
    SeedRevealed,
    SettlementDisputed,
    SettlementResolved,
)
from fedchain.types import Withheld

_SCALE = 840 * 1_000_000


def tell_contributing(
    event: ChainEvent, roster: tuple[str, ...], name_of: Callable[[str], str]
) -> tuple[str, str] | None:
    """Who did what; None for any other event.

    Args:
        event: of the job.
        roster: addresses, the active party first.
        name_of: a party's name.
    """
    if isinstance(event, LabelsCommitted):
        rows = f"{event.rows} held-out labels, {event.opened_rows} of them to be opened; root 0x{event.root.hex()}"
        return name_of(event.by), f"committed to {rows}" + (
            f"; {event.budget} points to settle" if event.budget else ""
        )
    if isinstance(event, OutputsFrozen):
        return name_of(event.party), f"froze its outputs 0x{event.outputs.hex()} and shard 0x{event.shard.hex()}"
    if isinstance(event, LossesPosted):
        shares = ", ".join(
            f"{name_of(party)} {share / _SCALE:+.6f}" for party, share in zip(roster, event.shares840, strict=False)
        )
        weak = [name_of(party) for place, party in enumerate(roster) if event.weak_mask >> place & 1]
        told = f"posted the losses 0x{event.losses_root.hex()}; shares that follow: {shares}"
        return name_of(roster[0]), told + (f"; weak: {', '.join(weak)}" if weak else "")
    if isinstance(event, SeedRevealed):
        return name_of(event.party), "revealed its seed"
    if isinstance(event, AuditVoted):
        why = "" if event.sound else f" ({event.audit_reason.name})"
        return name_of(event.party), f"found the contributions {'sound' if event.sound else 'false'}{why}"
    if isinstance(event, AuditConcluded):
        silent = [name_of(party) for party, steps in zip(roster, event.silent, strict=False) if steps]
        told = f"the contribution audit ended: {event.audit_outcome.text}"
        return "", told + (f"; silent: {', '.join(silent)}" if silent else "")
    return _of_settlement(event, roster, name_of)


def _of_settlement(event: ChainEvent, roster: tuple[str, ...], name_of: Callable[[str], str]) -> tuple[str, str] | None:
    if isinstance(event, JobSettled):
        lines = zip(roster, event.points, event.withheld, strict=False)
        told = ", ".join(f"{name_of(party)} {points}{_withheld(why)}" for party, points, why in lines)
        return "", f"the contributions were settled: {told}"
    if isinstance(event, SettlementDisputed):
        return name_of(event.party), f"disputed the settlement: {event.reason}"
    if isinstance(event, SettlementResolved):
        return "", f"stewards decided that the settlement {'stands' if event.stands else 'is void'}: {event.reason}"
    return None


def _withheld(why: Withheld) -> str:
    names = [one.name.lower() for one in Withheld if one and one in why and one.name]
    return f" (withheld: {', '.join(names)})" if names else ""
