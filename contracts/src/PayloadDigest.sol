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
        return _node(left, right);
    }

    /// @notice Whether a leaf with its siblings leads to a payload's digest; for payloads of any size.
    /// @param root the payload's digest.
    /// @param size the payload's bytes.
    /// @param index the chunk's position, from 0; none beyond the last is in the tree.
    /// @param leaf sha256(0x00 ‖ chunk).
    /// @param siblings from the leaf's level up; none where an odd last node is carried up. Neither more nor fewer.
    function isInTree(bytes32 root, uint64 size, uint256 index, bytes32 leaf, bytes32[] calldata siblings)
        internal
        pure
        returns (bool)
    {
        uint256 width = (uint256(size) + CHUNK_BYTES - 1) / CHUNK_BYTES;
        if (index >= width) return false;
        bytes32 node = leaf;
        uint256 used;
        for (; width > 1; width = (width + 1) / 2) {
            // at most 48 levels
            if (index ^ 1 < width) {
                if (used == siblings.length) return false;
                bytes32 sibling = siblings[used];
                ++used;
                node = index % 2 == 1 ? _node(sibling, node) : _node(node, sibling);
            }
            index /= 2;
        }
        return used == siblings.length && node == root;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
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
