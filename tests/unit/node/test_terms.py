"""Terms for inference: what the spec names must be what the chain counts by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import Terms
from fedchain.errors import TermsError
from fedchain.federation.spec import JobSpec
from fedchain.node.terms import require_terms, terms_of
from fedchain.types import JobId

JOB = JobId("0x" + "11" * 32)
SPEC = JobSpec.from_toml_text(
    'name = "churn"\n[inference]\nquota = 500\nwindow_seconds = 3600\n'
    '[[parties]]\nname = "operator"\nrole = "active"\nlabel = "y"\n[[parties]]\nname = "bank"\nrole = "passive"\n'
)


def chain(terms: Terms | None) -> Any:
    return SimpleNamespace(inference=SimpleNamespace(terms=lambda job_id: terms if job_id == JOB else None))


def test_the_spec_s_terms_are_taken() -> None:
    assert terms_of(SPEC) == Terms(500, 3600, 600)
    assert require_terms(chain(Terms(500, 3600)), JOB, SPEC) == Terms(500, 3600)


@pytest.mark.parametrize("terms", [Terms(501, 3600), Terms(500, 3601), Terms(500, 3600, 601)])
def test_other_terms_are_refused_and_name_the_active_party(terms: Terms) -> None:
    with pytest.raises(TermsError, match=r"party 'operator': .*expected 500 rows in 3600 s") as caught:
        require_terms(chain(terms), JOB, SPEC)
    assert caught.value.culprit == "operator"


def test_missing_terms_are_refused_as_well() -> None:
    with pytest.raises(TermsError, match="set no terms"):
        require_terms(chain(None), JOB, SPEC)
