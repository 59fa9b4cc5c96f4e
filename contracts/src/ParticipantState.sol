// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";

/// @title What is kept of parties, and how it is read.
/// @notice See {IParticipantRegistry}; {ParticipantRegistry} has the calls that change it. What every call of a party needs
/// is one storage slot per key.
abstract contract ParticipantState is IParticipantRegistry {
    /// @dev One slot for each address that ever stood for a party. Of a party itself (status is not Unknown): `actsFor`
    /// is its signer, zero while that is the party; `standing` counts the changes of its status, `changes` all of them.
    /// Of another key: `actsFor` is the party, and `retired` tells that it acts no more.
    struct Key {
        address actsFor;
        Status status;
        bool retired;
        uint8 strikes;
        uint32 standing;
        uint40 changes;
    }

    /// @dev One slot: the first two strikes that count, older first; a third suspends and needs no place. A job is
    /// told by the first 96 bits of its id.
    struct Strikes {
        uint96 firstJob;
        uint32 firstRound;
        uint96 secondJob;
        uint32 secondRound;
    }

    struct Details {
        string name;
        string endpoint;
        bytes32 fingerprint;
        bytes32 encryptionKey;
        bytes certificate;
        uint64 rotations;
    }

    /// @inheritdoc IParticipantRegistry
    uint64 public epoch;
    /// @notice The first gate, zero until it is set.
    address public firstGate;
    /// @inheritdoc IParticipantRegistry
    mapping(address account => bool) public isGate;

    mapping(address account => Key) internal _keys;
    mapping(address party => Strikes) internal _strikes;
    mapping(address party => Details) internal _details;
    mapping(bytes32 nameHash => address party) internal _byName;
    mapping(bytes32 fingerprint => address party) internal _byFingerprint;
    address[] internal _parties;

    /// @inheritdoc IParticipantRegistry
    function identify(address signer) external view returns (address party, Status status) {
        return _identify(signer);
    }

    /// @inheritdoc IParticipantRegistry
    function signerOf(address party) external view returns (address) {
        return _signerOf(party, _keys[party]);
    }

    /// @inheritdoc IParticipantRegistry
    function isKeyOf(address party, address account) external view returns (bool) {
        if (_keys[party].status == Status.Unknown) return false;
        Key storage key = _keys[account];
        return account == party || (key.status == Status.Unknown && key.actsFor == party);
    }

    /// @inheritdoc IParticipantRegistry
    function rotationNonce(address party) external view returns (uint64) {
        return _details[party].rotations;
    }

    /// @inheritdoc IParticipantRegistry
    function statusOf(address party) external view returns (Status status) {
        return _keys[party].status;
    }

    /// @inheritdoc IParticipantRegistry
    function participantOf(address party) external view returns (Participant memory) {
        Key storage key = _keys[party];
        Details storage details = _details[party];
        bool isParty = key.status != Status.Unknown;
        return Participant({
            name: details.name,
            endpoint: details.endpoint,
            status: key.status,
            strikes: key.strikes,
            fingerprint: details.fingerprint,
            encryptionKey: details.encryptionKey,
            signer: _signerOf(party, key),
            changes: isParty ? key.changes : 0
        });
    }

    /// @inheritdoc IParticipantRegistry
    function certificateOf(address party) external view returns (bytes memory certificate) {
        return _details[party].certificate;
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

    function _identify(address signer) internal view returns (address party, Status status) {
        Key storage key = _keys[signer];
        (address actsFor, bool retired) = (key.actsFor, key.retired);
        status = key.status;
        if (status != Status.Unknown) {
            // a party that rotated its key away acts through another one
            return actsFor == address(0) ? (signer, status) : (address(0), Status.Unknown);
        }
        if (actsFor == address(0) || retired) return (address(0), Status.Unknown);
        return (actsFor, _keys[actsFor].status);
    }

    function _signerOf(address party, Key storage key) internal view returns (address) {
        if (key.status == Status.Unknown) return address(0);
        return key.actsFor == address(0) ? party : key.actsFor;
    }
}
