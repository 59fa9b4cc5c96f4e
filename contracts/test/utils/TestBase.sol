// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Vm} from "./Vm.sol";

/// @title Assertions, in the few types that these tests compare.
abstract contract TestBase {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    error NotEqualUint(uint256 found, uint256 expected, string what);
    error NotEqualInt(int256 found, int256 expected, string what);
    error NotEqualBytes32(bytes32 found, bytes32 expected, string what);
    error NotEqualAddress(address found, address expected, string what);
    error NotTrue(string what);

    function assertEq(uint256 found, uint256 expected, string memory what) internal pure {
        if (found != expected) revert NotEqualUint(found, expected, what);
    }

    function assertEq(int256 found, int256 expected, string memory what) internal pure {
        if (found != expected) revert NotEqualInt(found, expected, what);
    }

    function assertEq(bytes32 found, bytes32 expected, string memory what) internal pure {
        if (found != expected) revert NotEqualBytes32(found, expected, what);
    }

    function assertEq(address found, address expected, string memory what) internal pure {
        if (found != expected) revert NotEqualAddress(found, expected, what);
    }

    function assertEq(string memory found, string memory expected, string memory what) internal pure {
        assertEq(keccak256(bytes(found)), keccak256(bytes(expected)), what);
    }

    function assertTrue(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    /// @dev Written out, so that it does not share the contract's code. Source: https://eips.ethereum.org/EIPS/eip-712
    function _rotationSignature(
        address registry_,
        address party,
        uint256 secret,
        address newSigner,
        uint64 nonce,
        uint64 deadline
    ) internal view returns (bytes memory signature) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("fedchain"),
                keccak256("1"),
                block.chainid,
                registry_
            )
        );
        bytes32 rotation = keccak256(
            abi.encode(
                keccak256("KeyRotation(address party,address newSigner,uint64 nonce,uint64 deadline)"),
                party,
                newSigner,
                nonce,
                deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, keccak256(abi.encodePacked("\x19\x01", domain, rotation)));
        return abi.encodePacked(r, s, v);
    }

    /// @dev Maps `value` into min..max.
    function bound(uint256 value, uint256 min, uint256 max) internal pure returns (uint256) {
        return min + value % (max - min + 1);
    }

    /// @dev `length` bytes that differ from chunk to chunk.
    function bytesOf(uint256 length, bytes32 seed) internal pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i = 0; i < length; i += 32) {
            bytes32 word = keccak256(abi.encode(seed, i));
            for (uint256 j = i; j < i + 32 && j < length; ++j) {
                data[j] = word[j - i];
            }
        }
    }
}
