// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {WithModels} from "./utils/WithModels.sol";

/// @title Random parties that register a few jobs of three rosters under two names.
/// @dev It keeps its own account of digests, approvals and activations, and compares.
contract ModelHandler is WithModels {
    address[] internal parties = [ALICE, BOB, CAROL, DAVE, STRANGER];
    string[2] internal names = ["first", "second"];
    bytes32[] internal jobIds;

    mapping(bytes32 version => bytes32) internal digestsAtProposal;
    mapping(bytes32 version => mapping(address party => bool)) internal approvedBy;
    mapping(uint256 name => uint32[]) internal inUse;
    uint32[2] internal counts;

    constructor() {
        setUp();
        jobIds.push(_trained());
        jobIds.push(_trained());
        roster = [ALICE, DAVE];
        jobIds.push(_trained());
        roster = [BOB, CAROL];
        jobIds.push(_trained());
    }

    function propose(uint256 seed, uint256 name, uint256 job) external {
        name %= 2;
        vm.prank(parties[seed % parties.length]);
        try models.propose(names[name], jobIds[job % jobIds.length]) returns (uint32 version) {
            assertEq(version, ++counts[name], "versions only count up");
            digestsAtProposal[_key(name, version)] = _digestsOf(name, version);
        } catch {} // solhint-disable-line no-empty-blocks
    }

    function approve(uint256 seed, uint256 name, uint32 version) external {
        (name, version) = _pick(name, version);
        address party = parties[seed % parties.length];
        vm.prank(party);
        try models.approve(names[name], version) {
            bytes32 key = _key(name, version);
            assertTrue(!approvedBy[key][party], "approved twice");
            approvedBy[key][party] = true;
        } catch {} // solhint-disable-line no-empty-blocks
    }

    /// @dev Random approvals alone would freeze too little to activate.
    function approveByAll(uint256 name, uint32 version) external {
        (name, version) = _pick(name, version);
        for (uint256 i = 0; i < parties.length; ++i) {
            this.approve(i, name, version);
        }
    }

    function activate(uint256 seed, uint256 name, uint32 version) external {
        (name, version) = _pick(name, version);
        vm.prank(parties[seed % 2]);
        try models.activate(names[name], version) {
            inUse[name].push(version);
        } catch {} // solhint-disable-line no-empty-blocks
    }

    function rollBack(uint256 seed, uint256 name) external {
        name %= 2;
        vm.prank(parties[seed % 2]);
        try models.rollBack(names[name]) {
            inUse[name].pop();
        } catch {} // solhint-disable-line no-empty-blocks
    }

    function changeStanding(uint256 seed) external {
        address party = parties[seed % 4];
        if (registry.statusOf(party) == IParticipantRegistry.Status.Suspended) {
            vm.prank(STEWARD);
            registry.reinstate(party);
        } else {
            _suspendMember(party);
        }
    }

    function assertInvariants() external view {
        for (uint256 name = 0; name < 2; ++name) {
            assertEq(models.versionCount(names[name]), counts[name], "versions");
            uint32 active = models.activeVersion(names[name]);
            uint256 depth = inUse[name].length;
            assertEq(active, depth == 0 ? 0 : inUse[name][depth - 1], "the last activated is in use");
            uint256 activeOnes;
            for (uint32 version = 1; version <= counts[name]; ++version) {
                if (_assertVersion(name, version)) ++activeOnes;
            }
            assertEq(activeOnes, active == 0 ? 0 : 1, "at most one version is in use");
        }
        for (uint256 i = 0; i < jobIds.length; ++i) {
            _assertRegisteredOnce(jobIds[i]);
        }
    }

    function _assertVersion(uint256 name, uint32 version) private view returns (bool isActive) {
        bytes32 key = _key(name, version);
        assertEq(_digestsOf(name, version), digestsAtProposal[key], "digests changed");
        IModelRegistry.VersionView memory found = models.versionOf(names[name], version);
        (address[] memory asked, bool[] memory approved) = models.approvalsOf(names[name], version);
        uint256 approvals;
        for (uint256 i = 0; i < asked.length; ++i) {
            assertTrue(approved[i] == approvedBy[key][asked[i]], "approvals");
            if (approved[i]) ++approvals;
        }
        assertEq(found.approvals, approvals, "count of approvals");
        bool isFrozen = found.state >= IModelRegistry.State.Frozen;
        assertTrue(isFrozen == (approvals == asked.length), "frozen exactly with every approval");
        if (isFrozen) assertEq(models.holderOf(names[name]), found.activeParty, "a name has one active party");
        return found.state == IModelRegistry.State.Active;
    }

    function _assertRegisteredOnce(bytes32 jobId) private view {
        uint256 registrations;
        for (uint256 name = 0; name < 2; ++name) {
            for (uint32 version = 1; version <= counts[name]; ++version) {
                IModelRegistry.VersionView memory found = models.versionOf(names[name], version);
                if (found.jobId == jobId && found.state >= IModelRegistry.State.Frozen) ++registrations;
            }
        }
        (, uint32 registered) = models.registrationOf(jobId);
        assertEq(registrations, registered == 0 ? 0 : 1, "a job is frozen once");
    }

    function _pick(uint256 name, uint32 version) private view returns (uint256, uint32) {
        name %= 2;
        return (name, counts[name] == 0 ? version : 1 + version % counts[name]);
    }

    function _key(uint256 name, uint32 version) private pure returns (bytes32) {
        return keccak256(abi.encode(name, version));
    }

    function _digestsOf(uint256 name, uint32 version) private view returns (bytes32) {
        (address[] memory owners, bytes32[] memory digests) = models.shardDigestsOf(names[name], version);
        return keccak256(abi.encode(owners, digests));
    }
}

contract ModelRegistryInvariantsTest {
    ModelHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new ModelHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = ModelHandler.propose.selector;
        selectors[1] = ModelHandler.approve.selector;
        selectors[2] = ModelHandler.approveByAll.selector;
        selectors[3] = ModelHandler.activate.selector;
        selectors[4] = ModelHandler.rollBack.selector;
        selectors[5] = ModelHandler.changeStanding.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_versionsDigestsApprovalsAndUse_matchWhatWasDone() public view {
        handler.assertInvariants();
    }
}
