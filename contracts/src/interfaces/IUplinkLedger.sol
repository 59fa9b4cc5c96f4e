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
        StatisticOutOfPolicy,
        RateExceeded,
        DeadlineMissed
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

    /// @dev One uplink of a batch in two words.
    /// @param place recipient << 96 | step << 64 | size << 8 | kind, where size has 56 bits; each as in {Envelope}.
    /// @param digest root of the SHA-256 Merkle tree over the payload's 64 KiB chunks; the payload stays with the sender.
    struct Leaf {
        uint256 place;
        bytes32 digest;
    }

    /// @param reason Accepted, or the rule broken.
    /// @param blockNumber of the judgment.
    /// @param known whether there is a verdict.
    struct Verdict {
        Reason reason;
        uint64 blockNumber;
        bool known;
    }

    /// @notice An uplink was judged. Topics and data have one fixed layout, whichever function was called.
    /// @param jobId the envelope's job.
    /// @param sender the party that sent it.
    /// @param uplinkId see {uplinkIdOf}.
    /// @param place recipient << 96 | step << 64 | round << 32 | attempt << 16 | kind << 8 | reason.
    /// @param measure schema << 128 | size << 64 | statisticE6.
    /// @param digest the envelope's.
    /// @param payload empty when rejected or when it travels by reference.
    event UplinkJudged(
        bytes32 indexed jobId,
        address indexed sender,
        bytes32 indexed uplinkId,
        uint256 place,
        uint256 measure,
        bytes32 digest,
        bytes payload
    );
    /// @notice The inference router was wired.
    event RouterSet(address indexed router);

    /// @notice The caller is no accredited party's signer, and never was: there is nobody to judge.
    error CallerNotAccredited(address caller);
    /// @notice A batch has 1..`max` leaves.
    error BatchSizeInvalid(uint256 size, uint256 max);
    /// @notice Only the deployer may wire.
    error NotDeployer(address caller);
    /// @notice The router is set once, and not to zero.
    error RouterAlreadySet(address router);

    /// @notice Judges an uplink. The verdict is state, not a revert; a rejection is reported to the anomaly record, which
    /// answers it, with the round in force and the uplink's id, unless others may have made it wrong. That is so where the job
    /// was aborted or expired, or the inference request closed; in training, where its round or attempt is over, it breaks no
    /// other rule on where it belongs, and its sender has neither an accepted uplink in the round and attempt in force nor
    /// another one in its slot; and where it is late, but its sender had attended in time ({IJobManager-attend}). The declared
    /// statistic of an accepted uplink is shown to the anomaly record. Sending an accepted uplink again changes nothing and returns its id.
    /// @param envelope what is sent; see {Envelope}.
    /// @param payload the bytes if `size` is at most 98304, otherwise empty; in the training of a pipelined job it may be
    /// empty at any size. The last 32 bytes of a shard_digest payload are the shard digest, which is passed to the job
    /// manager.
    /// @return uplinkId see {uplinkIdOf}.
    /// @return reason Accepted, or the first rule broken.
    /// Requirements: the caller is the signer of a party that is Accredited, Suspended or Banned. Emits {UplinkJudged}.
    function submit(Envelope calldata envelope, bytes calldata payload)
        external
        returns (bytes32 uplinkId, Reason reason);

    /// @notice Judges 1..256 uplinks of one round, one after the other: each exactly as {submit} judges the envelope with
    /// these fields and statistic zero, sent without its payload. So each has its own id, slot, verdict, count, report and
    /// {UplinkJudged}; one that is accepted already changes nothing; a suspension holds for the leaves behind it. But
    /// SenderSuspended, RateExceeded and DeadlineMissed are reported once for all leaves: they are about the batch.
    /// @param jobId the job.
    /// @param round see {Envelope}.
    /// @param attempt see {Envelope}.
    /// @param schema see {Envelope}.
    /// @param leaves what is sent; see {Leaf}.
    /// @return uplinkIds as {submit} returns them, in the order of the leaves.
    /// @return reasons likewise.
    /// Requirements: as for {submit}. Emits {UplinkJudged} for each leaf that was judged.
    function submitBatch(bytes32 jobId, uint32 round, uint16 attempt, uint16 schema, Leaf[] calldata leaves)
        external
        returns (bytes32[] memory uplinkIds, Reason[] memory reasons);

    /// @notice Wires the inference router. Requirements: deployer, once. Emits {RouterSet}.
    function setRouter(address router_) external;

    /// @notice The verdict on what `party` sent: that it was accepted, which is final, or the latest rejection.
    function verdictOf(address party, Envelope calldata envelope) external view returns (Verdict memory verdict);

    /// @notice An uplink's id: keccak256(abi.encode(chainid, this, party, envelope)).
    function uplinkIdOf(address party, Envelope calldata envelope) external view returns (bytes32 uplinkId);

    /// @notice An uplink's slot, which takes one uplink only: keccak256(abi.encode(party, jobId, round, attempt, step, kind,
    /// recipient)).
    function slotOf(address party, Envelope calldata envelope) external view returns (bytes32 slot);

    /// @notice Whether `party` sent exactly this and it was accepted.
    function isAccepted(address party, Envelope calldata envelope) external view returns (bool);

    /// @notice Whether a slot has been taken.
    function isTaken(bytes32 slot) external view returns (bool);

    /// @notice How many uplinks that named `jobId` were accepted and rejected; neither counts beyond 2**32 - 1.
    function countsOf(bytes32 jobId) external view returns (uint64 accepted, uint64 rejected);

    /// @notice Of an accepted contribution uplink; zero for every other uplink.
    /// @return jobId its job.
    /// @return party who sent it.
    /// @return acceptedAt when it was accepted, in seconds since 1970.
    /// @return blockNumber in which block: there the event with its payload is.
    function contributionOf(bytes32 uplinkId)
        external
        view
        returns (bytes32 jobId, address party, uint64 acceptedAt, uint64 blockNumber);

    /// @notice Who sent what while the job's latest round with uplinks was in force; bit i of a mask stands for roster[i].
    /// @return round the round that was in force.
    /// @return attempt its attempt.
    /// @return acceptedMask who has at least one accepted uplink.
    /// @return rejectedMask who has at least one rejected uplink that others cannot have made wrong; see {submit}.
    function roundOf(bytes32 jobId)
        external
        view
        returns (uint32 round, uint16 attempt, uint8 acceptedMask, uint8 rejectedMask);

    /// @notice How many uplinks of the party at roster position `index` (0..7) were accepted in the round of {roundOf}.
    function uplinksOf(bytes32 jobId, uint8 index) external view returns (uint16);
}
