"""The outcome of an audit by its votes: every case of up to seven auditors."""

from __future__ import annotations

import pytest

from fedchain.contribution.outcome import outcome_of_votes
from fedchain.node.contribution_checks import outcome_of
from fedchain.protocol.audits import AuditState, LabelTerms
from fedchain.types import AuditOutcome

V, D, F = AuditOutcome.VERIFIED, AuditOutcome.DISPUTED, AuditOutcome.FALSE
BY_VOTING = {  # how many voted: the outcome by how many of them found it false
    1: (V, D),
    2: (V, D, F),
    3: (V, V, F, F),
    4: (V, V, D, F, F),
    5: (V, V, D, D, F, F),
    6: (V, V, V, D, F, F, F),
    7: (V, V, V, D, D, F, F, F),
}
CASES = [(voting, against, found) for voting, row in BY_VOTING.items() for against, found in enumerate(row)]


@pytest.mark.parametrize(("voting", "against", "found"), CASES)
def test_two_thirds_of_at_least_two_decide(voting: int, against: int, found: AuditOutcome) -> None:
    assert outcome_of_votes(voting, against) is found


def test_nobody_is_nobody() -> None:
    assert outcome_of_votes(0, 0) is AuditOutcome.UNAUDITED


@pytest.mark.parametrize(
    ("votes", "found"),
    [((0, 1, 1, 2), "verified"), ((0, 1, 2, 0), "disputed"), ((0, 2, 2, 1), "false"), ((0, 0, 0, 0), "unaudited")],
)
def test_who_verifies_a_job_counts_the_votes_alike(votes: tuple[int, ...], found: str) -> None:
    terms = LabelTerms(b"\1" * 32, 9, 3, 60, 0, 0)
    assert outcome_of(AuditState(terms, votes=votes, seed=b"\1" * 32)) == found
    assert outcome_of(AuditState(terms, votes=votes)) == "failed", "no rows were drawn"
    assert outcome_of(AuditState(terms, seeds=(b"\1" * 32, b"", b"", b""))) == "unaudited", "by no fault of its"
