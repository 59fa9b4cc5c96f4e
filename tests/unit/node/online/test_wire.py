"""The whole of an online exchange over real servers, for rows that an answerer holds and for rows that it does not.

What is captured is each gRPC message as it is, both ways; TLS adds to it what depends on its size alone.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from fedchain.chain import Account, Participant
from fedchain.exchange import PayloadServer
from fedchain.exchange.identities import Identities
from fedchain.exchange.tls import fingerprint_of
from fedchain.federation.spec import JobSpec
from fedchain.inference.answering import Answers
from fedchain.inference.asking import Asking, Combining, Flag
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import LeafTable
from fedchain.inference.receipts import Domain
from fedchain.messages.base import decode
from fedchain.messages.online import Answer, Ask, ScoreAnswer, ScoreAsk
from fedchain.node.metrics import Metrics, _AskMetrics
from fedchain.node.online.answering import Answering
from fedchain.node.online.job import EPOCH, OnlineJob
from fedchain.node.online.receipts import ReceiptLog
from fedchain.node.online.rounds import ASK, Rounds
from fedchain.node.online.rowscores import RowScores
from fedchain.node.online.serials import Serials
from fedchain.types import JobId, PartyId, Status
from tests.unit.exchange.peers import World
from tests.unit.inference.models import N_BINS, full_model, some_bins

A, B, C = ROSTER = tuple(PartyId(one) for one in "abc")
JOB = JobId("0x" + "5c" * 32)
SPEC = JobSpec.from_toml_text(
    'name = "churn"\n[inference]\npartial = true\n[[parties]]\nname = "a"\nrole = "active"\nlabel = "y"\n'
    + "".join(f'[[parties]]\nname = "{one}"\nrole = "passive"\n' for one in "bc")
)
ROWS = 8
HOLDERS = {"everywhere": "abc", "not at b": "ac", "not at a": "c"}
PEOPLE = {
    kind: [f"customer-{hashlib.md5(f'{kind}/{number}'.encode()).hexdigest()}" for number in range(ROWS)]
    for kind in HOLDERS
}


class Party:
    """One node: what it answers with, and what it asks with."""

    def __init__(self, wire: Wire, place: int) -> None:
        name = self.name = ROSTER[place]
        self.account = wire.accounts[name]
        kinds = [kind for kind, held in HOLDERS.items() if name in held]
        self.ids = [one for kind in kinds for one in PEOPLE[kind]]
        holders = [
            sum(1 << at for at, party in enumerate(ROSTER) if party in HOLDERS[kind])
            for kind in kinds
            for _ in range(ROWS)
        ]
        known = KnownRows(name, ROSTER, self.ids, np.array(holders, np.uint8), self._tags)
        shard = wire.model[place]
        table = LeafTable(shard, some_bins(np.random.default_rng(place), len(self.ids)), N_BINS)
        answers, asking = Answers(known, table), Asking(known)
        for peer in set(ROSTER) - {name}:
            answers.prepare(peer, EPOCH)
        addresses = {one: account.address for one, account in wire.accounts.items()}
        self.job = OnlineJob(
            JOB, SPEC, shard, cast(Any, None), addresses, name, bytes(32), Domain(1, bytes(20)), table, answers, asking,
            None if place else Combining(shard, table),
        )  # fmt: skip
        folder = wire.world.folder / name
        exchange = cast(Any, SimpleNamespace(
            state=SimpleNamespace(job=lambda job_id: "there"), consortium=self.account,
            payloads=wire.world.client(name),
            directory=SimpleNamespace(
                look_up=lambda address: lambda: wire.peers[address], participant=wire.world.registry.participant
            ),
        ))  # fmt: skip
        self.metrics = Metrics.__new__(Metrics)  # those of asks alone
        self.metrics.registry = CollectorRegistry()
        self.metrics._asks = _AskMetrics(self.metrics.registry)
        self.receipts = ReceiptLog(folder, JOB)
        self.serials = Serials(folder / "serials", lambda job_id, requester: 10**6)
        serials = itertools.count(1000, 20)  # of one width in a message
        reservations = SimpleNamespace(take=lambda rows: next(serials))
        self.rounds = Rounds(self.job, exchange, cast(Any, reservations), self.receipts, self.metrics)
        jobs = SimpleNamespace(get=lambda job_id: self.job, roster=lambda job_id: tuple(addresses.values()))
        self.answering = Answering(cast(Any, jobs), self.serials, exchange, lambda job: self.rounds, self.metrics)

    def _tags(self, peer: PartyId, epoch: int) -> bytes:
        pair = "".join(sorted((self.name, peer)))
        return b"".join(hashlib.md5(f"{pair}/{epoch}/{one}".encode()).digest() for one in self.ids)

    def score(self, ids: list[str], *, planes: bool) -> RowScores:
        return self.rounds.begin(self.job.asking.positions(ids), planes=planes, deadline_seconds=30.0).finish()


class Wire:
    """Three nodes over real servers, and all that passes between them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accounts = {one: Account.from_private_key(bytes([1 + at]) * 32) for at, one in enumerate(ROSTER)}
        self.model = full_model(np.random.default_rng(1), 10, 4)
        self.messages: list[tuple[str, str, bytes, bytes]] = []
        self.peers: dict[str, Any] = {}
        for name, account in self.accounts.items():
            identity = world.party(name, status=None)
            world.registry.entries[account.address] = Participant(
                account.address, name, "", Status.ACCREDITED, 0, fingerprint_of(identity.certificate),
                signer=account.address,
            )  # fmt: skip
            world.registry.certificates[account.address] = identity.certificate
        self.parties = {name: Party(self, place) for place, name in enumerate(ROSTER)}
        for name, party in self.parties.items():
            server = PayloadServer(
                world.store(name), Identities(world.identities[name]), world.members(name), port=0,
                answer=self._recording(name),
            )  # fmt: skip
            world.opened.append(server)
            self.peers[party.account.address] = world.peer(name, server.endpoint)

    def _recording(self, name: PartyId) -> Any:
        def answer(caller: Participant, question: bytes) -> bytes:
            found = self.parties[name].answering.answer(caller, question)
            self.messages.append((caller.name, name, question, found))
            return found

        return answer

    def exchange(self, requester: PartyId, ids: list[str], *, planes: bool) -> tuple[RowScores, Any]:
        """Scores; and per pair of parties what passed, largest first."""
        self.messages.clear()
        scores = self.parties[requester].score(ids, planes=planes)
        return scores, sorted(self.messages)

    def close(self) -> None:
        for party in self.parties.values():
            party.receipts.close()
            party.serials.close()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    world = World(tmp_path)
    one = Wire(world)
    yield one
    world.close()
    one.close()


def shape(messages: list[tuple[str, str, bytes, bytes]]) -> list[tuple[str, str, int, int]]:
    return [(who, whom, len(question), len(answer)) for who, whom, question, answer in messages]


def fields(messages: list[tuple[str, str, bytes, bytes]]) -> list[dict[str, Any]]:
    """What must not differ: every field but those that are fresh in each message, or are the answer itself."""
    fresh = {"first_serial", "tags", "nonce", "signature", "time_ms", "bits", "scores", "flags", "receipts"}
    found = []
    for _, _, question, answer in messages:
        kinds = (Ask, Answer) if question[:1] == ASK else (ScoreAsk, ScoreAnswer)
        for raw, kind in zip((question[1:], answer), kinds, strict=True):
            message = decode(raw, cast(Any, kind))
            found.append({
                name: len(value) if name in fresh and hasattr(value, "__len__") else value
                for name in message.__struct_fields__
                if hasattr(value := getattr(message, name), "__len__") or name not in fresh
            })  # fmt: skip
    return found


@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("requester", [A, C])
def test_no_message_tells_whether_a_row_is_there(wire: Wire, requester: PartyId, rows: int, planes: bool) -> None:
    hits, there = wire.exchange(requester, PEOPLE["everywhere"][:rows], planes=planes)
    misses, not_there = wire.exchange(requester, PEOPLE["not at b"][:rows], planes=planes)
    assert {(who, whom) for who, whom, *_ in there} == {("a", "b"), ("c", "a") if requester == C else ("a", "c")}
    assert shape(there) == shape(not_there)
    assert fields(there) == fields(not_there)
    assert not hits.flags.any()
    assert misses.flags.tolist() == [Flag.MISSING_PARTY] * rows, "the requester knows; b cannot"
    if requester == C:
        unknown, nowhere = wire.exchange(requester, PEOPLE["not at a"][:rows], planes=planes)
        assert shape(nowhere) == shape(there)
        assert fields(nowhere) == fields(there)
        assert (unknown.flags & Flag.UNKNOWN_ID).all()


def test_no_id_is_in_any_message_log_metric_or_file(wire: Wire) -> None:
    traffic = b""
    with structlog.testing.capture_logs() as lines:
        for requester, kind in itertools.product((A, C), PEOPLE):
            for planes in (False, True):
                ids = [one for one in PEOPLE[kind] if kind != "not at a" or requester == C]
                _, messages = wire.exchange(requester, ids or PEOPLE["everywhere"], planes=planes)
                traffic += b"".join(question + answer for *_, question, answer in messages)
    kept = b"".join(path.read_bytes() for path in wire.world.folder.rglob("*") if path.is_file())
    metrics = b"".join(generate_latest(party.metrics.registry) for party in wire.parties.values())
    for name, where in (("messages", traffic), ("log", repr(lines).encode()), ("files", kept), ("metrics", metrics)):
        text = where.lower()
        assert b"customer" not in text, name
        for one in itertools.chain(*PEOPLE.values()):
            number = one.removeprefix("customer-")
            assert number.encode() not in text, name
            assert bytes.fromhex(number) not in where, name
            assert hashlib.sha256(one.encode()).digest() not in where, name
    assert len(traffic) > 10_000
    assert len(kept) > 10_000


def test_the_answerer_s_log_and_metrics_are_those_of_a_hit(wire: Wire) -> None:
    def seen(kind: str) -> tuple[list[Any], list[str]]:
        before = counted(wire)
        with structlog.testing.capture_logs() as lines:
            wire.exchange(A, PEOPLE[kind], planes=False)
        return [{**line, "timestamp": None} for line in lines], [
            f"{name} {value - before.get(name, 0.0)}" for name, value in sorted(counted(wire).items())
        ]

    seen("everywhere")  # the first of all makes series
    assert seen("everywhere") == seen("not at b")


def counted(wire: Wire) -> dict[str, float]:
    """The answerer's numbers, those aside that are times."""
    return {
        f"{sample.name} {sample.labels}": sample.value
        for family in wire.parties[B].metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_sum", "_created", "_bucket"))
    }
