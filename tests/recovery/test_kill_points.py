"""A node that is killed where it acts or waits comes back, and the job ends with the model of an undisturbed run."""

from __future__ import annotations

import pytest

from tests.recovery.conftest import REGISTERING
from tests.recovery.federation import ALGORITHMS, Arm, RecoveringFederation, wait_for
from tests.recovery.points import CONCLUDING, arms_of, load, starter, unlisted

pytestmark = pytest.mark.timeout(600)

BATCH = 12
Plan = dict[int, list[Arm]]

REPRESENTATIVE: Plan = {
    0: [
        Arm("active alignment after sending BLINDED_IDS"),
        Arm("active training after recording GRADIENTS", 2),
    ],
    1: [
        Arm("passive training before Receive SPLIT", 2),
        Arm("passive evaluation after writing the outcome"),
        Arm("passive answering after Receive PREDICT_REQUEST"),
    ],
}


def run(federation: RecoveringFederation, algorithm: str, plan: Plan) -> Plan:
    """A job and a request of each party with deaths; returns the points at which nobody came by."""
    for index, arms in plan.items():
        federation.companies[index].arm(arms)
    job_id = federation.submit(algorithm)
    federation.complete(job_id, algorithm)
    for asker in federation.companies:
        assert len(federation.predict(job_id, asker, [0, 5, 3]).scores) == 3
    federation.check_record(job_id)
    left = {index: federation.companies[index].disarm() for index in plan}
    return {index: arms for index, arms in left.items() if arms}


def plans(algorithm: str) -> list[Plan]:
    """The listed points of an algorithm in jobs of at most `BATCH` deaths for each party."""
    places = [place for place in load() if place.algorithm == algorithm and place.point not in REGISTERING]
    by_company = [[place for place in places if place.company == index and not place.is_starting] for index in range(3)]
    count = max(1, *(-(-len(own) // BATCH) for own in by_company))
    made: list[Plan] = [{} for _ in range(count)]
    for index, own in enumerate(by_company):
        for number in range(count):
            made[number][index] = arms_of(own[number::count])
    return made


def starting_plan() -> Plan:
    """Deaths during restarts, each of which follows a death in training."""
    plan: Plan = {}
    for place in load():
        if place.is_starting and place.point not in REGISTERING:
            role = "passive" if place.company else "active"
            plan.setdefault(place.company, []).extend([Arm(starter(role)), Arm(place.point)])
    return plan


def test_five_deaths_in_one_job_do_not_change_the_model(federation: RecoveringFederation) -> None:
    assert run(federation, "layered", REPRESENTATIVE) == {}
    assert [
        company.fired[: len(arms)] for company, arms in zip(federation.companies, REPRESENTATIVE.values(), strict=False)
    ] == list(REPRESENTATIVE.values())


def test_every_point_where_a_node_acts_or_waits_is_one_at_which_a_node_is_killed(
    federation: RecoveringFederation,
) -> None:
    """A wait that nobody has listed fails here: add it to `points.txt`, and the matrix kills a node there."""
    assert run(federation, "standard", {}) == {}
    assert unlisted(federation) == set()


@pytest.mark.soak
@pytest.mark.parametrize(
    ("algorithm", "plan"),
    [
        pytest.param(algorithm, plan, id=f"{algorithm}-{number}")
        for algorithm in ALGORITHMS
        for number, plan in enumerate(plans(algorithm))
    ],
)
def test_a_node_killed_at_any_listed_point_comes_back(
    algorithm: str, plan: Plan, federation: RecoveringFederation
) -> None:
    left = run(federation, algorithm, plan)
    for index, arms in left.items():
        for arm in arms:  # an earlier death had led past it
            print(f"once more, alone: {arm}")
            assert run(federation, algorithm, {index: [Arm(arm.point)]}) == {}


@pytest.mark.soak
def test_a_node_killed_while_it_comes_back_comes_back(federation: RecoveringFederation) -> None:
    plan = starting_plan()
    for _ in range(3):  # one job has fewer occasions than there are points
        plan = run(federation, "layered", plan)
    assert plan == {}


@pytest.mark.soak
@pytest.mark.parametrize("point", CONCLUDING)
def test_a_passive_party_killed_while_it_concludes_the_audit_of_one_that_is_away_comes_back(
    point: str, federation: RecoveringFederation
) -> None:
    active, passive = federation.companies[:2]
    active.arm([Arm("active evaluation before Conclude")])
    passive.arm([Arm(point)])
    job_id = federation.submit("standard")
    active.hold()
    wait_for(lambda: passive.fired, f"a death {point}")
    active.release()
    federation.complete(job_id, "standard")
    federation.check_record(job_id)
