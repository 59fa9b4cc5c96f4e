"""What a node refuses to do in the model registry before it asks the chain, and what it does once only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import ModelState, ModelVersion
from fedchain.errors import (
    ConfigError,
    DigestMismatchError,
    ModelFormatError,
    TransactionError,
    UnknownJobError,
    UnknownModelError,
)
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape
from fedchain.node.jobfiles import REPORT, SHARD, JobFiles
from fedchain.node.models import ModelDesk
from fedchain.node.modelstate import ModelUse, is_model_name, job_in_use, read_models, read_use, read_versions
from fedchain.types import JobId, PartyId, Phase

JOB, LATER, OTHERS = (JobId("0x" + digits * 32) for digits in ("5c", "6d", "7e"))
PARTIES = {"0xaa": "operator", "0xbb": "bank", "0xcc": "shop"}


class Registry:
    """A model registry in memory; it refuses what the contract refuses that the desk does not look at first."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, int], ModelVersion] = {}
        self.history: list[int] = []
        self.owner: str | None = None
        self.sent: list[str] = []

    def names(self) -> list[str]:
        return sorted({name for name, _ in self.versions})

    def version_count(self, name: str) -> int:
        return sum(one == name for one, _ in self.versions)

    def version(self, name: str, version: int) -> ModelVersion | None:
        return self.versions.get((name, version))

    def active_version(self, name: str) -> int:
        return self.history[-1] if self.history and name in self.names() else 0

    def holder(self, name: str) -> str | None:
        return self.owner

    def proposal(self, name: str, job_id: JobId) -> int:
        return next((at for (one, at), found in self.versions.items() if (one, found.job_id) == (name, job_id)), 0)

    def registration(self, job_id: JobId) -> tuple[str, int] | None:
        frozen = [key for key, one in self.versions.items() if one.job_id == job_id and all(one.approved)]
        return frozen[0] if frozen else None

    def propose(self, name: str, job_id: JobId) -> int:
        self.sent.append("propose")
        number = self.version_count(name) + 1
        digests = tuple(DIGESTS[job_id, party] for party in ("0xaa", "0xbb"))
        roster = ("0xaa", "0xbb")
        self.versions[name, number] = ModelVersion(
            name, number, ModelState.PROPOSED, job_id, "0xaa", roster, digests, (False, False), 0, 0
        )
        return number

    def approve(self, name: str, version: int, by: str = "0xaa") -> None:
        self.sent.append("approve")
        one = self.versions[name, version]
        approved = tuple(had or party == by for had, party in zip(one.approved, one.roster, strict=True))
        state = ModelState.FROZEN if all(approved) else ModelState.PROPOSED
        self.versions[name, version] = replace(one, approved=approved, state=state)

    def activate(self, name: str, version: int) -> None:
        self.sent.append("activate")
        self.history.append(version)
        self.versions[name, version] = replace(self.versions[name, version], state=ModelState.ACTIVE)

    def roll_back(self, name: str) -> int:
        self.sent.append("rollback")
        if len(self.history) < 2:
            raise TransactionError("ModelRegistry.rollBack", "NothingToRollBackTo(version=1)")
        self.history.pop()
        return self.history[-1]


class Chain:
    """A consortium in which operator (active) and bank have completed `JOB` and `LATER`."""

    def __init__(self) -> None:
        self.models = Registry()
        self.phase = Phase.COMPLETED

    def job(self, job_id: JobId) -> Any:
        phase = self.phase if job_id in (JOB, LATER) else Phase.NONE
        return type("View", (), {"phase": phase, "roster": ("0xaa", "0xbb")})

    def shard_digest(self, job_id: JobId, address: str) -> bytes | None:
        return DIGESTS.get((job_id, address))

    def participant(self, address: str) -> Any:
        return type("Entry", (), {"name": PARTIES[address]})


def shard_of(job_id: JobId, party: str) -> Shard:
    tree = Tree(TreeShape((0, 1, 2), (0, -1, -1)), (OwnSplit(0, 0, 1, True),), (), ())
    margin = {JOB: -1.0, LATER: -2.0}[job_id]
    return Shard(
        party=PARTIES[party], roster=("operator", "bank"), mode="layered", objective="binary", base_margins=(margin,),
        binning={"features": []}, trees=(tree,),
    )  # fmt: skip


DIGESTS = {(job, party): shard_of(job, party).digest() for job in (JOB, LATER) for party in ("0xaa", "0xbb")}


def keep(folder: Path, job_id: JobId, shard: Shard) -> None:
    at = JobFiles(folder, job_id).folder
    at.mkdir(parents=True, exist_ok=True)
    shard.save(at / SHARD)
    (at / REPORT).write_text("{}")


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def desk(chain: Chain, tmp_path: Path) -> ModelDesk:
    """The operator's, which has finished both jobs."""
    for job_id in (JOB, LATER):
        keep(tmp_path, job_id, shard_of(job_id, "0xaa"))
    return desk_of(chain, tmp_path, "0xaa")


def desk_of(chain: Chain, folder: Path, address: str) -> ModelDesk:
    consortium: Any = chain
    return ModelDesk(consortium, address=address, name=PartyId(PARTIES[address]), folder=folder)


def in_use(chain: Chain, desk: ModelDesk, job_id: JobId) -> int:
    """The job's model as the version of `arrears` in use."""
    version = desk.propose("arrears", job_id).version.version
    chain.models.approve("arrears", version, "0xbb")
    chain.models.owner = "0xaa"
    return desk.activate("arrears", version).version.version


def test_a_proposal_is_approved_at_once_and_made_once(chain: Chain, desk: ModelDesk) -> None:
    found = desk.propose("arrears", JOB)
    assert (found.version.version, found.missing, found.proposer) == (1, ["bank"], "operator")
    assert desk.propose("arrears", JOB) == found
    assert chain.models.sent == ["propose", "approve"]


def test_what_was_proposed_and_not_approved_when_a_node_was_killed_is_approved(chain: Chain, desk: ModelDesk) -> None:
    chain.models.propose("arrears", JOB)
    assert desk.propose("arrears", JOB).missing == ["bank"]
    assert chain.models.sent == ["propose", "approve"]


@pytest.mark.parametrize("name", ["", "Arrears", "a b", "a/b", "a" * 65, "ä", "a\n"])
def test_what_is_no_name_is_refused(chain: Chain, desk: ModelDesk, name: str) -> None:
    assert not is_model_name(name)
    with pytest.raises(ConfigError, match="is no name of a model"):
        desk.propose(name, JOB)
    with pytest.raises(ConfigError, match="is no name of a model"):
        desk.approve(name, 1)
    with pytest.raises(ConfigError, match="is no name of a model"):
        desk.roll_back(name)
    assert chain.models.sent == []


def test_a_shard_that_is_another_s_is_not_proposed_or_approved(chain: Chain, desk: ModelDesk, tmp_path: Path) -> None:
    chain.models.propose("arrears", JOB)
    keep(tmp_path, JOB, shard_of(LATER, "0xaa"))
    with pytest.raises(DigestMismatchError, match=r"jobs/0x5c.*restore the file from a backup"):
        desk.propose("arrears", JOB)
    with pytest.raises(DigestMismatchError, match=r"jobs/0x5c.*restore the file from a backup"):
        desk.approve("arrears", 1)
    (JobFiles(tmp_path, JOB).folder / SHARD).write_bytes(b"damaged")
    with pytest.raises(ModelFormatError):
        desk.approve("arrears", 1)
    assert chain.models.sent == ["propose"]


def test_a_job_that_this_node_has_not_finished_is_not_proposed(chain: Chain, desk: ModelDesk) -> None:
    with pytest.raises(UnknownJobError, match="no finished job"):
        desk.propose("arrears", OTHERS)
    chain.phase = Phase.TRAINING
    with pytest.raises(ConfigError, match="is training; models of completed jobs"):
        desk.propose("arrears", JOB)
    with pytest.raises(ConfigError, match="job id"):
        desk.propose("arrears", JobId("0x5c"))
    assert chain.models.sent == []


def test_a_name_and_a_job_that_are_taken_are_told_with_their_owner(chain: Chain, desk: ModelDesk) -> None:
    in_use(chain, desk, JOB)
    chain.models.sent.clear()
    with pytest.raises(ConfigError, match=r"job 0x5c5c.* is version 1 of model 'arrears'; it has one name"):
        desk.propose("others", JOB)
    chain.models.owner = "0xcc"
    with pytest.raises(ConfigError, match="the name 'arrears' belongs to models of which 'shop' is the active party"):
        desk.propose("arrears", LATER)
    chain.models.propose("arrears", LATER)
    with pytest.raises(ConfigError, match="belongs to models of which 'shop'"):
        desk.approve("arrears", 2)
    assert chain.models.sent == ["propose"]


def test_models_and_versions_that_are_not_there_are_told(chain: Chain, desk: ModelDesk) -> None:
    with pytest.raises(UnknownModelError, match=r"no model 'arrears' in this consortium; there is none yet"):
        desk.approve("arrears", 1)
    desk.propose("others", JOB)
    with pytest.raises(UnknownModelError, match=r"no model 'arrears' in this consortium; there are others"):
        desk.roll_back("arrears")
    for version in (0, 2, 2**32):
        with pytest.raises(UnknownModelError, match=f"model 'others' has no version {version}; the newest is 1"):
            desk.activate("others", version)
    with pytest.raises(ConfigError, match="no version of model 'others' is in use"):
        desk.roll_back("others")


def test_only_parties_of_a_version_approve_and_only_its_active_party_activates(
    chain: Chain, desk: ModelDesk, tmp_path: Path
) -> None:
    desk.propose("arrears", JOB)
    shop, bank = (desk_of(chain, tmp_path / one, one) for one in ("0xcc", "0xbb"))
    with pytest.raises(ConfigError, match="is of operator, bank; party 'shop' has no shard of it"):
        shop.approve("arrears", 1)
    with pytest.raises(ConfigError, match="lacks the approval of bank; each gives it with `fedchain model approve"):
        desk.activate("arrears", 1)
    for one in (shop, bank):
        with pytest.raises(ConfigError, match="operator"):
            one.activate("arrears", 1)
    chain.models.approve("arrears", 1, "0xbb")
    desk.activate("arrears", 1)
    with pytest.raises(ConfigError, match="only its node says which version is in use"):
        bank.roll_back("arrears")
    assert chain.models.sent == ["propose", "approve", "approve", "activate"]


def test_a_version_comes_into_use_once_and_its_predecessor_again(chain: Chain, desk: ModelDesk) -> None:
    assert in_use(chain, desk, JOB) == 1
    desk.activate("arrears", 1)
    assert chain.models.sent.count("activate") == 1
    with pytest.raises(ConfigError, match="version 1 of model 'arrears' is the first that came into use"):
        desk.roll_back("arrears")
    assert in_use(chain, desk, LATER) == 2
    assert desk.roll_back("arrears").version.version == 1


def test_another_refusal_of_the_contract_stays_what_it_is(
    chain: Chain, desk: ModelDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use(chain, desk, JOB)

    def refuse(name: str) -> int:
        raise TransactionError("ModelRegistry.rollBack", "PartyNotAccredited(party=0xaa)")

    monkeypatch.setattr(chain.models, "roll_back", refuse)
    with pytest.raises(TransactionError, match="PartyNotAccredited"):
        desk.roll_back("arrears")


def test_a_job_is_told_as_what_it_is_registered(chain: Chain, desk: ModelDesk) -> None:
    consortium: Any = chain
    desk.propose("arrears", JOB)
    assert read_use(consortium, JOB) is None
    with pytest.raises(ConfigError, match="no version of model 'arrears' is in use"):
        job_in_use(consortium, "arrears")
    with pytest.raises(UnknownModelError):
        job_in_use(consortium, "others")
    chain.models.approve("arrears", 1, "0xbb")
    use = read_use(consortium, JOB)
    assert use == ModelUse("arrears", 1, 0)
    assert use.note is None
    in_use(chain, desk, LATER)
    use = read_use(consortium, JOB)
    assert use is not None
    assert (use.as_dict(), job_in_use(consortium, "arrears")) == (
        {"name": "arrears", "version": 1, "in_use": 2},
        LATER,
    )
    assert use.note == (
        "this job is version 1 of model 'arrears', of which version 2 is in use; ask for 'arrears' to get that one"
    )
    assert [one.as_dict() for one in read_models(consortium)] == [
        {"name": "arrears", "holder": "operator", "versions": 2, "in_use": 2, "job_id": LATER}
    ]
    assert [one.version.job_id for one in read_versions(consortium, "arrears")] == [JOB, LATER]
