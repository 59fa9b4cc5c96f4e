// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Every message of a job: judged, counted and, if accepted, published.
/// @notice Envelope and inline payload of an accepted uplink are public; what must stay secret is encrypted or sealed
/// by the sender beforehand. A rejected uplink publishes its envelope only.
interface IUplinkLedger {
    /// @dev An uplink is rejected with the first reason that applies, in this order.
    enum Reason {
        Accepted,
        SenderSuspended,
        UnknownJob,
        NotOnRoster,
        WrongPhase,
        WrongRound,
        WrongAttempt,
        KindNotAllowed,
        RecipientNotOnRoster,
        SchemaUnsupported,
        SizeOutOfBounds,
        DigestMismatch,
        SlotTaken,
        StatisticOutOfPolicy
    }

    /// @param jobId the job.
    /// @param round 0 while aligning, the job's round in training and evaluation, a request id after completion.
    /// @param attempt the job's attempt at that round.
    /// @param step position within the round.
    /// @param kind see {Kinds}.
    /// @param recipient a roster party, or zero for the whole roster.
    /// @param schema version of the payload's encoding; 1.
    /// @param digest root of the SHA-256 Merkle tree over the payload's 64 KiB chunks.
    /// @param size the payload's bytes, at least 1; above 98304 the payload stays with the sender, and it may at any size
    /// in the training of a pipelined job.
    /// @param statisticE6 declared statistic scaled by 1e6; zero unless kind is contribution.
    struct Envelope {
        bytes32 jobId;
        uint32 round;
        uint16 attempt;
        uint32 step;
        uint8 kind;
        address recipient;
        uint16 schema;
        bytes32 digest;
        uint64 size;
        uint64 statisticE6;
    }

    /// @param step position within the round.
    /// @param kind see {Kinds}.
    /// @param recipient a roster party, or zero for the whole roster.
    /// @param digest root of the SHA-256 Merkle tree over the payload's 64 KiB chunks.
    /// @param size the payload's bytes; the payload stays with the sender.
    struct Leaf {
        uint32 step;
        uint8 kind;
        address recipient;
        bytes32 digest;
        uint64 size;
    }

    struct Verdict {
        address sender;
        Reason reason;
        uint8 kind;
        uint64 blockNumber;
        bool known;
    }

    /// @notice An uplink was judged. `payload` is empty when rejected or when it travels by reference.
    event UplinkJudged(
        bytes32 indexed jobId,
        address indexed sender,
        bytes32 indexed uplinkId,
        Reason reason,
        Envelope envelope,
        bytes payload
    );
    /// @notice The inference router was wired.
    event RouterSet(address indexed router);

    /// @notice The caller never was accredited: there is nobody to judge.
    error CallerNotAccredited(address caller);
    /// @notice A batch has 1..`max` leaves.
    error BatchSizeInvalid(uint256 size, uint256 max);
    /// @notice Only the deployer may wire.
    error NotDeployer(address caller);
    /// @notice The router is set once, and not to zero.
    error RouterAlreadySet(address router);

    /// @notice Judges an uplink. The verdict is state, not a revert; a rejection is a strike against the sender
    /// (unless it is suspended already, or was overtaken on its way: the job was aborted, the inference request closed, or
    /// in a pipelined job the attempt retried). Sending an accepted uplink again changes nothing and returns its id.
    /// @param envelope what is sent; see {Envelope}.
    /// @param payload the bytes if `size` is at most 98304, otherwise empty; in the training of a pipelined job it may be
    /// empty at any size. The last 32 bytes of a shard_digest payload are the shard digest, which is passed to the job
    /// manager.
    /// @return uplinkId keccak256(abi.encode(chainid, this, sender, envelope)).
    /// @return reason Accepted, or the first rule broken.
    /// Requirements: the caller is Accredited or Suspended. Emits {UplinkJudged}.
    function submit(Envelope calldata envelope, bytes calldata payload)
        external
        returns (bytes32 uplinkId, Reason reason);

    /// @notice Judges 1..256 uplinks of one round, one after the other: each exactly as {submit} judges the envelope with
    /// these fields and statistic zero, sent without its payload. So each has its own id, slot, verdict, count, strike and
    /// {UplinkJudged}; one that is accepted already changes nothing; the third strike suspends for the leaves behind it.
    /// @param jobId the job.
    /// @param round see {Envelope}.
    /// @param attempt see {Envelope}.
    /// @param schema see {Envelope}.
    /// @param leaves what is sent; see {Leaf}.
    /// @return uplinkIds as {submit} returns them, in the order of the leaves.
    /// @return reasons likewise.
    /// Requirements: the caller is Accredited or Suspended. Emits {UplinkJudged} for each leaf that was judged.
    function submitBatch(bytes32 jobId, uint32 round, uint16 attempt, uint16 schema, Leaf[] calldata leaves)
        external
        returns (bytes32[] memory uplinkIds, Reason[] memory reasons);

    /// @notice Wires the inference router. Requirements: deployer, once. Emits {RouterSet}.
    function setRouter(address router_) external;

    /// @notice The latest verdict; `known` is false if there is none.
    function verdictOf(bytes32 uplinkId) external view returns (Verdict memory verdict);

    /// @notice The digest that a slot holds, zero if it is free.
    /// @param slot keccak256(abi.encode(jobId, round, attempt, step, sender, recipient, kind)).
    function slotDigest(bytes32 slot) external view returns (bytes32 digest);

    /// @notice How many uplinks that named `jobId` were accepted and rejected.
    function countsOf(bytes32 jobId) external view returns (uint64 accepted, uint64 rejected);

    /// @notice The job of an accepted contribution uplink; zero for every other uplink.
    function contributionJobOf(bytes32 uplinkId) external view returns (bytes32 jobId);

    /// @notice The latest verdict on an uplink.
    function verdictOf(address party, Envelope calldata envelope) external view returns (Verdict memory verdict);

    /// @notice keccak256(abi.encode(chainid, this, party, envelope)).
    function uplinkIdOf(address party, Envelope calldata envelope) external view returns (bytes32 uplinkId);

    /// @notice The uplink's slot.
    function slotOf(address party, Envelope calldata envelope) external view returns (bytes32 slot);

    /// @notice Whether the uplink was accepted.
    function isAccepted(address party, Envelope calldata envelope) external view returns (bool);
}
