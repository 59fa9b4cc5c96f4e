"""A chain with all contracts on it, two of three stewards needed for a motion, and as many parties as a test wants."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from contracts.script.report.deployed import POLICY, Deployed, Done
from contracts.script.report.uplinks import envelope_of, reasons
from fedchain.chain import Account, ChainClient, DevChain, Sender, dev_accounts
from fedchain.chain.devchain import ChainKind, start_dev_chain
from fedchain.chain.rpc import RpcTransport
from fedchain.errors import TransactionError
from fedchain.types import Kind, Phase, Status

DAY = 86_400
PAYLOAD = b"a payload of more than thirty-two bytes"
SHARD_DIGEST = PAYLOAD[-32:]
FUNDS_WEI = 10**18
GAS = 6_000_000
"""Of every call. An estimate would take as long as the transaction, and refuse what is to be seen reverting."""


@dataclass(frozen=True)
class Party:
    """A member: its account, and the key of that account for what a chain account does not sign."""

    account: Account
    key: bytes = field(repr=False)

    @property
    def address(self) -> str:
        """The party's address."""
        return self.account.address


class Stage:
    """One chain and what tests do on it. Tests share it, so each brings its own parties and jobs.

    Attributes:
        kind: which chain.
        deployed: the contracts.
        stewards: three accounts, of whom two carry a motion.
    """

    def __init__(self, kind: ChainKind) -> None:
        self.kind = kind
        self.chain: DevChain = start_dev_chain(kind)
        try:
            self.client = ChainClient(self.chain.rpc_url)
            self._rpc = RpcTransport(self.chain.rpc_url, 30.0)
            accounts = dev_accounts(6)
            self.stewards = accounts[1:4]
            self.outsider = accounts[4]
            self.deployed = Deployed(self.client, accounts, self.stewards, 2, gas=GAS)
            self._bank = Sender(self.client, accounts[5])
        except BaseException:
            self.chain.stop()
            raise
        self._numbers = count()
        self._pool: list[Party] = []

    def close(self) -> None:
        """End the chain."""
        self._rpc.close()
        self.client.close()
        self.chain.stop()

    # -- the chain --------------------------------------------------------------------------------------------------

    def send(self, who: Party | Account, contract: str, method: str, *arguments: object) -> Done:
        """Send a transaction."""
        account = who.account if isinstance(who, Party) else who
        return self.deployed.send(account, contract, method, *arguments)

    def read(self, contract: str, method: str, *arguments: object) -> Any:
        """Call a view."""
        return self.deployed.read(contract, method, *arguments)

    def carry(self, contract: str, method: str, *arguments: object) -> Done:
        """Two stewards vote; what the second vote did."""
        first, second = self.deployed.carry(contract, method, *arguments)
        assert not first.all("MotionCarried")
        assert second.all("MotionCarried")
        return second

    def advance(self, seconds: int) -> None:
        """Let time pass, for calls as well as for transactions."""
        until = self.now() + seconds
        self._rpc.request("evm_increaseTime", seconds)
        if self.kind == "embedded":  # it counts from the newest block, and calls are at the time of the next one
            return
        self._rpc.request("evm_mine")
        if self.now() < until:  # these count from the clock, and their blocks may be ahead of it
            self._rpc.request("evm_increaseTime", until - self.now())
            self._rpc.request("evm_mine")

    def now(self) -> int:
        """The newest block's time."""
        return self.client.block_time()[1]

    @contextmanager
    def refused(self, error: str) -> Iterator[None]:
        """The transaction sent within reverts with this typed error."""
        with pytest.raises(TransactionError) as caught:
            yield
        assert caught.value.reason.partition("(")[0] == error, caught.value.reason

    # -- members ----------------------------------------------------------------------------------------------------

    def fund(self) -> Party:
        """A new account that can pay for transactions, and is nobody yet."""
        key = secrets.token_bytes(32)
        party = Party(Account.from_private_key(key), key)
        self._bank.transfer(party.address, FUNDS_WEI)
        self.deployed.enter(party.account)
        return party

    def registered(self) -> Party:
        """A party that waits for its accreditation."""
        party = self.fund()
        self.register(party, f"party-{next(self._numbers)}")
        return party

    def register(self, party: Party, name: str) -> Done:
        """Register a party under a name."""
        certificate, encryption_key = b"certificate of " + name.encode(), hashlib.sha256(name.encode()).digest()
        return self.send(party, "ParticipantRegistry", "register", name, "localhost:1", certificate, encryption_key)

    def accredited(self) -> Party:
        """A party in good standing."""
        party = self.registered()
        self.carry("ParticipantRegistry", "accredit", party.address)
        return party

    def roster(self, size: int = 3) -> list[Party]:
        """Parties in good standing with a clean record; the first is to be the active one.

        Those of earlier tests serve again, because a new party costs five transactions.
        """
        found = [party for party in self._pool if self._is_clean(party)][:size]
        while len(found) < size:
            found.append(self.accredited())
        self._pool = [party for party in self._pool if party not in found] + found
        return found

    def _is_clean(self, party: Party) -> bool:
        has_faults = any(self.read("AnomalyRecord", "faultsOf", party.address))
        who = self.read("ParticipantRegistry", "identify", party.address)
        return not has_faults and who == (party.address, Status.ACCREDITED) and not self.strikes(party)

    def participant(self, party: Party) -> dict[str, Any]:
        """What the registry has of a party."""
        found: dict[str, Any] = self.read("ParticipantRegistry", "participantOf", party.address)
        return found

    def strikes(self, party: Party) -> int:
        """How many strikes count against a party."""
        return int(self.participant(party)["strikes"])

    # -- jobs -------------------------------------------------------------------------------------------------------

    def propose(self, roster: Sequence[Party], **policy: object) -> bytes:
        """A job in phase Proposed."""
        chosen = {**POLICY, "version": self.read("AnomalyPolicy", "version"), **policy}
        spec = b'{"job":%d}' % next(self._numbers)
        done = self.send(roster[0], "JobManager", "propose", spec, [one.address for one in roster], chosen)
        job: bytes = done.only("JobProposed")["jobId"]
        return job

    def every(self, roster: Sequence[Party], method: str, *arguments: object) -> None:
        """Each party of a roster calls the job manager."""
        for party in roster:
            self.send(party, "JobManager", method, *arguments)

    def aligning(self, roster: Sequence[Party], **policy: object) -> bytes:
        """A job that all have accepted."""
        job = self.propose(roster, **policy)
        self.every(roster, "accept", job)
        return job

    def training(self, roster: Sequence[Party], **policy: object) -> bytes:
        """A job in round 1 of its training."""
        job = self.aligning(roster, **policy)
        self.every(roster, "declareAligned", job, b"o" * 32, 100)
        self.begin(roster, job, 1)
        return job

    def begin(self, roster: Sequence[Party], job: bytes, round_: int) -> None:
        """The active party begins a round."""
        self.send(roster[0], "JobManager", "beginRound", job, round_)

    def evaluating(self, roster: Sequence[Party], **policy: object) -> bytes:
        """A job that all have stopped in round 1; it is in round 2."""
        job = self.training(roster, **policy)
        self.every(roster, "declareStop", job, 1)
        return job

    def completed(self, roster: Sequence[Party], **policy: object) -> bytes:
        """A job with everybody's shard digest."""
        job = self.evaluating(roster, **policy)
        for party in roster:
            self.accept(party, envelope_of(job, 2, Kind.SHARD_DIGEST, PAYLOAD))
        assert self.phase(job) is Phase.COMPLETED
        return job

    def phase(self, job: bytes) -> Phase:
        """The job's phase."""
        return Phase(self.read("JobManager", "phaseOf", job))

    # -- uplinks ----------------------------------------------------------------------------------------------------

    def submit(self, party: Party, envelope: dict[str, Any], payload: bytes = PAYLOAD) -> int:
        """Send an uplink; its verdict."""
        (reason,) = reasons(self.send(party, "UplinkLedger", "submit", envelope, payload))
        verdict = self.read("UplinkLedger", "verdictOf", party.address, envelope)
        assert (verdict["reason"], verdict["known"]) == (reason, True)
        return reason

    def accept(self, party: Party, envelope: dict[str, Any], payload: bytes = PAYLOAD) -> None:
        """Send an uplink that is accepted."""
        assert self.submit(party, envelope, payload) == 0

    # -- faults -----------------------------------------------------------------------------------------------------

    def fault_count(self) -> int:
        """How many faults the record holds."""
        return int(self.read("AnomalyRecord", "faultCount"))

    def last_fault(self) -> dict[str, Any]:
        """The newest fault."""
        found: dict[str, Any] = self.read("AnomalyRecord", "faultOf", self.fault_count())
        return found
