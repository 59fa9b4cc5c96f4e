"""Versions of a model: proposed, frozen by everybody, put into use, rolled back, on each chain."""

from __future__ import annotations

from tests.contracts.stage import SHARD_DIGEST, Party, Stage

MODELS = "ModelRegistry"
PROPOSED, FROZEN, ACTIVE, RETIRED = 1, 2, 3, 4


def state(stage: Stage, name: str, version: int) -> int:
    return int(stage.read(MODELS, "versionOf", name, version)["state"])


def propose(stage: Stage, party: Party, name: str, job: bytes) -> int:
    return int(stage.send(party, MODELS, "propose", name, job).only("ModelProposed")["version"])


def test_a_model_lives_from_its_proposal_to_its_roll_back(stage: Stage) -> None:
    roster = stage.roster(2)
    active, passive = roster
    name = f"credit-{active.address[2:10].lower()}"
    unfinished, first, second = stage.training(roster), stage.completed(roster), stage.completed(roster)
    with stage.refused("WrongPhase"):
        propose(stage, active, name, unfinished)
    with stage.refused("NotOnRoster"):
        propose(stage, stage.accredited(), name, first)
    with stage.refused("ModelNameInvalid"):
        propose(stage, active, "Credit Score", first)
    assert propose(stage, passive, name, first) == 1
    assert stage.read(MODELS, "shardDigestsOf", name, 1) == (
        tuple(one.address for one in roster),
        (SHARD_DIGEST, SHARD_DIGEST),
    )
    with stage.refused("WrongModelState"):
        stage.send(active, MODELS, "activate", name, 1)
    stage.send(active, MODELS, "approve", name, 1)
    with stage.refused("AlreadyApproved"):
        stage.send(active, MODELS, "approve", name, 1)
    assert state(stage, name, 1) == PROPOSED
    assert stage.send(passive, MODELS, "approve", name, 1).all("ModelFrozen")
    assert state(stage, name, 1) == FROZEN
    with stage.refused("NotActiveParty"):
        stage.send(passive, MODELS, "activate", name, 1)
    stage.send(active, MODELS, "activate", name, 1)
    with stage.refused("NothingToRollBackTo"):
        stage.send(active, MODELS, "rollBack", name)

    assert propose(stage, active, name, second) == 2
    for party in roster:
        stage.send(party, MODELS, "approve", name, 2)
    assert stage.send(active, MODELS, "activate", name, 2).only("ModelActivated")["replaced"] == 1
    assert (state(stage, name, 1), state(stage, name, 2)) == (RETIRED, ACTIVE)
    assert stage.read(MODELS, "activeVersion", name) == 2
    stage.send(active, MODELS, "rollBack", name)
    assert (state(stage, name, 1), state(stage, name, 2)) == (ACTIVE, RETIRED)
    with stage.refused("UnknownVersion"):
        stage.send(active, MODELS, "activate", name, 3)


def test_a_name_belongs_to_the_active_party_that_froze_it(stage: Stage) -> None:
    roster = stage.roster(4)
    mine, theirs = roster[:2], roster[2:]
    name = f"mine-{mine[0].address[2:10].lower()}"
    propose(stage, mine[0], name, stage.completed(mine))
    for party in mine:
        stage.send(party, MODELS, "approve", name, 1)
    with stage.refused("ModelNameTaken"):
        propose(stage, theirs[0], name, stage.completed(theirs))
