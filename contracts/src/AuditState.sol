// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IContributionAudit} from "./interfaces/IContributionAudit.sol";

/// @title What is kept of audits, and how it is read.
/// @notice See {IContributionAudit}; {ContributionAudit} has the calls that change it. Utilities are an event alone; shares
/// are two slots.
abstract contract AuditState is IContributionAudit {
    uint8 internal constant SOUND = 1;
    uint8 internal constant FALSE = 2;
    uint8 internal constant NOT_POSTED = 2;
    uint8 internal constant NOT_REVEALED = 4;
    uint8 internal constant NOT_VOTED = 8;
    uint256 internal constant SHARES_PER_SLOT = 4;
    uint256 internal constant SHARE_BITS = 64;

    /// @dev `silent` has four bits per party, `reasons` eight.
    /// @param deadline of what is waited for: losses, once all have frozen; seeds, once they are posted; votes, once all
    /// have revealed. Where not all do, votes have one window more.
    struct Audit {
        Terms terms;
        uint40 deadline;
        uint40 postedBlock;
        uint8 parties;
        uint8 frozen;
        uint8 revealed;
        uint8 voted;
        uint8 against;
        uint8 weak;
        Outcome outcome;
        uint32 silent;
        uint64 reasons;
        bytes32 lossesRoot;
        uint256[2] shares;
        bytes32[8] outputs;
        bytes32[8] shards;
        bytes32[8] commitments;
        bytes32[8] seeds;
    }

    mapping(bytes32 jobId => Audit) internal _audits;
    mapping(address party => bytes32[]) internal _concluded;

    /// @inheritdoc IContributionAudit
    function auditOf(bytes32 jobId) external view returns (AuditView memory view_) {
        Audit storage audit = _requireAudit(jobId);
        uint256 parties = audit.parties;
        view_.terms = audit.terms;
        view_.outputs = _words(audit.outputs, parties);
        view_.shards = _words(audit.shards, parties);
        view_.commitments = _words(audit.commitments, parties);
        view_.seeds = _words(audit.seeds, parties);
        view_.lossesRoot = audit.lossesRoot;
        view_.shares840 = _shares(audit);
        view_.weakMask = audit.weak;
        view_.seed = _seed(jobId, audit);
        view_.silent = new uint8[](parties);
        view_.votes = new uint8[](parties);
        view_.reasons = new uint8[](parties);
        for (uint8 i = 0; i < parties; ++i) {
            view_.silent[i] = uint8(audit.silent >> (4 * i)) & 15;
            view_.reasons[i] = uint8(audit.reasons >> (8 * i));
            if (audit.voted & _bit(i) != 0) view_.votes[i] = audit.against & _bit(i) != 0 ? FALSE : SOUND;
        }
        view_.outcome = audit.outcome;
        view_.deadline = _deadline(audit);
        view_.postedBlock = audit.postedBlock;
    }

    /// @inheritdoc IContributionAudit
    function verdictOf(bytes32 jobId) external view returns (Verdict memory verdict) {
        Audit storage audit = _audits[jobId];
        verdict.outcome = audit.outcome;
        if (verdict.outcome == Outcome.None) return verdict;
        verdict.disputeSeconds = audit.terms.disputeSeconds;
        verdict.budget = audit.terms.budget;
        verdict.weakMask = audit.weak;
        uint8 held = _heldAgainst(audit);
        for (uint8 i = 0; i < audit.parties; ++i) {
            if ((audit.silent >> (4 * i)) & 15 & held != 0) verdict.silentMask |= _bit(i);
        }
        verdict.shares840 = _shares(audit);
        verdict.shards = _words(audit.shards, audit.parties);
    }

    /// @inheritdoc IContributionAudit
    function outcomeOf(bytes32 jobId) external view returns (Outcome outcome) {
        return _audits[jobId].outcome;
    }

    /// @inheritdoc IContributionAudit
    function seedOf(bytes32 jobId) external view returns (bytes32 seed) {
        return _seed(jobId, _audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function deadlineOf(bytes32 jobId) external view returns (uint64 deadline) {
        return _deadline(_audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function sharesOf(bytes32 jobId) external view returns (int64[] memory shares840) {
        return _shares(_audits[jobId]);
    }

    /// @inheritdoc IContributionAudit
    function auditCount(address party) external view returns (uint256 count) {
        return _concluded[party].length;
    }

    /// @inheritdoc IContributionAudit
    function auditAt(address party, uint256 index) external view returns (bytes32 jobId) {
        return _concluded[party][index];
    }

    /// @inheritdoc IContributionAudit
    function auditsOf(address party, uint256 first, uint256 count) external view returns (bytes32[] memory jobIds) {
        bytes32[] storage all = _concluded[party];
        uint256 beyond = all.length > first ? all.length - first : 0;
        jobIds = new bytes32[](beyond < count ? beyond : count);
        for (uint256 i = 0; i < jobIds.length; ++i) {
            jobIds[i] = all[first + i];
        }
    }

    /// @dev The steps that count against who let them pass, once there is an outcome. What no auditor did cannot be told from
    /// an outage: the outcome tells of it, and nobody is at fault.
    function _heldAgainst(Audit storage audit) internal view returns (uint8 steps) {
        if (audit.outcome != Outcome.Unaudited) return type(uint8).max;
        return audit.revealed == 1 ? NOT_POSTED : ~NOT_VOTED;
    }

    function _seed(bytes32 jobId, Audit storage audit) internal view returns (bytes32) {
        if (!_isSeedKnown(audit)) return 0;
        return keccak256(abi.encode(jobId, audit.lossesRoot, _words(audit.seeds, audit.parties)));
    }

    /// @dev Who is silent cannot keep it unknown, but for the active party; nor can anybody choose it after the deadline.
    function _isSeedKnown(Audit storage audit) internal view returns (bool) {
        if (audit.lossesRoot == 0) return false;
        if (audit.revealed == _everyone(audit)) return true;
        // the active party's seed alone would draw rows that it knew when it posted the losses
        // forge-lint: disable-next-line(block-timestamp)
        return audit.revealed & 1 != 0 && audit.revealed != 1 && _now() > audit.deadline;
    }

    function _deadline(Audit storage audit) internal view returns (uint64) {
        if (audit.outcome != Outcome.None) return 0;
        bool isForVotes = _isSeedKnown(audit) && audit.revealed != _everyone(audit);
        return isForVotes ? audit.deadline + audit.terms.windowSeconds : audit.deadline;
    }

    function _shares(Audit storage audit) internal view returns (int64[] memory shares) {
        if (audit.lossesRoot == 0) return shares;
        shares = new int64[](audit.parties);
        for (uint256 i = 0; i < shares.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            shares[i] = int64(uint64(audit.shares[i / SHARES_PER_SLOT] >> (SHARE_BITS * (i % SHARES_PER_SLOT))));
        }
    }

    function _words(bytes32[8] storage words, uint256 count) internal view returns (bytes32[] memory copied) {
        copied = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            copied[i] = words[i];
        }
    }

    function _requireAudit(bytes32 jobId) internal view returns (Audit storage audit) {
        audit = _audits[jobId];
        if (audit.parties == 0) revert NoAudit(jobId);
    }

    function _everyone(Audit storage audit) internal view returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift, unsafe-typecast)
        return uint8((1 << audit.parties) - 1); // at most eight parties
    }

    function _now() internal view returns (uint40) {
        return uint40(block.timestamp);
    }

    /// @dev Four shares from `first` on in one word, the first in the lowest bits.
    function _packed(int64[] memory shares, uint256 first) internal pure returns (uint256 word) {
        for (uint256 i = first; i < shares.length && i < first + SHARES_PER_SLOT; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            word |= uint256(uint64(shares[i])) << (SHARE_BITS * (i - first));
        }
    }

    /// @dev `index` is 0..7, so the bit fits.
    function _bit(uint8 index) internal pure returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift, unsafe-typecast)
        return uint8(1 << index);
    }
}
