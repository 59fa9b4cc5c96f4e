"""What calls cost: gas of receipts on anvil at fork shanghai, each call a transaction of its own to deployed contracts.

A transaction begins with cold storage: it pays for the first touch of each slot and each contract. Everything is
measured in the steady state unless it says "first": earlier calls have made the counters and masks of the job, the
round and the sender non-zero, as they are for all but the first few uplinks of a job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from contracts.script.report.deployed import POLICY, Deployed, Done
from contracts.script.report.uplinks import envelope_of, leaf_of, reasons
from contracts.script.report.workspace import ReportError
from fedchain.chain import Account, ChainClient, dev_accounts, start_dev_chain
from fedchain.chain.abi import CODEC
from fedchain.errors import ChainError, ConfigError
from fedchain.types import INLINE_LIMIT

LEAVES = 64
INLINE_BYTES = 1024
BY_REFERENCE_BYTES = 1_000_000
CERTIFICATE_BYTES = 500
"""About a self-signed certificate's."""
HISTOGRAM = 3
SHARD_DIGEST = 7
SHARD = bytes(32)
ASKS = 64
ASKED_BYTES = 512
"""About a strict request sealed to two parties."""
SETTLED_ROSTERS = (3, 5, 8)
"""Sizes of the rosters of audited jobs."""
ROWS = 6000
"""Held-out rows of theirs."""
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class GasReport:
    """What was measured.

    Attributes:
        figures: the named figures.
        further: other calls in words, to gas.
        hashes: of the transactions that the figures were read from.
    """

    figures: dict[str, int]
    further: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, bytes] = field(default_factory=dict)


def measure_gas(progress: Callable[[str], None]) -> GasReport:
    """Start anvil, deploy, and measure.

    Raises:
        ReportError: anvil is missing or does not start; a call that should go through does not.
    """
    try:
        with start_dev_chain("anvil") as chain, ChainClient(chain.rpc_url) as client:
            progress(f"gas: anvil at {chain.rpc_url}")
            return Measurement(client).run()
    except (ConfigError, ChainError) as error:
        raise ReportError(f"gas: {error}") from error


class Measurement:
    """Three parties, three stewards of whom two carry a motion, one strict and one pipelined job in round 1."""

    def __init__(self, client: ChainClient) -> None:
        accounts = dev_accounts(10)
        self.deployed = Deployed(client, accounts, accounts[1:4], 2)
        self.parties = tuple(accounts[4:7])
        self.newcomer = accounts[7]
        self.others = (*accounts[7:10], *accounts[1:3])
        """Who completes rosters of more than three: the newcomer first, stewards last, as anvil funds ten accounts."""
        self.figures: dict[str, int] = {}
        self.further: dict[str, int] = {"deployment and wiring of all contracts": self.deployed.deployment_gas}
        self.hashes: dict[str, bytes] = {}
        self._step = 0

    def run(self) -> GasReport:
        """Measure everything, in an order in which each finds the state that it needs."""
        for index, party in enumerate(self.parties):
            self._register(party, f"party-{index}")
            self.deployed.carry("ParticipantRegistry", "accredit", party.address)
        registered = self._register(self.newcomer, "newcomer")
        votes = self.deployed.carry("ParticipantRegistry", "accredit", self.newcomer.address)
        self.figures["gas_accreditation"] = sum(one.gas for one in votes)
        self.further[f"registration with a certificate of {CERTIFICATE_BYTES} bytes"] = registered.gas
        certificate = _noise(CERTIFICATE_BYTES, b"newcomer")
        moved = self.deployed.send(
            self.newcomer, "ParticipantRegistry", "setService", "other.example:9443", certificate
        )
        self.further["another endpoint with the same certificate"] = moved.gas
        self.further["a steward's vote that does not carry"] = votes[0].gas
        self.further["a steward's vote that carries"] = votes[-1].gas

        strict, pipelined = self._job(pipelined=False), self._job(pipelined=True)
        self._strict(strict)
        self._batches(pipelined)
        self._rejected(strict)
        self._inference()
        for index, party in enumerate(self.others[1:]):
            self._register(party, f"other-{index}")
            self.deployed.carry("ParticipantRegistry", "accredit", party.address)
        for size in SETTLED_ROSTERS:
            self._settlement(size)
        order = ["uplink_inline_1kb", "uplink_by_reference", "batch_leaf", "rejected_uplink", "accreditation"]
        order += [f"settlement_p{size}" for size in SETTLED_ROSTERS]
        return GasReport({f"gas_{name}": self.figures[f"gas_{name}"] for name in order}, self.further, self.hashes)

    def _strict(self, job: bytes) -> None:
        _, passive, other = self.parties
        self.further["first uplink of a job, by reference"] = self._uplink(passive, job).gas
        self.further["first uplink of another party in the round, by reference"] = self._uplink(other, job).gas
        self._uplink(passive, job)
        self._keep("gas_uplink_by_reference", self._uplink(passive, job))
        self._keep("gas_uplink_inline_1kb", self._uplink(passive, job, _noise(INLINE_BYTES)))
        self.further["uplink of 1 byte inline"] = self._uplink(passive, job, b"x").gas
        self.further["uplink of 96 KiB inline"] = self._uplink(passive, job, _noise(INLINE_LIMIT)).gas

    def _batches(self, job: bytes) -> None:
        passive = self.parties[1]
        self.further["first batch of a party in the round, 1 leaf"] = self._batch(passive, job, 1).gas
        done = self._batch(passive, job, LEAVES)
        self._keep("gas_batch_leaf", done, LEAVES)
        self.further[f"batch of {LEAVES}"] = done.gas
        self.further["batch of 1"] = self._batch(passive, job, 1).gas
        self.further["batch of 256"] = self._batch(passive, job, 256).gas

    def _rejected(self, job: bytes) -> None:
        other = self.parties[2]
        self.further["first rejected uplink of a party"] = self._reject(other, job).gas
        self._keep("gas_rejected_uplink", self._reject(other, job))
        self.further["third rejected uplink of a party, which suspends it"] = self._reject(other, job).gas
        self.further["rejected uplink of a suspended party"] = self._reject(other, job).gas

    def _inference(self) -> None:
        """Of a job of its own, which ends: the others' suspension in `_rejected` is lifted for it."""
        self.deployed.carry("ParticipantRegistry", "reinstate", self.parties[2].address)
        job = self._job(pipelined=False, terms=True)
        for party in self.parties:
            self.deployed.send(party, "JobManager", "declareStop", job, 1)
        for party in self.parties:
            shard = envelope_of(job, 2, SHARD_DIGEST, SHARD)
            _require(self.deployed.send(party, "UplinkLedger", "submit", shard, SHARD), accepted=True)
        passive = self.parties[1]

        def call(method: str, *arguments: object) -> int:
            return self.deployed.send(passive, "InferenceRouter", method, job, *arguments).gas

        self.further["first reservation of a requester"] = call("reserve", 1000)
        self.further["further reservation"] = call("reserve", 1000)
        self.further["anchor of receipts"] = call("anchor", _noise(32), 1000)
        self.further["opening a request"] = call("open")
        for count in (1, 16, ASKS):
            bodies = [_noise(ASKED_BYTES, b"%d" % index) for index in range(count)]
            digests = [hashlib.sha256(body).digest() for body in bodies]
            self.further[f"{count} strict requests of {ASKED_BYTES} bytes in one call"] = call("ask", digests, bodies)
        ids = [2**31 + 2 + index for index in range(ASKS)]
        self.further[f"closing {ASKS} requests in one call"] = call("closeMany", ids, [1] * ASKS)
        self.further["closing a request"] = call("close", 2**31, 1)

    def _settlement(self, size: int) -> None:
        """An audited job from its labels to its points; the figure is what posting and settling cost together."""
        roster = [*self.parties, *self.others][:size]
        active = roster[0]
        job = self._job(pipelined=False, roster=roster, labels=(_noise(32), ROWS, 299, 3600, 86_400, 10_000))
        for party in roster:
            self.deployed.send(party, "JobManager", "declareStop", job, 1)
        seeds = [_noise(32, party.address.encode()) for party in roster]
        shard = _noise(32, b"shard")
        for party, seed in zip(roster, seeds, strict=True):
            values = CODEC.encode(("bytes32", "address", "bytes32"), (job, party.address, seed))
            done = self.deployed.send(
                party, "ContributionAudit", "freeze", job, _noise(32, b"outputs"), shard, keccak(values)
            )
        self.further[f"freezing, the last of {size} parties"] = done.gas
        sums = [ROWS * int.from_bytes(_noise(4, b"%d" % one)[1:], "big") // 64 for one in range(2**size)]
        post = self.deployed.send(active, "ContributionAudit", "post", job, _noise(32, b"losses"), sums, 0)
        for party, seed in zip(roster, seeds, strict=True):
            done = self.deployed.send(party, "ContributionAudit", "reveal", job, seed)
        self.further[f"revealing a seed, the last of {size} parties"] = done.gas
        for party in roster[1:]:
            done = self.deployed.send(party, "ContributionAudit", "vote", job, True, 0)
        self.further[f"voting on an audit, the last of {size} parties"] = done.gas
        done = self.deployed.send(active, "ContributionAudit", "conclude", job)
        self.further[f"concluding an audit of {size} parties"] = done.gas
        for party in roster:
            envelope = envelope_of(job, 2, SHARD_DIGEST, shard)
            _require(self.deployed.send(party, "UplinkLedger", "submit", envelope, shard), accepted=True)
        settle = self.deployed.send(active, "Settlement", "settle", job)
        self.further[f"posting the losses of {size} parties, exact shares among it"] = post.gas
        self.further[f"settling a job of {size} parties"] = settle.gas
        self.figures[f"gas_settlement_p{size}"] = post.gas + settle.gas
        self.hashes[f"gas_settlement_p{size}"] = post.tx_hash

    def _keep(self, figure: str, done: Done, among: int = 1) -> None:
        self.figures[figure] = round(done.gas / among)
        self.hashes[figure] = done.tx_hash

    def _register(self, party: Account, name: str) -> Done:
        return self.deployed.send(
            party,
            "ParticipantRegistry",
            "register",
            name,
            "node.example:9443",
            _noise(CERTIFICATE_BYTES, name.encode()),
            hashlib.sha256(name.encode()).digest(),
        )

    def _job(
        self,
        *,
        pipelined: bool,
        terms: bool = False,
        roster: Sequence[Account] = (),
        labels: tuple[object, ...] | None = None,
    ) -> bytes:
        """A job in round 1; of the three parties where no roster is given, audited where labels are."""
        members = roster or self.parties
        active = members[0]
        version = self.deployed.read("AnomalyPolicy", "version")
        policy = {**POLICY, "pipelined": pipelined, "version": version}
        addresses = [party.address for party in members]
        spec = b'{"pipelined": %d}' % pipelined
        proposed = self.deployed.send(active, "JobManager", "propose", spec, addresses, policy)
        job: bytes = proposed.only("JobProposed")["jobId"]
        if terms:
            done = self.deployed.send(active, "InferenceRouter", "setTerms", job, 2**40, _DAY_SECONDS, 600)
            self.further["terms of a job"] = done.gas
        for call in (("accept", job), ("declareAligned", job, b"o" * 32, 20_000)):
            for party in members:
                self.deployed.send(party, "JobManager", *call)
        if labels is not None:
            done = self.deployed.send(active, "ContributionAudit", "commitLabels", job, labels)
            self.further["commitment to labels"] = done.gas
        if not roster:
            self.further["proposal of a job of three parties"] = proposed.gas
        self.further["beginning of a round"] = self.deployed.send(active, "JobManager", "beginRound", job, 1).gas
        return job

    def _envelope(self, job: bytes, payload: bytes, attempt: int = 0) -> dict[str, Any]:
        self._step += 1
        one = envelope_of(job, 1, HISTOGRAM, payload, attempt=attempt, step=self._step)
        one["recipient"] = self.parties[0].address
        if not payload:
            one["size"], one["digest"] = BY_REFERENCE_BYTES, _noise(32, b"%d" % self._step)
        return one

    def _uplink(self, party: Account, job: bytes, payload: bytes = b"") -> Done:
        envelope = self._envelope(job, payload)
        done = self.deployed.send(party, "UplinkLedger", "submit", envelope, payload)
        _require(done, accepted=True)
        again = self.deployed.send(party, "UplinkLedger", "submit", envelope, payload)
        self.further[f"the same uplink again, {len(payload):,} bytes inline"] = again.gas
        return done

    def _reject(self, party: Account, job: bytes) -> Done:
        done = self.deployed.send(party, "UplinkLedger", "submit", self._envelope(job, b"", attempt=1), b"")
        _require(done, accepted=False)
        return done

    def _batch(self, party: Account, job: bytes, count: int) -> Done:
        leaves = [leaf_of(self._envelope(job, b"")) for _ in range(count)]
        done = self.deployed.send(party, "UplinkLedger", "submitBatch", job, 1, 0, 1, leaves)
        _require(done, accepted=True)
        return done


def _require(done: Done, *, accepted: bool) -> None:
    found = reasons(done)
    if not found or any((reason == 0) != accepted for reason in found):
        raise ReportError(f"gas: uplinks got the reasons {sorted(set(found))}, {'0' if accepted else 'none 0'} is due")


def _noise(size: int, seed: bytes = b"") -> bytes:
    """Bytes as of a ciphertext, the same in each run: calldata costs less where it is zero."""
    return hashlib.shake_256(b"fedchain gas" + seed).digest(size)
