"""The directory of contracts is changed by two of three stewards, after its delay, on each chain."""

from __future__ import annotations

from contracts.script.report.deployed import DELAY_SECONDS, NAMES
from tests.contracts.stage import Stage

DIRECTORY = "Directory"


def label(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")


def test_the_directory_has_all_contracts_from_the_first_version_on(stage: Stage) -> None:
    for name in NAMES:
        assert stage.read(DIRECTORY, "addressAt", label(name), 1) == stage.deployed.addresses[name]
    with stage.refused("NotDeployer"):
        stage.send(stage.outsider, DIRECTORY, "setFirst", [label("X")], [stage.deployed.addresses[DIRECTORY]])
    with stage.refused("FirstVersion"):
        stage.send(stage.deployed.deployer, DIRECTORY, "setFirst", [label("X")], [stage.deployed.addresses[DIRECTORY]])


def test_a_change_waits_for_its_delay_and_can_be_cancelled(stage: Stage) -> None:
    version = stage.read(DIRECTORY, "version")
    name, later = label(f"Later{version}"), stage.deployed.addresses["AnomalyPolicy"]
    change = ([name], [later])
    with stage.refused("NotSteward"):
        stage.send(stage.outsider, DIRECTORY, "propose", *change)
    with stage.refused("NotContract"):
        stage.send(stage.stewards[0], DIRECTORY, "propose", [name], [stage.outsider.address])
    with stage.refused("NoChangePending"):
        stage.send(stage.outsider, DIRECTORY, "applyChange")
    stage.carry(DIRECTORY, "propose", *change)
    with stage.refused("ChangePending"):
        stage.send(stage.stewards[2], DIRECTORY, "propose", *change)
    with stage.refused("TooEarly"):
        stage.send(stage.outsider, DIRECTORY, "applyChange")
    assert stage.carry(DIRECTORY, "cancel").all("ChangeCancelled")
    stage.advance(DELAY_SECONDS + 10)
    with stage.refused("NoChangePending"):
        stage.send(stage.outsider, DIRECTORY, "applyChange")

    stage.carry(DIRECTORY, "propose", *change)
    assert int(stage.read(DIRECTORY, "addressOf", name), 16) == 0
    stage.advance(DELAY_SECONDS + 10)
    applied = stage.send(stage.outsider, DIRECTORY, "applyChange").only("ChangeApplied")
    assert applied["version"] == stage.read(DIRECTORY, "version") == version + 1
    assert stage.read(DIRECTORY, "addressOf", name) == later
    assert int(stage.read(DIRECTORY, "addressAt", name, version), 16) == 0
    assert stage.read(DIRECTORY, "addressOf", label("JobManager")) == stage.deployed.addresses["JobManager"]
