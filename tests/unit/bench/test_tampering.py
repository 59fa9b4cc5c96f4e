"""A label holder that tampers with rows is caught at the rates that are stated; an honest one never."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.bench.tampering import expected_catch_rate, tamper_catch_rate
from fedchain.contribution.sampling import sample_rows


@pytest.mark.parametrize(("opened", "stated"), [(299, 0.95), (459, 0.99)])
def test_the_stated_rates_are_those_of_drawing_without_replacement(opened: int, stated: float) -> None:
    assert expected_catch_rate(opened) >= stated
    assert expected_catch_rate(opened, rows=30_000) >= stated
    assert expected_catch_rate(opened, rows=30_000) < stated + 0.005


@pytest.mark.parametrize("opened", [299, 459])
def test_draws_meet_tampered_rows_as_often_as_stated(opened: int) -> None:
    """Of 3,000 audits; what is drawn is all that chance decides."""
    tampered = np.random.default_rng(opened).permutation(6000)[:60]
    hit = np.zeros(6000, dtype=bool)
    hit[tampered] = True
    trials = 3000
    found = sum(hit[sample_rows(trial.to_bytes(32, "big"), 6000, opened)].any() for trial in range(trials)) / trials
    expected = expected_catch_rate(opened)
    assert abs(found - expected) < 4 * (expected * (1 - expected) / trials) ** 0.5


@pytest.mark.parametrize("opened", [60, 299])
def test_whole_audits_catch_tampering_as_often_as_stated(opened: int) -> None:
    """At 60 opened rows about 45 % are caught: so the test also fails where everything is."""
    trials = 100
    expected = expected_catch_rate(opened)
    found = tamper_catch_rate(opened, trials=trials, seed=7)
    assert abs(found - expected) < 4 * (expected * (1 - expected) / trials) ** 0.5


def test_an_honest_label_holder_is_never_accused() -> None:
    assert tamper_catch_rate(299, tampered=0.0, trials=20, seed=7) == 0.0
