"""A job with a cached set trains the very model of the same job without one, whichever side is cached."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import AlignmentError
from fedchain.federation.spec import JobSpec
from fedchain.simulation.federation import simulate
from tests.protocol.cases import Case, make_case


def with_alignment(case: Case, **alignment: Any) -> JobSpec:
    document = case.spec.model_dump(mode="json", by_alias=True)
    document["alignment"] |= alignment
    document["algorithm"] |= {"trees": 1, "depth": 2}
    return JobSpec._validate(document, "test")


def test_the_model_and_its_rows_are_those_of_the_ring(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("two parties")
    ends = [
        simulate(with_alignment(case, **alignment), case.tables, executor=executor, dlog=dlog)
        for alignment in ({}, {"cached": "operator"}, {"cached": "operator", "proven_blinding": True, "pad_to": 64})
    ]
    digests = {outcome.model_digest for end in ends for outcome in end.outcomes.values()}
    assert len(digests) == 1
    assert len({outcome.session.ids for end in ends for outcome in end.outcomes.values()}) == 1
    for end in ends:
        operator, media = end.outcomes.values()
        tags = [
            one.session.request_tags(peer, 3)
            for one, peer in zip((operator, media), reversed(list(end.outcomes)), strict=True)
        ]
        assert tags[0] == tags[1], "both speak of a row by the same tag in later requests"


def test_the_smaller_side_s_set_is_not_cached(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("two parties")
    assert len(case.tables[case.spec.names[0]]) > len(case.tables[case.spec.names[1]])
    with pytest.raises(AlignmentError, match="name 'operator' in \\[alignment\\] cached, or remove it"):
        simulate(with_alignment(case, cached="media"), case.tables, executor=executor, dlog=dlog)
