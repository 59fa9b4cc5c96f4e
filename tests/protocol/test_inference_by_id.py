"""Scores by id: bit for bit those of training, of requests by position, and of the joint model on the joined tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.errors import DataError
from fedchain.federation.answering import answerer_of, predict_party
from fedchain.federation.inferspec import InferenceSpec
from fedchain.federation.serving import known_rows_of, leaf_table_of
from fedchain.federation.session import Session
from fedchain.inference.answering import Answers
from fedchain.inference.asking import Asking, Combining, Flag, Scored
from fedchain.model.link import predictions
from fedchain.simulation.channel import Channel
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.cases import Case, make_case, objective_case, with_algorithm
from tests.protocol.comparing import assert_same_model
from tests.protocol.joint import joint_margins
from tests.protocol.losses import predicted

EPOCH = 9


@dataclass
class Serving:
    """A finished job, ready to be asked by id."""

    case: Case
    result: SimulationResult

    def __post_init__(self) -> None:
        outcomes, tables = self.result.outcomes, self.case.tables
        self.roster = self.case.spec.names
        known = {party: known_rows_of(one.shard, one.session) for party, one in outcomes.items()}
        leaves = {party: leaf_table_of(one.shard, one.session, tables[party]) for party, one in outcomes.items()}
        active = self.roster[0]
        self.answers = {party: Answers(known[party], leaves[party]) for party in self.roster[1:]}
        for one in self.answers.values():
            one.prepare(active, EPOCH)
        self.known, self.asking = known, Asking(known[active])
        self.combining = Combining(outcomes[active].shard, leaves[active])

    def ask(self, ids: list[str], *, planes: bool = False, explained: bool = False) -> Scored:
        """What the active party gets for these ids."""
        positions, active = self.asking.positions(ids), self.roster[0]
        found: dict[PartyId, bytes | None] = {
            peer: one.answer(active, self.asking.tags(peer, EPOCH, positions), planes, epoch=EPOCH)
            for peer, one in self.answers.items()
        }
        flags = self.asking.flags(positions)
        return self.combining.combine(positions, flags, found, planes=planes, explained=explained)

    def joint(self, ids: list[str]) -> NDArray[np.float64]:
        shards = [outcome.shard for outcome in self.result.outcomes.values()]
        return joint_margins(shards, list(self.case.tables.values()), ids)


def partial(case: Case) -> Case:
    return Case(case.spec.model_copy(update={"inference": InferenceSpec(partial=True)}), case.tables)


def settings(name: str) -> Case:
    layered: dict[str, Any] = {"mode": "layered", "depth": 4, "min_leaf_rows": 6, "min_bin_rows": 5}
    return {
        "binary, standard": lambda: make_case("three parties"),
        "binary, layered, no features at the active party": lambda: with_algorithm(
            make_case("an active party without features"), **layered
        ),
        "classes, layered": lambda: with_algorithm(objective_case("multiclass"), **layered),
        "numbers, mix": lambda: with_algorithm(
            objective_case("squared_error"), mode="mix", trees=4, min_leaf_rows=6, min_bin_rows=5
        ),
    }[name]()


NAMES = (
    "binary, standard",
    "binary, layered, no features at the active party",
    "classes, layered",
    "numbers, mix",
)


@pytest.fixture(scope="module", params=NAMES)
def serving(request: pytest.FixtureRequest, executor: Executor, dlog: DlogTable) -> Serving:
    case = partial(settings(request.param))
    return Serving(case, simulate(case.spec, case.tables, executor=executor, dlog=dlog))


@pytest.fixture(params=[False, True], ids=["rows", "planes"])
def planes(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_scores_of_held_out_rows_are_those_of_training_bit_for_bit(serving: Serving, planes: bool) -> None:
    active = serving.result.active
    ids = [active.session.ids[place] for place in active.session.holdout]
    scored = serving.ask(ids, planes=planes)
    assert active.holdout_scores is not None
    assert scored.scores.tobytes() == active.holdout_scores.tobytes()
    assert not scored.flags.any()


def test_scores_of_all_aligned_rows_are_those_of_a_request_by_position(serving: Serving, planes: bool) -> None:
    outcomes, active = serving.result.outcomes, serving.roster[0]
    every = np.arange(serving.result.active.aligned_rows, dtype=np.int64)
    parties = {
        party: predict_party(
            answerer_of(one.shard, one.session, serving.case.tables[party]),
            active,
            2**31,
            every if party == active else None,
        )
        for party, one in outcomes.items()
    }
    expected = Channel().run(parties)[active]
    assert expected is not None
    assert serving.ask(list(serving.result.active.session.ids), planes=planes).scores.tobytes() == expected.tobytes()


def test_scores_are_those_of_the_joint_model_on_the_joined_tables(serving: Serving, planes: bool) -> None:
    ids = list(serving.result.active.session.ids)
    scored = serving.ask(ids, planes=planes)
    joint = serving.joint(ids)
    assert scored.margins.tobytes() == joint.tobytes()
    objective = serving.case.spec.algorithm.objective
    assert scored.scores.tobytes() == predictions(objective, joint).tobytes()
    expected = predicted(serving.case.spec.algorithm, assert_same_model(serving.case, serving.result).margins)
    np.testing.assert_allclose(scored.scores, expected, rtol=1e-10)


def test_customers_of_some_parties_are_scored_with_the_missing_direction_and_flagged(
    serving: Serving, planes: bool
) -> None:
    tables, active = serving.case.tables, serving.roster[0]
    sets = [set(table.ids) for table in tables.values()]
    common = set.intersection(*sets)
    some = sorted(one for one in sets[0] - common if any(one in other for other in sets[1:]))
    alone = sorted(sets[0] - set().union(*sets[1:]))
    theirs = sorted(set().union(*sets[1:]) - sets[0])
    assert some
    assert theirs
    scored = serving.ask([*some, *theirs, *alone, "nobody"], planes=planes)
    assert scored.margins[: len(some)].tobytes() == serving.joint(some).tobytes()
    assert scored.flags[: len(some)].tolist() == [Flag.MISSING_PARTY] * len(some)
    assert scored.flags[len(some) :].tolist() == [Flag.UNKNOWN_ID] * (len(theirs) + len(alone) + 1)
    assert np.isnan(scored.scores[len(some) :]).all()
    assert set(serving.known[active].ids) == common | set(some)


def test_a_passive_party_keeps_what_it_shares_with_the_active_party_and_nothing_else(serving: Serving) -> None:
    sets = {party: set(table.ids) for party, table in serving.case.tables.items()}
    active = serving.roster[0]
    for party in serving.roster[1:]:
        known = serving.known[party]
        assert set(known.ids) == sets[party] & sets[active]
        for place, one in enumerate(known.ids):
            holders = [peer for peer in serving.roster if known.held_by(peer)[place]]
            assert holders == [peer for peer in serving.roster if one in sets[peer]]


def test_contributions_sum_to_the_margin(serving: Serving) -> None:
    ids = list(serving.result.active.session.ids)[:20]
    scored = serving.ask(ids, explained=True)
    assert scored.explanation is not None
    total = scored.explanation.base + scored.explanation.contributions.sum(axis=1)
    np.testing.assert_allclose(total, scored.margins, rtol=0, atol=1e-9)


def test_without_partial_rows_the_aligned_ones_alone_are_known(executor: Executor, dlog: DlogTable) -> None:
    case = settings("binary, standard")
    result = simulate(case.spec, case.tables, executor=executor, dlog=dlog)
    for outcome in result.outcomes.values():
        assert outcome.session.known_ids == outcome.session.ids
        assert outcome.session.partial_tags == outcome.session.partial_holders == b""


def test_partial_rows_change_neither_the_model_nor_what_is_sent(executor: Executor, dlog: DlogTable) -> None:
    sent, digests = [], set()
    for case in (settings("numbers, mix"), partial(settings("numbers, mix"))):
        recorder = Recorder()
        result = simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder)
        digests.add(result.active.model_digest)
        sent.append(sorted((str(slot), len(payload)) for slot, payload in recorder.seen))
    assert sent[0] == sent[1]
    assert len(digests) == 1


def test_a_session_with_partial_rows_survives_its_file(serving: Serving, tmp_path: Any) -> None:
    for party, outcome in serving.result.outcomes.items():
        outcome.session.save(tmp_path / "session")
        session = Session.load(tmp_path / "session")
        assert session == outcome.session
        table = serving.case.tables[party]
        lost = table.take([one for one in table.ids if one != session.partial_ids[0]]) if session.partial_ids else None
        if lost is not None:
            with pytest.raises(DataError, match=r"1 of .* ids asked for are not in the table"):
                leaf_table_of(outcome.shard, session, lost)
