"""`[contribution]`: bounds, what goes together, and the bytes of jobs that leave it out."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.errors import ConfigError
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.spec import JobSpec
from fedchain.node.jobpolicy import policy_of
from tests.unit.federation.test_spec import JOB

AUDITED = JOB.replace("[holdout]", "[contribution]\naudit = true\nwindow_seconds = 40\n[holdout]")


def test_a_job_without_the_section_has_the_bytes_that_it_had_before_there_was_one() -> None:
    """Else finished jobs could not be read any more, and two releases would not agree on a digest."""
    spec = JobSpec.from_toml_text(JOB)
    assert b"contribution" not in spec.to_bytes()
    assert JobSpec.from_bytes(spec.to_bytes()).contribution == ContributionSpec()
    named = JobSpec.from_toml_text(JOB.replace("[holdout]", "[contribution]\naudit = false\n[holdout]"))
    assert named.to_bytes() == spec.to_bytes()


def test_the_terms_of_an_audit_are_in_the_bytes() -> None:
    spec = JobSpec.from_toml_text(AUDITED)
    assert b'"contribution":{"alpha":0.025,"audit":true,' in spec.to_bytes()
    assert JobSpec.from_bytes(spec.to_bytes()) == spec


def test_the_phases_of_an_audited_job_last_three_windows_longer() -> None:
    plain, audited = JobSpec.from_toml_text(JOB), JobSpec.from_toml_text(AUDITED)
    assert audited.phase_limit == plain.phase_limit + 3 * 40
    assert policy_of(audited).phase_seconds == audited.phase_limit
    assert policy_of(plain).phase_seconds == plain.policy.phase_limit


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"opened_rows": 0}, "opened_rows"),
        ({"opened_rows": 10_001}, "opened_rows"),
        ({"window_seconds": 29}, "window_seconds"),
        ({"dispute_seconds": 90 * 86_400 + 1}, "dispute_seconds"),
        ({"budget": 2**53 + 1, "audit": True}, "budget"),
        ({"permutations": 49}, "permutations"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": 0.004}, "every party would count as weak"),
        ({"budget": 1}, "set audit = true"),
        ({"rows": 1}, "rows"),
        ({"method": '"retraining"'}, "method"),
        ({"repeats": 5}, "repeats goes with method 'block-permutation' alone"),
        ({"method": '"block-permutation"', "repeats": 101}, "repeats"),
        ({"method": '"block-permutation"', "audit": True}, "an audit recomputes losses of opened rows"),
        ({"method": '"conditional"', "audit": True}, "an audit recomputes losses of opened rows"),
        ({"method": '"conditional"', "repeats": 20}, "repeats goes with method 'block-permutation' alone"),
    ],
)
def test_terms_out_of_bounds_are_refused(values: dict[str, Any], words: str) -> None:
    document = "\n".join(f"{key} = {str(value).lower()}" for key, value in values.items())
    with pytest.raises(ConfigError, match=words):
        JobSpec.from_toml_text(JOB.replace("[holdout]", f"[contribution]\n{document}\n[holdout]"))


def test_a_job_by_leaf_masks_has_the_bytes_that_it_had_before_there_was_another_method() -> None:
    spec = JobSpec.from_toml_text(AUDITED.replace("audit = true", 'audit = true\nmethod = "leaf-mask"'))
    assert spec.to_bytes() == JobSpec.from_toml_text(AUDITED).to_bytes()
    for name in (b"method", b"repeats"):
        assert name not in spec.to_bytes()


def test_another_method_is_in_the_bytes() -> None:
    spec = JobSpec.from_toml_text(JOB.replace("[holdout]", '[contribution]\nmethod = "block-permutation"\n[holdout]'))
    assert b'"method":"block-permutation","opened_rows":' in spec.to_bytes()
    assert b'"repeats":10' in spec.to_bytes()
    assert JobSpec.from_bytes(spec.to_bytes()) == spec
