// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Directory} from "../src/Directory.sol";
import {IDirectory} from "../src/interfaces/IDirectory.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {Membership, Something} from "./utils/Membership.sol";

contract DirectoryTest is Membership {
    bytes32 internal constant JOBS = "JobManager";
    bytes32 internal constant LEDGER = "UplinkLedger";

    address internal jobs;
    address internal ledger;
    address internal laterJobs;

    function setUp() public override {
        super.setUp();
        jobs = address(new Something());
        ledger = address(new Something());
        laterJobs = address(new Something());
        directory.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
    }

    function _names(bytes32 first, bytes32 second) internal pure returns (bytes32[] memory names) {
        names = new bytes32[](2);
        (names[0], names[1]) = (first, second);
    }

    function _addresses(address first, address second) internal pure returns (address[] memory addresses) {
        addresses = new address[](2);
        (addresses[0], addresses[1]) = (first, second);
    }

    function _one(bytes32 name, address found)
        internal
        pure
        returns (bytes32[] memory names, address[] memory addresses)
    {
        names = new bytes32[](1);
        addresses = new address[](1);
        (names[0], addresses[0]) = (name, found);
    }

    function _propose(address caller, bytes32 name, address found) internal returns (bool carried) {
        (bytes32[] memory names, address[] memory addresses) = _one(name, found);
        vm.prank(caller);
        return directory.propose(names, addresses);
    }

    function _cancel(address caller) internal returns (bool carried) {
        vm.prank(caller);
        return directory.cancel();
    }

    function _pendingChange() internal {
        _propose(FIRST, JOBS, laterJobs);
        _propose(SECOND, JOBS, laterJobs);
    }

    function test_constructor_reverts_whenTheDelayIsLongerThanAYear() public {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.DelayInvalid.selector, 365 days + 1, 365 days));
        new Directory(stewards, 365 days + 1);
        assertEq(new Directory(stewards, 365 days).delay(), 365 days, "a year");
        assertEq(new Directory(stewards, 0).delay(), 0, "none");
    }

    function test_setFirst_setsVersionOne() public {
        Directory fresh = new Directory(stewards, DELAY);
        assertEq(fresh.version(), 0, "version before");
        vm.expectEmit(true, false, false, true, address(fresh));
        emit IDirectory.ChangeApplied(1, _names(JOBS, LEDGER), _addresses(jobs, ledger));
        fresh.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
        assertEq(fresh.version(), 1, "version");
        assertEq(fresh.addressOf(JOBS), jobs, "jobs");
        assertEq(fresh.addressOf(LEDGER), ledger, "ledger");
        assertEq(fresh.addressOf("other"), address(0), "no such name");
    }

    function test_setFirst_reverts_whenCallerIsNotTheDeployerOrItIsSet() public {
        vm.prank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotDeployer.selector, FIRST));
        directory.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.FirstVersion.selector, 1));
        directory.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
    }

    function test_setFirst_reverts_whenEmptyOrTooManyOrUneven() public {
        Directory fresh = new Directory(stewards, DELAY);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.ChangeSizeInvalid.selector, 0, 0, 32));
        fresh.setFirst(new bytes32[](0), new address[](0));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.ChangeSizeInvalid.selector, 33, 33, 32));
        fresh.setFirst(new bytes32[](33), new address[](33));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.ChangeSizeInvalid.selector, 2, 1, 32));
        fresh.setFirst(new bytes32[](2), new address[](1));
    }

    function test_propose_reverts_whenTheFirstVersionIsNotSet() public {
        Directory fresh = new Directory(stewards, DELAY);
        vm.prank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.FirstVersion.selector, 0));
        fresh.propose(_names(JOBS, LEDGER), _addresses(jobs, ledger));
    }

    function test_propose_isPending_whenCarried() public {
        (bytes32[] memory names, address[] memory addresses) = _one(JOBS, laterJobs);
        bytes32 motion = directory.proposalMotionOf(names, addresses);
        assertTrue(!_propose(FIRST, JOBS, laterJobs), "one of two");
        assertEq(stewards.votesOf(address(directory), motion), 1, "votes");
        uint64 notBefore = uint64(block.timestamp) + DELAY;
        vm.expectEmit(true, false, false, true, address(directory));
        emit IDirectory.ChangeProposed(2, names, addresses, notBefore);
        assertTrue(_propose(SECOND, JOBS, laterJobs), "two of two");
        (uint64 version, uint64 from, bytes32[] memory pendingNames, address[] memory pendingAddresses) =
            directory.pending();
        assertEq(version, 2, "version");
        assertEq(from, notBefore, "not before");
        assertEq(keccak256(abi.encode(pendingNames)), keccak256(abi.encode(names)), "names");
        assertEq(keccak256(abi.encode(pendingAddresses)), keccak256(abi.encode(addresses)), "addresses");
        assertEq(directory.addressOf(JOBS), jobs, "nothing has changed yet");
        assertEq(directory.version(), 1, "version in force");
    }

    function test_propose_reverts_whenCallerIsNoStewardOrVotesTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IStewards.NotSteward.selector, EVE));
        _propose(EVE, JOBS, laterJobs);
        vm.expectRevert(abi.encodeWithSelector(IStewards.NotSteward.selector, SAM));
        _propose(SAM, JOBS, laterJobs);
        _propose(FIRST, JOBS, laterJobs);
        (bytes32[] memory names, address[] memory addresses) = _one(JOBS, laterJobs);
        bytes32 motion = directory.proposalMotionOf(names, addresses);
        vm.expectRevert(abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, motion));
        _propose(FIRST, JOBS, laterJobs);
    }

    function test_propose_countsOneProposalAlone() public {
        _propose(FIRST, JOBS, laterJobs);
        assertTrue(!_propose(SECOND, LEDGER, laterJobs), "another name");
        assertTrue(!_propose(SECOND, JOBS, ledger), "another address");
        assertTrue(_propose(THIRD, JOBS, ledger), "the second proposal has its two");
    }

    function test_propose_reverts_whenAChangeIsPending() public {
        _pendingChange();
        vm.expectRevert(abi.encodeWithSelector(IDirectory.ChangePending.selector, 2));
        _propose(FIRST, JOBS, ledger);
    }

    function test_propose_reverts_whenANameIsEmptyOrTwice() public {
        vm.startPrank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NameInvalid.selector, bytes32(0)));
        directory.propose(_names(JOBS, 0), _addresses(jobs, ledger));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NameInvalid.selector, JOBS));
        directory.propose(_names(JOBS, JOBS), _addresses(jobs, ledger));
        vm.stopPrank();
    }

    function test_propose_reverts_whenThereIsNoContract() public {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotContract.selector, JOBS, EVE));
        _propose(FIRST, JOBS, EVE);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotContract.selector, JOBS, address(0)));
        _propose(FIRST, JOBS, address(0));
    }

    function test_propose_takesTheMaximum() public {
        bytes32[] memory names = new bytes32[](32);
        address[] memory addresses = new address[](32);
        for (uint256 i = 0; i < 32; ++i) {
            names[i] = bytes32(type(uint256).max - i);
            addresses[i] = laterJobs;
        }
        vm.prank(FIRST);
        directory.propose(names, addresses);
        vm.prank(SECOND);
        directory.propose(names, addresses);
        vm.warp(block.timestamp + DELAY);
        directory.applyChange();
        assertEq(directory.addressOf(bytes32(type(uint256).max - 31)), laterJobs, "the last");
        assertEq(directory.addressOf(JOBS), jobs, "what was not mentioned");
    }

    function test_applyChange_reverts_untilTheDelayIsOver() public {
        _pendingChange();
        uint64 notBefore = uint64(block.timestamp) + DELAY;
        vm.warp(notBefore - 1);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.TooEarly.selector, notBefore, notBefore - 1));
        vm.prank(FIRST);
        directory.applyChange();
        vm.warp(notBefore);
        (bytes32[] memory names, address[] memory addresses) = _one(JOBS, laterJobs);
        vm.expectEmit(true, false, false, true, address(directory));
        emit IDirectory.ChangeApplied(2, names, addresses);
        vm.prank(EVE); // anybody
        directory.applyChange();
        assertEq(directory.version(), 2, "version");
        assertEq(directory.addressOf(JOBS), laterJobs, "jobs");
        assertEq(directory.addressOf(LEDGER), ledger, "ledger");
        (uint64 version,,,) = directory.pending();
        assertEq(version, 0, "nothing pending");
    }

    function test_applyChange_reverts_whenNothingIsPendingOrTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NoChangePending.selector));
        directory.applyChange();
        _pendingChange();
        vm.warp(block.timestamp + DELAY);
        directory.applyChange();
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NoChangePending.selector));
        directory.applyChange();
    }

    function test_addressAt_knowsEveryVersion() public {
        _pendingChange();
        vm.warp(block.timestamp + DELAY);
        directory.applyChange();
        _propose(FIRST, "new", laterJobs);
        _propose(SECOND, "new", laterJobs);
        vm.warp(block.timestamp + DELAY);
        directory.applyChange();
        assertEq(directory.addressAt(JOBS, 0), address(0), "version 0 is empty");
        assertEq(directory.addressAt(JOBS, 1), jobs, "jobs in 1");
        assertEq(directory.addressAt(JOBS, 2), laterJobs, "jobs in 2");
        assertEq(directory.addressAt(JOBS, 3), laterJobs, "jobs in 3");
        assertEq(directory.addressAt(LEDGER, 3), ledger, "ledger in 3");
        assertEq(directory.addressAt("new", 2), address(0), "not yet in 2");
        assertEq(directory.addressAt("new", 3), laterJobs, "new in 3");
        vm.expectRevert(abi.encodeWithSelector(IDirectory.UnknownVersion.selector, 4, 3));
        directory.addressAt(JOBS, 4);
    }

    function test_cancel_dropsTheChange_alsoWhenTheDelayIsOver() public {
        _pendingChange();
        vm.warp(block.timestamp + DELAY);
        bytes32 motion = directory.cancellationMotion();
        assertTrue(!_cancel(FIRST), "one of two");
        assertEq(stewards.votesOf(address(directory), motion), 1, "votes");
        vm.expectEmit(true, false, false, true, address(directory));
        emit IDirectory.ChangeCancelled(2);
        assertTrue(_cancel(THIRD), "two of two");
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NoChangePending.selector));
        directory.applyChange();
        assertEq(directory.addressOf(JOBS), jobs, "jobs");
    }

    function test_cancel_reverts_whenNothingIsPendingOrCallerIsNoStewardOrTwice() public {
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NoChangePending.selector));
        _cancel(FIRST);
        _pendingChange();
        vm.expectRevert(abi.encodeWithSelector(IStewards.NotSteward.selector, EVE));
        _cancel(EVE);
        _cancel(FIRST);
        bytes32 motion = directory.cancellationMotion();
        vm.expectRevert(abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, motion));
        _cancel(FIRST);
    }

    function test_votes_lapse_whenAnotherChangeWasDecided() public {
        _propose(FIRST, LEDGER, laterJobs);
        _pendingChange();
        _cancel(FIRST);
        vm.warp(block.timestamp + DELAY);
        directory.applyChange();
        assertTrue(!_propose(SECOND, LEDGER, laterJobs), "the vote before the change is void");
        assertTrue(_propose(FIRST, LEDGER, laterJobs), "and may be cast again");
        assertTrue(!_cancel(SECOND), "so is the vote against the earlier change");
    }

    function test_votes_lapse_whenAChangeWasCancelled() public {
        _propose(THIRD, LEDGER, laterJobs);
        _pendingChange();
        _cancel(FIRST);
        _cancel(SECOND);
        assertTrue(!_propose(FIRST, LEDGER, laterJobs), "the vote of before is void");
    }

    function testFuzz_setFirst_takesExactlySoundChanges(bytes32[] memory names, uint8 addresses) public {
        Directory fresh = new Directory(stewards, DELAY);
        address[] memory found = new address[](addresses % 4 == 0 ? addresses : names.length);
        for (uint256 i = 0; i < found.length; ++i) {
            found[i] = jobs;
        }
        bool sound = names.length > 0 && names.length <= 32 && names.length == found.length;
        for (uint256 i = 0; i < names.length; ++i) {
            if (names[i] == 0) sound = false;
            for (uint256 j = 0; j < i; ++j) {
                if (names[i] == names[j]) sound = false;
            }
        }
        if (!sound) vm.expectRevert();
        fresh.setFirst(names, found);
        if (sound) assertEq(fresh.addressOf(names[names.length - 1]), jobs, "the last name");
    }

    function testFuzz_propose_takesContractsAlone(address caller, bytes32 name, address found, uint8 pick) public {
        if (pick % 2 == 0) caller = SECOND;
        if (pick % 3 != 0) found = laterJobs;
        bool isSteward = stewards.isSteward(caller);
        bool isSound = name != 0 && found.code.length != 0;
        if (!isSteward || !isSound) vm.expectRevert();
        _propose(caller, name, found);
    }

    function testFuzz_applyChange_waitsForTheDelay(uint64 delay, uint256 elapsed) public {
        delay = uint64(bound(delay, 0, 365 days));
        elapsed = bound(elapsed, 0, 400 days);
        directory = new Directory(stewards, delay);
        directory.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
        _pendingChange();
        vm.warp(block.timestamp + elapsed);
        if (elapsed < delay) vm.expectRevert();
        directory.applyChange();
        assertEq(directory.addressOf(JOBS), elapsed < delay ? jobs : laterJobs, "jobs");
    }

    function testFuzz_addressAt_isTheLastSetNoLaterThanTheVersion(uint256 seed, uint64 asked) public {
        directory = new Directory(stewards, 0);
        directory.setFirst(_names(JOBS, LEDGER), _addresses(jobs, ledger));
        address[5] memory expected;
        expected[1] = jobs;
        for (uint256 version = 2; version < 5; ++version) {
            bool isJobs = (seed >> version) % 2 == 0;
            address next = address(new Something());
            _propose(FIRST, isJobs ? JOBS : LEDGER, next);
            _propose(SECOND, isJobs ? JOBS : LEDGER, next);
            directory.applyChange();
            expected[version] = isJobs ? next : expected[version - 1];
        }
        asked = uint64(bound(asked, 0, 5));
        if (asked == 5) vm.expectRevert(abi.encodeWithSelector(IDirectory.UnknownVersion.selector, 5, 4));
        address found = directory.addressAt(JOBS, asked);
        if (asked < 5) assertEq(found, expected[asked], "jobs");
    }
}
