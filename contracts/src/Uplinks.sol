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

    /// @notice The event's first word, but for the reason in its lowest byte.
    function placeOf(Uplink memory uplink) internal pure returns (uint256) {
        return uint256(uint160(uplink.recipient)) << 96 | uint256(uplink.step) << 64 | uint256(uplink.round) << 32
            | uint256(uplink.attempt) << 16 | uint256(uplink.kind) << 8;
    }

    /// @notice The event's second word.
    function measureOf(Uplink memory uplink) internal pure returns (uint256) {
        return uint256(uplink.schema) << 128 | uint256(uplink.size) << 64 | uplink.statisticE6;
    }

    function _hash(Uplink memory uplink, uint256 from, uint256 words) private pure returns (bytes32 hash) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(add(uplink, mul(from, 32)), mul(words, 32))
        }
    }
}
