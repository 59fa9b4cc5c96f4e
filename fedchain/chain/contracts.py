"""A consortium's contracts, typed: what a party can read and do on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fedchain.chain.abi import function
from fedchain.chain.artifacts import CONTRIBUTIONS, DIRECTORY, JOBS, LEDGER, REGISTRY, ROUTER
from fedchain.chain.client import ChainClient
from fedchain.chain.contribution_audits import Audits
from fedchain.chain.deployment import Deployment
from fedchain.chain.events import ChainEvent, JobProposed, RequestOpened, UplinkJudged
from fedchain.chain.faults import Faults
from fedchain.chain.gas import DEADLINE_GAS, batch_gas, uplink_gas
from fedchain.chain.inference import Inference
from fedchain.chain.models import Models
from fedchain.chain.reads import ConsortiumReads, envelope_values, job_id_bytes
from fedchain.chain.sender import Sender
from fedchain.chain.settlements import Settlements
from fedchain.chain.stewarding import Stewarding, Vote
from fedchain.chain.transaction import Call, Receipt
from fedchain.chain.versions import Versions
from fedchain.chain.views import BatchLeaf, JobPolicy
from fedchain.errors import ChainError, ConfigError
from fedchain.messages.envelope import Envelope
from fedchain.types import SCHEMA_VERSION, JobId

MAX_LEAVES = 256
"""Uplinks of one batch, as in `UplinkLedger`."""

_E = TypeVar("_E", bound=ChainEvent)


class Consortium(ConsortiumReads):
    """The contracts of a deployment.

    Args:
        client: the chain.
        deployment: what was deployed there; chain, genesis and code are checked here, once.
        sender: who sends transactions; None for reading alone.

    Attributes:
        models: the model registry.
        stewards: who they are, and their votes.
        versions: the directory of versions.
        faults: the anomaly record, and proofs of faults.
        inference: the inference router: terms, quotas, receipts, strict requests.
        audits: contribution audits.
        settlements: of contributions.

    Raises:
        WrongChainError: the chain is not the recorded one.
        ContractMissingError: no code, or other code, at a recorded address.

    Every write waits until it is mined and raises `TransactionError` with the contract's typed error when it reverts,
    `ChainUnreachableError` when the node does not answer, `ConfigError` without a sender.
    """

    def __init__(self, client: ChainClient, deployment: Deployment, sender: Sender | None = None) -> None:
        super().__init__(client, deployment)
        self.sender = sender
        self.models = Models(self._read, self._write)
        self.stewards = Stewarding(self._read, self._write, self._addresses)
        self.versions = Versions(self._read, self._write, self._addresses[DIRECTORY])
        self.inference = Inference(self._read, self._write, self._write_within, self.events, client.head)
        self.faults = Faults(self._read, self._write, deployment.chain_id, self._addresses, self._write_within)
        self.audits = Audits(self._read, self._write, self._write_within, self.events)
        self.settlements = Settlements(self._read, self._write, self._addresses)

    def sign_uplink(self, uplink_id: bytes) -> bytes:
        """Vouch for an uplink of one's own before its verdict; see `Account.sign_uplink`.

        Raises:
            ConfigError: there is no sender.
        """
        if self.sender is None:
            raise ConfigError("this connection to the chain has no sender, it can only read")
        return self.sender.account.sign_uplink(uplink_id)

    def acting_for(self) -> str:
        """The party for which this connection's key acts: the same address until its key is rotated.

        Raises:
            ConfigError: there is no sender, or its key acts for nobody.
        """
        if self.sender is None:
            raise ConfigError("this connection to the chain has no sender, it can only read")
        party = self.party_of(self.sender.address)
        if party is None:
            raise ConfigError(f"the key of {self.sender.address} acts for no participant of this consortium")
        return party

    def register(self, name: str, endpoint: str, certificate: bytes, encryption_key: bytes) -> Receipt:
        """Enter oneself in the registry: public from then on.

        Args:
            name: 1..64 characters of [a-z0-9_-], unique.
            endpoint: where one's node answers, 1..256 bytes.
            certificate: DER of the node's self-signed X.509 certificate, 1..2048 bytes, no other participant's.
            encryption_key: X25519 public key of the node, 32 bytes.
        """
        return self._write(REGISTRY, "register", name, endpoint, certificate, encryption_key)

    def set_service(self, endpoint: str, certificate: bytes) -> Receipt:
        """Announce where one's node answers, and with which certificate; both as in `register`."""
        return self._write(REGISTRY, "setService", endpoint, certificate)

    def set_encryption_key(self, encryption_key: bytes) -> Receipt:
        """Announce another encryption key, as in `register`."""
        return self._write(REGISTRY, "setEncryptionKey", encryption_key)

    def rotate_key(self, party: str, deadline: int, signature: bytes) -> Receipt:
        """Make this sender's account the key of a participant; the present key then acts for nobody, for ever.

        Args:
            party: address of the participant.
            deadline: until when it may be mined, seconds of the chain's clock.
            signature: the present key's, of `Account.sign_rotation`.
        """
        return self._write(REGISTRY, "rotateKey", party, deadline, signature)

    def accredit(self, address: str) -> Vote:
        """See `Stewarding.accredit`."""
        return self.stewards.accredit(address)

    def suspend(self, address: str, reason: str) -> Vote:
        """See `Stewarding.suspend`."""
        return self.stewards.suspend(address, reason)

    def reinstate(self, address: str) -> Vote:
        """See `Stewarding.reinstate`."""
        return self.stewards.reinstate(address)

    def propose(self, spec: bytes, roster: Sequence[str], policy: JobPolicy) -> JobId:
        """Propose a job to a roster, the active party first. Spec, roster and policy are public.

        Args:
            spec: 1..65536 bytes, canonical.
            roster: 2..8 distinct accredited addresses, the caller's among them.
            policy: the contract's bounds.
        """
        values = (
            policy.max_payload_bytes,
            policy.max_rounds,
            policy.max_statistic_e6,
            policy.pipelined,
            policy.phase_seconds,
            policy.round_seconds,
            policy.max_uplinks_per_round,
            policy.ends_on_suspension,
            policy.version,
        )
        receipt = self._write(JOBS, "propose", spec, list(roster), values)
        return _first(receipt, JobProposed, "propose").job_id

    def accept(self, job_id: JobId) -> Receipt:
        """Roster party: agree to a job."""
        return self._write(JOBS, "accept", job_id_bytes(job_id))

    def declare_aligned(self, job_id: JobId, digest: bytes, rows: int) -> Receipt:
        """Roster party: declare the aligned order; a digest or a number of rows unlike the first's aborts the job.

        Reveals the number of aligned rows and a digest of their order to everyone on the chain.
        """
        return self._write(JOBS, "declareAligned", job_id_bytes(job_id), digest, rows)

    def begin_round(self, job_id: JobId, round: int) -> Receipt:
        """Active party: begin the next round."""
        return self._write(JOBS, "beginRound", job_id_bytes(job_id), round)

    def retry_round(self, job_id: JobId, round: int) -> Receipt:
        """Active party: try the round in force again, or in a pipelined job the one before it."""
        return self._write(JOBS, "retryRound", job_id_bytes(job_id), round)

    def declare_stop(self, job_id: JobId, round: int) -> Receipt:
        """Roster party: declare the stopping condition met after the round in force."""
        return self._write(JOBS, "declareStop", job_id_bytes(job_id), round)

    def abort(self, job_id: JobId, reason: str) -> Receipt:
        """Roster party: end a job that is not completed; the reason (at most 256 bytes) is public."""
        return self._write(JOBS, "abort", job_id_bytes(job_id), reason)

    def attend(self, job_id: JobId) -> Receipt:
        """Roster party: say that one is there and waits, in the phase or round in force; before its deadline."""
        return self._write(JOBS, "attend", job_id_bytes(job_id))

    def close_round(self, job_id: JobId) -> Receipt:
        """Anyone: close the round in force once its deadline is over; who is missing is named and reported."""
        return self._send(self._call(JOBS, "closeRound", job_id_bytes(job_id)), DEADLINE_GAS)

    def mark_missing(self, job_id: JobId) -> Receipt:
        """Anyone: the same for the phases other than training."""
        return self._send(self._call(JOBS, "markMissing", job_id_bytes(job_id)), DEADLINE_GAS)

    def expire(self, job_id: JobId) -> Receipt:
        """Anyone: end a job whose time is over twice, or as soon as its policy says because of a suspension."""
        return self._send(self._call(JOBS, "expire", job_id_bytes(job_id)), DEADLINE_GAS)

    def submit(self, envelope: Envelope, payload: bytes) -> tuple[Receipt, UplinkJudged | None]:
        """Uplink a payload and return the contract's judgement, which may be a rejection.

        Everyone on the chain sees envelope and payload.

        Args:
            envelope: what the contract judges.
            payload: the payload itself up to `INLINE_LIMIT` bytes, empty above; in the training of a pipelined job it
                may be empty at any size.

        Returns:
            The receipt, and the verdict; None when this uplink had been accepted before and nothing happened.

        Raises:
            TransactionError: `CallerNotAccredited(…)`: never accredited.
        """
        call = self._call(LEDGER, "submit", envelope_values(envelope), payload)
        receipt = self._send(call, uplink_gas(len(call.data)))
        judged = [event for event in receipt.events if isinstance(event, UplinkJudged)]
        return receipt, judged[0] if judged else None

    def submit_batch(
        self, job_id: JobId, round: int, attempt: int, leaves: Sequence[BatchLeaf]
    ) -> tuple[Receipt, list[UplinkJudged]]:
        """Uplink several digests of one round in one transaction; each gets its own verdict, as if sent alone.

        Everyone on the chain sees the envelopes. Below the inline limit, only the training of a pipelined job takes
        payloads by reference.

        Args:
            job_id: the job.
            round: of all leaves.
            attempt: of all leaves.
            leaves: 1..`MAX_LEAVES`.

        Returns:
            The receipt, and the verdicts in the order of the leaves, without those that had been accepted before.

        Raises:
            TransactionError: `CallerNotAccredited(…)`: never accredited; `BatchSizeInvalid(…)`.
        """
        values = [leaf.packed() for leaf in leaves]
        call = self._call(LEDGER, "submitBatch", job_id_bytes(job_id), round, attempt, SCHEMA_VERSION, values)
        receipt = self._send(call, batch_gas(len(leaves)))
        return receipt, [event for event in receipt.events if isinstance(event, UplinkJudged)]

    def record_contribution(
        self, job_id: JobId, uplink_id: bytes, shares_e6: Sequence[int], full: int, empty: int
    ) -> Receipt:
        """Active party: record contribution shares, once per job.

        Args:
            job_id: in phase Evaluating.
            uplink_id: an accepted uplink of kind `contribution` by the caller.
            shares_e6: one per roster party; they sum to `full - empty` exactly. Scale 1e6, int64.
            full: the roster's utility, scale 1e6.
            empty: utility of nobody, scale 1e6.
        """
        return self._write(CONTRIBUTIONS, "record", job_id_bytes(job_id), uplink_id, list(shares_e6), full, empty)

    def open_request(self, job_id: JobId) -> int:
        """Roster party: open an inference request on a completed job; returns its id."""
        return _first(self._write(ROUTER, "open", job_id_bytes(job_id)), RequestOpened, "open").request_id

    def close_request(self, job_id: JobId, request_id: int, outcome: int) -> Receipt:
        """Requester or active party: close a request with a `RequestStatus`: 1 done, 2 rejected, 3 expired."""
        return self._write(ROUTER, "close", job_id_bytes(job_id), request_id, int(outcome))

    def _call(self, contract: str, name: str, *arguments: object) -> Call:
        data = function(contract, name).encode(*arguments)
        return Call(f"{contract}.{name}", self._address(contract), data)

    def _send(self, call: Call, gas: int | None) -> Receipt:
        if self.sender is None:
            raise ConfigError(f"{call.what} needs an account to send it; this consortium was opened for reading")
        return self.sender.transact(call, gas, self._decoder)

    def _write(self, contract: str, name: str, *arguments: object) -> Receipt:
        return self._send(self._call(contract, name, *arguments), None)

    def _write_within(self, gas: int, contract: str, name: str, *arguments: object) -> Receipt:
        return self._send(self._call(contract, name, *arguments), gas)


def _first(receipt: Receipt, kind: type[_E], name: str) -> _E:
    for event in receipt.events:
        if isinstance(event, kind):
            return event
    raise ChainError(f"the receipt of {name} holds no {kind.__name__}; deployment and chain do not fit together")
