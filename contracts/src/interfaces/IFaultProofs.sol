// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IUplinkLedger} from "./IUplinkLedger.sol";

/// @title Faults that prove themselves: anyone proves, the contract checks, the record answers.
/// @notice A proof convicts by the party's own signature or by uplinks that the ledger accepted from it, so it does not
/// matter who brings it. Envelopes and signatures become public with it; no payload does.
/// Signatures are 65 bytes, EIP-191 over 32 bytes, by the key that signs for the party at the time of the proof: what was
/// signed by a key that has been rotated away proves nothing any more.
interface IFaultProofs {
    /// @notice `prover` proved the fault. `first` and `second` are uplink ids; for a payload both are its uplink's.
    event ProofAccepted(
        uint256 indexed faultId,
        address indexed party,
        address indexed prover,
        bytes32 evidence,
        bytes32 first,
        bytes32 second
    );

    /// @notice `party` is not registered.
    error PartyUnknown(address party);
    /// @notice The two uplinks belong to different slots.
    error SlotsDiffer(bytes32 first, bytes32 second);
    /// @notice The two uplinks have one digest.
    error DigestsEqual(bytes32 digest);
    /// @notice The two uplinks have different digests.
    error DigestsDiffer(bytes32 first, bytes32 second);
    /// @notice `message` was not signed by the party's key; `found` is zero for what is no signature.
    error NotSigned(bytes32 message, address expected, address found);
    /// @notice The ledger did not accept the uplink from the party.
    error UplinkNotAccepted(bytes32 uplinkId);
    /// @notice The chunk belongs to the payload that was committed to.
    error ChunkIsSound(bytes32 uplinkId, uint32 index);
    /// @notice Uplinks of this kind may be equal.
    error KindMayRepeat(uint8 kind);
    /// @notice Both uplinks are of one round and attempt, where one payload may go to several recipients.
    error SameRound(bytes32 jobId, uint32 round, uint16 attempt);
    /// @notice This fault is proven already.
    error AlreadyProven(bytes32 evidence);

    /// @notice Two digests for one slot. One slot is one fault, however many digests it got.
    /// @param party who sent both.
    /// @param a an uplink of the slot.
    /// @param signatureA the party's signature over a's uplink id; empty for an uplink that the ledger accepted.
    /// @param b another, with another digest.
    /// @param signatureB likewise.
    /// @return faultId its number in the record.
    /// Evidence: keccak256(abi.encode(EQUIVOCATION, slot)), both arguments 32 bytes wide.
    /// Requirements: the party is registered, slots equal, digests differ, each uplink signed or accepted, not proven before.
    /// Emits {ProofAccepted}.
    function proveEquivocation(
        address party,
        IUplinkLedger.Envelope calldata a,
        bytes calldata signatureA,
        IUplinkLedger.Envelope calldata b,
        bytes calldata signatureB
    ) external returns (uint256 faultId);

    /// @notice A chunk that the party served is not one of the payload that it committed to. The party signs
    /// keccak256(abi.encode("fedchain chunk", uplinkId, index, leaf, keccak256(abi.encode(proof)))) with what it serves.
    /// One uplink is one fault, however many of its chunks were false.
    /// @param party who served.
    /// @param envelope the accepted uplink.
    /// @param index the chunk's position, from 0.
    /// @param leaf sha256(0x00 ‖ chunk), of the chunk that came.
    /// @param proof 32-byte siblings as served, from the leaf's level up; none where an odd last node is carried up.
    /// @param signature the party's, over the statement above.
    /// @return faultId its number in the record.
    /// Evidence: keccak256(abi.encode(PAYLOAD_MISMATCH, uplinkId)).
    /// Requirements: the party is registered, the uplink accepted, the statement signed, leaf and proof do not lead to the
    /// envelope's digest in a tree over ⌈size / 65536⌉ chunks, not proven before. Emits {ProofAccepted}.
    function provePayloadMismatch(
        address party,
        IUplinkLedger.Envelope calldata envelope,
        uint32 index,
        bytes32 leaf,
        bytes32[] calldata proof,
        bytes calldata signature
    ) external returns (uint256 faultId);

    /// @notice The same ciphertext in two rounds, attempts or jobs, where it must be fresh (public_key, blinded_ids,
    /// gradients, histogram). Of n equal uplinks at most n - 1 faults are proven: each proof has an uplink that no earlier
    /// one had.
    /// @param party who sent both.
    /// @param first an accepted uplink.
    /// @param second another with the same digest; the order does not matter.
    /// @return faultId its number in the record, with job and round of the later one.
    /// Evidence: keccak256(abi.encode(REPLAY, lower uplink id, higher uplink id)).
    /// Requirements: the party is registered, both kinds are such, digests equal, job, round or attempt differ, both accepted,
    /// not both proven before. Emits {ProofAccepted}.
    function proveReplay(address party, IUplinkLedger.Envelope calldata first, IUplinkLedger.Envelope calldata second)
        external
        returns (uint256 faultId);

    /// @notice Whether a fault with this evidence was proven.
    function isProven(bytes32 evidence) external view returns (bool);
}
