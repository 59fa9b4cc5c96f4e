// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IStewards} from "./interfaces/IStewards.sol";

/// @title Stewards
/// @notice See {IStewards}. A motion's votes are one storage slot: a bit for each steward's seat.
contract Stewards is IStewards {
    /// @notice At most this many stewards: a vote is one bit of 32.
    uint256 public constant MAX_STEWARDS = 32;

    struct Ballot {
        uint64 epoch;
        uint32 votes;
        uint32 seats;
    }

    /// @inheritdoc IStewards
    uint64 public epoch;
    /// @inheritdoc IStewards
    uint32 public threshold;

    address[] private _stewards;
    /// @dev Position among the stewards plus one; zero means none.
    mapping(address steward => uint8) private _seats;
    mapping(address domain => mapping(bytes32 motion => Ballot)) private _ballots;

    /// @notice Takes the first stewards; see {change} for the bounds. Emits {StewardsChanged} with epoch 1.
    constructor(address[] memory stewards_, uint32 threshold_) {
        _replace(stewards_, threshold_);
    }

    /// @inheritdoc IStewards
    function vote(address steward, bytes32 motion) external returns (bool carried) {
        return _vote(msg.sender, steward, motion);
    }

    /// @inheritdoc IStewards
    function change(address[] calldata stewards_, uint32 threshold_) external returns (bool carried) {
        _requireSizes(stewards_.length, threshold_);
        carried = _vote(address(this), msg.sender, changeMotionOf(stewards_, threshold_));
        if (carried) _replace(stewards_, threshold_);
    }

    /// @inheritdoc IStewards
    function isSteward(address account) external view returns (bool) {
        return _seats[account] != 0;
    }

    /// @inheritdoc IStewards
    function stewards() external view returns (address[] memory) {
        return _stewards;
    }

    /// @inheritdoc IStewards
    function votesOf(address domain, bytes32 motion) external view returns (uint32) {
        Ballot storage ballot = _ballots[domain][motion];
        return ballot.epoch == epoch ? ballot.votes : 0;
    }

    /// @inheritdoc IStewards
    function hasVoted(address domain, bytes32 motion, address steward) external view returns (bool) {
        Ballot storage ballot = _ballots[domain][motion];
        uint8 seat = _seats[steward];
        return seat != 0 && ballot.epoch == epoch && ballot.seats & _bit(seat) != 0;
    }

    /// @inheritdoc IStewards
    function changeMotionOf(address[] calldata stewards_, uint32 threshold_) public pure returns (bytes32 motion) {
        return keccak256(abi.encode("stewards", stewards_, threshold_));
    }

    function _vote(address domain, address steward, bytes32 motion) private returns (bool carried) {
        uint8 seat = _seats[steward];
        if (seat == 0) revert NotSteward(steward);
        Ballot memory ballot = _ballots[domain][motion];
        if (ballot.epoch != epoch) ballot = Ballot(epoch, 0, 0); // votes under other stewards are void
        if (ballot.seats & _bit(seat) != 0) revert AlreadyVoted(steward, motion);
        ballot.seats |= _bit(seat);
        ++ballot.votes;
        carried = ballot.votes >= threshold;
        if (carried) delete _ballots[domain][motion];
        else _ballots[domain][motion] = ballot;
        emit VoteCast(domain, motion, steward, ballot.votes, threshold);
        if (carried) emit MotionCarried(domain, motion);
    }

    function _replace(address[] memory stewards_, uint32 threshold_) private {
        uint256 count = stewards_.length;
        _requireSizes(count, threshold_);
        for (uint256 i = 0; i < _stewards.length; ++i) {
            delete _seats[_stewards[i]];
        }
        for (uint256 i = 0; i < count; ++i) {
            address steward = stewards_[i];
            if (steward == address(0) || _seats[steward] != 0) revert StewardsInvalid(count, threshold_);
            // forge-lint: disable-next-line(unsafe-typecast)
            _seats[steward] = uint8(i + 1); // at most 32
        }
        _stewards = stewards_;
        threshold = threshold_;
        ++epoch;
        emit StewardsChanged(stewards_, threshold_, epoch);
    }

    function _requireSizes(uint256 count, uint32 threshold_) private pure {
        if (count == 0 || count > MAX_STEWARDS || threshold_ == 0 || threshold_ > count) {
            revert StewardsInvalid(count, threshold_);
        }
    }

    /// @dev `seat` is 1..32, so the bit fits.
    function _bit(uint8 seat) private pure returns (uint32) {
        // forge-lint: disable-next-line(incorrect-shift, unsafe-typecast)
        return uint32(1 << (seat - 1));
    }
}
