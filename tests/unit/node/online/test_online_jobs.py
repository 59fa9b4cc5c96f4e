"""A job is asked only on the terms that its parties accepted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain.inference import Terms
from fedchain.errors import ProtocolViolationError
from fedchain.federation.spec import JobSpec
from fedchain.node.online.job import OnlineJobs
from fedchain.types import JobId
from tests.unit.node.api.puppet import JOB_TOML

JOB = JobId("0x" + "5c" * 32)
SPEC = JobSpec.from_toml_text(JOB_TOML)
AGREED = SPEC.inference


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (None, "has set no terms"),
        (Terms(AGREED.quota + 1, AGREED.window_seconds), "has set other terms"),
        (Terms(AGREED.quota, AGREED.window_seconds - 1), "has set other terms"),
    ],
)
def test_other_terms_than_were_accepted_name_the_active_party(terms: Terms | None, words: str) -> None:
    consortium: Any = SimpleNamespace(inference=SimpleNamespace(terms=lambda job_id: terms))
    with pytest.raises(ProtocolViolationError, match=words) as refused:
        OnlineJobs._require_terms(consortium, JOB, SPEC)
    assert refused.value.culprit == "operator"


def test_the_terms_that_were_accepted_are_fine() -> None:
    terms = Terms(AGREED.quota, AGREED.window_seconds)
    consortium: Any = SimpleNamespace(inference=SimpleNamespace(terms=lambda job_id: terms))
    OnlineJobs._require_terms(consortium, JOB, SPEC)
