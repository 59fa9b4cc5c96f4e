"""A consortium's contracts, typed: what a party can read and do on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fedchain.chain.abi import function
from fedchain.chain.artifacts import CONTRIBUTIONS, JOBS, LEDGER, REGISTRY, ROUTER
from fedchain.chain.client import ChainClient
from fedchain.chain.deployment import Deployment
from fedchain.chain.events import ChainEvent, JobProposed, RequestOpened, UplinkJudged
from fedchain.chain.reads import ConsortiumReads, envelope_values, job_id_bytes
from fedchain.chain.sender import Call, Receipt, Sender
from fedchain.chain.views import JobPolicy
from fedchain.errors import ChainError, ConfigError
from fedchain.messages.envelope import Envelope
from fedchain.types import JobId

_E = TypeVar("_E", bound=ChainEvent)


def gas_limit(calldata_bytes: int) -> int:
    """An upper bound of any call's gas, so that none is estimated.

    A byte of calldata costs at most 40 (the floor of EIP-7623); copying, hashing and logging it about 15; the dearest
    call without its bytes (a proposal with a roster of eight) about a million. A full inline payload stays below the
    16.7 million of EIP-7825.
    """
    return 1_500_000 + 60 * calldata_bytes


class Consortium(ConsortiumReads):
    """The five contracts of a deployment.

    Args:
        client: the chain.
        deployment: what was deployed there; chain, genesis and code are checked here, once.
        sender: who sends transactions; None for reading alone.

    Raises:
        WrongChainError: the chain is not the recorded one.
        ContractMissingError: no code, or other code, at a recorded address.

    Every write waits until it is mined and raises `TransactionError` with the contract's typed error when it reverts,
    `ChainUnreachableError` when the node does not answer, `ConfigError` without a sender.
    """

    def __init__(self, client: ChainClient, deployment: Deployment, sender: Sender | None = None) -> None:
        super().__init__(client, deployment)
        self.sender = sender

    def register(self, name: str, endpoint: str) -> Receipt:
        """Enter oneself in the registry: public from then on. 1..64 characters of [a-z0-9_-]; 1..256 bytes."""
        return self._write(REGISTRY, "register", name, endpoint)

    def set_endpoint(self, endpoint: str) -> Receipt:
        """Announce where one's payload server is."""
        return self._write(REGISTRY, "setEndpoint", endpoint)

    def accredit(self, address: str) -> Receipt:
        """Steward: let a registered participant take part."""
        return self._write(REGISTRY, "accredit", address)

    def suspend(self, address: str, reason: str) -> Receipt:
        """Steward: stop a participant; the reason is public."""
        return self._write(REGISTRY, "suspend", address, reason)

    def reinstate(self, address: str) -> Receipt:
        """Steward: accredit a suspended participant again; its strikes are forgotten."""
        return self._write(REGISTRY, "reinstate", address)

    def propose(self, spec: bytes, roster: Sequence[str], policy: JobPolicy) -> JobId:
        """Propose a job to a roster, the active party first. Spec, roster and policy are public.

        Args:
            spec: 1..65536 bytes, canonical.
            roster: 2..8 distinct accredited addresses, the caller's among them.
            policy: the contract's bounds.
        """
        values = (policy.max_payload_bytes, policy.max_rounds, policy.max_statistic_e6)
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

    def retry_round(self, job_id: JobId) -> Receipt:
        """Active party: try the round in force again."""
        return self._write(JOBS, "retryRound", job_id_bytes(job_id))

    def declare_stop(self, job_id: JobId, round: int) -> Receipt:
        """Roster party: declare the stopping condition met after the round in force."""
        return self._write(JOBS, "declareStop", job_id_bytes(job_id), round)

    def abort(self, job_id: JobId, reason: str) -> Receipt:
        """Roster party: end a job that is not completed; the reason (at most 256 bytes) is public."""
        return self._write(JOBS, "abort", job_id_bytes(job_id), reason)

    def submit(self, envelope: Envelope, payload: bytes) -> tuple[Receipt, UplinkJudged | None]:
        """Uplink a payload and return the contract's judgement, which may be a rejection.

        Everyone on the chain sees envelope and payload.

        Args:
            envelope: what the contract judges.
            payload: the payload itself up to `INLINE_LIMIT` bytes, empty above.

        Returns:
            The receipt, and the verdict; None when this uplink had been accepted before and nothing happened.

        Raises:
            TransactionError: `CallerNotAccredited(…)`: never accredited.
        """
        receipt = self._write(LEDGER, "submit", envelope_values(envelope), payload)
        judged = [event for event in receipt.events if isinstance(event, UplinkJudged)]
        return receipt, judged[0] if judged else None

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

    def _write(self, contract: str, name: str, *arguments: object) -> Receipt:
        if self.sender is None:
            raise ConfigError(f"{contract}.{name} needs an account to send it; this consortium was opened for reading")
        data = function(contract, name).encode(*arguments)
        call = Call(f"{contract}.{name}", self._addresses[contract], data)
        return self.sender.transact(call, gas_limit(len(data)), self._decoder)


def _first(receipt: Receipt, kind: type[_E], name: str) -> _E:
    for event in receipt.events:
        if isinstance(event, kind):
            return event
    raise ChainError(f"the receipt of {name} holds no {kind.__name__}; deployment and chain do not fit together")
