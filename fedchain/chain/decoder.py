"""From JSON-RPC logs to events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from fedchain.chain.abi import Values, type_strings
from fedchain.chain.artifacts import load_artifact
from fedchain.chain.audit_events import AUDIT_EVENTS, SettlementDisputed, SettlementResolved
from fedchain.chain.deadline_events import DEADLINE_EVENTS
from fedchain.chain.events import (
    AlignmentDeclared,
    ChainEvent,
    ContributionRecorded,
    JobAborted,
    JobAccepted,
    JobProposed,
    ModelActivated,
    ModelApproved,
    ModelFrozen,
    ModelProposed,
    ModelRolledBack,
    ParticipantAccredited,
    ParticipantRegistered,
    ParticipantReinstated,
    ParticipantSuspended,
    PhaseChanged,
    RequestClosed,
    RequestOpened,
    RoundBegan,
    ServiceChanged,
    ShardRecorded,
    StopDeclared,
    StrikeRecorded,
    UplinkJudged,
)
from fedchain.chain.fault_events import FAULT_EVENTS, FaultOverturned
from fedchain.chain.inference_events import INFERENCE_EVENTS
from fedchain.chain.judgments import decode_judgment
from fedchain.chain.standing_events import STANDING_EVENTS, ParticipantBanned, StandingVoted
from fedchain.chain.versions import name_text
from fedchain.chain.views import JobPolicy, RequestStatus, kind_of_number
from fedchain.errors import ChainError
from fedchain.types import Answer, AuditOutcome, AuditReason, JobId, Phase, Reason, Status, Withheld


def job_id_of(value: bytes) -> JobId:
    """0x-prefixed hex of 32 bytes."""
    return JobId("0x" + value.hex())


def policy_of(value: dict[str, Any]) -> JobPolicy:
    """The policy of a decoded `JobManager.Policy`."""
    return JobPolicy(
        max_payload_bytes=value["maxPayloadBytes"],
        max_rounds=value["maxRounds"],
        max_statistic_e6=value["maxStatisticE6"],
        pipelined=value["pipelined"],
        phase_seconds=value["phaseSeconds"],
        round_seconds=value["roundSeconds"],
        max_uplinks_per_round=value["maxUplinksPerRound"],
        ends_on_suspension=value["endsOnSuspension"],
        version=value["version"],
    )


_Convert = Callable[[Any], Any]
_RENAMED: dict[str, tuple[str, _Convert]] = {
    "jobId": ("job_id", job_id_of),
    "uplinkId": ("uplink_id", bytes),
    "requestId": ("request_id", int),
    "nameHash": ("name_hash", bytes),
    "shardDigests": ("shard_digests", tuple),
    "specDigest": ("spec_digest", bytes),
    "orderDigest": ("order_digest", bytes),
    "sharesE6": ("shares_e6", tuple),
    "utilityFullE6": ("full", int),
    "utilityEmptyE6": ("empty", int),
    "policy": ("policy", policy_of),
    "phase": ("phase", Phase),
    "acceptedMask": ("accepted_mask", int),
    "rejectedMask": ("rejected_mask", int),
    "missingMask": ("missing_mask", int),
    "outcome": ("outcome", RequestStatus),
    "encryptionKey": ("encryption_key", bytes),
    "oldSigner": ("old_signer", str),
    "newSigner": ("new_signer", str),
    "proposed": ("proposed", Status),
    "notBefore": ("not_before", int),
    "names": ("names", lambda names: tuple(map(name_text, names))),
    "faultId": ("fault_id", int),
    "answer": ("answer", Answer),
    "kind": ("kind", kind_of_number),
    "statisticE6": ("statistic_e6", int),
    "scoreE6": ("score_e6", int),
    "commitUntil": ("commit_until", int),
    "windowSeconds": ("window_seconds", int),
    "answerSeconds": ("answer_seconds", int),
    "body": ("sealed", bytes),
    "openedRows": ("opened_rows", int),
    "disputeSeconds": ("dispute_seconds", int),
    "seedCommitment": ("seed_commitment", bytes),
    "lossesRoot": ("losses_root", bytes),
    "utilitiesE6": ("utilities_e6", tuple),
    "weakMask": ("weak_mask", int),
    "auditReason": ("audit_reason", AuditReason),
    "auditOutcome": ("audit_outcome", AuditOutcome),
    "withheld": ("withheld", lambda masks: tuple(map(Withheld, masks))),
    "finalAt": ("final_at", int),
}
_TEXT_REASONS = (
    JobAborted, ParticipantSuspended, ParticipantBanned, StandingVoted, FaultOverturned, SettlementDisputed,
    SettlementResolved,
)  # fmt: skip
_CLASSES: tuple[type[ChainEvent], ...] = (
    ParticipantRegistered, ServiceChanged, ParticipantAccredited, ParticipantSuspended, ParticipantReinstated,
    StrikeRecorded, JobProposed, JobAccepted, PhaseChanged, RoundBegan, AlignmentDeclared, StopDeclared, ShardRecorded,
    JobAborted, UplinkJudged, ContributionRecorded, RequestOpened, RequestClosed, ModelProposed,
    ModelApproved, ModelFrozen, ModelActivated, ModelRolledBack,
    *STANDING_EVENTS, *FAULT_EVENTS, *DEADLINE_EVENTS, *INFERENCE_EVENTS, *AUDIT_EVENTS,
)  # fmt: skip
_BY_NAME = {cls.__name__: cls for cls in _CLASSES}


@dataclass(frozen=True)
class _Layout:
    """How one event lies in a log: fields as (name, conversion), indexed ones first, in the ABI's order."""

    event: type[ChainEvent]
    indexed: Values
    data: Values
    fields: tuple[tuple[str, _Convert | None], ...]


def _layout(entry: dict[str, Any]) -> _Layout:
    event = _BY_NAME[entry["name"]]
    indexed = [part for part in entry["inputs"] if part["indexed"]]
    data = [part for part in entry["inputs"] if not part["indexed"]]
    fields: list[tuple[str, _Convert | None]] = []
    for part in indexed + data:
        name = part["name"]
        if name == "reason":
            fields.append((name, None if event in _TEXT_REASONS else Reason))
        else:
            fields.append(_RENAMED.get(name, (name, None)))
    return _Layout(event, Values(indexed), Values(data), tuple(fields))


class EventDecoder:
    """Decodes JSON-RPC logs of a deployment's contracts.

    A log counts only when its address is the contract's whose event it claims to be; events without a class here
    (role changes, wiring) are passed over.

    Args:
        addresses: contract name to checksummed address.
    """

    def __init__(self, addresses: dict[str, str]) -> None:
        self._layouts: dict[tuple[str, str], _Layout] = {}
        for contract, address in addresses.items():
            for entry in load_artifact(contract).abi:
                if entry["type"] == "event" and entry["name"] in _BY_NAME:
                    signature = f"{entry['name']}({','.join(type_strings(entry['inputs']))})"
                    topic = "0x" + keccak(text=signature).hex()
                    self._layouts[(address.lower(), topic)] = _layout(entry)

    def decode(self, logs: Iterable[dict[str, Any]]) -> tuple[ChainEvent, ...]:
        """Decode logs, in order of (block, log index).

        Raises:
            ChainError: a log does not have the shape of its event.
        """
        found = [event for event in map(self._decode_one, logs) if event is not None]
        found.sort(key=lambda event: (event.block_number, event.log_index))
        return tuple(found)

    def _decode_one(self, log: dict[str, Any]) -> ChainEvent | None:
        try:
            topics: list[str] = log["topics"]
            layout = self._layouts.get((log["address"].lower(), topics[0].lower())) if topics else None
            if layout is None or log.get("removed"):
                return None
            data = bytes.fromhex(log["data"][2:])
            place: dict[str, Any] = {
                "block_number": int(log["blockNumber"], 16),
                "block_hash": bytes.fromhex(log["blockHash"][2:]),
                "log_index": int(log["logIndex"], 16),
                "transaction_hash": bytes.fromhex(log["transactionHash"][2:]),
            }
            if layout.event is UplinkJudged:
                return decode_judgment(topics, data, place)
            words = bytes.fromhex("".join(topic[2:] for topic in topics[1:]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ChainError(f"the node sent a log of another shape: {error!r}") from error
        name = layout.event.__name__
        values = layout.indexed.decode(words, name) + layout.data.decode(data, name)
        arguments = {
            field: value if convert is None else convert(value)
            for (field, convert), value in zip(layout.fields, values, strict=True)
        }
        try:
            return layout.event(**place, **arguments)
        except TypeError as error:
            raise ChainError(f"event {name} of the artifact has other fields than expected: {error}") from error
