// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ParticipantState} from "./ParticipantState.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IStewards} from "./interfaces/IStewards.sol";

/// @title ParticipantRegistry
/// @notice See {IParticipantRegistry}. Who becomes a party, and what becomes of it; {ParticipantState} keeps that.
contract ParticipantRegistry is ParticipantState {
    /// @notice This many strikes that count suspend.
    uint32 public constant STRIKES_TO_SUSPEND = 3;
    /// @notice A strike of a job lapses when this many rounds of it have passed.
    uint32 public constant ROUNDS_A_STRIKE_COUNTS = 10;
    /// @notice What the present signer signs to hand over to another key (EIP-712).
    bytes32 public constant KEY_ROTATION_TYPEHASH =
    // solhint-disable-next-line gas-small-strings
    keccak256("KeyRotation(address party,address newSigner,uint64 nonce,uint64 deadline)");

    uint256 private constant MAX_NAME_BYTES = 64;
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    uint256 private constant MAX_CERTIFICATE_BYTES = 2048;
    uint256 private constant MAX_REASON_BYTES = 256;

    /// @notice Who accredits, suspends, reinstates and bans.
    IStewards public immutable stewards;
    /// @notice Who may set the first gate.
    address public immutable deployer;

    /// @notice Takes the stewards; the gate is set later.
    constructor(IStewards stewards_) {
        stewards = stewards_;
        deployer = msg.sender;
    }

    modifier onlyGate() {
        if (!isGate[msg.sender]) revert NotGate(msg.sender);
        _;
    }

    /// @inheritdoc IParticipantRegistry
    function setGate(address gate) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender);
        if (firstGate != address(0)) revert GateAlreadySet(firstGate);
        if (gate == address(0)) revert GateInvalid(gate);
        firstGate = gate;
        _admit(gate);
    }

    /// @inheritdoc IParticipantRegistry
    function register(string calldata name, string calldata endpoint, bytes calldata certificate, bytes32 encryptionKey)
        external
    {
        Key storage key = _keys[msg.sender];
        if (key.status != Status.Unknown) revert AlreadyRegistered(msg.sender);
        if (key.actsFor != address(0)) revert KeyTaken(msg.sender, key.actsFor);
        _requireName(bytes(name));
        bytes32 nameHash = keccak256(bytes(name));
        address holder = _byName[nameHash];
        if (holder != address(0)) revert NameTaken(holder);
        _requireEncryptionKey(encryptionKey);

        bytes32 fingerprint = _serve(msg.sender, endpoint, certificate);
        _details[msg.sender].name = name;
        _details[msg.sender].encryptionKey = encryptionKey;
        _byName[nameHash] = msg.sender;
        _parties.push(msg.sender);
        _setStatus(key, Status.Registered);
        emit ParticipantRegistered(msg.sender, name, endpoint, fingerprint, encryptionKey);
    }

    /// @inheritdoc IParticipantRegistry
    function setService(string calldata endpoint, bytes calldata certificate) external {
        address party = _requireCaller();
        bytes32 fingerprint = _serve(party, endpoint, certificate);
        _count(_keys[party]);
        emit ServiceChanged(party, endpoint, fingerprint);
    }

    /// @inheritdoc IParticipantRegistry
    function setEncryptionKey(bytes32 encryptionKey) external {
        address party = _requireCaller();
        _requireEncryptionKey(encryptionKey);
        _details[party].encryptionKey = encryptionKey;
        _count(_keys[party]);
        emit EncryptionKeyChanged(party, encryptionKey);
    }

    /// @inheritdoc IParticipantRegistry
    function rotateKey(address party, uint64 deadline, bytes calldata signature) external {
        Key storage key = _requireActing(party);
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp > deadline) revert RotationExpired(deadline, block.timestamp);
        Key storage successor = _keys[msg.sender];
        if (successor.status != Status.Unknown) revert KeyTaken(msg.sender, msg.sender);
        if (successor.actsFor != address(0)) revert KeyTaken(msg.sender, successor.actsFor);
        uint64 nonce = _details[party].rotations;
        address signer = _signerOf(party, key);
        _requireSigned(
            keccak256(abi.encode(KEY_ROTATION_TYPEHASH, party, msg.sender, nonce, deadline)), signature, signer
        );

        if (signer != party) _keys[signer].retired = true; // the party's own key is known as retired by `actsFor`
        key.actsFor = msg.sender;
        successor.actsFor = party;
        _details[party].rotations = nonce + 1;
        _count(key);
        emit KeyRotated(party, signer, msg.sender);
    }

    /// @inheritdoc IParticipantRegistry
    function accredit(address party) external returns (bool carried) {
        carried = _vote(_requireStatus(party, Status.Registered), party, Status.Accredited, "");
        if (carried) emit ParticipantAccredited(party, msg.sender);
    }

    /// @inheritdoc IParticipantRegistry
    function suspend(address party, string calldata reason) external returns (bool carried) {
        _requireReason(reason);
        carried = _vote(_requireStatus(party, Status.Accredited), party, Status.Suspended, reason);
        if (carried) emit ParticipantSuspended(party, msg.sender, reason);
    }

    /// @inheritdoc IParticipantRegistry
    function reinstate(address party) external returns (bool carried) {
        carried = _vote(_requireStatus(party, Status.Suspended), party, Status.Accredited, "");
        if (carried) emit ParticipantReinstated(party, msg.sender);
    }

    /// @inheritdoc IParticipantRegistry
    function ban(address party, string calldata reason) external returns (bool carried) {
        _requireReason(reason);
        carried = _vote(_requireActing(party), party, Status.Banned, reason);
        if (carried) emit ParticipantBanned(party, msg.sender, reason);
    }

    /// @inheritdoc IParticipantRegistry
    function admitGate(address gate) external returns (bool carried) {
        if (gate.code.length == 0 || isGate[gate]) revert GateInvalid(gate);
        carried = stewards.vote(msg.sender, gateMotionOf(gate));
        if (carried) _admit(gate);
    }

    /// @inheritdoc IParticipantRegistry
    function strike(address party, bytes32 jobId, uint32 round, uint8 reason)
        external
        onlyGate
        returns (uint32 strikes, bool suspended)
    {
        Key storage key = _requireKnown(party);
        uint8 present = _record(party, key.strikes, jobId, round);
        key.strikes = present;
        strikes = present;
        suspended = strikes >= STRIKES_TO_SUSPEND && key.status == Status.Accredited;
        if (suspended) _setStatus(key, Status.Suspended);
        emit StrikeRecorded(party, jobId, round, reason, strikes);
        if (suspended) emit ParticipantSuspended(party, msg.sender, "three strikes");
    }

    /// @inheritdoc IParticipantRegistry
    function suspendAtOnce(address party, bytes32 jobId, uint8 reason) external onlyGate returns (bool suspended) {
        Key storage key = _requireKnown(party);
        suspended = key.status == Status.Accredited;
        if (suspended) _setStatus(key, Status.Suspended);
        emit FaultProven(party, jobId, reason);
        if (suspended) emit ParticipantSuspended(party, msg.sender, "proven fault");
    }

    /// @inheritdoc IParticipantRegistry
    function forgive(address party) external onlyGate {
        Key storage key = _requireKnown(party);
        uint8 present = key.strikes;
        if (present == 0) return;
        key.strikes = present - 1;
        emit StrikeForgiven(party, present - 1);
    }

    /// @inheritdoc IParticipantRegistry
    function motionOf(address party, Status proposed) public view returns (bytes32 motion) {
        return keccak256(abi.encode("standing", party, proposed, _keys[party].standing));
    }

    /// @inheritdoc IParticipantRegistry
    function gateMotionOf(address gate) public pure returns (bytes32 motion) {
        return keccak256(abi.encode("gate", gate));
    }

    /// @dev A steward's vote that `party` get the status `proposed`, which it then has if the vote carried.
    function _vote(Key storage key, address party, Status proposed, string memory reason)
        private
        returns (bool carried)
    {
        carried = stewards.vote(msg.sender, motionOf(party, proposed));
        emit StandingVoted(party, msg.sender, proposed, reason);
        if (!carried) return false;
        if (proposed == Status.Accredited) key.strikes = 0;
        _setStatus(key, proposed);
    }

    function _setStatus(Key storage key, Status status) private {
        key.status = status;
        ++key.standing;
        _count(key);
    }

    function _count(Key storage key) private {
        ++key.changes;
        ++epoch;
    }

    function _admit(address gate) private {
        isGate[gate] = true;
        emit GateAdmitted(gate);
    }

    /// @dev Drops the strikes of this job that have lapsed and adds one. With three or more the party is suspended and
    /// none lapses until its reinstatement; the number stays at the type's maximum.
    function _record(address party, uint8 present, bytes32 jobId, uint32 round) private returns (uint8) {
        if (present >= STRIKES_TO_SUSPEND) return present == type(uint8).max ? present : present + 1;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 job = uint96(bytes12(jobId)); // the first 96 bits are meant
        Strikes memory strikes = _strikes[party];
        if (present == 2 && _isLapsed(strikes.secondJob, strikes.secondRound, job, round)) --present;
        if (present != 0 && _isLapsed(strikes.firstJob, strikes.firstRound, job, round)) {
            --present;
            (strikes.firstJob, strikes.firstRound) = (strikes.secondJob, strikes.secondRound);
        }
        if (present == 0) (strikes.firstJob, strikes.firstRound) = (job, round);
        else if (present == 1) (strikes.secondJob, strikes.secondRound) = (job, round);
        _strikes[party] = strikes;
        return present + 1;
    }

    /// @dev Records where `party` is served. A certificate that it uses no more is free again; storing the present one
    /// anew is left out, so that a change of the endpoint alone is cheap.
    function _serve(address party, string calldata endpoint, bytes calldata certificate)
        private
        returns (bytes32 fingerprint)
    {
        _requireEndpoint(endpoint);
        if (certificate.length == 0 || certificate.length > MAX_CERTIFICATE_BYTES) {
            revert CertificateInvalid(certificate.length, MAX_CERTIFICATE_BYTES);
        }
        Details storage details = _details[party];
        details.endpoint = endpoint;
        fingerprint = sha256(certificate);
        if (fingerprint == details.fingerprint) return fingerprint;
        address holder = _byFingerprint[fingerprint];
        if (holder != address(0)) revert CertificateTaken(holder);
        delete _byFingerprint[details.fingerprint];
        _byFingerprint[fingerprint] = party;
        details.fingerprint = fingerprint;
        details.certificate = certificate;
    }

    /// @dev The party of the caller, whatever its status but Banned.
    function _requireCaller() private view returns (address party) {
        Status status;
        (party, status) = _identify(msg.sender);
        if (status == Status.Unknown) revert NotRegistered(msg.sender);
        if (status == Status.Banned) revert PartyBanned(party);
    }

    function _requireKnown(address party) private view returns (Key storage key) {
        key = _keys[party];
        if (key.status == Status.Unknown) revert NotRegistered(party);
    }

    function _requireActing(address party) private view returns (Key storage key) {
        key = _requireKnown(party);
        if (key.status == Status.Banned) revert PartyBanned(party);
    }

    function _requireStatus(address party, Status expected) private view returns (Key storage key) {
        key = _keys[party];
        if (key.status != expected) revert WrongStatus(party, expected, key.status);
    }

    function _requireSigned(bytes32 structHash, bytes calldata signature, address signer) private view {
        (address recovered,,) = ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(_domain(), structHash), signature);
        if (recovered != signer) revert RotationNotSigned(signer, recovered); // a signer is never zero
    }

    /// @dev Whether ten rounds of the strike's job have passed, as a strike of `job` in `round` shows.
    function _isLapsed(uint96 struckJob, uint32 struckRound, uint96 job, uint32 round) private pure returns (bool) {
        return struckJob == job && round >= uint256(struckRound) + ROUNDS_A_STRIKE_COUNTS;
    }

    function _requireReason(string calldata reason) private pure {
        if (bytes(reason).length > MAX_REASON_BYTES) revert ReasonTooLong(bytes(reason).length, MAX_REASON_BYTES);
    }

    function _requireEncryptionKey(bytes32 encryptionKey) private pure {
        if (encryptionKey == 0) revert EncryptionKeyInvalid();
    }

    function _requireEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointInvalid(length, MAX_ENDPOINT_BYTES);
    }

    /// @dev The EIP-712 domain, computed at each use: kept as an immutable it would hold this contract's address, and the
    /// code on the chain could not be compared with what the packaged creation code gives.
    function _domain() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                // solhint-disable-next-line gas-small-strings
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("fedchain"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
    }

    function _requireName(bytes calldata name) private pure {
        if (name.length == 0 || name.length > MAX_NAME_BYTES) revert NameInvalid();
        for (uint256 i = 0; i < name.length; ++i) {
            bytes1 c = name[i];
            bool allowed = (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "_" || c == "-";
            if (!allowed) revert NameInvalid();
        }
    }
}
