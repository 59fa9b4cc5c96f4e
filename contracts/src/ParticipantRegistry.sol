// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title ParticipantRegistry
/// @notice See {IParticipantRegistry}. The deployer holds DEFAULT_ADMIN_ROLE and grants LEDGER_ROLE to the uplink ledger.
contract ParticipantRegistry is IParticipantRegistry, AccessControl {
    /// @notice May accredit, suspend and reinstate.
    bytes32 public constant STEWARD_ROLE = keccak256("STEWARD_ROLE");
    /// @notice May record strikes.
    bytes32 public constant LEDGER_ROLE = keccak256("LEDGER_ROLE");
    /// @notice This many strikes since accreditation or reinstatement suspend.
    uint32 public constant STRIKES_TO_SUSPEND = 3;

    uint256 private constant MAX_NAME_BYTES = 64;
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    uint256 private constant MAX_CERTIFICATE_BYTES = 2048;
    uint256 private constant MAX_REASON_BYTES = 256;

    struct Participant {
        Status status;
        uint32 strikes;
        string name;
        string endpoint;
        bytes32 fingerprint;
        bytes certificate;
    }

    mapping(address party => Participant) private _participants;
    mapping(bytes32 nameHash => address party) private _byName;
    mapping(bytes32 fingerprint => address party) private _byFingerprint;
    address[] private _parties;

    /// @notice Grants the roles of admin (to the deployer) and steward.
    /// @param stewards who may accredit, suspend and reinstate.
    constructor(address[] memory stewards) {
        _grantRole(DEFAULT_ADMIN_ROLE, msg.sender);
        for (uint256 i = 0; i < stewards.length; ++i) {
            _grantRole(STEWARD_ROLE, stewards[i]);
        }
    }

    /// @inheritdoc IParticipantRegistry
    function register(string calldata name, string calldata endpoint, bytes calldata certificate) external {
        Participant storage participant = _participants[msg.sender];
        if (participant.status != Status.Unknown) revert AlreadyRegistered(msg.sender);
        _requireName(bytes(name));
        bytes32 nameHash = keccak256(bytes(name));
        address holder = _byName[nameHash];
        if (holder != address(0)) revert NameTaken(holder);

        bytes32 fingerprint = _serve(participant, endpoint, certificate);
        participant.status = Status.Registered;
        participant.name = name;
        _byName[nameHash] = msg.sender;
        _parties.push(msg.sender);
        emit ParticipantRegistered(msg.sender, name, endpoint, fingerprint);
    }

    /// @inheritdoc IParticipantRegistry
    function setService(string calldata endpoint, bytes calldata certificate) external {
        Participant storage participant = _participants[msg.sender];
        if (participant.status == Status.Unknown) revert NotRegistered(msg.sender);
        bytes32 fingerprint = _serve(participant, endpoint, certificate);
        emit ServiceChanged(msg.sender, endpoint, fingerprint);
    }

    /// @inheritdoc IParticipantRegistry
    function accredit(address party) external onlyRole(STEWARD_ROLE) {
        Participant storage participant = _requireStatus(party, Status.Registered);
        participant.status = Status.Accredited;
        emit ParticipantAccredited(party, msg.sender);
    }

    /// @inheritdoc IParticipantRegistry
    function suspend(address party, string calldata reason) external onlyRole(STEWARD_ROLE) {
        if (bytes(reason).length > MAX_REASON_BYTES) revert ReasonTooLong(bytes(reason).length, MAX_REASON_BYTES);
        Participant storage participant = _requireStatus(party, Status.Accredited);
        participant.status = Status.Suspended;
        emit ParticipantSuspended(party, msg.sender, reason);
    }

    /// @inheritdoc IParticipantRegistry
    function reinstate(address party) external onlyRole(STEWARD_ROLE) {
        Participant storage participant = _requireStatus(party, Status.Suspended);
        participant.status = Status.Accredited;
        participant.strikes = 0;
        emit ParticipantReinstated(party, msg.sender);
    }

    /// @inheritdoc IParticipantRegistry
    function strike(address party, bytes32 jobId, uint8 reason) external onlyRole(LEDGER_ROLE) {
        Participant storage participant = _requireStatus(party, Status.Accredited);
        uint32 strikes = participant.strikes + 1;
        participant.strikes = strikes;
        emit StrikeRecorded(party, jobId, reason, strikes);
        if (strikes >= STRIKES_TO_SUSPEND) {
            participant.status = Status.Suspended;
            emit ParticipantSuspended(party, msg.sender, "three strikes");
        }
    }

    /// @inheritdoc IParticipantRegistry
    function identify(address signer) external view returns (address party, Status status) {
        status = _participants[signer].status;
        party = status == Status.Unknown ? address(0) : signer;
    }

    /// @inheritdoc IParticipantRegistry
    function statusOf(address party) external view returns (Status status) {
        return _participants[party].status;
    }

    /// @inheritdoc IParticipantRegistry
    function participantOf(address party)
        external
        view
        returns (string memory name, string memory endpoint, Status status, uint32 strikes, bytes32 fingerprint)
    {
        Participant storage participant = _participants[party];
        return
            (participant.name, participant.endpoint, participant.status, participant.strikes, participant.fingerprint);
    }

    /// @inheritdoc IParticipantRegistry
    function certificateOf(address party) external view returns (bytes memory certificate) {
        return _participants[party].certificate;
    }

    /// @inheritdoc IParticipantRegistry
    function addressOf(string calldata name) external view returns (address party) {
        return _byName[keccak256(bytes(name))];
    }

    /// @inheritdoc IParticipantRegistry
    function count() external view returns (uint256) {
        return _parties.length;
    }

    /// @inheritdoc IParticipantRegistry
    function at(uint256 index) external view returns (address party) {
        return _parties[index];
    }

    /// @dev Records the caller's service. A certificate that it uses no more is free again; storing the present one
    /// anew is left out, so that a change of the endpoint alone is cheap.
    function _serve(Participant storage participant, string calldata endpoint, bytes calldata certificate)
        private
        returns (bytes32 fingerprint)
    {
        _requireEndpoint(endpoint);
        if (certificate.length == 0 || certificate.length > MAX_CERTIFICATE_BYTES) {
            revert CertificateInvalid(certificate.length, MAX_CERTIFICATE_BYTES);
        }
        participant.endpoint = endpoint;
        fingerprint = sha256(certificate);
        if (fingerprint == participant.fingerprint) return fingerprint;
        address holder = _byFingerprint[fingerprint];
        if (holder != address(0)) revert CertificateTaken(holder);
        delete _byFingerprint[participant.fingerprint];
        _byFingerprint[fingerprint] = msg.sender;
        participant.fingerprint = fingerprint;
        participant.certificate = certificate;
    }

    function _requireStatus(address party, Status expected) private view returns (Participant storage participant) {
        participant = _participants[party];
        if (participant.status != expected) revert WrongStatus(party, expected, participant.status);
    }

    function _requireEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointInvalid(length, MAX_ENDPOINT_BYTES);
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
