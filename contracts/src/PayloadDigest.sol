// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Root of the SHA-256 Merkle tree over a payload's 64 KiB chunks.
/// @notice leaf = sha256(0x00 ‖ chunk), node = sha256(0x01 ‖ left ‖ right). A payload that travels in a transaction
/// has at most two chunks, so the tree has at most two leaves.
library PayloadDigest {
    uint256 internal constant CHUNK_BYTES = 65_536;
    uint256 internal constant INLINE_LIMIT = 98_304;

    /// @notice The payload is empty or longer than the inline limit.
    error PayloadLengthInvalid(uint256 length, uint256 max);

    /// @notice The payload's digest. Requirements: 1..INLINE_LIMIT bytes.
    function rootOf(bytes calldata payload) internal view returns (bytes32 root) {
        uint256 length = payload.length;
        if (length == 0 || length > INLINE_LIMIT) revert PayloadLengthInvalid(length, INLINE_LIMIT);
        if (length <= CHUNK_BYTES) return _leaf(payload);
        bytes32 left = _leaf(payload[:CHUNK_BYTES]);
        bytes32 right = _leaf(payload[CHUNK_BYTES:]);
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev Hashes beyond the free memory pointer without allocating, so that both leaves and the event that
    /// follows share the same memory; expanding it costs quadratic gas.
    function _leaf(bytes calldata chunk) private view returns (bytes32 digest) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore8(start, 0)
            calldatacopy(add(start, 1), chunk.offset, chunk.length)
            if iszero(staticcall(gas(), 2, start, add(chunk.length, 1), 0, 32)) { revert(0, 0) }
            digest := mload(0)
        }
    }
}
