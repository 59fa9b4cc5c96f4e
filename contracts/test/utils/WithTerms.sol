// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Kinds} from "../../src/Kinds.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./Deployed.sol";

/// @title Jobs with terms, and calls that ask.
abstract contract WithTerms is Deployed {
    uint32 internal constant FIRST = 2 ** 31;
    uint64 internal constant QUOTA = 100;
    uint32 internal constant WINDOW = 3600;
    uint32 internal constant ANSWER = 600;

    /// @dev An aligning job that has terms.
    function _aligningWith(uint64 quota, uint32 windowSeconds, uint32 answerSeconds) internal returns (bytes32 jobId) {
        jobId = _aligning();
        vm.prank(ALICE);
        router.setTerms(jobId, quota, windowSeconds, answerSeconds);
    }

    /// @dev A completed job that has terms.
    function _completedWith(uint64 quota, uint32 windowSeconds, uint32 answerSeconds) internal returns (bytes32 jobId) {
        jobId = _aligningWith(quota, windowSeconds, answerSeconds);
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 100);
        }
        vm.prank(ALICE);
        jobs.beginRound(jobId, 1);
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        for (uint256 i = 0; i < roster.length; ++i) {
            _accept(roster[i], _envelope(jobId, 2, Kinds.SHARD_DIGEST));
        }
    }

    function _asking() internal returns (bytes32 jobId) {
        return _completedWith(QUOTA, WINDOW, ANSWER);
    }

    function _reserve(address party, bytes32 jobId, uint32 count) internal returns (uint64 first) {
        vm.prank(party);
        return router.reserve(jobId, count);
    }

    function _anchor(address party, bytes32 jobId, bytes32 root, uint32 count) internal returns (uint32 index) {
        vm.prank(party);
        return router.anchor(jobId, root, count);
    }

    function _used(bytes32 jobId, address party) internal view returns (uint64 used) {
        (, used,) = router.reservationOf(jobId, party);
    }

    /// @dev `count` bodies of `length` bytes, no two alike, and their digests.
    function _bodies(uint256 count, uint256 length, bytes32 seed)
        internal
        pure
        returns (bytes32[] memory digests, bytes[] memory bodies)
    {
        digests = new bytes32[](count);
        bodies = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            bodies[i] = bytesOf(length, keccak256(abi.encode(seed, i)));
            digests[i] = sha256(bodies[i]);
        }
    }

    /// @dev Asks once, with a sound body.
    function _ask(address party, bytes32 jobId, bytes32 seed) internal returns (uint32 requestId) {
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(1, 100, seed);
        vm.prank(party);
        return router.ask(jobId, digests, bodies);
    }

    function assertAsked(bytes32 jobId, uint32 requestId, IUplinkLedger.Reason expected) internal view {
        assertReason(router.reasonOf(jobId, requestId), expected, "reason");
        (,, uint64 opened, uint64 closed) = router.requestOf(jobId, requestId);
        bool accepted = expected == IUplinkLedger.Reason.Accepted;
        assertTrue(router.isOpen(jobId, requestId) == accepted, "open");
        assertEq(closed, accepted ? 0 : opened, "closed at once");
    }
}
