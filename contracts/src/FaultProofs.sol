// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Faults} from "./Faults.sol";
import {Kinds} from "./Kinds.sol";
import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";
import {IFaultProofs} from "./interfaces/IFaultProofs.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title FaultProofs
/// @notice See {IFaultProofs}.
contract FaultProofs is IFaultProofs {
    /// @notice How long after a job's end the keys that have been rotated away still answer for it: a week.
    uint64 public constant EARLIER_KEY_SECONDS = 7 days;

    /// @notice Knows whose signature is a party's.
    IParticipantRegistry public immutable registry;
    /// @notice Knows by which keys jobs were accepted.
    IJobManager public immutable jobs;
    /// @notice Knows which uplinks were accepted.
    IUplinkLedger public immutable ledger;
    /// @notice Takes the faults.
    IAnomalyRecord public immutable record;

    /// @inheritdoc IFaultProofs
    mapping(bytes32 evidence => bool) public isProven;
    mapping(bytes32 uplinkId => bool) private _isReplay;

    /// @notice Takes the contracts it asks and reports to.
    constructor(IParticipantRegistry registry_, IJobManager jobs_, IUplinkLedger ledger_, IAnomalyRecord record_) {
        registry = registry_;
        jobs = jobs_;
        ledger = ledger_;
        record = record_;
    }

    /// @inheritdoc IFaultProofs
    function proveEquivocation(
        address party,
        IUplinkLedger.Envelope calldata a,
        bytes calldata signatureA,
        IUplinkLedger.Envelope calldata b,
        bytes calldata signatureB
    ) external returns (uint256 faultId) {
        _requireRegistered(party);
        bytes32 slot = ledger.slotOf(party, a);
        bytes32 other = ledger.slotOf(party, b);
        if (slot != other) revert SlotsDiffer(slot, other);
        if (a.digest == b.digest) revert DigestsEqual(a.digest);
        bytes32 first = _requireSignedOrAccepted(party, a, signatureA);
        bytes32 second = _requireSignedOrAccepted(party, b, signatureB);
        bytes32 evidence = keccak256(abi.encode(Faults.EQUIVOCATION, slot));
        _requireFresh(evidence);
        faultId = record.report(party, a.jobId, a.round, Faults.EQUIVOCATION, evidence);
        emit ProofAccepted(faultId, party, msg.sender, evidence, first, second);
    }

    /// @inheritdoc IFaultProofs
    function provePayloadMismatch(
        address party,
        IUplinkLedger.Envelope calldata envelope,
        bytes32 served,
        bytes calldata signature
    ) external returns (uint256 faultId) {
        _requireRegistered(party);
        bytes32 digest = envelope.digest;
        if (served == digest) revert PayloadIsSound(digest);
        bytes32 uplinkId = _requireAccepted(party, envelope);
        bytes32 statement = keccak256(abi.encode("fedchain payload", block.chainid, address(ledger), digest, served));
        _requireSigned(party, envelope.jobId, statement, signature);
        bytes32 evidence = keccak256(abi.encode(Faults.PAYLOAD_MISMATCH, party, digest));
        _requireFresh(evidence);
        faultId = record.report(party, envelope.jobId, envelope.round, Faults.PAYLOAD_MISMATCH, evidence);
        emit ProofAccepted(faultId, party, msg.sender, evidence, uplinkId, uplinkId);
    }

    /// @inheritdoc IFaultProofs
    function proveReplay(
        address party,
        IUplinkLedger.Envelope calldata first,
        bytes calldata signatureFirst,
        IUplinkLedger.Envelope calldata second,
        bytes calldata signatureSecond
    ) external returns (uint256 faultId) {
        _requireRegistered(party);
        if (!_isFreshCiphertext(first.kind)) revert KindMayRepeat(first.kind);
        if (!_isFreshCiphertext(second.kind)) revert KindMayRepeat(second.kind);
        if (first.digest != second.digest) revert DigestsDiffer(first.digest, second.digest);
        if (first.jobId == second.jobId && first.round == second.round && first.attempt == second.attempt) {
            revert SameRound(first.jobId, first.round, first.attempt);
        }
        bytes32 one = _requireSignedOrAccepted(party, first, signatureFirst);
        bytes32 other = _requireSignedOrAccepted(party, second, signatureSecond);
        bytes32 evidence = one < other
            ? keccak256(abi.encode(Faults.REPLAY, one, other))
            : keccak256(abi.encode(Faults.REPLAY, other, one));
        if (_isReplay[one] && _isReplay[other]) revert AlreadyProven(evidence);
        _isReplay[one] = true;
        _isReplay[other] = true;
        _requireFresh(evidence);
        IUplinkLedger.Envelope calldata later = _later(party, first, second);
        faultId = record.report(party, later.jobId, later.round, Faults.REPLAY, evidence);
        emit ProofAccepted(faultId, party, msg.sender, evidence, one, other);
    }

    /// @dev Kinds whose payloads no honest party ever sends twice: keys of one job, and ciphertexts with fresh randomness.
    function _isFreshCiphertext(uint8 kind) private pure returns (bool) {
        return
            kind == Kinds.PUBLIC_KEY || kind == Kinds.BLINDED_IDS || kind == Kinds.GRADIENTS || kind == Kinds.HISTOGRAM;
    }

    /// @dev By block of acceptance, what was not accepted last; within one by round.
    function _later(address party, IUplinkLedger.Envelope calldata first, IUplinkLedger.Envelope calldata second)
        private
        view
        returns (IUplinkLedger.Envelope calldata later)
    {
        uint64 one = _acceptedAt(party, first);
        uint64 other = _acceptedAt(party, second);
        if (one != other) return one > other ? first : second;
        return first.round > second.round ? first : second;
    }

    function _acceptedAt(address party, IUplinkLedger.Envelope calldata envelope) private view returns (uint64) {
        IUplinkLedger.Verdict memory verdict = ledger.verdictOf(party, envelope);
        bool accepted = verdict.known && verdict.reason == IUplinkLedger.Reason.Accepted;
        return accepted ? verdict.blockNumber : type(uint64).max;
    }

    /// @dev One proof of each fault.
    function _requireFresh(bytes32 evidence) private {
        if (isProven[evidence]) revert AlreadyProven(evidence);
        isProven[evidence] = true;
    }

    function _requireRegistered(address party) private view {
        if (registry.statusOf(party) == IParticipantRegistry.Status.Unknown) revert PartyUnknown(party);
    }

    function _requireSignedOrAccepted(address party, IUplinkLedger.Envelope calldata envelope, bytes calldata signature)
        private
        view
        returns (bytes32 uplinkId)
    {
        if (signature.length == 0) return _requireAccepted(party, envelope);
        uplinkId = ledger.uplinkIdOf(party, envelope);
        _requireSigned(party, envelope.jobId, uplinkId, signature);
    }

    function _requireAccepted(address party, IUplinkLedger.Envelope calldata envelope)
        private
        view
        returns (bytes32 uplinkId)
    {
        uplinkId = ledger.uplinkIdOf(party, envelope);
        if (!ledger.isAccepted(party, envelope)) revert UplinkNotAccepted(uplinkId);
    }

    function _requireSigned(address party, bytes32 jobId, bytes32 message, bytes calldata signature) private view {
        address expected = registry.signerOf(party);
        // zero for what is no signature, and no key is zero
        (address found,,) = ECDSA.tryRecover(MessageHashUtils.toEthSignedMessageHash(message), signature);
        if (found != expected && !_wasKeyIn(jobId, party, found)) revert NotSigned(message, expected, found);
    }

    /// @dev Whether `key` was the party's since it accepted the job, which goes on or ended a week ago at most. The registry
    /// knows all its keys, but not their order: where it rotated more than once since, which of the others came before
    /// cannot be told, and each counts. Otherwise two rotations in a row would be a way out.
    function _wasKeyIn(bytes32 jobId, address party, address key) private view returns (bool) {
        (address accepted, uint64 rotations, uint64 endedAt) = jobs.acceptanceOf(jobId, party);
        if (accepted == address(0) || !registry.isKeyOf(party, key)) return false;
        // forge-lint: disable-next-line(block-timestamp)
        if (endedAt != 0 && block.timestamp > endedAt + EARLIER_KEY_SECONDS) return false;
        return key == accepted || registry.rotationNonce(party) > rotations + 1;
    }
}
