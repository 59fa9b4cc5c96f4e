// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {Deployed} from "./utils/Deployed.sol";

contract ParticipantRegistryTest is Deployed {
    address internal constant EVE = address(0xE7E);

    function _register(address party, string memory name) internal {
        vm.prank(party);
        registry.register(name, "localhost:9", _certificate(party));
    }

    function _expectWrongStatus(address party, IParticipantRegistry.Status expected, IParticipantRegistry.Status found)
        internal
    {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.WrongStatus.selector, party, expected, found));
    }

    function test_register_storesEverything_whenNameIsNew() public {
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.ParticipantRegistered(EVE, "eve_1-x", "localhost:9", sha256(_certificate(EVE)));
        _register(EVE, "eve_1-x");
        (
            string memory name,
            string memory endpoint,
            IParticipantRegistry.Status status,
            uint32 strikes,
            bytes32 fingerprint
        ) = registry.participantOf(EVE);
        assertEq(name, "eve_1-x", "name");
        assertEq(endpoint, "localhost:9", "endpoint");
        assertEq(uint256(status), uint256(IParticipantRegistry.Status.Registered), "status");
        assertEq(strikes, 0, "strikes");
        assertEq(fingerprint, sha256(_certificate(EVE)), "fingerprint");
        assertEq(string(registry.certificateOf(EVE)), string(_certificate(EVE)), "certificate");
        assertEq(registry.addressOf("eve_1-x"), EVE, "addressOf");
        assertEq(registry.count(), 5, "count");
        assertEq(registry.at(4), EVE, "at");
    }

    function test_register_reverts_whenCallerIsRegistered() public {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.AlreadyRegistered.selector, BOB));
        _register(BOB, "robert");
    }

    function test_register_reverts_whenNameIsTaken() public {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameTaken.selector, BOB));
        _register(EVE, "bob");
    }

    function test_register_reverts_whenNameHasOtherCharacters() public {
        string[7] memory names = ["", "Eve", "e e", "eve.", "\xc3\xa9ve", "eve/", "eve\x00"];
        for (uint256 i = 0; i < names.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
            _register(EVE, names[i]);
        }
    }

    function test_register_bounds_nameAndEndpoint() public {
        bytes memory name = new bytes(65);
        for (uint256 i = 0; i < 65; ++i) {
            name[i] = "a";
        }
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
        _register(EVE, string(name));
        vm.startPrank(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 0, 256));
        registry.register("eve", "", "c");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 257, 256));
        registry.register("eve", string(new bytes(257)), "c");
        assembly ("memory-safe") {
            mstore(name, 64)
        }
        registry.register(string(name), string(new bytes(256)), "c");
        vm.stopPrank();
        assertStatus(EVE, IParticipantRegistry.Status.Registered);
    }

    function test_register_bounds_certificate() public {
        vm.startPrank(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 0, 2048));
        registry.register("eve", "localhost:9", "");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 2049, 2048));
        registry.register("eve", "localhost:9", new bytes(2049));
        registry.register("eve", "localhost:9", new bytes(2048));
        vm.stopPrank();
        assertEq(registry.certificateOf(EVE).length, 2048, "certificate");
    }

    function test_register_reverts_whenCertificateIsAnothers() public {
        vm.prank(EVE);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, BOB));
        registry.register("eve", "localhost:9", _certificate(BOB));
        assertStatus(EVE, IParticipantRegistry.Status.Unknown);
        assertEq(registry.addressOf("eve"), address(0), "nothing stays of a refused registration");
    }

    function test_setService_changesEndpointAndCertificate_whenRegistered() public {
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.ServiceChanged(BOB, "localhost:77", sha256("new"));
        _setService(BOB, "localhost:77", "new");
        (, string memory endpoint,,, bytes32 fingerprint) = registry.participantOf(BOB);
        assertEq(endpoint, "localhost:77", "endpoint");
        assertEq(fingerprint, sha256("new"), "fingerprint");
        assertEq(string(registry.certificateOf(BOB)), "new", "certificate");
    }

    function test_setService_keepsTheCertificate_whenOnlyTheEndpointChanges() public {
        vm.expectEmit(true, false, false, true, address(registry));
        emit IParticipantRegistry.ServiceChanged(BOB, "localhost:78", sha256(_certificate(BOB)));
        _setService(BOB, "localhost:78", _certificate(BOB));
        assertEq(string(registry.certificateOf(BOB)), string(_certificate(BOB)), "certificate");
    }

    function test_setService_freesTheEarlierCertificate() public {
        _setService(BOB, "localhost:77", "new");
        _setService(CAROL, "localhost:78", _certificate(BOB));
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, CAROL));
        _setService(BOB, "localhost:77", _certificate(BOB));
        assertEq(string(registry.certificateOf(BOB)), "new", "certificate");
    }

    function test_setService_reverts_whenNotRegisteredOrOutOfBounds() public {
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NotRegistered.selector, EVE));
        _setService(EVE, "localhost:77", "new");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.EndpointInvalid.selector, 0, 256));
        _setService(BOB, "", "new");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateInvalid.selector, 0, 2048));
        _setService(BOB, "localhost:77", "");
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.CertificateTaken.selector, CAROL));
        _setService(BOB, "localhost:77", _certificate(CAROL));
    }

    function testFuzz_setService_storesExactlyTheBytes(uint256 first, uint256 second, bytes32 seed) public {
        bytes memory earlier = bytesOf(bound(first, 1, 2048), seed);
        bytes memory later = bytesOf(bound(second, 1, 2048), ~seed);
        _setService(BOB, "localhost:77", earlier);
        _setService(BOB, "localhost:77", later);
        assertEq(string(registry.certificateOf(BOB)), string(later), "certificate");
        (,,,, bytes32 fingerprint) = registry.participantOf(BOB);
        assertEq(fingerprint, sha256(later), "fingerprint");
    }

    function _setService(address party, string memory endpoint, bytes memory certificate) private {
        vm.prank(party);
        registry.setService(endpoint, certificate);
    }

    function test_stewardCalls_revert_whenCallerIsNotSteward() public {
        bytes memory denied = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, BOB, registry.STEWARD_ROLE()
        );
        vm.startPrank(BOB);
        vm.expectRevert(denied);
        registry.accredit(BOB);
        vm.expectRevert(denied);
        registry.suspend(CAROL, "rival");
        vm.expectRevert(denied);
        registry.reinstate(CAROL);
        vm.stopPrank();
    }

    function test_strike_reverts_whenCallerIsNotLedger() public {
        bytes memory denied = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, STEWARD, registry.LEDGER_ROLE()
        );
        vm.prank(STEWARD);
        vm.expectRevert(denied);
        registry.strike(BOB, 0, 1);
    }

    function test_accredit_reverts_whenStatusIsNotRegistered() public {
        vm.startPrank(STEWARD);
        _expectWrongStatus(EVE, IParticipantRegistry.Status.Registered, IParticipantRegistry.Status.Unknown);
        registry.accredit(EVE);
        _expectWrongStatus(BOB, IParticipantRegistry.Status.Registered, IParticipantRegistry.Status.Accredited);
        registry.accredit(BOB);
        registry.suspend(BOB, "test");
        _expectWrongStatus(BOB, IParticipantRegistry.Status.Registered, IParticipantRegistry.Status.Suspended);
        registry.accredit(BOB);
        vm.stopPrank();
    }

    function test_suspend_reverts_whenNeverAccredited() public {
        _register(EVE, "eve");
        vm.prank(STEWARD);
        _expectWrongStatus(EVE, IParticipantRegistry.Status.Accredited, IParticipantRegistry.Status.Registered);
        registry.suspend(EVE, "test");
    }

    function test_suspend_reverts_whenReasonIsTooLong() public {
        vm.startPrank(STEWARD);
        vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.ReasonTooLong.selector, 257, 256));
        registry.suspend(BOB, string(new bytes(257)));
        registry.suspend(BOB, string(new bytes(256)));
        vm.stopPrank();
    }

    function test_strike_suspends_atTheThird() public {
        vm.startPrank(address(ledger));
        registry.strike(BOB, "job", 12);
        registry.strike(BOB, "job", 12);
        assertStatus(BOB, IParticipantRegistry.Status.Accredited);
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.StrikeRecorded(BOB, "job", 11, 3);
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantSuspended(BOB, address(ledger), "three strikes");
        registry.strike(BOB, "job", 11);
        vm.stopPrank();
        assertStatus(BOB, IParticipantRegistry.Status.Suspended);
    }

    function test_reinstate_clearsStrikes_whenSuspended() public {
        vm.startPrank(address(ledger));
        for (uint256 i = 0; i < registry.STRIKES_TO_SUSPEND(); ++i) {
            registry.strike(BOB, "job", 12);
        }
        vm.stopPrank();
        vm.startPrank(STEWARD);
        vm.expectEmit(true, true, false, true, address(registry));
        emit IParticipantRegistry.ParticipantReinstated(BOB, STEWARD);
        registry.reinstate(BOB);
        _expectWrongStatus(BOB, IParticipantRegistry.Status.Suspended, IParticipantRegistry.Status.Accredited);
        registry.reinstate(BOB);
        vm.stopPrank();
        assertStatus(BOB, IParticipantRegistry.Status.Accredited);
        assertEq(_strikes(BOB), 0, "strikes");
    }

    function testFuzz_register_acceptsExactlyTheAlphabet(bytes1 c) public {
        bool allowed = (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "_" || c == "-";
        if (!allowed) vm.expectRevert(abi.encodeWithSelector(IParticipantRegistry.NameInvalid.selector));
        _register(EVE, string(bytes.concat("x", c)));
    }
}
