// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {Kinds} from "../../src/Kinds.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";
import {Deployed} from "./Deployed.sol";

/// @title The model registry beside the others, and helpers that train, register and freeze models.
abstract contract WithModels is Deployed {
    address internal constant STRANGER = address(0x57A);
    string internal constant NAME = "arrears";

    ModelRegistry internal models;

    function setUp() public virtual override {
        super.setUp();
        models = new ModelRegistry(registry, jobs);
    }

    /// @dev A job that the first on the present roster leads, completed with a digest for each party that no other party
    /// or job has.
    function _trained() internal returns (bytes32 jobId) {
        vm.prank(roster[0]);
        jobId = jobs.propose("spec", roster, _policy());
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.accept(jobId);
        }
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareAligned(jobId, "order", 100);
        }
        vm.prank(roster[0]);
        jobs.beginRound(jobId, 1);
        for (uint256 i = 0; i < roster.length; ++i) {
            vm.prank(roster[i]);
            jobs.declareStop(jobId, 1);
        }
        for (uint256 i = 0; i < roster.length; ++i) {
            _submitShard(jobId, roster[i]);
        }
    }

    function _submitShard(bytes32 jobId, address party) private {
        bytes memory payload = bytes.concat("shard", _digestOf(jobId, party));
        IUplinkLedger.Envelope memory envelope = _envelope(jobId, 2, Kinds.SHARD_DIGEST);
        envelope.digest = _leaf(payload);
        envelope.size = uint64(payload.length);
        (, IUplinkLedger.Reason reason) = _submit(party, envelope, payload);
        assertReason(reason, IUplinkLedger.Reason.Accepted, "shard");
    }

    function _digestOf(bytes32 jobId, address party) internal pure returns (bytes32) {
        return keccak256(abi.encode(jobId, party));
    }

    function _proposeModel(address party, string memory name, bytes32 jobId) internal returns (uint32 version) {
        vm.prank(party);
        return models.propose(name, jobId);
    }

    function _approveModel(address party, string memory name, uint32 version) internal {
        vm.prank(party);
        models.approve(name, version);
    }

    function _activateModel(address party, string memory name, uint32 version) internal {
        vm.prank(party);
        models.activate(name, version);
    }

    function _rollBackModel(address party, string memory name) internal {
        vm.prank(party);
        models.rollBack(name);
    }

    /// @dev The job's model as a version of `name` that all on the present roster approved.
    function _frozenOf(string memory name, bytes32 jobId) internal returns (uint32 version) {
        version = _proposeModel(roster[0], name, jobId);
        for (uint256 i = 0; i < roster.length; ++i) {
            _approveModel(roster[i], name, version);
        }
    }

    /// @dev A newly trained model, frozen as the next version of {NAME}.
    function _frozen() internal returns (uint32 version) {
        return _frozenOf(NAME, _trained());
    }

    /// @dev A newly trained model in use.
    function _active() internal returns (uint32 version) {
        version = _frozen();
        _activateModel(ALICE, NAME, version);
    }

    function _suspendMember(address party) internal {
        vm.prank(STEWARD);
        registry.suspend(party, "test");
    }

    function _stateOf(uint32 version) internal view returns (IModelRegistry.State) {
        return models.versionOf(NAME, version).state;
    }

    function assertState(uint32 version, IModelRegistry.State expected, string memory what) internal view {
        assertEq(uint256(_stateOf(version)), uint256(expected), what);
    }
}
