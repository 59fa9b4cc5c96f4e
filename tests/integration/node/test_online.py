"""Three whole nodes over the embedded chain are asked by id: scores, quotas, receipts, restarts, silent parties."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.chain import Account, Consortium, Deployment, DevChain, Sender
from fedchain.errors import AskRefusedError, ConfigError, DeadlineError, PeerError, QuotaExceededError
from fedchain.node.jobfiles import JobFiles
from fedchain.node.online.predictions import Note, Predictions
from fedchain.node.online.receipts import ReceiptFiles, root_of_receipts
from fedchain.node.runtime import Node
from fedchain.types import JobId, PartyId
from tests.integration.node.test_models_in_use import Commands, start
from tests.integration.node.test_running_nodes import Member, job_toml, made_members

pytestmark = pytest.mark.timeout(120)

QUOTA = 4000
SMALL_QUOTA = 150


@dataclass
class World:
    """Running nodes, and two finished jobs.

    Attributes:
        members: the operator first.
        first: refuses when a party is silent; explains; a large quota.
        second: goes on with default bits.
    """

    members: list[Member]
    first: JobId
    second: JobId

    @property
    def operator(self) -> Node:
        return self.node(0)

    def node(self, place: int) -> Node:
        node = self.members[place].node
        assert node is not None
        return node

    def ids(self, job_id: JobId) -> tuple[str, ...]:
        """The operator's ids of the aligned rows, in their order."""
        return JobFiles(self.members[0].config.state.folder, job_id).load()[2].ids

    def holdout(self, job_id: JobId) -> tuple[list[str], NDArray[np.float64]]:
        """Ids of the held-out rows, and their scores as the evaluation found them."""
        report = json.loads((self.members[0].config.state.folder / "jobs" / job_id / "report.json").read_text())
        ids = self.ids(job_id)
        return [ids[one] for one in report["holdout_positions"]], np.asarray(report["holdout_scores"])


def trained(members: list[Member], name: str, inference: str, **job: Any) -> JobId:
    """A job that all of them complete, with these lines below `[inference]`; more arguments are `job_toml`'s."""
    toml = job_toml([member.name for member in members], name=name, **job)
    toml = toml.replace(b"[policy]", f"[inference]\n{inference}\n[policy]".encode())
    with members[0].client() as client:
        job_id = client.submit(toml)
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]
    return job_id


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    chain: DevChain,
    deployment: Deployment,
    deployment_path: Path,
    bank: Sender,
    steward: Consortium,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("online")
    with pytest.MonkeyPatch.context() as patch:
        save = Account.save_keystore
        patch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))
        making = made_members(folder, chain, deployment, deployment_path, bank, steward)
        members = next(making)
        for member in members:
            start(member)
        first = trained(
            members,
            "first",
            f"quota = {QUOTA}\nexplanations = true\ndeadline_ms = 4000",
            algorithm='mode = "layered"\ndepth = 3',
        )
        second = trained(
            members,
            "second",
            f'quota = {QUOTA}\non_silence = "default"\ndeadline_ms = 700',
            algorithm='mode = "standard"\ndepth = 2',
        )
        yield World(members, first, second)
        for _ in making:
            pass


def test_scores_by_id_are_the_evaluation_s_bit_for_bit(world: World) -> None:
    ids, expected = world.holdout(world.first)
    with world.members[0].client() as client:
        whole = client.predict_ids(world.first, ids)
        single = [client.predict_ids(world.first, [one]) for one in ids[:3]]
    np.testing.assert_array_equal(whole.scores, expected)
    np.testing.assert_array_equal([one.scores[0] for one in single], expected[:3])
    assert not whole.flags.any()
    np.testing.assert_array_equal(whole.serials, whole.serials[0] + np.arange(len(ids)))
    assert single[0].serials[0] > whole.serials[-1]


def test_a_passive_party_gets_the_same_scores_and_contributions(world: World) -> None:
    ids, expected = world.holdout(world.first)
    for place in (1, 2):
        with world.members[place].client() as client:
            found = client.predict_ids(world.first, ids[:7], explain=True)
        np.testing.assert_array_equal(found.scores, expected[:7])
        own = world.operator.predict_ids(world.first, ids[:7], explain=True)
        assert found.contributions is not None
        assert found.base is not None
        np.testing.assert_array_equal(found.contributions, own.contributions)
        margin = np.log(expected[:7] / (1 - expected[:7]))
        np.testing.assert_allclose(found.base + found.contributions.sum(axis=1)[:, 0], margin, atol=1e-9)
        assert found.contributions.shape == (7, 3, 1)


def test_unknown_ids_have_no_score_and_bad_questions_are_refused(world: World) -> None:
    ids, expected = world.holdout(world.first)
    found = world.operator.predict_ids(world.first, ["nobody", ids[0], ""])
    assert found.flags.tolist() == [Note.UNKNOWN_ID, 0, Note.UNKNOWN_ID]
    assert np.isnan(found.scores).tolist() == [True, False, True]
    assert found.scores[1] == expected[0]
    assert found.serials[0] == -1
    with world.members[0].client() as client:
        with pytest.raises(ConfigError, match="explains no scores"):
            client.predict_ids(world.second, ids[:1], explain=True)
        with pytest.raises(ConfigError, match="unknown to this node"):
            client.predict_ids("0x" + "00" * 32, ids[:1])
        with pytest.raises(ConfigError, match="1 to"):
            client.predict_ids(world.first, [])
        with pytest.raises(ConfigError, match="part"):
            client.predict_ids(world.first, [("a", "b")])


def test_concurrent_requests_get_serials_of_their_own_and_their_own_scores(world: World) -> None:
    ids, expected = world.holdout(world.first)
    wanted = [(place, place + 1 + place % 3) for place in range(20)] * 4

    def one(span: tuple[int, int]) -> Predictions:
        return world.operator.predict_ids(world.first, ids[slice(*span)])

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(one, wanted))
    for span, predictions in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(predictions.scores, expected[slice(*span)])
    serials = np.concatenate([one.serials for one in found])
    assert len(set(serials.tolist())) == len(serials)


def test_quota_holds_when_many_ask_at_once(world: World) -> None:
    """Asked for twice the quota in threads: no more rows are scored than it allows, and the error says until when."""
    job_id = trained(world.members, "small", f"quota = {SMALL_QUOTA}", algorithm='mode = "standard"\ndepth = 2')
    ids = world.ids(job_id)

    def one(_: int) -> int | QuotaExceededError:
        try:
            return len(world.operator.predict_ids(job_id, ids[:6]).scores)
        except QuotaExceededError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(2 * SMALL_QUOTA // 6)))
    scored = sum(number for number in found if isinstance(number, int))
    refused = [error for error in found if isinstance(error, QuotaExceededError)]
    usage = world.operator.exchange.consortium.inference.reserved(job_id, world.members[0].account.address)
    assert SMALL_QUOTA // 2 < scored <= usage.used_in_window <= SMALL_QUOTA, "all but ends of ranges is used"
    assert refused
    assert "UTC" in str(refused[0])
    with world.members[1].client() as client, pytest.raises(PeerError, match="quota"):
        client.predict_ids(job_id, ids[:10])  # the operator asks the others in its turn, from its own quota


def test_a_restarted_answerer_refuses_what_was_begun_and_the_requester_reserves_anew(world: World) -> None:
    ids, expected = world.holdout(world.first)
    before = world.operator.predict_ids(world.first, ids[:1]).serials[0]
    world.members[1].halt()
    world.members[1].start()
    until = time.monotonic() + 30
    while True:  # on a loaded machine the first asks may come before it answers
        try:
            after = world.operator.predict_ids(world.first, ids[:2])
            break
        except DeadlineError:
            assert time.monotonic() < until
    np.testing.assert_array_equal(after.scores, expected[:2])
    assert after.serials[0] > before + 1, "the rest of the range was given up"


def test_a_silent_party_is_named_or_made_up_for_as_the_job_says(world: World) -> None:
    ids, expected = world.holdout(world.second)
    known = world.operator.predict_ids(world.second, ids[:4])
    np.testing.assert_array_equal(known.scores, expected[:4])
    shop = world.members[2]
    shop.halt()
    try:
        begun = time.monotonic()
        made_up = world.operator.predict_ids(world.second, ids[:4])
        assert time.monotonic() - begun < 20
        assert made_up.flags.tolist() == [Note.SILENT_PARTY] * 4
        assert np.isfinite(made_up.scores).all()
        with world.members[0].client() as client, pytest.raises(DeadlineError, match=shop.name):
            client.predict_ids(world.first, ids[:1])
    finally:
        shop.start()
    until = time.monotonic() + 20
    while (found := world.operator.predict_ids(world.second, ids[:4])).flags.any():
        assert time.monotonic() < until
        time.sleep(0.2)
    np.testing.assert_array_equal(found.scores, expected[:4])


def test_whoever_is_prepared_to_be_asked_has_told_its_default_bits(world: World) -> None:
    """Else a batch, whose asks hold no decoy, could not go on when a party falls silent after a restart."""
    world.operator.online.forget_tables()
    job = world.operator.online.asker.desk(world.second).job
    assert job.combining is not None
    assert all(job.combining.knows_default(party) for party in job.passive)
    one = PartyId(world.members[1].name)
    default = job.combining._defaults[one]
    assert default == world.node(1).online.jobs.get(world.second).table.default


def test_a_model_s_name_follows_its_version_in_use_without_a_restart(world: World) -> None:
    name = f"churn-{world.members[0].name}"
    ids, first_scores = world.holdout(world.first)
    first, second = (world.node(place) for place in (0, 1))
    for number, job_id in enumerate((world.first, world.second), start=1):
        first.propose_model(name, job_id)
        for place in (1, 2):
            world.node(place).approve_model(name, number)
    first.activate_model(name, 1)
    found = first.predict_ids(name, ids[:3])
    np.testing.assert_array_equal(found.scores, first_scores[:3])
    assert found.model is not None
    assert (found.job_id, found.model.version) == (world.first, 1)
    first.activate_model(name, 2)
    _await(lambda: first.predict_ids(name, ids[:1]).job_id == world.second)
    first.roll_back_model(name)
    _await(lambda: first.predict_ids(name, ids[:1]).job_id == world.first)
    assert second.predict_ids(name, ids[:1]).job_id == world.first


def test_receipts_are_kept_anchored_and_of_the_answerers(world: World) -> None:
    ids, _ = world.holdout(world.first)
    asked = world.operator.predict_ids(world.first, ids[:5])
    files = ReceiptFiles(world.members[0].config.state.folder, world.first)
    address = world.members[0].account.address
    router = world.operator.exchange.consortium.inference
    _await(lambda: bool(files.anchors()) and files.anchors()[-1].block is not None
           and sum(one.receipts for one in files.anchors()) == len(list(files.receipts())))  # fmt: skip
    receipts = [one for one, _ in files.receipts()]
    mine = [one for one in receipts if one.first_serial == asked.serials[0]]
    assert {one.answerer.hex() for one in mine} == {
        world.members[place].account.address[2:].lower() for place in (1, 2)
    }
    for anchor in files.anchors():
        part = receipts[anchor.first : anchor.first + anchor.receipts]
        assert root_of_receipts(part).hex() == anchor.root
        assert router.is_anchored(world.first, address, anchor.index, bytes.fromhex(anchor.root))
    count, rows = router.anchored(world.first, address)
    assert count == len(files.anchors())
    assert rows <= router.reserved(world.first, address).next


def test_commands_ask_by_id_and_check_receipts(world: World, chain: DevChain, deployment_path: Path) -> None:
    commands = Commands(chain, deployment_path)
    folder, job_id = world.members[0].config.folder, world.first
    ids, expected = world.holdout(job_id)
    found = commands.json("predict", job_id, "--node", folder, "--id", ids[0], "--id", "nobody", "--explain")
    assert found["scores"] == [expected[0], None]
    assert found["flags"] == [[], ["unknown_id"]]
    assert found["ids"] == [ids[0], "nobody"]
    assert sum(found["contributions"][0].values()) + found["base"] == pytest.approx(
        np.log(expected[0] / (1 - expected[0]))
    )
    shown = commands.run("predict", job_id, "--node", folder, "--id", ids[0], "--id", "nobody")
    head, first, second = shown.stdout.splitlines()
    assert head == "id,score,serial,flags"
    assert first.startswith(f"{ids[0]},{float(expected[0])!r},")
    assert second == "nobody,,,unknown_id"
    checked = commands.json("receipt", "verify", job_id, "--node", folder)
    assert checked["receipts"] >= checked["anchored"]
    assert checked["receipts"] >= 4
    shown = commands.run("receipt", "show", job_id, 0, "--node", folder)
    assert shown.stdout.startswith(f"receipt 0 of job {job_id}"), shown.stderr
    path = world.members[0].config.state.folder / "receipts" / job_id / "receipts"
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    try:
        assert "receipt 0" in commands.fails(1, "receipt", "verify", job_id, "--node", folder)
    finally:
        path.write_bytes(content)


def test_forged_and_replayed_asks_are_refused(world: World) -> None:
    """What the operator's own code never sends: a replayed ask, another's, one beyond its reservations."""
    from fedchain.inference.receipts import sign_ask
    from fedchain.messages.base import encode
    from fedchain.messages.online import Ask
    from fedchain.node.online.rounds import ASK

    operator, bank = world.operator, world.node(1)
    desk = operator.online.asker.desk(world.first)
    job, peer = desk.job, job_peer(operator, world.members[1])
    first = desk.rounds.reservations.take(4)
    positions = np.arange(4, dtype=np.int64)

    def ask(**changed: Any) -> bytes:
        fields = desk.rounds.common(job.passive[0], first, positions, False)
        signed = sign_ask(job.domain, Ask(**{**fields, **changed}), operator.exchange.consortium.sign_uplink)
        return ASK + encode(signed)

    def send(question: bytes) -> bytes:
        client = operator.exchange.payloads
        return client.ask(lambda: peer, question, answer_bytes=1000, culprit=bank.name, deadline_seconds=10.0)()

    other = job.address_bytes(job.passive[1])
    for question, code in (
        (ask(answerer=other), "forged"),
        (ask(requester=other), "forged"),
        (ask(epoch=7), "forged"),
        (ask(model=bytes(32)), "model"),
        (ask(first_serial=2**40), "unreserved"),
        (ask(job=bytes(32)), "unknown-job"),
        (ASK + encode(Ask(**desk.rounds.common(job.passive[0], first, positions, False))), "forged"),
        (b"\x07nonsense", "forged"),
        (ASK + b"\x90", "forged"),
    ):  # fmt: skip
        with pytest.raises(AskRefusedError) as refused:
            send(question)
        assert refused.value.code == code, refused.value
    honest = ask()
    assert send(honest)
    for question in (honest, ask(), ask(first_serial=first + 3)):
        with pytest.raises(AskRefusedError) as refused:
            send(question)
        assert refused.value.code == "spent"


def test_forged_and_replayed_answers_are_refused_and_their_sender_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, expected = world.holdout(world.first)
    bank = world.node(1)
    world.operator.predict_ids(world.first, ids[:1])  # serials that a restarted party refuses are given up by now
    honest = bank.online._answering.answer
    earlier: list[bytes] = []

    def replaying(caller: Any, question: bytes) -> bytes:
        answer = honest(caller, question)
        earlier.append(answer)
        return earlier[0]

    def bent(caller: Any, question: bytes) -> bytes:
        answer = bytearray(honest(caller, question))
        answer[20] ^= 1
        return bytes(answer)

    for hostile in (replaying, bent):
        monkeypatch.setattr(bank.online._answering, "answer", hostile)
        if hostile is replaying:
            np.testing.assert_array_equal(world.operator.predict_ids(world.first, ids[:2]).scores, expected[:2])
        with world.members[0].client() as client, pytest.raises(PeerError, match=bank.name):
            client.predict_ids(world.first, ids[:2])
    monkeypatch.setattr(bank.online._answering, "answer", honest)
    np.testing.assert_array_equal(world.operator.predict_ids(world.first, ids[:2]).scores, expected[:2])


def job_peer(node: Node, member: Member) -> Any:
    return node.exchange.directory.peer(member.account.address)


def _await(look: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.05)
