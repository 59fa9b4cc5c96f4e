// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {WithModels} from "./utils/WithModels.sol";

contract ModelRegistryFuzzTest is WithModels {
    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _trained();
    }

    function testFuzz_propose_takesExactlyTheNamesOfTheAlphabet(bytes memory name, uint256 length, bool map) public {
        length = bound(length, 0, 80);
        if (map) name = _mapped(name, length);
        vm.prank(BOB);
        try models.propose(string(name), jobId) returns (uint32 version) {
            assertTrue(_isName(name), "took another name");
            assertEq(version, 1, "version");
            assertEq(models.nameAt(0), string(name), "name");
        } catch (bytes memory reason) {
            assertTrue(!_isName(name), "refused a name");
            assertEq(
                keccak256(reason),
                keccak256(abi.encodeWithSelector(IModelRegistry.ModelNameInvalid.selector, name.length, 64)),
                "reason"
            );
        }
    }

    function testFuzz_propose_isForTheRosterOfACompletedJob(address caller, bytes32 job, bool known) public {
        if (known) job = jobId;
        bool isParty = caller == ALICE || caller == BOB || caller == CAROL;
        vm.prank(caller);
        try models.propose(NAME, job) {
            assertTrue(isParty && job == jobId, "proposed by an outsider");
        } catch (bytes memory reason) {
            bytes memory expected = job == jobId
                ? abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, caller)
                : abi.encodeWithSelector(IJobManager.UnknownJob.selector, job);
            assertEq(keccak256(reason), keccak256(expected), "reason");
        }
    }

    function testFuzz_approve_freezesAfterAnyOrderAndRepetition(uint256 seed) public {
        _proposeModel(ALICE, NAME, jobId);
        uint256 approved;
        for (uint256 i = 0; i < 12; ++i) {
            uint256 index = (seed >> (8 * i)) % 3;
            vm.prank(roster[index]);
            try models.approve(NAME, 1) {
                assertEq(approved & (1 << index), 0, "approved twice");
                approved |= 1 << index;
            } catch {
                assertTrue(approved & (1 << index) != 0, "refused a first approval");
            }
            bool isFrozen = _stateOf(1) == IModelRegistry.State.Frozen;
            assertTrue(isFrozen == (approved == 7), "frozen exactly when all approved");
        }
    }

    function testFuzz_approve_isForTheRosterAndVersionsThatExist(address caller, uint32 version, bool known) public {
        _proposeModel(ALICE, NAME, jobId);
        if (known) version = 1;
        vm.prank(caller);
        try models.approve(NAME, version) {
            assertTrue(jobs.rosterIndexOf(jobId, caller) < 3 && version == 1, "approved by an outsider");
        } catch (bytes memory reason) {
            assertEq(keccak256(reason), keccak256(_refusal(caller, version)), "reason");
        }
    }

    function testFuzz_activate_isForTheActivePartyAndVersionsThatExist(address caller, uint32 version, bool known)
        public
    {
        _frozenOf(NAME, jobId);
        if (known) version = 1;
        vm.prank(caller);
        try models.activate(NAME, version) {
            assertTrue(caller == ALICE && version == 1, "activated by another");
        } catch (bytes memory reason) {
            assertEq(keccak256(reason), keccak256(_refusal(caller, version)), "reason");
        }
    }

    function testFuzz_activateAndRollBack_behaveAsAStack(uint256 seed) public {
        uint256 versions = 3;
        for (uint256 i = 0; i < versions; ++i) {
            _frozen();
        }
        uint32[] memory stack = new uint32[](24);
        uint256 depth;
        for (uint256 i = 0; i < stack.length; ++i) {
            uint256 draw = (seed >> (8 * i)) % 5;
            vm.prank(ALICE);
            if (draw < versions) {
                uint32 version = uint32(draw) + 1;
                bool isInUse = depth > 0 && stack[depth - 1] == version;
                try models.activate(NAME, version) {
                    assertTrue(!isInUse, "activated what is in use");
                    stack[depth++] = version;
                } catch {
                    assertTrue(isInUse, "refused");
                }
            } else {
                try models.rollBack(NAME) {
                    assertTrue(depth > 1, "rolled back to nothing");
                    --depth;
                } catch {
                    assertTrue(depth < 2, "refused to roll back");
                }
            }
            assertEq(models.activeVersion(NAME), depth == 0 ? 0 : stack[depth - 1], "in use");
        }
    }

    function testFuzz_rollBack_isForTheActiveParty(address caller, bytes memory name, bool known) public {
        _active();
        _active();
        string memory asked = known ? NAME : string(name);
        vm.prank(caller);
        try models.rollBack(asked) {
            assertTrue(caller == ALICE && keccak256(bytes(asked)) == keccak256(bytes(NAME)), "rolled back by another");
        } catch (bytes memory reason) {
            bytes32 job = models.versionOf(NAME, 2).jobId;
            bytes memory expected = known
                ? abi.encodeWithSelector(IJobManager.NotOnRoster.selector, job, caller)
                : abi.encodeWithSelector(IModelRegistry.NothingToRollBackTo.selector, 0);
            assertEq(keccak256(reason), keccak256(expected), "reason");
        }
    }

    function testFuzz_views_neverRevert(bytes memory name, uint32 version, bytes32 job, bool known) public {
        _active();
        string memory asked = known ? NAME : string(name);
        bool exists = known && version == 1;
        IModelRegistry.VersionView memory found = models.versionOf(asked, version);
        assertTrue((found.state == IModelRegistry.State.Active) == exists, "version");
        (address[] memory parties, bytes32[] memory digests) = models.shardDigestsOf(asked, version);
        assertEq(parties.length, exists ? 3 : 0, "parties");
        assertEq(digests.length, parties.length, "digests");
        (, bool[] memory approved) = models.approvalsOf(asked, version);
        assertEq(approved.length, parties.length, "approvals");
        assertEq(models.versionCount(asked), known ? 1 : 0, "count");
        assertEq(models.activeVersion(asked), known ? 1 : 0, "in use");
        assertEq(models.holderOf(asked), known ? ALICE : address(0), "holder");
        assertEq(models.proposalOf(asked, job), 0, "proposal");
        (, uint32 registered) = models.registrationOf(job);
        assertEq(registered, 0, "registration");
    }

    function testFuzz_nameAt_knowsTheNamesThatThereAre(uint256 index) public {
        _frozenOf("first", jobId);
        _frozenOf("second", _trained());
        try models.nameAt(index) returns (string memory name) {
            assertEq(name, index == 0 ? "first" : "second", "name");
            assertTrue(index < models.nameCount(), "beyond the last");
        } catch {
            assertTrue(index >= models.nameCount(), "refused");
        }
    }

    /// @dev Of a caller that is (almost surely) a stranger.
    function _refusal(address caller, uint32 version) private view returns (bytes memory) {
        return version == 1
            ? abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, caller)
            : abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, version, 1);
    }

    /// @dev `length` characters, most of them of the alphabet.
    function _mapped(bytes memory seed, uint256 length) private pure returns (bytes memory name) {
        bytes memory alphabet = "abcdefghijklmnopqrstuvwxyz0123456789_-";
        name = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            uint256 draw = seed.length == 0 ? i : uint8(seed[i % seed.length]);
            name[i] = draw == 255 ? bytes1("`") : alphabet[draw % alphabet.length];
        }
    }

    function _isName(bytes memory name) private pure returns (bool) {
        if (name.length == 0 || name.length > 64) return false;
        for (uint256 i = 0; i < name.length; ++i) {
            uint8 c = uint8(name[i]);
            bool isLetter = c >= 97 && c <= 122;
            bool isDigit = c >= 48 && c <= 57;
            if (!isLetter && !isDigit && c != 95 && c != 45) return false;
        }
        return true;
    }
}
