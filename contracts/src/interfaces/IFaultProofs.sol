// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IUplinkLedger} from "./IUplinkLedger.sol";

/// @title Faults that prove themselves: anyone proves, the contract checks, the record answers.
/// @notice A proof convicts by the party's own signature or by uplinks that the ledger accepted from it, so it does not
/// matter who brings it. Envelopes and signatures become public with it; no payload does.
/// Signatures are 65 bytes, EIP-191 over 32 bytes, by the key that signs for the party at the time of the proof; or by an
/// earlier one that was the party's since it accepted the envelope's job, as long as that job goes on and for a week after
/// its end. So nobody rotates its key to escape, and who stole a key that had been rotated away before proves nothing with
/// it: not in jobs accepted since (unless the party has rotated twice or more since, as the registry does not keep the
/// order of its keys), and in older ones not once their week is over.
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
    /// @notice `message` was signed by no key of the party that counts; `expected` is the present one, `found` is zero for
    /// what is no signature.
    error NotSigned(bytes32 message, address expected, address found);
    /// @notice The ledger did not accept the uplink from the party.
    error UplinkNotAccepted(bytes32 uplinkId);
    /// @notice What was served is the payload that was committed to.
    error PayloadIsSound(bytes32 digest);
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

    /// @notice What the party serves as a payload is not the payload that it committed to. With the hashes of a payload's
    /// chunks a party signs their root, keccak256(abi.encode("fedchain payload", chainid, ledger, digest, served)): once for
    /// each transfer, however many chunks it has. One digest is one fault, however often it was served.
    /// @param party who served.
    /// @param envelope an accepted uplink of the party; its digest is what was asked for.
    /// @param served root of the SHA-256 Merkle tree over the chunks that were served, as {IUplinkLedger-Envelope} has it.
    /// @param signature the party's, over the statement above.
    /// @return faultId its number in the record.
    /// Evidence: keccak256(abi.encode(PAYLOAD_MISMATCH, party, digest)).
    /// Requirements: the party is registered, the uplink accepted, the statement signed, `served` is not the envelope's digest,
    /// not proven before. Emits {ProofAccepted}.
    function provePayloadMismatch(
        address party,
        IUplinkLedger.Envelope calldata envelope,
        bytes32 served,
        bytes calldata signature
    ) external returns (uint256 faultId);

    /// @notice The same ciphertext in two rounds, attempts or jobs, where it must be fresh (public_key, blinded_ids,
    /// gradients, histogram). Of n equal uplinks at most n - 1 faults are proven: each proof has an uplink that no earlier
    /// one had.
    /// @param party who sent both.
    /// @param first an uplink.
    /// @param signatureFirst the party's signature over its uplink id; empty for an uplink that the ledger accepted.
    /// @param second another with the same digest; the order does not matter.
    /// @param signatureSecond likewise.
    /// @return faultId its number in the record, with job and round of the one that was accepted later, or was not.
    /// Evidence: keccak256(abi.encode(REPLAY, lower uplink id, higher uplink id)).
    /// Requirements: the party is registered, both kinds are such, digests equal, job, round or attempt differ, each
    /// signed or accepted, not both proven before. Emits {ProofAccepted}.
    function proveReplay(
        address party,
        IUplinkLedger.Envelope calldata first,
        bytes calldata signatureFirst,
        IUplinkLedger.Envelope calldata second,
        bytes calldata signatureSecond
    ) external returns (uint256 faultId);

    /// @notice Whether a fault with this evidence was proven.
    function isProven(bytes32 evidence) external view returns (bool);
}
