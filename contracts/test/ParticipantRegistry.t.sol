// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ParticipantRegistry} from "../src/ParticipantRegistry.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IStewards} from "../src/interfaces/IStewards.sol";
import {Membership, Something} from "./utils/Membership.sol";

/// @title Registration, service, keys' bounds and the stewards' decisions. Strikes and rotation have files of their own.
contract ParticipantRegistryTest is Membership {
    function _setService(address caller, string memory endpoint, bytes memory certificate) internal {
        vm.prank(caller);
        registry.setService(endpoint, certificate);
    }

    function _expectWrongStatus(address party, IParticipantRegistry.Status expected, IParticipantRegistry.Status found)
        internal
    {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.WrongStatus.selector, party, expected, found));
    }

    function _expectNotRegistered(address party) internal {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, party));
    }

    function _expectBanned(address party) internal {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.PartyBanned.selector, party));
    }

    // registration

    function test_register_storesEverything_whenNameIsNew() public {
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.ParticipantRegistered(
            EVE, "eve_1-x", "localhost:1", sha256(_certificate(EVE)), _encryptionKey(EVE)
        );
        _register(EVE, "eve_1-x");
        IParticipantRegistry.Participant memory eve = registry.participantOf(EVE);
        assertEq(eve.name, "eve_1-x", "name");
        assertEq(eve.endpoint, "localhost:1", "endpoint");
        assertEq(uint256(eve.status), uint256(IParticipantRegistry.Status.Registered), "status");
        assertEq(eve.strikes, 0, "strikes");
        assertEq(eve.fingerprint, sha256(_certificate(EVE)), "fingerprint");
        assertEq(eve.encryptionKey, _encryptionKey(EVE), "encryption key");
        assertEq(eve.signer, EVE, "signer");
        assertEq(eve.changes, 1, "changes");
        assertEq(string(registry.certificateOf(EVE)), string(_certificate(EVE)), "certificate");
        assertEq(registry.addressOf("eve_1-x"), EVE, "addressOf");
        assertEq(registry.count(), 6, "count");
        assertEq(registry.at(5), EVE, "at");
        assertIdentified(EVE, EVE, IParticipantRegistry.Status.Registered);
    }

    function test_register_reverts_whenCallerIsRegistered() public {
        address[4] memory parties = [bob, RITA, SAM, BEN];
        for (uint256 i = 0; i < parties.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.AlreadyRegistered.selector, parties[i]));
            _register(parties[i], "another");
        }
    }

    function test_register_reverts_whenNameIsTaken() public {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameTaken.selector, bob));
        _register(EVE, "bob");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameTaken.selector, BEN));
        _register(EVE, "ben"); // also of a banned party
    }

    function test_register_reverts_whenNameHasOtherCharacters() public {
        string[7] memory names = ["", "Eve", "e e", "eve.", "\xc3\xa9ve", "eve/", "eve\x00"];
        for (uint256 i = 0; i < names.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
            _register(EVE, names[i]);
        }
    }

    function test_register_bounds_nameEndpointCertificateAndKey() public {
        bytes memory name = new bytes(65);
        for (uint256 i = 0; i < 65; ++i) {
            name[i] = "a";
        }
        vm.startPrank(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
        registry.register(string(name), "e", "c", "k");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 0, 256));
        registry.register("eve", "", "c", "k");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 257, 256));
        registry.register("eve", string(new bytes(257)), "c", "k");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 0, 2048));
        registry.register("eve", "e", "", "k");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 2049, 2048));
        registry.register("eve", "e", new bytes(2049), "k");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EncryptionKeyInvalid.selector));
        registry.register("eve", "e", "c", 0);
        assembly ("memory-safe") {
            mstore(name, 64)
        }
        registry.register(string(name), string(new bytes(256)), new bytes(2048), bytes32(type(uint256).max));
        vm.stopPrank();
        assertStatus(EVE, IParticipantRegistry.Status.Registered);
    }

    function test_register_reverts_whenCertificateIsTaken() public {
        vm.prank(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, BEN));
        registry.register("eve", "e", _certificate(BEN), "k");
    }

    function testFuzz_register_acceptsExactlyTheAlphabet(bytes1 c) public {
        bool allowed = (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "_" || c == "-";
        if (!allowed) vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
        _register(EVE, string(bytes.concat("x", c)));
    }

    function testFuzz_register_takesExactlyWhatIsWithinBounds(
        address caller,
        uint256 nameLength,
        uint256 endpointLength,
        uint256 certificateLength,
        bytes32 key
    ) public {
        vm.assume(registry.statusOf(caller) == IParticipantRegistry.Status.Unknown);
        nameLength = bound(nameLength, 0, 70);
        endpointLength = bound(endpointLength, 0, 300);
        certificateLength = bound(certificateLength, 0, 2100);
        bytes memory name = new bytes(nameLength);
        for (uint256 i = 0; i < nameLength; ++i) {
            name[i] = "z";
        }
        bool valid = nameLength != 0 && nameLength <= 64 && endpointLength != 0 && endpointLength <= 256
            && certificateLength != 0 && certificateLength <= 2048 && key != 0;
        vm.prank(caller);
        if (!valid) vm.expectRevert();
        registry.register(string(name), string(new bytes(endpointLength)), bytesOf(certificateLength, key), key);
        assertTrue(registry.addressOf(string(name)) == (valid ? caller : address(0)), "registered");
    }

    // service

    function test_setService_changesEndpointAndCertificate() public {
        uint64 epoch = registry.epoch();
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.ServiceChanged(bob, "localhost:77", sha256("new"));
        _setService(bob, "localhost:77", "new");
        assertEq(registry.participantOf(bob).endpoint, "localhost:77", "endpoint");
        assertEq(registry.participantOf(bob).fingerprint, sha256("new"), "fingerprint");
        assertEq(string(registry.certificateOf(bob)), "new", "certificate");
        assertEq(registry.participantOf(bob).changes, 3, "changes");
        assertEq(registry.epoch(), epoch + 1, "epoch");
    }

    function test_setService_keepsTheCertificate_whenItIsThePresentOne() public {
        _setService(bob, "localhost:78", _certificate(bob));
        assertEq(registry.participantOf(bob).endpoint, "localhost:78", "endpoint");
        assertEq(string(registry.certificateOf(bob)), string(_certificate(bob)), "certificate");
    }

    function test_setService_freesTheEarlierCertificate() public {
        _setService(bob, "localhost:77", "new");
        _setService(CAROL, "localhost:78", _certificate(bob));
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, CAROL));
        _setService(bob, "localhost:77", _certificate(bob));
        assertEq(string(registry.certificateOf(bob)), "new", "certificate");
    }

    function test_setService_isOpenToRegisteredAndSuspendedParties() public {
        _setService(RITA, "localhost:77", "rita's");
        _setService(SAM, "localhost:77", "sam's");
        assertEq(registry.participantOf(SAM).endpoint, "localhost:77", "endpoint");
    }

    function test_setService_reverts_whenNotRegisteredOrBannedOrOutOfBounds() public {
        _expectNotRegistered(EVE);
        _setService(EVE, "localhost:77", "new");
        _expectNotRegistered(FIRST);
        _setService(FIRST, "localhost:77", "new");
        _expectBanned(BEN);
        _setService(BEN, "localhost:77", "new");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 0, 256));
        _setService(bob, "", "new");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 257, 256));
        _setService(bob, string(new bytes(257)), "new");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 0, 2048));
        _setService(bob, "localhost:77", "");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 2049, 2048));
        _setService(bob, "localhost:77", new bytes(2049));
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, CAROL));
        _setService(bob, "localhost:77", _certificate(CAROL));
        _setService(bob, string(new bytes(256)), new bytes(2048));
    }

    function testFuzz_setService_storesExactlyTheBytes(uint256 first, uint256 second, bytes32 seed) public {
        bytes memory earlier = bytesOf(bound(first, 1, 2048), seed);
        bytes memory later = bytesOf(bound(second, 1, 2048), ~seed);
        _setService(bob, "localhost:77", earlier);
        _setService(bob, "localhost:77", later);
        assertEq(string(registry.certificateOf(bob)), string(later), "certificate");
        assertEq(registry.participantOf(bob).fingerprint, sha256(later), "fingerprint");
    }

    // encryption key

    function test_setEncryptionKey_changesIt() public {
        uint64 epoch = registry.epoch();
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.EncryptionKeyChanged(bob, "another");
        vm.prank(bob);
        registry.setEncryptionKey("another");
        assertEq(registry.participantOf(bob).encryptionKey, bytes32("another"), "key");
        assertEq(registry.epoch(), epoch + 1, "epoch");
        vm.prank(SAM); // a suspended party may
        registry.setEncryptionKey(bytes32(type(uint256).max));
    }

    function test_setEncryptionKey_reverts_whenZeroOrNotRegisteredOrBanned() public {
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EncryptionKeyInvalid.selector));
        registry.setEncryptionKey(0);
        vm.prank(EVE);
        _expectNotRegistered(EVE);
        registry.setEncryptionKey("another");
        vm.prank(BEN);
        _expectBanned(BEN);
        registry.setEncryptionKey("another");
    }

    function testFuzz_setEncryptionKey_takesAnyButZero(bytes32 key) public {
        vm.prank(bob);
        if (key == 0) vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EncryptionKeyInvalid.selector));
        registry.setEncryptionKey(key);
        assertEq(registry.participantOf(bob).encryptionKey, key == 0 ? _encryptionKey(bob) : key, "key");
    }

    // what stewards decide

    function test_accredit_needsTwoOfThree() public {
        uint64 epoch = registry.epoch();
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StandingVoted(RITA, FIRST, IParticipantRegistry.Status.Accredited, "");
        vm.prank(FIRST);
        assertTrue(!registry.accredit(RITA), "one of two");
        assertStatus(RITA, IParticipantRegistry.Status.Registered);
        bytes32 motion = registry.motionOf(RITA, IParticipantRegistry.Status.Accredited);
        assertEq(stewards.votesOf(address(registry), motion), 1, "votes");
        assertEq(registry.epoch(), epoch, "a vote alone changes nothing");
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantAccredited(RITA, THIRD);
        vm.prank(THIRD);
        assertTrue(registry.accredit(RITA), "two of two");
        assertIdentified(RITA, RITA, IParticipantRegistry.Status.Accredited);
        assertEq(registry.epoch(), epoch + 1, "epoch");
    }

    function test_accredit_reverts_whenTheStewardVotesTwice() public {
        vm.startPrank(FIRST);
        registry.accredit(RITA);
        bytes32 motion = registry.motionOf(RITA, IParticipantRegistry.Status.Accredited);
        vm.expectRevert(abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, motion));
        registry.accredit(RITA);
        vm.stopPrank();
    }

    function test_accredit_reverts_whenStatusIsNotRegistered() public {
        IParticipantRegistry.Status expected = IParticipantRegistry.Status.Registered;
        vm.startPrank(FIRST);
        _expectWrongStatus(EVE, expected, IParticipantRegistry.Status.Unknown);
        registry.accredit(EVE);
        _expectWrongStatus(bob, expected, IParticipantRegistry.Status.Accredited);
        registry.accredit(bob);
        _expectWrongStatus(SAM, expected, IParticipantRegistry.Status.Suspended);
        registry.accredit(SAM);
        _expectWrongStatus(BEN, expected, IParticipantRegistry.Status.Banned);
        registry.accredit(BEN);
        vm.stopPrank();
    }

    function test_stewardCalls_revert_whenCallerIsNoSteward() public {
        address[4] memory callers = [EVE, bob, SAM, gate];
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes memory denied = abi.encodeWithSelector(IStewards.NotSteward.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(denied);
            registry.accredit(RITA);
            vm.expectRevert(denied);
            registry.suspend(CAROL, "rival");
            vm.expectRevert(denied);
            registry.reinstate(SAM);
            vm.expectRevert(denied);
            registry.ban(CAROL, "rival");
            vm.expectRevert(denied);
            registry.admitGate(address(stewards));
            vm.stopPrank();
        }
    }

    function test_suspend_recordsEveryStewardsReason() public {
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StandingVoted(bob, FIRST, IParticipantRegistry.Status.Suspended, "late");
        vm.prank(FIRST);
        registry.suspend(bob, "late");
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StandingVoted(bob, SECOND, IParticipantRegistry.Status.Suspended, "unpaid");
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantSuspended(bob, SECOND, "unpaid");
        vm.prank(SECOND);
        assertTrue(registry.suspend(bob, "unpaid"), "reasons may differ");
        assertIdentified(bob, bob, IParticipantRegistry.Status.Suspended);
    }

    function test_suspend_reverts_whenNotAccredited() public {
        IParticipantRegistry.Status expected = IParticipantRegistry.Status.Accredited;
        vm.startPrank(FIRST);
        _expectWrongStatus(EVE, expected, IParticipantRegistry.Status.Unknown);
        registry.suspend(EVE, "test");
        _expectWrongStatus(RITA, expected, IParticipantRegistry.Status.Registered);
        registry.suspend(RITA, "test");
        _expectWrongStatus(SAM, expected, IParticipantRegistry.Status.Suspended);
        registry.suspend(SAM, "test");
        _expectWrongStatus(BEN, expected, IParticipantRegistry.Status.Banned);
        registry.suspend(BEN, "test");
        vm.stopPrank();
    }

    function test_suspendAndBan_revert_whenReasonIsTooLong() public {
        vm.startPrank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.ReasonTooLong.selector, 257, 256));
        registry.suspend(bob, string(new bytes(257)));
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.ReasonTooLong.selector, 257, 256));
        registry.ban(bob, string(new bytes(257)));
        registry.suspend(bob, string(new bytes(256)));
        registry.ban(bob, string(new bytes(256)));
        registry.ban(CAROL, "");
        vm.stopPrank();
    }

    function test_reinstate_clearsStrikes() public {
        _strike(bob, "job", 1);
        _strike(bob, "job", 1);
        _strike(bob, "job", 1);
        assertStatus(bob, IParticipantRegistry.Status.Suspended);
        vm.prank(FIRST);
        assertTrue(!registry.reinstate(bob), "one of two");
        assertEq(_strikes(bob), 3, "strikes");
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantReinstated(bob, SECOND);
        vm.prank(SECOND);
        assertTrue(registry.reinstate(bob), "two of two");
        assertIdentified(bob, bob, IParticipantRegistry.Status.Accredited);
        assertEq(_strikes(bob), 0, "strikes");
        vm.prank(SECOND);
        _expectWrongStatus(bob, IParticipantRegistry.Status.Suspended, IParticipantRegistry.Status.Accredited);
        registry.reinstate(bob);
    }

    function test_reinstate_reverts_whenNotSuspended() public {
        IParticipantRegistry.Status expected = IParticipantRegistry.Status.Suspended;
        vm.startPrank(FIRST);
        _expectWrongStatus(EVE, expected, IParticipantRegistry.Status.Unknown);
        registry.reinstate(EVE);
        _expectWrongStatus(RITA, expected, IParticipantRegistry.Status.Registered);
        registry.reinstate(RITA);
        _expectWrongStatus(BEN, expected, IParticipantRegistry.Status.Banned);
        registry.reinstate(BEN);
        vm.stopPrank();
    }

    function test_ban_isForEver_fromAnyStatus() public {
        address[3] memory parties = [RITA, bob, SAM];
        for (uint256 i = 0; i < parties.length; ++i) {
            vm.prank(FIRST);
            assertTrue(!registry.ban(parties[i], "fraud"), "one of two");
            vm.expectEmit(true, true, false, true, address(registry));
            emit IParticipantRegistry.ParticipantBanned(parties[i], SECOND, "forgery");
            vm.prank(SECOND);
            assertTrue(registry.ban(parties[i], "forgery"), "two of two");
            assertIdentified(parties[i], parties[i], IParticipantRegistry.Status.Banned);
            vm.prank(FIRST);
            _expectBanned(parties[i]);
            registry.ban(parties[i], "again");
        }
    }

    function test_ban_reverts_whenNotRegistered() public {
        vm.prank(FIRST);
        _expectNotRegistered(EVE);
        registry.ban(EVE, "unknown");
    }

    function test_votes_lapse_whenTheStandingChanges() public {
        vm.prank(THIRD);
        registry.ban(bob, "fraud");
        _suspend(bob);
        vm.prank(FIRST);
        assertTrue(!registry.ban(bob, "fraud"), "the vote of before the suspension is void");
        _reinstate(bob);
        vm.prank(THIRD);
        assertTrue(!registry.suspend(bob, "late"), "so are all earlier ones");
    }

    function test_votes_stand_whenThePartyChangesItsServiceOrKeyAlone() public {
        vm.prank(FIRST);
        registry.suspend(bob, "late");
        _setService(bob, "localhost:2", "another");
        vm.prank(bob);
        registry.setEncryptionKey("another");
        vm.prank(SECOND);
        assertTrue(registry.suspend(bob, "late"), "a party cannot void the votes against it");
    }

    // gates

    function test_setGate_reverts_whenNotTheDeployerOrZeroOrTwice() public {
        ParticipantRegistry fresh = new ParticipantRegistry(stewards);
        vm.prank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotDeployer.selector, FIRST));
        fresh.setGate(gate);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateInvalid.selector, address(0)));
        fresh.setGate(address(0));
        vm.expectEmit(true, false, false, true, address(fresh));
        emit IParticipantRegistry.GateAdmitted(gate);
        fresh.setGate(gate);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateAlreadySet.selector, gate));
        fresh.setGate(address(stewards));
        assertTrue(fresh.isGate(gate) && !fresh.isGate(address(stewards)), "isGate");
        assertEq(fresh.firstGate(), gate, "firstGate");
    }

    function test_admitGate_addsAGate_andTheFirstRemains() public {
        address later = address(new Something());
        vm.prank(FIRST);
        assertTrue(!registry.admitGate(later), "one of two");
        assertEq(stewards.votesOf(address(registry), registry.gateMotionOf(later)), 1, "votes");
        assertTrue(!registry.isGate(later), "not yet");
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.GateAdmitted(later);
        vm.prank(SECOND);
        assertTrue(registry.admitGate(later), "two of two");
        vm.prank(later);
        registry.strike(bob, "job", 1, 12);
        (uint32 strikes,) = _strike(bob, "job", 1);
        assertEq(strikes, 2, "both strike");
    }

    function test_admitGate_reverts_whenThereIsNoCodeOrItIsAGateOrVotedTwice() public {
        vm.startPrank(FIRST);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateInvalid.selector, EVE));
        registry.admitGate(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateInvalid.selector, address(0)));
        registry.admitGate(address(0));
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateInvalid.selector, gate));
        registry.admitGate(gate);
        registry.admitGate(address(stewards));
        bytes32 motion = registry.gateMotionOf(address(stewards));
        vm.expectRevert(abi.encodeWithSelector(IStewards.AlreadyVoted.selector, FIRST, motion));
        registry.admitGate(address(stewards));
        vm.stopPrank();
    }

    // fuzz: whoever calls, about whomever

    function _anyone(uint256 seed) internal view returns (address) {
        address[10] memory all = [FIRST, SECOND, bob, CAROL, RITA, SAM, BEN, EVE, gate, address(0)];
        return all[seed % all.length];
    }

    function testFuzz_stewardCalls_followStatusAndRole(uint256 caller, uint256 about, uint8 call, string memory reason)
        public
    {
        address party = _anyone(about);
        address sender = _anyone(caller);
        IParticipantRegistry.Status status = registry.statusOf(party);
        bool permitted = stewards.isSteward(sender);
        if (call % 4 == 0) permitted = permitted && status == IParticipantRegistry.Status.Registered;
        if (call % 4 == 1) permitted = permitted && status == IParticipantRegistry.Status.Accredited;
        if (call % 4 == 2) permitted = permitted && status == IParticipantRegistry.Status.Suspended;
        if (call % 4 == 3) {
            permitted = permitted && status != IParticipantRegistry.Status.Unknown
                && status != IParticipantRegistry.Status.Banned;
        }
        if (call % 2 == 1 && bytes(reason).length > 256) permitted = false;
        vm.prank(sender);
        if (!permitted) vm.expectRevert();
        if (call % 4 == 0) registry.accredit(party);
        if (call % 4 == 1) registry.suspend(party, reason);
        if (call % 4 == 2) registry.reinstate(party);
        if (call % 4 == 3) registry.ban(party, reason);
        assertStatus(party, status); // one vote of two changes nothing
    }

    function testFuzz_admitGate_takesContractsAlone(address candidate, uint256 caller) public {
        if (caller % 3 != 0) candidate = address(new Something());
        address sender = _anyone(caller / 3);
        bool permitted = stewards.isSteward(sender) && candidate.code.length != 0 && candidate != gate;
        vm.prank(sender);
        if (!permitted) vm.expectRevert();
        registry.admitGate(candidate);
        assertTrue(!registry.isGate(candidate) || candidate == gate, "one vote of two");
        if (!permitted) return;
        vm.prank(sender == FIRST ? SECOND : FIRST);
        assertTrue(registry.admitGate(candidate), "carried");
    }

    function testFuzz_setGate_isTheDeployersOnce(address caller, address first, address second) public {
        vm.assume(caller != address(this));
        ParticipantRegistry fresh = new ParticipantRegistry(stewards);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotDeployer.selector, caller));
        fresh.setGate(first);
        vm.assume(first != address(0));
        fresh.setGate(first);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.GateAlreadySet.selector, first));
        fresh.setGate(second);
    }
}
