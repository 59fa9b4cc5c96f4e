// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "../src/interfaces/IJobManager.sol";
import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {WithModels} from "./utils/WithModels.sol";

contract ModelRegistryProposeTest is WithModels {
    string internal constant LONGEST = "abcdefghijklmnopqrstuvwxyz-0123456789_abcdefghijklmnopqrstuvwxyz";

    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _trained();
    }

    function test_constructor_keepsTheContractsThatItReads() public view {
        assertEq(address(models.registry()), address(registry), "registry");
        assertEq(address(models.jobs()), address(jobs), "jobs");
    }

    function test_propose_copiesOneDigestPerParty_whenTheJobIsCompleted() public {
        bytes32[] memory expected = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            expected[i] = _digestOf(jobId, roster[i]);
        }
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelProposed(keccak256(bytes(NAME)), 1, jobId, NAME, BOB, roster, expected);
        assertEq(_proposeModel(BOB, NAME, jobId), 1, "version");

        (address[] memory parties, bytes32[] memory digests) = models.shardDigestsOf(NAME, 1);
        assertEq(parties.length, 3, "parties");
        assertEq(digests.length, 3, "digests");
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(parties[i], roster[i], "party");
            assertEq(digests[i], expected[i], "digest");
        }
    }

    function test_propose_leavesAVersionProposed_andApprovedByNobody() public {
        _proposeModel(BOB, NAME, jobId);
        IModelRegistry.VersionView memory version = models.versionOf(NAME, 1);
        assertEq(uint256(version.state), uint256(IModelRegistry.State.Proposed), "state");
        assertEq(version.jobId, jobId, "job");
        assertEq(version.activeParty, ALICE, "active party");
        assertEq(version.proposer, BOB, "proposer");
        assertEq(version.approvals, 0, "approvals");
        assertEq(version.approvalsNeeded, 3, "needed");
        assertEq(version.frozenAt + version.activatedAt, 0, "blocks");
        assertEq(models.holderOf(NAME), address(0), "holder");
        (string memory name, uint32 registered) = models.registrationOf(jobId);
        assertEq(bytes(name).length + registered, 0, "registration");
        assertEq(models.proposalOf(NAME, jobId), 1, "proposal");
        assertEq(models.proposalOf("other", jobId), 0, "proposal under another name");
    }

    function test_propose_listsANameOnce_andCountsItsVersionsUp() public {
        _proposeModel(ALICE, NAME, jobId);
        assertEq(_proposeModel(CAROL, NAME, _trained()), 2, "second version");
        _proposeModel(ALICE, "other", _trained());
        assertEq(models.versionCount(NAME), 2, "versions");
        assertEq(models.versionCount("other"), 1, "versions of the other");
        assertEq(models.nameCount(), 2, "names");
        assertEq(models.nameAt(0), NAME, "first name");
        assertEq(models.nameAt(1), "other", "second name");
    }

    function test_propose_takesTheShortestAndTheLongestName() public {
        _proposeModel(ALICE, "a", jobId);
        assertEq(bytes(LONGEST).length, 64, "longest");
        _proposeModel(ALICE, LONGEST, jobId);
        assertEq(models.nameAt(1), LONGEST, "stored whole");
    }

    function test_propose_reverts_whenTheNameIsEmptyTooLongOrOfOtherCharacters() public {
        string[7] memory names = ["", string.concat(LONGEST, "x"), "A", "a b", "a/b", unicode"ä", "a{"];
        for (uint256 i = 0; i < names.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IModelRegistry.ModelNameInvalid.selector, bytes(names[i]).length, 64)
            );
            _proposeModel(ALICE, names[i], jobId);
        }
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelNameInvalid.selector, 100_000, 64));
        _proposeModel(ALICE, string(new bytes(100_000)), jobId);
    }

    function test_propose_reverts_whenThereIsNoSuchJob() public {
        bytes32[3] memory unknown = [bytes32(0), bytes32("none"), bytes32(type(uint256).max)];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IJobManager.UnknownJob.selector, unknown[i]));
            _proposeModel(ALICE, NAME, unknown[i]);
        }
    }

    function test_propose_reverts_whenTheCallerIsAStrangerOrOffTheRoster() public {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER));
        _proposeModel(STRANGER, NAME, jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _proposeModel(DAVE, NAME, jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STEWARD));
        _proposeModel(STEWARD, NAME, jobId);
    }

    function test_propose_reverts_whenTheCallerIsSuspended() public {
        _suspendMember(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _proposeModel(BOB, NAME, jobId);
    }

    function test_propose_reverts_whenTheJobIsInAnyOtherPhase() public {
        bytes32[5] memory unfinished = [_propose(), _aligning(), _training(), _evaluating(), _propose()];
        vm.prank(ALICE);
        jobs.abort(unfinished[4], "test");
        for (uint256 i = 0; i < unfinished.length; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IJobManager.WrongPhase.selector, IJobManager.Phase.Completed, jobs.phaseOf(unfinished[i])
                )
            );
            _proposeModel(ALICE, NAME, unfinished[i]);
        }
    }

    function test_propose_reverts_whenTheJobIsProposedUnderTheNameAlready() public {
        _proposeModel(ALICE, NAME, jobId);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.JobProposedBefore.selector, jobId, 1));
        _proposeModel(BOB, NAME, jobId);
    }

    function test_propose_reverts_whenTheJobIsFrozenUnderAnyName() public {
        _frozenOf(NAME, jobId);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.JobRegistered.selector, jobId, NAME, 1));
        _proposeModel(BOB, "other", jobId);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.JobRegistered.selector, jobId, NAME, 1));
        _proposeModel(BOB, NAME, jobId);
    }

    function test_propose_reverts_whenTheNameBelongsToAnotherActiveParty() public {
        _frozenOf(NAME, jobId);
        roster = [BOB, ALICE];
        bytes32 ofBob = _trained();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelNameTaken.selector, ALICE, BOB));
        _proposeModel(ALICE, NAME, ofBob);
    }

    function test_propose_takesOtherPartners_whenTheActivePartyIsTheSame() public {
        _frozenOf(NAME, jobId);
        roster = [ALICE, DAVE];
        bytes32 withDave = _trained();
        assertEq(_frozenOf(NAME, withDave), 2, "version");
        assertEq(models.versionOf(NAME, 2).approvalsNeeded, 2, "only the new roster is asked");
    }
}

contract ModelRegistryApproveTest is WithModels {
    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _trained();
        _proposeModel(ALICE, NAME, jobId);
    }

    function test_approve_recordsWhoApproved() public {
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelApproved(keccak256(bytes(NAME)), 1, jobId, NAME, CAROL, 1, 3);
        _approveModel(CAROL, NAME, 1);
        (address[] memory parties, bool[] memory approved) = models.approvalsOf(NAME, 1);
        assertEq(parties.length, 3, "parties");
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(parties[i], roster[i], "party");
            assertTrue(approved[i] == (roster[i] == CAROL), "Carol alone");
        }
        assertEq(models.versionOf(NAME, 1).approvals, 1, "approvals");
        assertState(1, IModelRegistry.State.Proposed, "state");
    }

    function test_approve_freezesAndBindsNameAndJob_whenItIsTheLast() public {
        vm.roll(7);
        _approveModel(ALICE, NAME, 1);
        _approveModel(CAROL, NAME, 1);
        assertEq(models.holderOf(NAME), address(0), "nobody's before");
        vm.roll(9);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelApproved(keccak256(bytes(NAME)), 1, jobId, NAME, BOB, 3, 3);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelFrozen(keccak256(bytes(NAME)), 1, jobId, NAME);
        _approveModel(BOB, NAME, 1);
        IModelRegistry.VersionView memory version = models.versionOf(NAME, 1);
        assertEq(uint256(version.state), uint256(IModelRegistry.State.Frozen), "state");
        assertEq(version.approvals, 3, "approvals");
        assertEq(version.frozenAt, 9, "block");
        assertEq(models.holderOf(NAME), ALICE, "holder");
        (string memory name, uint32 registered) = models.registrationOf(jobId);
        assertEq(name, NAME, "registered name");
        assertEq(registered, 1, "registered version");
        assertEq(models.activeVersion(NAME), 0, "not in use by itself");
    }

    function test_approve_needsAllEight_whenTheRosterIsTheLargest() public {
        roster = [ALICE, BOB, CAROL, DAVE];
        for (uint160 i = 1; i <= 4; ++i) {
            address party = address(0xFACE00 + i);
            _join(party, string.concat("party-", vm.toString(i)));
            roster.push(party);
        }
        uint32 version = _proposeModel(roster[7], NAME, _trained());
        assertEq(models.versionOf(NAME, version).approvalsNeeded, 8, "needed");
        for (uint256 i = 8; i > 0; --i) {
            assertState(version, IModelRegistry.State.Proposed, "before the last");
            _approveModel(roster[i - 1], NAME, version);
        }
        assertState(version, IModelRegistry.State.Frozen, "after the last");
    }

    function test_approve_reverts_whenTheVersionIsUnknown() public {
        uint32[3] memory unknown = [uint32(0), 2, type(uint32).max];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, unknown[i], 1));
            _approveModel(ALICE, NAME, unknown[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, 1, 0));
        _approveModel(ALICE, "", 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, 1, 0));
        _approveModel(ALICE, string(new bytes(100_000)), 1);
    }

    function test_approve_reverts_whenTheCallerIsAStrangerOrOffTheRoster() public {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER));
        _approveModel(STRANGER, NAME, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _approveModel(DAVE, NAME, 1);
    }

    function test_approve_reverts_whenTheCallerIsSuspended_untilItIsReinstated() public {
        _suspendMember(BOB);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, BOB));
        _approveModel(BOB, NAME, 1);
        vm.prank(STEWARD);
        registry.reinstate(BOB);
        _approveModel(BOB, NAME, 1);
    }

    function test_approve_reverts_whenRepeated() public {
        _approveModel(BOB, NAME, 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyApproved.selector, 1, BOB));
        _approveModel(BOB, NAME, 1);
    }

    function test_approve_reverts_whenTheVersionIsFrozenActiveOrRetired() public {
        for (uint256 i = 0; i < 3; ++i) {
            _approveModel(roster[i], NAME, 1);
        }
        _expectWrongState(IModelRegistry.State.Frozen);
        _approveModel(ALICE, NAME, 1);
        _activateModel(ALICE, NAME, 1);
        _expectWrongState(IModelRegistry.State.Active);
        _approveModel(ALICE, NAME, 1);
        _active();
        _expectWrongState(IModelRegistry.State.Retired);
        _approveModel(ALICE, NAME, 1);
    }

    function test_approve_reverts_whenTheJobWasFrozenUnderAnotherNameMeanwhile() public {
        _frozenOf("other", jobId);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.JobRegistered.selector, jobId, "other", 1));
        _approveModel(ALICE, NAME, 1);
        assertState(1, IModelRegistry.State.Proposed, "stays proposed");
    }

    function test_approve_reverts_whenTheNameWasTakenByAnotherActivePartyMeanwhile() public {
        roster = [BOB, DAVE];
        uint32 version = _frozen();
        assertEq(version, 2, "of another roster");
        assertEq(models.holderOf(NAME), BOB, "first to freeze, not to propose");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelNameTaken.selector, BOB, ALICE));
        _approveModel(CAROL, NAME, 1);
    }

    function _expectWrongState(IModelRegistry.State found) private {
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.WrongModelState.selector, 1, IModelRegistry.State.Proposed, found)
        );
    }
}

contract ModelRegistryActivateTest is WithModels {
    bytes32 internal jobId;

    function setUp() public override {
        super.setUp();
        jobId = _trained();
        _frozenOf(NAME, jobId);
    }

    function test_activate_putsAFrozenVersionIntoUse() public {
        vm.roll(11);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelActivated(keccak256(bytes(NAME)), 1, jobId, NAME, ALICE, 0);
        _activateModel(ALICE, NAME, 1);
        assertEq(models.activeVersion(NAME), 1, "active");
        assertState(1, IModelRegistry.State.Active, "state");
        assertEq(models.versionOf(NAME, 1).activatedAt, 11, "block");
    }

    function test_activate_retiresTheVersionInUse() public {
        _activateModel(ALICE, NAME, 1);
        bytes32 next = _trained();
        _frozenOf(NAME, next);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelActivated(keccak256(bytes(NAME)), 2, next, NAME, ALICE, 1);
        _activateModel(ALICE, NAME, 2);
        assertState(1, IModelRegistry.State.Retired, "first");
        assertState(2, IModelRegistry.State.Active, "second");
    }

    function test_activate_putsARetiredVersionIntoUseAgain() public {
        _activateModel(ALICE, NAME, 1);
        _active();
        _activateModel(ALICE, NAME, 1);
        assertEq(models.activeVersion(NAME), 1, "active");
        assertState(2, IModelRegistry.State.Retired, "second");
    }

    function test_activate_takesVersionsInAnyOrder() public {
        _active();
        _activateModel(ALICE, NAME, 1);
        assertEq(models.activeVersion(NAME), 1, "the older");
    }

    function test_activate_leavesOtherNamesAlone() public {
        _frozenOf("other", _trained());
        _activateModel(ALICE, NAME, 1);
        assertEq(models.activeVersion("other"), 0, "other");
    }

    function test_activate_reverts_whenTheVersionIsUnknown() public {
        uint32[3] memory unknown = [uint32(0), 2, type(uint32).max];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, unknown[i], 1));
            _activateModel(ALICE, NAME, unknown[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, 1, 0));
        _activateModel(ALICE, "", 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownVersion.selector, 1, 0));
        _activateModel(ALICE, string(new bytes(100_000)), 1);
    }

    function test_activate_reverts_whenTheCallerIsNotTheActiveParty() public {
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER));
        _activateModel(STRANGER, NAME, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _activateModel(DAVE, NAME, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        _activateModel(BOB, NAME, 1);
    }

    function test_activate_reverts_whenTheCallerIsSuspended() public {
        _suspendMember(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE));
        _activateModel(ALICE, NAME, 1);
    }

    function test_activate_reverts_whenAnApprovalIsMissing() public {
        uint32 version = _proposeModel(ALICE, NAME, _trained());
        _approveModel(ALICE, NAME, version);
        _approveModel(BOB, NAME, version);
        _expectWrongState(version, IModelRegistry.State.Proposed);
        _activateModel(ALICE, NAME, version);
    }

    function test_activate_reverts_whenTheVersionIsInUse() public {
        _activateModel(ALICE, NAME, 1);
        _expectWrongState(1, IModelRegistry.State.Active);
        _activateModel(ALICE, NAME, 1);
    }

    function _expectWrongState(uint32 version, IModelRegistry.State found) private {
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.WrongModelState.selector, version, IModelRegistry.State.Frozen, found)
        );
    }
}

contract ModelRegistryRollBackTest is WithModels {
    function test_rollBack_putsTheVersionBeforeIntoUseAgain() public {
        _active();
        bytes32 first = models.versionOf(NAME, 1).jobId;
        _active();
        vm.roll(13);
        vm.expectEmit(true, true, true, true, address(models));
        emit IModelRegistry.ModelRolledBack(keccak256(bytes(NAME)), 1, first, NAME, ALICE, 2);
        _rollBackModel(ALICE, NAME);
        assertEq(models.activeVersion(NAME), 1, "active");
        assertState(2, IModelRegistry.State.Retired, "withdrawn");
        assertEq(models.versionOf(NAME, 1).activatedAt, 13, "block");
    }

    function test_rollBack_undoesOneActivationAfterTheOther() public {
        _active();
        _active();
        _active();
        _activateModel(ALICE, NAME, 1);
        uint32[3] memory expected = [uint32(3), 2, 1];
        for (uint256 i = 0; i < expected.length; ++i) {
            _rollBackModel(ALICE, NAME);
            assertEq(models.activeVersion(NAME), expected[i], "active");
        }
    }

    function test_rollBack_skipsWhatWasNeverInUse() public {
        _active();
        _frozen();
        _active();
        _rollBackModel(ALICE, NAME);
        assertEq(models.activeVersion(NAME), 1, "not the second");
    }

    function test_rollBack_letsTheWithdrawnVersionBeActivatedAgain() public {
        _active();
        _active();
        _rollBackModel(ALICE, NAME);
        _activateModel(ALICE, NAME, 2);
        assertEq(models.activeVersion(NAME), 2, "active");
    }

    function test_rollBack_reverts_whenNothingWasInUseBefore() public {
        _active();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NothingToRollBackTo.selector, 1));
        _rollBackModel(ALICE, NAME);
        _active();
        _rollBackModel(ALICE, NAME);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NothingToRollBackTo.selector, 1));
        _rollBackModel(ALICE, NAME);
    }

    function test_rollBack_reverts_whenNoVersionIsInUse() public {
        _frozen();
        string[4] memory names = [NAME, "unknown", "", string(new bytes(100_000))];
        for (uint256 i = 0; i < names.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NothingToRollBackTo.selector, 0));
            _rollBackModel(ALICE, names[i]);
        }
    }

    function test_rollBack_reverts_whenTheCallerIsNotTheActivePartyOrSuspended() public {
        _active();
        _active();
        bytes32 jobId = models.versionOf(NAME, 2).jobId;
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, STRANGER));
        _rollBackModel(STRANGER, NAME);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotOnRoster.selector, jobId, DAVE));
        _rollBackModel(DAVE, NAME);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.NotActiveParty.selector, jobId, BOB));
        _rollBackModel(BOB, NAME);
        _suspendMember(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IJobManager.PartyNotAccredited.selector, ALICE));
        _rollBackModel(ALICE, NAME);
    }

    function test_rollBack_leavesThePassivePartiesApprovalsOutOfIt_whenOneIsSuspended() public {
        _active();
        _active();
        _suspendMember(BOB);
        _rollBackModel(ALICE, NAME);
        assertEq(models.activeVersion(NAME), 1, "a suspended partner holds up nothing");
    }
}

contract ModelRegistryViewsTest is WithModels {
    function test_views_areEmpty_whenNothingIsKnown() public {
        _frozen();
        uint32[3] memory versions = [uint32(0), 2, type(uint32).max];
        for (uint256 i = 0; i < versions.length; ++i) {
            _assertEmpty(NAME, versions[i]);
        }
        string[3] memory names = ["", "unknown", string(new bytes(100_000))];
        for (uint256 i = 0; i < names.length; ++i) {
            _assertEmpty(names[i], 1);
            assertEq(models.activeVersion(names[i]), 0, "active");
            assertEq(models.versionCount(names[i]), 0, "count");
            assertEq(models.holderOf(names[i]), address(0), "holder");
            assertEq(models.proposalOf(names[i], "none"), 0, "proposal");
        }
        (string memory name, uint32 version) = models.registrationOf(bytes32(type(uint256).max));
        assertEq(bytes(name).length + version, 0, "registration");
    }

    function test_nameAt_reverts_whenTheIndexIsBeyondTheLast() public {
        vm.expectRevert();
        models.nameAt(0);
        _frozen();
        assertEq(models.nameAt(0), NAME, "first");
        vm.expectRevert();
        models.nameAt(1);
        vm.expectRevert();
        models.nameAt(type(uint256).max);
    }

    function _assertEmpty(string memory name, uint32 version) private view {
        IModelRegistry.VersionView memory found = models.versionOf(name, version);
        assertEq(uint256(found.state), uint256(IModelRegistry.State.None), "state");
        assertEq(found.jobId, 0, "job");
        assertEq(found.activeParty, address(0), "active party");
        (address[] memory parties, bytes32[] memory digests) = models.shardDigestsOf(name, version);
        assertEq(parties.length + digests.length, 0, "digests");
        (address[] memory asked, bool[] memory approved) = models.approvalsOf(name, version);
        assertEq(asked.length + approved.length, 0, "approvals");
    }
}
