"""Settling: by the active party's node alone, once, and never at the cost of the job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.errors import ChainError, TransactionError
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.spec import JobSpec
from fedchain.node.settling import settle
from fedchain.types import JobId
from tests.unit.federation.test_spec import JOB

JOB_ID = JobId("0x" + "ab" * 32)
PLAIN = JobSpec.from_toml_text(JOB)
PAID = PLAIN.model_copy(update={"contribution": ContributionSpec(audit=True, budget=5)})
ACTIVE = PAID.active.name


class Chain:
    """Stands in for the consortium."""

    def __init__(self, error: Exception | None = None, *, is_settled: bool = False) -> None:
        self.error, self.is_settled, self.calls = error, is_settled, 0

    @property
    def settlements(self) -> Any:
        return SimpleNamespace(settlement=lambda job: object() if self.is_settled else None, settle=self._settle)

    def _settle(self, job_id: JobId) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.is_settled = True


def calls(chain: Chain, spec: JobSpec = PAID, me: str = ACTIVE) -> int:
    settle(chain, JOB_ID, spec, me)  # type: ignore[arg-type]
    return chain.calls


def test_the_active_party_settles_once() -> None:
    chain = Chain()
    assert calls(chain) == 1
    assert calls(chain) == 1
    assert calls(Chain(is_settled=True)) == 0


def test_nobody_else_does_and_nothing_without_a_budget_is_settled() -> None:
    assert calls(Chain(), me="bank") == 0
    assert calls(Chain(), spec=PLAIN) == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TransactionError("settle", "AlreadySettled(0xab)"), ""),
        (TransactionError("settle", "AuditNotConcluded(0xab)"), "AuditNotConcluded"),
        (ChainError("not mined in time"), "do it by hand"),
    ],
)
def test_what_goes_wrong_is_told_and_raises_nothing(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calls(Chain(error)) == 1
    told = capsys.readouterr().out
    assert words in told
    assert ("not settled" in told) == bool(words)
