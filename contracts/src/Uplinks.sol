// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title One uplink in memory: its envelope, and where and by whom it was sent.
/// @notice The fields lie as abi.encode(chainid, ledger, party, envelope) lays them out, one word each, so that an uplink's
/// id and its slot are hashes of this very memory; a batch fills in the next leaf where the one before was.
library Uplinks {
    uint256 private constant WORDS = 13;
    uint256 private constant SLOT_FROM = 2;
    uint256 private constant SLOT_WORDS = 7;

    /// @dev In the order of the id's preimage; the slot's is party to recipient.
    struct Uplink {
        uint256 chainId;
        address ledger;
        address party;
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

    /// @notice What `party` sends to this contract.
    function sentBy(address party, IUplinkLedger.Envelope calldata envelope)
        internal
        view
        returns (Uplink memory uplink)
    {
        uplink.chainId = block.chainid;
        uplink.ledger = address(this);
        uplink.party = party;
        uplink.jobId = envelope.jobId;
        uplink.round = envelope.round;
        uplink.attempt = envelope.attempt;
        uplink.step = envelope.step;
        uplink.kind = envelope.kind;
        uplink.recipient = envelope.recipient;
        uplink.schema = envelope.schema;
        uplink.digest = envelope.digest;
        uplink.size = envelope.size;
        uplink.statisticE6 = envelope.statisticE6;
    }

    /// @notice See {IUplinkLedger-uplinkIdOf}.
    function idOf(Uplink memory uplink) internal pure returns (bytes32 id) {
        return _hash(uplink, 0, WORDS);
    }

    /// @notice See {IUplinkLedger-slotOf}.
    function slotOf(Uplink memory uplink) internal pure returns (bytes32 slot) {
        return _hash(uplink, SLOT_FROM, SLOT_WORDS);
    }

    /// @notice Takes the fields of a leaf, and no statistic; see {IUplinkLedger-Leaf}.
    function setLeaf(Uplink memory uplink, uint256 place, bytes32 digest) internal pure {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(add(uplink, 192), and(shr(64, place), 0xffffffff)) // step
            mstore(add(uplink, 224), and(place, 0xff)) // kind
            mstore(add(uplink, 256), shr(96, place)) // recipient
            mstore(add(uplink, 320), digest)
            mstore(add(uplink, 352), and(shr(8, place), 0xffffffffffffff)) // size
        }
    }

    /// @notice Emits {IUplinkLedger-UplinkJudged}.
    /// @dev What `emit` does, at a third of its cost: no second copy of the payload, no cleaning of what is clean.
    function publish(Uplink memory uplink, bytes32 id, IUplinkLedger.Reason reason, bytes calldata payload) internal {
        bytes32 signature = IUplinkLedger.UplinkJudged.selector;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let place := shl(96, mload(add(uplink, 256))) // recipient
            place := or(place, shl(64, mload(add(uplink, 192)))) // step
            place := or(place, shl(32, mload(add(uplink, 128)))) // round
            place := or(place, shl(16, mload(add(uplink, 160)))) // attempt
            place := or(place, shl(8, mload(add(uplink, 224)))) // kind
            let measure := shl(128, mload(add(uplink, 288))) // schema
            measure := or(measure, shl(64, mload(add(uplink, 352)))) // size
            let data := mload(0x40)
            mstore(data, or(place, reason))
            mstore(add(data, 32), or(measure, mload(add(uplink, 384)))) // statisticE6
            mstore(add(data, 64), mload(add(uplink, 320))) // digest
            mstore(add(data, 96), 128)
            mstore(add(data, 128), payload.length)
            let size := and(add(payload.length, 31), not(31))
            if size {
                mstore(add(add(data, 128), size), 0) // pads the last word
                calldatacopy(add(data, 160), payload.offset, payload.length)
            }
            log4(data, add(size, 160), signature, mload(add(uplink, 96)), mload(add(uplink, 64)), id)
        }
    }

    function _hash(Uplink memory uplink, uint256 from, uint256 words) private pure returns (bytes32 hash) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(add(uplink, mul(from, 32)), mul(words, 32))
        }
    }
}
