// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title What a job's uplinks amount to, in one word.
/// @notice The job's counts; the round and attempt in force when the latest uplink was judged; and for that round and
/// attempt who had uplinks accepted and rejected, and how many each had accepted.
/// @dev From the highest bit: rejected 32, accepted 32, round 32, attempt 16, rejected mask 8, accepted mask 8, and
/// eight counters of 16 bits, that of the party at roster position i from bit 16·i. Counts stop at their largest value.
type Tally is uint256;

using {at, withAccepted, withRejected, counts, place, masks, uplinksOf} for Tally global;

uint256 constant COUNTER_BITS = 16;
uint256 constant MASK_BITS = 8;
uint256 constant ACCEPTED_MASK_AT = 128;
uint256 constant REJECTED_MASK_AT = 136;
uint256 constant ATTEMPT_AT = 144;
uint256 constant ROUND_AT = 160;
uint256 constant ACCEPTED_AT = 192;
uint256 constant REJECTED_AT = 224;
uint256 constant ROSTER = 8;

// every cast below takes a field out of the word, every shift of 1 is a bit of it
// forge-lint: disable-start(unsafe-typecast, incorrect-shift)

/// @dev The tally while `round` and `attempt` are in force: if they are new, with no masks and counters.
function at(Tally tally, uint32 round, uint16 attempt) pure returns (Tally) {
    uint256 word = Tally.unwrap(tally);
    uint256 inForce = (uint256(round) << 16) | attempt;
    if (uint48(word >> ATTEMPT_AT) == inForce) return tally;
    return Tally.wrap(((word >> ACCEPTED_AT) << ACCEPTED_AT) | (inForce << ATTEMPT_AT));
}

/// @dev `more` accepted uplinks of the party at roster position `index`, 0..7 unless there are none.
function withAccepted(Tally tally, uint8 index, uint256 more) pure returns (Tally) {
    if (more == 0) return tally;
    uint256 word = Tally.unwrap(tally) | (1 << (ACCEPTED_MASK_AT + index));
    uint256 counterAt = COUNTER_BITS * index;
    word += _least(more, type(uint16).max - uint16(word >> counterAt)) << counterAt;
    word += _least(more, type(uint32).max - uint32(word >> ACCEPTED_AT)) << ACCEPTED_AT;
    return Tally.wrap(word);
}

/// @dev One more rejected uplink of the party at roster position `index`; 8 and above is nobody on the roster.
function withRejected(Tally tally, uint8 index) pure returns (Tally) {
    uint256 word = Tally.unwrap(tally);
    if (index < ROSTER) word |= 1 << (REJECTED_MASK_AT + index);
    if (uint32(word >> REJECTED_AT) != type(uint32).max) word += 1 << REJECTED_AT;
    return Tally.wrap(word);
}

function counts(Tally tally) pure returns (uint64 accepted, uint64 rejected) {
    uint256 word = Tally.unwrap(tally);
    return (uint32(word >> ACCEPTED_AT), uint32(word >> REJECTED_AT));
}

function place(Tally tally) pure returns (uint32 round, uint16 attempt) {
    uint256 word = Tally.unwrap(tally);
    return (uint32(word >> ROUND_AT), uint16(word >> ATTEMPT_AT));
}

function masks(Tally tally) pure returns (uint8 accepted, uint8 rejected) {
    uint256 word = Tally.unwrap(tally);
    return (uint8(word >> ACCEPTED_MASK_AT), uint8(word >> REJECTED_MASK_AT));
}

/// @dev How many uplinks of the party at roster position `index`, 0..7, were accepted in the round.
function uplinksOf(Tally tally, uint8 index) pure returns (uint16) {
    return uint16(Tally.unwrap(tally) >> (COUNTER_BITS * index));
}

function _least(uint256 a, uint256 b) pure returns (uint256) {
    return a < b ? a : b;
}

// forge-lint: disable-end(unsafe-typecast, incorrect-shift)
