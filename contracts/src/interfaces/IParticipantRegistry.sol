// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Who may take part: names, endpoints, certificates, accreditation and strikes.
/// @notice Parties register themselves; stewards accredit, suspend and reinstate; the uplink ledger records strikes.
/// Everything here is public: names, endpoints and certificates are visible to every reader of the chain.
/// A party's service is where its node answers, and the certificate by which it is known there. The registry keeps the
/// certificate's bytes and vouches for nothing in them: whoever connects compares them with what it is shown.
interface IParticipantRegistry {
    /// @dev Suspended is reached only from Accredited, so a suspended party was accredited once.
    enum Status {
        Unknown,
        Registered,
        Accredited,
        Suspended
    }

    /// @notice `party` registered itself.
    event ParticipantRegistered(address indexed party, string name, string endpoint, bytes32 fingerprint);
    /// @notice `party` is now found at `endpoint`, and known by the certificate with `fingerprint`.
    event ServiceChanged(address indexed party, string endpoint, bytes32 fingerprint);
    /// @notice `steward` accredited `party`.
    event ParticipantAccredited(address indexed party, address indexed steward);
    /// @notice `by` (a steward, or the ledger at the third strike) suspended `party`.
    event ParticipantSuspended(address indexed party, address indexed by, string reason);
    /// @notice `steward` reinstated `party`; its strikes are zero again.
    event ParticipantReinstated(address indexed party, address indexed steward);
    /// @notice `party` has `strikes` strikes; the last was for an uplink rejected with code `reason`.
    event StrikeRecorded(address indexed party, bytes32 indexed jobId, uint8 reason, uint32 strikes);

    /// @notice The caller registered before.
    error AlreadyRegistered(address party);
    /// @notice The party never registered.
    error NotRegistered(address party);
    /// @notice The name is not 1..64 bytes of a-z, 0-9, '_' or '-'.
    error NameInvalid();
    /// @notice Another party holds the name.
    error NameTaken(address holder);
    /// @notice The endpoint is not `1..max` bytes long.
    error EndpointInvalid(uint256 length, uint256 max);
    /// @notice The certificate is not `1..max` bytes long.
    error CertificateInvalid(uint256 length, uint256 max);
    /// @notice Another party uses the certificate.
    error CertificateTaken(address holder);
    /// @notice The reason is longer than `max` bytes.
    error ReasonTooLong(uint256 length, uint256 max);
    /// @notice The party's status does not permit the call.
    error WrongStatus(address party, Status expected, Status found);

    /// @notice Registers the caller.
    /// @param name unique, 1..64 bytes of [a-z0-9_-].
    /// @param endpoint where its node answers, 1..256 bytes.
    /// @param certificate DER of a self-signed X.509 certificate, 1..2048 bytes, used by no other party.
    /// Requirements: not yet registered. Emits {ParticipantRegistered}.
    function register(string calldata name, string calldata endpoint, bytes calldata certificate) external;

    /// @notice Changes the caller's endpoint and certificate; the earlier certificate is its no more.
    /// Requirements: registered. Emits {ServiceChanged}.
    /// @param endpoint 1..256 bytes.
    /// @param certificate as for {register}; may be the caller's present one.
    function setService(string calldata endpoint, bytes calldata certificate) external;

    /// @notice Accredits a registered party. Requirements: STEWARD_ROLE, status Registered.
    /// Emits {ParticipantAccredited}.
    /// @param party the party.
    function accredit(address party) external;

    /// @notice Suspends an accredited party. Requirements: STEWARD_ROLE, status Accredited.
    /// Emits {ParticipantSuspended}.
    /// @param party the party.
    /// @param reason at most 256 bytes.
    function suspend(address party, string calldata reason) external;

    /// @notice Makes a suspended party Accredited with zero strikes. Requirements: STEWARD_ROLE, status Suspended.
    /// Emits {ParticipantReinstated}.
    /// @param party the party.
    function reinstate(address party) external;

    /// @notice Records a strike; the third suspends. Requirements: LEDGER_ROLE, status Accredited.
    /// Emits {StrikeRecorded} and, at the third, {ParticipantSuspended}.
    /// @param party whose uplink was rejected.
    /// @param jobId the job that the uplink named.
    /// @param reason the verdict's reason code.
    function strike(address party, bytes32 jobId, uint8 reason) external;

    /// @notice The party whose transactions `signer` signs, and its status; zero and Unknown if it signs for none.
    function identify(address signer) external view returns (address party, Status status);

    /// @notice The status of `party`; Unknown if it never registered.
    function statusOf(address party) external view returns (Status status);

    /// @notice All that is stored about `party`, its certificate as SHA-256 alone; empty with status Unknown if it never
    /// registered.
    function participantOf(address party)
        external
        view
        returns (string memory name, string memory endpoint, Status status, uint32 strikes, bytes32 fingerprint);

    /// @notice The certificate of `party`, whose SHA-256 is its fingerprint; empty if it never registered.
    function certificateOf(address party) external view returns (bytes memory certificate);

    /// @notice The party named `name`, zero if there is none.
    function addressOf(string calldata name) external view returns (address party);

    /// @notice How many parties registered.
    function count() external view returns (uint256);

    /// @notice The party registered as number `index`, counted from 0.
    function at(uint256 index) external view returns (address party);
}
