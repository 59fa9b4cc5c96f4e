"""What a consortium's contracts know: reads that cost no transaction."""

from __future__ import annotations

from typing import Any

from eth_utils.crypto import keccak

from fedchain.chain.abi import CODEC, address_or_none, checksum, describe_revert, function
from fedchain.chain.artifacts import CONTRIBUTIONS, JOBS, LEDGER, REGISTRY, ROUTER
from fedchain.chain.client import ChainClient
from fedchain.chain.decoder import EventDecoder, job_id_of, policy_of
from fedchain.chain.deployment import Deployment
from fedchain.chain.events import ChainEvent
from fedchain.chain.reverts import revert_data
from fedchain.chain.rpc import RpcError
from fedchain.chain.uplink_ids import head_of, uplink_id
from fedchain.chain.views import (
    ContributionRecord,
    JobView,
    Participant,
    RequestStatus,
    RequestView,
    Verdict,
)
from fedchain.errors import ConfigError, TransactionError
from fedchain.messages.envelope import Envelope
from fedchain.types import JobId, Phase, Reason, Status

BLOCKS_PER_QUERY = 1000
"""`eth_getLogs` is asked for this many blocks at a time; Besu refuses more than 5,000."""


def job_id_bytes(job_id: JobId) -> bytes:
    """32 bytes of a job id.

    Raises:
        ConfigError: it is not 0x-prefixed hex of 32 bytes.
    """
    try:
        raw = bytes.fromhex(job_id.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32 or not job_id.startswith("0x"):
        raise ConfigError(f"job id '{job_id}' is not 0x and 64 hex digits")
    return raw


def envelope_values(envelope: Envelope) -> tuple[object, ...]:
    """An envelope in the order of `UplinkLedger.Envelope`."""
    return (
        envelope.job_id,
        envelope.round,
        envelope.attempt,
        envelope.step,
        int(envelope.kind),
        envelope.recipient,
        envelope.schema,
        envelope.digest,
        envelope.size,
        envelope.statistic_e6,
    )


class ConsortiumReads:
    """The reading half of `Consortium`; every method asks the newest block.

    Every method raises `ChainUnreachableError` when the node does not answer.
    """

    def __init__(self, client: ChainClient, deployment: Deployment) -> None:
        deployment.check(client)
        self.client = client
        self.deployment = deployment
        self._addresses = {name: checksum(address) for name, address in deployment.addresses.items()}
        self._decoder = EventDecoder(self._addresses)
        self._uplinks_head = head_of(deployment.chain_id, self._addresses[LEDGER])

    def participant(self, address: str) -> Participant:
        """A registry entry; its status is `UNKNOWN` when the address is not registered."""
        (found,) = self._read(REGISTRY, "participantOf", address)
        status = Status(found["status"])
        return Participant(
            address=checksum(address),
            name=found["name"],
            endpoint=found["endpoint"],
            status=status,
            strikes=found["strikes"],
            fingerprint=found["fingerprint"],
            encryption_key=found["encryptionKey"],
            signer="" if status is Status.UNKNOWN else found["signer"],
            changes=found["changes"],
        )

    def party_of(self, signer: str) -> str | None:
        """The address of the participant that a key acts for now; None if it acts for none, or does no more."""
        party, _ = self._read(REGISTRY, "identify", signer)
        return address_or_none(party)

    def is_key_of(self, party: str, key: str) -> bool:
        """Whether a key acts, or ever acted, for a participant: whose signature its old ones are."""
        return bool(self._read(REGISTRY, "isKeyOf", party, key)[0])

    def rotation_nonce(self, party: str) -> int:
        """How often a participant's key was rotated; part of what the present key signs for the next."""
        return int(self._read(REGISTRY, "rotationNonce", party)[0])

    def registry_epoch(self) -> int:
        """Grows by one with each change of anybody's status, service or keys."""
        return int(self._read(REGISTRY, "epoch")[0])

    def certificate(self, address: str) -> bytes:
        """The certificate that a participant registered, DER; empty when the address is not registered.

        A stranger wrote it: nobody has checked that it is a certificate at all.
        """
        return bytes(self._read(REGISTRY, "certificateOf", address)[0])

    def address_of(self, name: str) -> str | None:
        """The address registered under a name, None if there is none."""
        (address,) = self._read(REGISTRY, "addressOf", name)
        return address_or_none(address)

    def participants(self) -> list[Participant]:
        """All registry entries, in the order of registration."""
        (count,) = self._read(REGISTRY, "count")
        return [self.participant(self._read(REGISTRY, "at", index)[0]) for index in range(count)]

    def job(self, job_id: JobId) -> JobView:
        """A job's state; its phase is `NONE` when there is no such job."""
        (view,) = self._read(JOBS, "jobOf", job_id_bytes(job_id))
        return JobView(
            job_id=job_id,
            phase=Phase(view["phase"]),
            round=view["round"],
            attempt=view["attempt"],
            proposer=view["proposer"],
            spec_digest=view["specDigest"],
            aligned_digest=view["alignedDigest"],
            aligned_rows=view["alignedRows"],
            roster=view["roster"],
            policy=policy_of(view["policy"]),
            deadline=view["deadline"],
            closed=view["closed"],
        )

    def jobs(self) -> list[JobId]:
        """All jobs, in the order of proposal."""
        (count,) = self._read(JOBS, "jobCount")
        return [job_id_of(self._read(JOBS, "jobAt", index)[0]) for index in range(count)]

    def shard_digest(self, job_id: JobId, address: str) -> bytes | None:
        """The digest of a party's model shard, None until it is recorded."""
        (digest,) = self._read(JOBS, "shardDigestOf", job_id_bytes(job_id), address)
        return bytes(digest) if any(digest) else None

    def has_accepted(self, job_id: JobId, address: str) -> bool:
        """Whether a party accepted the job."""
        return bool(self._read(JOBS, "hasAccepted", job_id_bytes(job_id), address)[0])

    def has_aligned(self, job_id: JobId, address: str) -> bool:
        """Whether a party declared the aligned order."""
        return bool(self._read(JOBS, "hasAligned", job_id_bytes(job_id), address)[0])

    def has_stopped(self, job_id: JobId, address: str) -> bool:
        """Whether a party declared the stopping condition met."""
        return bool(self._read(JOBS, "hasStopped", job_id_bytes(job_id), address)[0])

    def has_attended(self, job_id: JobId, address: str) -> bool:
        """Whether a party said that it waits, in the phase in force, in training in the round and attempt in force."""
        return bool(self._read(JOBS, "hasAttended", job_id_bytes(job_id), address)[0])

    def is_expirable(self, job_id: JobId) -> bool:
        """Whether anyone may end the job now, by `Consortium.expire`."""
        return bool(self._read(JOBS, "isExpirable", job_id_bytes(job_id))[0])

    def chain_time(self) -> int:
        """The newest block's time, seconds since 1970: what the contracts' deadlines are compared with."""
        return self.client.block_time()[1]

    def uplink_id(self, sender: str, envelope: Envelope) -> bytes:
        """The id that the ledger gives an uplink, computed here: 32 bytes.

        Raises:
            ChainError: a field does not fit its type.
        """
        return uplink_id(self._uplinks_head, sender, envelope)

    def verdict(self, party: str, envelope: Envelope) -> Verdict:
        """The contract's judgement of what a party sent; `known` is False when there is none."""
        (found,) = self._read(LEDGER, "verdictOf", party, envelope_values(envelope))
        return Verdict(Reason(found["reason"]), found["blockNumber"], found["known"])

    def slot(self, party: str, envelope: Envelope) -> bytes:
        """What tells the uplink's slot from all others, 32 bytes, computed here; a slot takes one uplink.

        Raises:
            ChainError: a field does not fit its type.
        """
        values = envelope_values(envelope)
        function(LEDGER, "submit").encode(values, b"")  # refuses what does not fit
        types = ("address", "bytes32", "uint32", "uint16", "uint32", "uint8", "address")
        return keccak(CODEC.encode(types, (party, *values[:6])))

    def round_of(self, job_id: JobId) -> tuple[int, int, int, int]:
        """The latest round and attempt with uplinks, and who had any accepted and rejected in it, as masks.

        Bit i of a mask stands for the party at roster position i.
        """
        round, attempt, accepted, rejected = self._read(LEDGER, "roundOf", job_id_bytes(job_id))
        return round, attempt, accepted, rejected

    def uplinks_of(self, job_id: JobId, index: int) -> int:
        """How many uplinks of the party at roster position `index` were accepted in that round and attempt."""
        return int(self._read(LEDGER, "uplinksOf", job_id_bytes(job_id), index)[0])

    def counts(self, job_id: JobId) -> tuple[int, int]:
        """How many uplinks of a job were accepted and rejected."""
        accepted, rejected = self._read(LEDGER, "countsOf", job_id_bytes(job_id))
        return accepted, rejected

    def contribution(self, job_id: JobId) -> ContributionRecord | None:
        """The recorded contribution shares, None until they are."""
        roster, shares, full, empty, block = self._read(CONTRIBUTIONS, "contributionOf", job_id_bytes(job_id))
        return ContributionRecord(roster, shares, full, empty, block) if block else None

    def request(self, job_id: JobId, request_id: int) -> RequestView:
        """An inference request.

        Raises:
            TransactionError: `UnknownRequest(…)`.
        """
        requester, status, opened, closed = self._read(ROUTER, "requestOf", job_id_bytes(job_id), request_id)
        return RequestView(requester, RequestStatus(status), opened, closed)

    def events(self, from_block: int, to_block: int) -> list[ChainEvent]:
        """The contracts' events in a closed range of blocks, in the order of the chain.

        Args:
            from_block: first block.
            to_block: last block, not beyond the head; an empty range gives no events.
        """
        found: list[ChainEvent] = []
        addresses = list(self._addresses.values())
        for start in range(from_block, to_block + 1, BLOCKS_PER_QUERY):
            end = min(start + BLOCKS_PER_QUERY - 1, to_block)
            found.extend(self._decoder.decode(self.client.logs(addresses, start, end)))
        return found

    def _address(self, contract: str) -> str:
        try:
            return self._addresses[contract]
        except KeyError:
            raise ConfigError(
                f"this consortium's contracts are of a version that has no {contract}; "
                "`fedchain deploy --upgrade` adds it"
            ) from None

    def _read(self, contract: str, name: str, *arguments: object) -> tuple[Any, ...]:
        method = function(contract, name)
        query: dict[str, object] = {
            "to": self._address(contract),
            "data": "0x" + method.encode(*arguments).hex(),
        }
        try:
            answer = self.client.call(query)
        except RpcError as error:
            data = revert_data(error)
            if data is None:
                raise
            raise TransactionError(f"{contract}.{name}", describe_revert(data)) from error
        return method.decode(answer)
