// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Who may take part: names, endpoints, certificates, keys, accreditation and strikes.
/// @notice Parties register themselves; stewards accredit, suspend, reinstate and ban by k of n votes; the gates (the
/// records of anomalies) alone write strikes. Everything here is public: names, endpoints, certificates, public keys and
/// reasons are visible to every reader of the chain.
///
/// A *party* is the address that registered, for ever: rosters, verdicts and contributions name it. Its *signer* is the
/// key that sends its transactions now: the same address until a key rotation. A key that was rotated away is nobody.
/// A party's service is where its node answers, and the certificate by which it is known there. The registry keeps the
/// certificate's bytes and vouches for nothing in them: whoever connects compares them with what it is shown.
///
/// Strikes: the third suspends. A strike of a job counts until ten rounds of that job have passed: it lapses when the
/// party's next strike finds the same job ten or more rounds further. Reinstatement makes them zero.
interface IParticipantRegistry {
    /// @dev Suspended is reached only from Accredited, so a suspended party was accredited once. Banned is final.
    enum Status {
        Unknown,
        Registered,
        Accredited,
        Suspended,
        Banned
    }

    /// @notice What is known of a party; empty with status Unknown if it never registered.
    /// `strikes`: those that counted when the last one was given or taken back.
    /// `fingerprint`: SHA-256 of the certificate. `encryptionKey`: X25519 public key, 32 bytes.
    /// `changes`: how often its status, service or keys changed; the sum over all parties is {epoch}.
    struct Participant {
        string name;
        string endpoint;
        Status status;
        uint32 strikes;
        bytes32 fingerprint;
        bytes32 encryptionKey;
        address signer;
        uint64 changes;
    }

    /// @notice `party` registered itself.
    event ParticipantRegistered(
        address indexed party, string name, string endpoint, bytes32 fingerprint, bytes32 encryptionKey
    );
    /// @notice `party` is now found at `endpoint`, and known by the certificate with `fingerprint`.
    event ServiceChanged(address indexed party, string endpoint, bytes32 fingerprint);
    /// @notice What is sealed to `party` is sealed with this key from now on.
    event EncryptionKeyChanged(address indexed party, bytes32 encryptionKey);
    /// @notice `newSigner` acts for `party` from now on; `oldSigner` is nobody for ever.
    event KeyRotated(address indexed party, address indexed oldSigner, address indexed newSigner);
    /// @notice `steward` voted that `party` get the status `proposed`, for this reason (empty where none is asked).
    event StandingVoted(address indexed party, address indexed steward, Status proposed, string reason);
    /// @notice `party` is accredited; the vote of `steward` carried it.
    event ParticipantAccredited(address indexed party, address indexed steward);
    /// @notice `party` is suspended; by the vote of the steward `by`, or by the gate `by`.
    event ParticipantSuspended(address indexed party, address indexed by, string reason);
    /// @notice `party` is accredited again and its strikes are zero; the vote of `steward` carried it.
    event ParticipantReinstated(address indexed party, address indexed steward);
    /// @notice `party` is banned for ever; the vote of `steward` carried it.
    event ParticipantBanned(address indexed party, address indexed steward, string reason);
    /// @notice `gate` may write strikes from now on.
    event GateAdmitted(address indexed gate);
    /// @notice `party` has `strikes` strikes; the last for a fault with code `reason` in `round` of the job.
    event StrikeRecorded(address indexed party, bytes32 indexed jobId, uint32 round, uint8 reason, uint32 strikes);
    /// @notice `party` committed the fault with code `reason` in the job, as was proven to a gate.
    event FaultProven(address indexed party, bytes32 indexed jobId, uint8 reason);
    /// @notice A strike of `party` was overturned; it has `strikes` now.
    event StrikeForgiven(address indexed party, uint32 strikes);

    /// @notice The caller did not deploy the registry.
    error NotDeployer(address caller);
    /// @notice The first gate was set before.
    error GateAlreadySet(address gate);
    /// @notice Not a contract, or a gate already.
    error GateInvalid(address gate);
    /// @notice The caller is no gate.
    error NotGate(address caller);
    /// @notice The caller registered before.
    error AlreadyRegistered(address party);
    /// @notice The caller's key is, or was, the signer of `party`: it stands for nobody else, ever.
    error KeyTaken(address key, address party);
    /// @notice No such party; or the caller is the signer of none.
    error NotRegistered(address party);
    /// @notice The party is banned.
    error PartyBanned(address party);
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
    /// @notice The encryption key is zero.
    error EncryptionKeyInvalid();
    /// @notice The reason is longer than `max` bytes.
    error ReasonTooLong(uint256 length, uint256 max);
    /// @notice The party's status does not permit the call.
    error WrongStatus(address party, Status expected, Status found);
    /// @notice The rotation was to be sent until `deadline` (Unix time in seconds).
    error RotationExpired(uint64 deadline, uint256 timestamp);
    /// @notice The rotation is not signed by the party's present signer. `recovered` is zero if it is no signature.
    error RotationNotSigned(address expected, address recovered);

    /// @notice Makes `gate` the first gate. Requirements: the deployer, once; `gate` is not zero.
    /// Emits {GateAdmitted}. Reverts with {NotDeployer}, {GateAlreadySet}, {GateInvalid}.
    function setGate(address gate) external;

    /// @notice Registers the caller.
    /// Requirements: the caller is not registered, and neither is nor was another party's signer.
    /// Emits {ParticipantRegistered}. Reverts with {AlreadyRegistered}, {KeyTaken}, {NameInvalid}, {NameTaken},
    /// {EndpointInvalid}, {CertificateInvalid}, {CertificateTaken}, {EncryptionKeyInvalid}.
    /// @param name unique for ever, 1..64 bytes of [a-z0-9_-].
    /// @param endpoint where its node answers, 1..256 bytes.
    /// @param certificate DER of a self-signed X.509 certificate, 1..2048 bytes, used by no other party.
    /// @param encryptionKey X25519 public key of its node, not zero; what is sealed to the party is sealed with it.
    function register(string calldata name, string calldata endpoint, bytes calldata certificate, bytes32 encryptionKey)
        external;

    /// @notice Changes the endpoint and certificate of the caller's party; the earlier certificate is its no more.
    /// Requirements: the caller is a party's signer; not Banned. Emits {ServiceChanged}.
    /// Reverts with {NotRegistered}, {PartyBanned}, {EndpointInvalid}, {CertificateInvalid}, {CertificateTaken}.
    /// @param endpoint 1..256 bytes.
    /// @param certificate as for {register}; may be the party's present one.
    function setService(string calldata endpoint, bytes calldata certificate) external;

    /// @notice Changes the encryption key of the caller's party.
    /// Requirements: the caller is a party's signer; not Banned. Emits {EncryptionKeyChanged}.
    /// Reverts with {NotRegistered}, {PartyBanned}, {EncryptionKeyInvalid}.
    /// @param encryptionKey X25519 public key, not zero.
    function setEncryptionKey(bytes32 encryptionKey) external;

    /// @notice Makes the caller the signer of `party`; the present signer becomes nobody, for ever.
    /// Requirements: the caller is not, and never was, a party or a signer; `party` is not Banned; not later than
    /// `deadline`; signed by the present signer. Emits {KeyRotated}.
    /// Reverts with {NotRegistered}, {PartyBanned}, {RotationExpired}, {KeyTaken}, {RotationNotSigned}.
    /// @param party whose key is rotated.
    /// @param deadline Unix time in seconds.
    /// @param signature 65 bytes (r, s, v; s in the lower half) over the EIP-712 struct KeyRotation(address party,address
    /// newSigner,uint64 nonce,uint64 deadline) in the domain "fedchain", "1", chain id, this contract; the nonce is
    /// {rotationNonce}. Source: https://eips.ethereum.org/EIPS/eip-712
    function rotateKey(address party, uint64 deadline, bytes calldata signature) external;

    /// @notice How often the key of `party` was rotated.
    function rotationNonce(address party) external view returns (uint64);

    /// @notice A steward's vote to accredit a registered party; its strikes start from zero. Votes on a party's status
    /// are void once its status changes otherwise.
    /// Requirements: status Registered; the caller is a steward who has not voted for it.
    /// Emits {StandingVoted} and, when it carries, {ParticipantAccredited}. Reverts with {WrongStatus} and as
    /// {IStewards-vote}.
    /// @return carried whether this vote carried it.
    function accredit(address party) external returns (bool carried);

    /// @notice A steward's vote to suspend an accredited party. Stewards need not agree on the reason: each one's is
    /// recorded with its vote.
    /// Requirements: status Accredited; the caller is a steward who has not voted for it.
    /// Emits {StandingVoted} and, when it carries, {ParticipantSuspended}. Reverts with {ReasonTooLong},
    /// {WrongStatus} and as {IStewards-vote}.
    /// @param party the party.
    /// @param reason at most 256 bytes.
    /// @return carried whether this vote carried it.
    function suspend(address party, string calldata reason) external returns (bool carried);

    /// @notice A steward's vote to make a suspended party Accredited, with zero strikes.
    /// Requirements: status Suspended; the caller is a steward who has not voted for it.
    /// Emits {StandingVoted} and, when it carries, {ParticipantReinstated}. Reverts with {WrongStatus} and as
    /// {IStewards-vote}.
    /// @return carried whether this vote carried it.
    function reinstate(address party) external returns (bool carried);

    /// @notice A steward's vote to ban a party, for ever: it acts no more, and its name and certificate stay taken.
    /// Requirements: registered, not Banned; the caller is a steward who has not voted for it.
    /// Emits {StandingVoted} and, when it carries, {ParticipantBanned}. Reverts with {ReasonTooLong},
    /// {NotRegistered}, {PartyBanned} and as {IStewards-vote}.
    /// @param party the party.
    /// @param reason at most 256 bytes.
    /// @return carried whether this vote carried it.
    function ban(address party, string calldata reason) external returns (bool carried);

    /// @notice A steward's vote to let another contract write strikes: the record of anomalies of a later version.
    /// Earlier gates remain: jobs live on in the version they were proposed in.
    /// Requirements: `gate` has code and is no gate yet; the caller is a steward who has not voted for it.
    /// Emits (in {IStewards}) VoteCast and, when it carries, {GateAdmitted}. Reverts with {GateInvalid} and as
    /// {IStewards-vote}.
    /// @return carried whether this vote carried it.
    function admitGate(address gate) external returns (bool carried);

    /// @notice Records a strike; the third that counts suspends an accredited party. It never reverts for a registered
    /// party, whatever its status.
    /// Requirements: the caller is a gate; the party is registered. Emits {StrikeRecorded} and, when it suspends,
    /// {ParticipantSuspended}. Reverts with {NotGate}, {NotRegistered}.
    /// @param party whose fault it is.
    /// @param jobId the job in which it happened.
    /// @param round the job's own round then: never one that the party claimed, or it could make its strikes lapse.
    /// @param reason code of the fault.
    /// @return strikes how many count now.
    /// @return suspended whether this one suspended the party.
    function strike(address party, bytes32 jobId, uint32 round, uint8 reason)
        external
        returns (uint32 strikes, bool suspended);

    /// @notice Suspends an accredited party for a fault that is proven; leaves any other party as it is.
    /// Requirements: the caller is a gate; the party is registered. Emits {FaultProven} and, when it suspends,
    /// {ParticipantSuspended}.
    /// Reverts with {NotGate}, {NotRegistered}.
    /// @param party whose fault it is.
    /// @param jobId the job in which it happened.
    /// @param reason code of the fault.
    /// @return suspended whether this suspended the party.
    function suspendAtOnce(address party, bytes32 jobId, uint8 reason) external returns (bool suspended);

    /// @notice Takes back the last strike that counts, if there is one. A suspension stays until {reinstate}.
    /// Requirements: the caller is a gate; the party is registered. Emits {StrikeForgiven} when there was one.
    /// Reverts with {NotGate}, {NotRegistered}.
    function forgive(address party) external;

    /// @notice The party that the key `signer` acts for now, and that party's status; (zero, Unknown) if it acts for
    /// none. Costs one storage read for a party that never rotated its key, two for others.
    function identify(address signer) external view returns (address party, Status status);

    /// @notice The key that acts for `party` now; zero if it never registered.
    function signerOf(address party) external view returns (address);

    /// @notice Whether `key` acts, or ever acted, for `party`: whose old signatures are its own.
    function isKeyOf(address party, address key) external view returns (bool);

    /// @notice The status of `party`; Unknown if it never registered.
    function statusOf(address party) external view returns (Status status);

    /// @notice All that is stored about `party` but its certificate.
    function participantOf(address party) external view returns (Participant memory);

    /// @notice The certificate of `party`, whose SHA-256 is its fingerprint; empty if it never registered.
    function certificateOf(address party) external view returns (bytes memory certificate);

    /// @notice The party named `name`, zero if there is none.
    function addressOf(string calldata name) external view returns (address party);

    /// @notice Grows by one at each change of anybody's status, service or keys: who holds an answer of an earlier
    /// epoch asks again.
    function epoch() external view returns (uint64);

    /// @notice How many parties registered.
    function count() external view returns (uint256);

    /// @notice The party registered as number `index`, counted from 0.
    function at(uint256 index) external view returns (address party);

    /// @notice Whether `account` may write strikes.
    function isGate(address account) external view returns (bool);

    /// @notice The motion (of this contract, see {IStewards}) by which `party` would get the status `proposed` now.
    function motionOf(address party, Status proposed) external view returns (bytes32 motion);

    /// @notice The motion (of this contract, see {IStewards}) that {admitGate} votes on.
    function gateMotionOf(address gate) external pure returns (bytes32 motion);
}
