// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "./interfaces/IJobManager.sol";

/// @title What is kept of jobs, and how it is read.
/// @notice See {IJobManager}; {JobManager} has the calls that change it. What the ledger reads for every uplink is packed
/// into two storage slots, beside the seats.
abstract contract JobState is IJobManager {
    /// @dev First slot: phase to deadline; second: policy. A mask has bit i set when roster[i] has declared. Attendance and
    /// `closed` belong to the phase in force, in training to the round and attempt in force, as the deadline does.
    struct Job {
        Phase phase;
        uint32 round;
        uint16 attempt;
        uint8 everyone;
        uint8 accepted;
        uint8 aligned;
        uint8 stopped;
        uint8 sharded;
        uint8 attended;
        bool closed;
        uint40 deadline;
        uint40 ended;
        Policy policy;
        address proposer;
        uint64 alignedRows;
        bytes32 specDigest;
        bytes32 alignedDigest;
        address[] roster;
        /// @dev Position on the roster plus one; zero means not on it.
        mapping(address party => uint8) seat;
        mapping(address party => bytes32) shardDigest;
        mapping(address party => Signer) signer;
    }

    /// @dev Of a party that accepted by another key than its own address: by which, and how many it had had before.
    struct Signer {
        address key;
        uint64 rotations;
    }

    mapping(bytes32 jobId => Job) internal _jobs;
    bytes32[] internal _jobIds;

    /// @inheritdoc IJobManager
    function jobOf(bytes32 jobId) external view returns (JobView memory) {
        Job storage job = _jobs[jobId];
        return JobView({
            phase: job.phase,
            round: job.round,
            attempt: job.attempt,
            proposer: job.proposer,
            specDigest: job.specDigest,
            alignedDigest: job.alignedDigest,
            alignedRows: job.alignedRows,
            roster: job.roster,
            policy: job.policy,
            deadline: job.deadline,
            closed: job.closed
        });
    }

    /// @inheritdoc IJobManager
    function contextOf(bytes32 jobId, address sender, address recipient)
        external
        view
        returns (JobContext memory context)
    {
        Job storage job = _jobs[jobId];
        context.phase = job.phase;
        context.round = job.round;
        context.attempt = job.attempt;
        context.maxPayloadBytes = job.policy.maxPayloadBytes;
        context.maxStatisticE6 = job.policy.maxStatisticE6;
        context.pipelined = job.policy.pipelined;
        context.maxUplinksPerRound = job.policy.maxUplinksPerRound;
        context.deadline = job.deadline;
        uint8 seat = job.seat[sender];
        unchecked {
            context.senderIndex = seat - 1; // seat 0 wraps to type(uint8).max: not on the roster
            context.recipientIndex = recipient == address(0) ? type(uint8).max : job.seat[recipient] - 1;
        }
        context.senderHasShard = seat != 0 && job.sharded & _bit(seat) != 0;
    }

    /// @inheritdoc IJobManager
    function phaseOf(bytes32 jobId) external view returns (Phase phase) {
        return _jobs[jobId].phase;
    }

    /// @inheritdoc IJobManager
    function deadlineOf(bytes32 jobId) external view returns (uint64 deadline) {
        return _jobs[jobId].deadline;
    }

    /// @inheritdoc IJobManager
    function rosterIndexOf(bytes32 jobId, address party) external view returns (uint256 index) {
        uint256 seat = _jobs[jobId].seat[party];
        return seat == 0 ? type(uint256).max : seat - 1;
    }

    /// @inheritdoc IJobManager
    function rosterOf(bytes32 jobId) external view returns (address[] memory roster) {
        return _jobs[jobId].roster;
    }

    /// @inheritdoc IJobManager
    function shardDigestOf(bytes32 jobId, address party) external view returns (bytes32 digest) {
        return _jobs[jobId].shardDigest[party];
    }

    /// @inheritdoc IJobManager
    function hasAccepted(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].accepted, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function acceptanceOf(bytes32 jobId, address party)
        external
        view
        returns (address key, uint64 rotations, uint64 endedAt)
    {
        Job storage job = _jobs[jobId];
        if (!_has(job.accepted, job.seat[party])) return (address(0), 0, 0);
        Signer storage signer = job.signer[party];
        (key, rotations, endedAt) = (signer.key, signer.rotations, job.ended);
        if (key == address(0)) key = party;
    }

    /// @inheritdoc IJobManager
    function hasAligned(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].aligned, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function hasStopped(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].stopped, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function hasAttended(bytes32 jobId, address party) external view returns (bool) {
        return _has(_jobs[jobId].attended, _jobs[jobId].seat[party]);
    }

    /// @inheritdoc IJobManager
    function jobCount() external view returns (uint256) {
        return _jobIds.length;
    }

    /// @inheritdoc IJobManager
    function jobAt(uint256 index) external view returns (bytes32 jobId) {
        return _jobIds[index];
    }

    function _has(uint8 mask, uint8 seat) internal pure returns (bool) {
        return seat != 0 && mask & _bit(seat) != 0;
    }

    /// @dev `seat` is 1..8, so the bit fits.
    function _bit(uint8 seat) internal pure returns (uint8) {
        // forge-lint: disable-next-line(incorrect-shift)
        return uint8(1 << (seat - 1));
    }
}
