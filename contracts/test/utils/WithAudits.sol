// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../../src/Kinds.sol";
import {Settlement} from "../../src/Settlement.sol";
import {IContributionAudit} from "../../src/interfaces/IContributionAudit.sol";
import {IStewards} from "../../src/interfaces/IStewards.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";
import {WithModels} from "./WithModels.sol";

/// @title Jobs with an audit, carried from step to step.
/// @dev Alice posts, Bob and Carol are the auditors. A party's seed and shard follow from its address and the job.
abstract contract WithAudits is WithModels {
    uint32 internal constant ROWS = 20;
    uint32 internal constant WINDOW = 60;
    uint32 internal constant DISPUTE = 600;
    uint64 internal constant BUDGET = 1000;
    bytes32 internal constant LOSSES = keccak256("losses");

    Settlement internal settlements;

    function setUp() public virtual override {
        super.setUp();
        settlements = new Settlement(IStewards(address(registry.stewards())), registry, jobs, audits, anomalies);
    }

    function _terms() internal pure returns (IContributionAudit.Terms memory) {
        return IContributionAudit.Terms(keccak256("labels"), ROWS, 5, WINDOW, DISPUTE, BUDGET);
    }

    function _commitLabels(bytes32 jobId) internal {
        vm.prank(roster[0]);
        audits.commitLabels(jobId, _terms());
    }

    /// @dev Evaluating, with an audit; nobody has frozen.
    function _audited() internal returns (bytes32 jobId) {
        jobId = _training();
        _commitLabels(jobId);
        _evaluate(jobId);
    }

    function _evaluate(bytes32 jobId) internal {
        vm.prank(roster[0]);
        jobs.beginRound(jobId, 1);
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
    }

    function _freeze(address party, bytes32 jobId) internal {
        vm.prank(party);
        audits.freeze(jobId, _outputsOf(party), _digestOf(jobId, party), _commitmentOf(party, jobId));
    }

    function _frozenAudit() internal returns (bytes32 jobId) {
        jobId = _audited();
        for (uint256 i = 0; i < roster.length; ++i) {
            _freeze(roster[i], jobId);
        }
    }

    function _post(bytes32 jobId, uint8 weakMask) internal {
        vm.prank(roster[0]);
        audits.post(jobId, LOSSES, _sums(), weakMask);
    }

    function _posted() internal returns (bytes32 jobId) {
        jobId = _frozenAudit();
        _post(jobId, 0);
    }

    function _reveal(address party, bytes32 jobId) internal {
        vm.prank(party);
        audits.reveal(jobId, _seedOf(party, jobId));
    }

    function _seeded() internal returns (bytes32 jobId) {
        jobId = _posted();
        for (uint256 i = 0; i < roster.length; ++i) {
            _reveal(roster[i], jobId);
        }
    }

    function _vote(address party, bytes32 jobId, bool sound) internal {
        vm.prank(party);
        audits.vote(jobId, sound, sound ? 0 : 5);
    }

    /// @dev Concluded with these votes.
    function _concluded(bool bobs, bool carols) internal returns (bytes32 jobId) {
        jobId = _seeded();
        _vote(BOB, jobId, bobs);
        _vote(CAROL, jobId, carols);
        audits.conclude(jobId);
    }

    function _shard(address party, bytes32 jobId, bytes32 digest) internal {
        bytes memory payload = bytes.concat("shard", digest);
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, 2, Kinds.SHARD_DIGEST);
        envelope.digest = _leaf(payload);
        envelope.size = uint64(payload.length);
        (, IUplinkLedger.Reason reason) = _submit(party, envelope, payload);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "shard");
    }

    /// @dev Everybody records the shard that it froze.
    function _complete(bytes32 jobId) internal {
        for (uint256 i = 0; i < roster.length; ++i) {
            _shard(roster[i], jobId, _digestOf(jobId, roster[i]));
        }
    }

    /// @dev Verified, completed and settled.
    function _settled() internal returns (bytes32 jobId) {
        jobId = _concluded(true, true);
        _complete(jobId);
        settlements.settle(jobId);
    }

    /// @dev Losses of 20 rows: Alice alone helps a lot, Bob some, Carol a little.
    function _sums() internal view returns (uint128[] memory sums) {
        sums = new uint128[](1 << roster.length);
        for (uint256 s = 0; s < sums.length; ++s) {
            uint256 loss = 20_000_000;
            for (uint256 i = 0; i < roster.length; ++i) {
                if ((s >> i) & 1 != 0) loss -= 4_000_000 >> i;
            }
            sums[s] = uint128(loss + s);
        }
    }

    function _seedOf(address party, bytes32 jobId) internal pure returns (bytes32) {
        return keccak256(abi.encode("seed", party, jobId));
    }

    function _commitmentOf(address party, bytes32 jobId) internal pure returns (bytes32) {
        return keccak256(abi.encode(jobId, party, _seedOf(party, jobId)));
    }

    function _outputsOf(address party) internal pure returns (bytes32) {
        return keccak256(abi.encode("outputs", party));
    }

    function assertOutcome(bytes32 jobId, IContributionAudit.Outcome expected) internal view {
        assertEq(uint256(audits.outcomeOf(jobId)), uint256(expected), "outcome");
    }
}
