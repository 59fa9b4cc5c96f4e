// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {PayloadDigest} from "../src/PayloadDigest.sol";
import {TestBase} from "./utils/TestBase.sol";

contract PayloadDigestTest is TestBase {
    function rootOf(bytes calldata payload) external view returns (bytes32) {
        return PayloadDigest.rootOf(payload);
    }

    /// @dev The definition, for any number of chunks, written without regard to cost.
    function _naiveRoot(bytes memory payload) internal pure returns (bytes32) {
        uint256 width = (payload.length + 65_535) / 65_536;
        bytes32[] memory level = new bytes32[](width);
        for (uint256 i = 0; i < width; ++i) {
            uint256 start = i * 65_536;
            uint256 length = payload.length - start < 65_536 ? payload.length - start : 65_536;
            bytes memory leaf = new bytes(length + 1);
            for (uint256 j = 0; j < length; ++j) {
                leaf[j + 1] = payload[start + j];
            }
            level[i] = sha256(leaf);
        }
        for (; width > 1; width = (width + 1) / 2) {
            for (uint256 i = 0; i < width; i += 2) {
                level[i / 2] = i + 1 < width ? sha256(bytes.concat(bytes1(0x01), level[i], level[i + 1])) : level[i];
            }
        }
        return level[0];
    }

    function test_rootOf_matchesSha256sum_whenPayloadIsAbc() public view {
        // printf '\0abc' | sha256sum
        bytes32 expected = 0x609f6e36d2405585188d5cfd761f407c7cc46a7d3f314c88270469dde315fcd1;
        assertEq(this.rootOf("abc"), expected, "abc");
    }

    function test_rootOf_matchesDefinition_whenSizeIsAtAnEdge() public view {
        uint256[6] memory sizes = [uint256(1), 65_535, 65_536, 65_537, 98_303, 98_304];
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes memory payload = bytesOf(sizes[i], bytes32(i));
            assertEq(this.rootOf(payload), _naiveRoot(payload), "edge");
        }
    }

    function test_rootOf_reverts_whenPayloadIsEmptyOrTooLong() public {
        vm.expectRevert(abi.encodeWithSelector(PayloadDigest.PayloadLengthInvalid.selector, 0, 98_304));
        this.rootOf("");
        vm.expectRevert(abi.encodeWithSelector(PayloadDigest.PayloadLengthInvalid.selector, 98_305, 98_304));
        this.rootOf(new bytes(98_305));
    }

    /// forge-config: default.fuzz.runs = 32
    function testFuzz_rootOf_matchesDefinition_forRandomSizes(uint256 size, bytes32 seed) public view {
        bytes memory payload = bytesOf(bound(size, 1, 98_304), seed);
        assertEq(this.rootOf(payload), _naiveRoot(payload), "random size");
    }

    function testFuzz_rootOf_changes_whenOneBitChanges(bytes memory payload, uint256 at, uint8 bit) public view {
        vm.assume(payload.length > 0);
        bytes32 before = this.rootOf(payload);
        payload[at % payload.length] ^= bytes1(uint8(1) << (bit % 8));
        assertTrue(this.rootOf(payload) != before, "same root");
    }
}
