// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/* solhint-disable avoid-low-level-calls, no-empty-blocks */

import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {Membership, Something} from "./utils/Membership.sol";

/// @title Random registrations, votes, strikes, rotations and changes of the directory, beside a plain model of each.
contract MembershipHandler is Membership {
    uint256 internal constant PARTIES = 4;

    struct Given {
        bytes32 job;
        uint32 round;
        bool upheld;
    }

    uint256[PARTIES] internal secrets; // of the party's present signer
    address[PARTIES] internal parties;
    uint256 internal fresh = 1000; // the next unused secret
    address[] internal retired;
    address[] internal banned;
    mapping(address party => Given[]) internal given;
    uint256 internal changesSeen;
    uint256 internal epochAtFirst;

    bytes32[3] internal names = [bytes32("JobManager"), "UplinkLedger", "InferenceRouter"];
    mapping(bytes32 name => address) internal expected;
    uint64 internal lastVersion;
    uint256 internal proposedAt;
    bytes32 internal pendingName;
    address internal pendingAddress;

    constructor() {
        setUp();
        for (uint256 i = 0; i < PARTIES; ++i) {
            secrets[i] = 100 + i;
            parties[i] = vm.addr(secrets[i]);
            if (i < 3) _join(parties[i], string(bytes.concat("q", bytes1(uint8(0x61 + i)))));
        }
        epochAtFirst = registry.epoch();
        bytes32[] memory first = new bytes32[](3);
        address[] memory addresses = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            (first[i], addresses[i]) = (names[i], address(new Something()));
            expected[names[i]] = addresses[i];
        }
        directory.setFirst(first, addresses);
        lastVersion = 1;
    }

    function _status(address party) internal view returns (IParticipantRegistry.Status) {
        return registry.statusOf(party);
    }

    function _isActing(address party) internal view returns (bool) {
        IParticipantRegistry.Status status = _status(party);
        return status != IParticipantRegistry.Status.Unknown && status != IParticipantRegistry.Status.Banned;
    }

    function _steward(uint256 seed) internal pure returns (address) {
        address[3] memory all = [FIRST, SECOND, THIRD];
        return all[seed % 3];
    }

    function _count() internal {
        ++changesSeen;
    }

    /// @dev Names and certificates from a small domain, so that they collide.
    function register(uint256 who, uint8 name, uint8 certificate) external {
        address caller = secrets[who % PARTIES] == 100 + who % PARTIES ? parties[who % PARTIES] : vm.addr(fresh);
        vm.prank(caller);
        try registry.register(
            string(bytes.concat("p", bytes1(0x61 + name % 8))), "e", bytes.concat("c", bytes1(certificate % 8)), "k"
        ) {
            if (caller == vm.addr(fresh)) ++fresh; // a party of no further interest
            _count();
        } catch {}
    }

    function serve(uint256 who, uint8 certificate, bytes32 key) external {
        vm.startPrank(vm.addr(secrets[who % PARTIES]));
        try registry.setService("e", bytes.concat("c", bytes1(certificate % 8))) {
            _count();
        } catch {}
        try registry.setEncryptionKey(key) {
            _count();
        } catch {}
        vm.stopPrank();
    }

    /// @dev Sometimes to a key that stands for a party or did, which must fail.
    function rotate(uint256 who, bool toOneInUse, uint256 other) external {
        uint256 index = who % PARTIES;
        if (_status(parties[other % PARTIES]) == IParticipantRegistry.Status.Unknown) toOneInUse = false;
        address party = parties[index];
        uint256 next = toOneInUse ? (other % 2 == 0 ? secrets[other % PARTIES] : 100 + other % PARTIES) : ++fresh;
        bytes memory signature = _signRotationOf(
            party, secrets[index], vm.addr(next), registry.rotationNonce(party), uint64(block.timestamp)
        );
        bool acting = _isActing(party);
        vm.prank(vm.addr(next));
        (bool success,) =
            address(registry).call(abi.encodeCall(registry.rotateKey, (party, uint64(block.timestamp), signature)));
        assertTrue(success == (acting && !toOneInUse), "rotated");
        if (!success) return;
        _count();
        retired.push(vm.addr(secrets[index]));
        secrets[index] = next;
    }

    function vote(uint256 who, uint256 steward, uint8 call) external {
        address party = parties[who % PARTIES];
        IParticipantRegistry.Status before = _status(party);
        bool carried = false;
        vm.prank(_steward(steward));
        (bool success, bytes memory result) = address(registry)
            .call(
                call % 8 == 7
                    ? abi.encodeCall(registry.ban, (party, "r"))
                    : call % 3 == 0
                        ? abi.encodeCall(registry.accredit, (party))
                        : call % 3 == 1
                            ? abi.encodeCall(registry.suspend, (party, "r"))
                            : abi.encodeCall(registry.reinstate, (party))
            );
        if (success) carried = abi.decode(result, (bool));
        if (!carried) {
            assertStatus(party, before);
            return;
        }
        _count();
        if (_status(party) == IParticipantRegistry.Status.Banned) banned.push(party);
        if (_status(party) == IParticipantRegistry.Status.Accredited) delete given[party];
    }

    function strike(uint256 who, uint8 job, uint8 round) external {
        address party = parties[who % PARTIES];
        IParticipantRegistry.Status before = _status(party);
        if (before == IParticipantRegistry.Status.Unknown) return;
        bytes32 jobId = bytes32(uint256(job % 2 + 1) << 248);
        Given[] storage list = given[party];
        if (_upheld(party) < 3) {
            for (uint256 i = 0; i < list.length; ++i) {
                if (list[i].job == jobId && round % 40 >= uint256(list[i].round) + 10) list[i].upheld = false;
            }
        }
        list.push(Given(jobId, round % 40, true));
        (uint32 strikes, bool suspended) = _strike(party, jobId, round % 40);
        assertEq(strikes, _upheld(party), "strikes returned");
        bool shouldSuspend = before == IParticipantRegistry.Status.Accredited && strikes >= 3;
        assertTrue(suspended == shouldSuspend, "suspended at the third");
        assertStatus(party, shouldSuspend ? IParticipantRegistry.Status.Suspended : before);
        if (suspended) _count();
    }

    function forgive(uint256 who) external {
        address party = parties[who % PARTIES];
        if (_status(party) == IParticipantRegistry.Status.Unknown) return;
        vm.prank(gate);
        registry.forgive(party);
        Given[] storage list = given[party];
        for (uint256 i = list.length; i > 0; --i) {
            if (!list[i - 1].upheld) continue;
            list[i - 1].upheld = false;
            break;
        }
    }

    function suspendAtOnce(uint256 who) external {
        address party = parties[who % PARTIES];
        if (_status(party) == IParticipantRegistry.Status.Unknown) return;
        vm.prank(gate);
        if (registry.suspendAtOnce(party, "job", 32)) _count();
    }

    /// @dev What nobody but stewards and gates may do, tried by parties, retired keys and strangers.
    function trespass(uint256 who, uint256 about, uint8 call) external {
        address caller = who % 3 == 0 ? EVE : who % 3 == 1 ? parties[who % PARTIES] : vm.addr(secrets[who % PARTIES]);
        if (retired.length != 0 && who % 5 == 0) caller = retired[who % retired.length];
        address party = parties[about % PARTIES];
        bytes[6] memory calls = [
            abi.encodeCall(registry.accredit, (party)),
            abi.encodeCall(registry.reinstate, (party)),
            abi.encodeCall(registry.ban, (party, "r")),
            abi.encodeCall(registry.strike, (party, "job", 1, 1)),
            abi.encodeCall(registry.suspendAtOnce, (party, "job", 1)),
            abi.encodeCall(registry.forgive, (party))
        ];
        vm.prank(caller);
        (bool success,) = address(registry).call(calls[call % 6]);
        assertTrue(!success, "a trespass succeeded");
    }

    function propose(uint256 steward, uint8 name) external {
        bytes32[] memory changed = new bytes32[](1);
        address[] memory addresses = new address[](1);
        // two candidates per name, so that votes meet
        (changed[0], addresses[0]) = (names[name % 3], name % 2 == 0 ? address(stewards) : address(registry));
        vm.prank(_steward(steward));
        try directory.propose(changed, addresses) returns (bool carried) {
            assertTrue(pendingName == 0, "proposed while one is pending");
            if (!carried) return;
            (proposedAt, pendingName, pendingAddress) = (block.timestamp, changed[0], addresses[0]);
        } catch {}
    }

    function cancel(uint256 steward) external {
        vm.prank(_steward(steward));
        try directory.cancel() returns (bool carried) {
            if (carried) pendingName = 0;
        } catch {}
    }

    function applyChange(uint32 elapsed) external {
        vm.warp(block.timestamp + elapsed % 3 days);
        bool due = pendingName != 0 && block.timestamp >= proposedAt + DELAY;
        (bool success,) = address(directory).call(abi.encodeCall(directory.applyChange, ()));
        assertTrue(success == due, "applied exactly when due");
        if (!success) return;
        expected[pendingName] = pendingAddress;
        pendingName = 0;
        assertEq(directory.version(), lastVersion + 1, "the version grows by one");
        ++lastVersion;
    }

    function _upheld(address party) internal view returns (uint256 strikes) {
        for (uint256 i = 0; i < given[party].length; ++i) {
            if (given[party][i].upheld) ++strikes;
        }
    }

    function assertStrikes() external view {
        for (uint256 i = 0; i < PARTIES; ++i) {
            assertEq(_strikes(parties[i]), _upheld(parties[i]), "strikes = upheld of those given");
            if (_status(parties[i]) == IParticipantRegistry.Status.Accredited) {
                assertTrue(_strikes(parties[i]) < 3, "accredited with three strikes");
            }
        }
    }

    function assertBanned() external view {
        for (uint256 i = 0; i < banned.length; ++i) {
            assertStatus(banned[i], IParticipantRegistry.Status.Banned);
            (address party, IParticipantRegistry.Status status) = registry.identify(registry.signerOf(banned[i]));
            assertEq(party, banned[i], "party");
            assertTrue(status == IParticipantRegistry.Status.Banned, "a banned party came back");
        }
    }

    function assertKeys() external view {
        for (uint256 i = 0; i < retired.length; ++i) {
            assertIdentified(retired[i], address(0), IParticipantRegistry.Status.Unknown);
        }
        uint256 count = registry.count();
        uint64 changes = 0;
        for (uint256 i = 0; i < count; ++i) {
            address party = registry.at(i);
            IParticipantRegistry.Participant memory one = registry.participantOf(party);
            changes += one.changes;
            assertIdentified(one.signer, party, one.status);
            assertEq(registry.addressOf(one.name), party, "one party per name");
            assertEq(sha256(registry.certificateOf(party)), one.fingerprint, "fingerprint");
            for (uint256 j = 0; j < i; ++j) {
                IParticipantRegistry.Participant memory other = registry.participantOf(registry.at(j));
                assertTrue(one.signer != other.signer, "one party per signer");
                assertTrue(one.fingerprint != other.fingerprint, "one party per fingerprint");
            }
        }
        assertEq(registry.epoch(), changes, "epoch = all changes");
        assertEq(registry.epoch(), epochAtFirst + changesSeen, "each change counts once");
    }

    function assertDirectory() external view {
        assertEq(directory.version(), lastVersion, "version");
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(directory.addressOf(names[i]), expected[names[i]], "an address changed before its time");
            assertEq(directory.addressAt(names[i], lastVersion), expected[names[i]], "addressAt");
        }
        (uint64 version, uint64 notBefore,,) = directory.pending();
        assertTrue((version == 0) == (pendingName == 0), "pending");
        if (version != 0) assertEq(notBefore, proposedAt + DELAY, "not before");
    }
}

contract MembershipInvariantsTest {
    MembershipHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new MembershipHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](18);
        selectors[0] = selectors[1] = MembershipHandler.register.selector;
        selectors[2] = MembershipHandler.serve.selector;
        selectors[3] = selectors[4] = MembershipHandler.rotate.selector;
        selectors[5] = selectors[6] = selectors[7] = selectors[8] = MembershipHandler.vote.selector;
        selectors[9] = selectors[10] = MembershipHandler.strike.selector;
        selectors[11] = MembershipHandler.forgive.selector;
        selectors[12] = MembershipHandler.suspendAtOnce.selector;
        selectors[13] = MembershipHandler.trespass.selector;
        selectors[14] = selectors[15] = MembershipHandler.propose.selector;
        selectors[16] = MembershipHandler.cancel.selector;
        selectors[17] = MembershipHandler.applyChange.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_strikes_areTheUpheldOnesOfThoseGiven() public view {
        handler.assertStrikes();
    }

    function invariant_bannedParties_neverComeBack() public view {
        handler.assertBanned();
    }

    function invariant_retiredKeys_identifyNobody_andSignersNamesCertificatesAreUnique() public view {
        handler.assertKeys();
    }

    function invariant_directory_changesNoAddressBeforeItsDelay() public view {
        handler.assertDirectory();
    }
}
