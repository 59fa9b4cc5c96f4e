// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Tally} from "../src/Tally.sol";
import {TestBase} from "./utils/TestBase.sol";

/// @title The packed tally against plain counters.
contract TallyTest is TestBase {
    struct Plain {
        uint64 accepted;
        uint64 rejected;
        uint32 round;
        uint16 attempt;
        bool[8] hasAccepted;
        bool[8] hasRejected;
        uint256[8] uplinks;
    }

    Plain internal plain;

    function _assertSame(Tally tally) internal view {
        (uint64 accepted, uint64 rejected) = tally.counts();
        assertEq(accepted, plain.accepted, "accepted");
        assertEq(rejected, plain.rejected, "rejected");
        (uint32 round, uint16 attempt) = tally.place();
        assertEq(round, plain.round, "round");
        assertEq(attempt, plain.attempt, "attempt");
        (uint8 acceptedMask, uint8 rejectedMask) = tally.masks();
        for (uint8 i = 0; i < 8; ++i) {
            assertTrue(((acceptedMask >> i) & 1 == 1) == plain.hasAccepted[i], "accepted mask");
            assertTrue(((rejectedMask >> i) & 1 == 1) == plain.hasRejected[i], "rejected mask");
            assertEq(tally.uplinksOf(i), plain.uplinks[i], "uplinks");
        }
    }

    function testFuzz_tally_countsLikePlainCounters(uint256 seed, uint32 round, uint16 attempt) public {
        Tally tally;
        for (uint256 i = 0; i < 20; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            if (draw % 4 == 0) {
                round = uint32(draw >> 32) % 3 + (round % 2 == 0 ? 0 : type(uint32).max - 3);
                attempt = uint16(draw >> 64) % 3 + (attempt % 2 == 0 ? 0 : type(uint16).max - 3);
                tally = tally.at(round, attempt);
                if (plain.round != round || plain.attempt != attempt) {
                    (plain.round, plain.attempt) = (round, attempt);
                    delete plain.hasAccepted;
                    delete plain.hasRejected;
                    delete plain.uplinks;
                }
            }
            uint8 index = uint8(draw >> 8) % 8;
            if (draw % 2 == 0) {
                uint256 more = (draw >> 16) % 40_000;
                tally = tally.withAccepted(index, more);
                if (more != 0) plain.hasAccepted[index] = true;
                plain.accepted += uint64(more);
                plain.uplinks[index] += more;
                if (plain.uplinks[index] > 65_535) plain.uplinks[index] = 65_535;
            } else {
                bool isOutsider = draw % 3 == 0;
                tally = tally.withRejected(isOutsider ? 255 : index);
                ++plain.rejected;
                if (!isOutsider) plain.hasRejected[index] = true;
            }
            _assertSame(tally);
        }
    }

    function test_counts_stopAtTheirLargestValue() public pure {
        Tally tally = Tally.wrap(type(uint256).max).withAccepted(0, 3).withRejected(7).withRejected(9);
        assertEq(Tally.unwrap(tally), type(uint256).max, "unchanged");
        tally = Tally.wrap(0).withAccepted(3, uint256(type(uint32).max) + 5).withAccepted(3, 1);
        (uint64 accepted, uint64 rejected) = tally.counts();
        assertEq(accepted, type(uint32).max, "accepted");
        assertEq(rejected, 0, "the next field is untouched");
        assertEq(tally.uplinksOf(3), type(uint16).max, "uplinks");
        assertEq(tally.uplinksOf(4), 0, "the next counter is untouched");
    }
}
