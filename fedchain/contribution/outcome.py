"""What the votes of an audit come to: the contract's rule, in the one place where Python has it."""

from __future__ import annotations

from fedchain.types import AuditOutcome

MIN_VOTES = 2
"""Fewer votes confirm nothing, as in `AnomalyPolicy`."""


def outcome_of_votes(voting: int, against: int) -> AuditOutcome:
    """The outcome of an audit whose rows were drawn.

    Source: `ContributionAudit._outcome`, `AnomalyPolicy.tally`.

    Args:
        voting: auditors that voted.
        against: those of them that found the contributions false.

    Returns:
        UNAUDITED where nobody voted; VERIFIED where nobody found anything, or two thirds of at least two found them
        sound; FALSE where two thirds of at least two found them false; else DISPUTED.
    """
    if not voting:
        return AuditOutcome.UNAUDITED
    if not against:
        return AuditOutcome.VERIFIED
    if voting >= MIN_VOTES and 3 * against >= 2 * voting:
        return AuditOutcome.FALSE
    if voting >= MIN_VOTES and 3 * (voting - against) >= 2 * voting:
        return AuditOutcome.VERIFIED
    return AuditOutcome.DISPUTED
