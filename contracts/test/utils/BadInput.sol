// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Directory} from "../../src/Directory.sol";
import {FaultProofs} from "../../src/FaultProofs.sol";
import {Stewards} from "../../src/Stewards.sol";
import {IJobManager} from "../../src/interfaces/IJobManager.sol";
import {WithModels} from "./WithModels.sol";

/// @title All contracts, and calls that are to be refused with the very error that is named.
abstract contract BadInput is WithModels {
    bytes32 internal constant MAX_WORD = bytes32(type(uint256).max);
    uint256 internal constant MANY = 1000;
    uint256 internal constant LONG = 100_000;

    Stewards internal board;
    Directory internal directory;
    FaultProofs internal proofs;

    function setUp() public virtual override {
        super.setUp();
        board = Stewards(address(registry.stewards()));
        directory = new Directory(board, 1 hours);
        proofs = new FaultProofs(registry, jobs, ledger, anomalies);
    }

    /// @dev Nothing but this call, by this caller, and nothing but this error.
    function _refused(address caller, address target, bytes memory call, bytes memory expected) internal {
        vm.prank(caller);
        // solhint-disable-next-line avoid-low-level-calls
        (bool taken, bytes memory found) = target.call(call);
        assertTrue(!taken, "taken");
        assertEq(keccak256(found), keccak256(expected), "another error");
    }

    /// @dev A call that succeeds.
    function _taken(address caller, address target, bytes memory call) internal {
        vm.prank(caller);
        // solhint-disable-next-line avoid-low-level-calls
        (bool taken,) = target.call(call);
        assertTrue(taken, "refused");
    }

    function _aborted() internal returns (bytes32 jobId) {
        jobId = _propose();
        vm.prank(ALICE);
        jobs.abort(jobId, "test");
    }

    function _expired() internal returns (bytes32 jobId) {
        jobId = _propose();
        vm.warp(block.timestamp + 2 * PHASE_SECONDS + 2);
        jobs.expire(jobId);
        assertPhase(jobId, IJobManager.Phase.Expired);
    }

    function _long() internal pure returns (string memory text) {
        return string(new bytes(LONG));
    }

    function _accounts(uint256 count) internal pure returns (address[] memory accounts) {
        accounts = new address[](count);
        for (uint160 i = 0; i < count; ++i) {
            accounts[i] = address(0xACC0000 + i);
        }
    }

    function _names(uint256 count) internal pure returns (bytes32[] memory names) {
        names = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            names[i] = bytes32(i + 1);
        }
    }
}
