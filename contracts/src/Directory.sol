// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IStewards} from "./interfaces/IStewards.sol";

/// @title Directory
/// @notice See {IDirectory}. Each name keeps its addresses by the version in which it got them.
contract Directory is IDirectory {
    using Checkpoints for Checkpoints.Trace160;

    /// @notice At most this many seconds of delay.
    uint64 public constant MAX_DELAY = 365 days;
    /// @notice At most this many names in one change.
    uint256 public constant MAX_NAMES = 32;

    struct Change {
        uint64 notBefore;
        bytes32[] names;
        address[] addresses;
    }

    /// @notice Who decides.
    IStewards public immutable stewards;
    /// @inheritdoc IDirectory
    uint64 public immutable delay;
    /// @notice Who may set the first version.
    address public immutable deployer;

    /// @inheritdoc IDirectory
    uint64 public version;
    /// @dev Grows when a change is applied or cancelled: votes of before it, for another or against it, lapse.
    uint64 private _turn;
    /// @dev No names: nothing pending.
    Change private _pending;
    mapping(bytes32 name => Checkpoints.Trace160) private _addresses;

    /// @notice Takes the stewards, and the delay in seconds, at most a year. Reverts with {DelayInvalid}.
    constructor(IStewards stewards_, uint64 delaySeconds) {
        if (delaySeconds > MAX_DELAY) revert DelayInvalid(delaySeconds, MAX_DELAY);
        stewards = stewards_;
        delay = delaySeconds;
        deployer = msg.sender;
    }

    /// @inheritdoc IDirectory
    function setFirst(bytes32[] calldata names, address[] calldata addresses) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender);
        if (version != 0) revert FirstVersion(version);
        _requireChange(names, addresses);
        _apply(names, addresses);
    }

    /// @inheritdoc IDirectory
    function propose(bytes32[] calldata names, address[] calldata addresses) external returns (bool carried) {
        if (version == 0) revert FirstVersion(0);
        if (_pending.names.length != 0) revert ChangePending(version + 1);
        _requireChange(names, addresses);
        carried = stewards.vote(msg.sender, proposalMotionOf(names, addresses));
        if (carried) {
            uint64 notBefore = uint64(block.timestamp) + delay;
            _pending = Change(notBefore, names, addresses);
            emit ChangeProposed(version + 1, names, addresses, notBefore);
        }
    }

    /// @inheritdoc IDirectory
    function cancel() external returns (bool carried) {
        if (_pending.names.length == 0) revert NoChangePending();
        carried = stewards.vote(msg.sender, cancellationMotion());
        if (carried) {
            delete _pending;
            ++_turn;
            emit ChangeCancelled(version + 1);
        }
    }

    /// @inheritdoc IDirectory
    function applyChange() external {
        Change memory change = _pending;
        if (change.names.length == 0) revert NoChangePending();
        // forge-lint: disable-next-line(block-timestamp)
        if (block.timestamp < change.notBefore) revert TooEarly(change.notBefore, block.timestamp);
        delete _pending;
        _apply(change.names, change.addresses);
    }

    /// @inheritdoc IDirectory
    function addressOf(bytes32 name) external view returns (address) {
        return address(_addresses[name].latest());
    }

    /// @inheritdoc IDirectory
    function addressAt(bytes32 name, uint64 version_) external view returns (address) {
        if (version_ > version) revert UnknownVersion(version_, version);
        return address(_addresses[name].upperLookup(version_));
    }

    /// @inheritdoc IDirectory
    function pending()
        external
        view
        returns (uint64 version_, uint64 notBefore, bytes32[] memory names, address[] memory addresses)
    {
        Change memory change = _pending;
        if (change.names.length != 0) version_ = version + 1;
        return (version_, change.notBefore, change.names, change.addresses);
    }

    /// @inheritdoc IDirectory
    function proposalMotionOf(bytes32[] calldata names, address[] calldata addresses)
        public
        view
        returns (bytes32 motion)
    {
        return keccak256(abi.encode("propose", _turn, names, addresses));
    }

    /// @inheritdoc IDirectory
    function cancellationMotion() public view returns (bytes32 motion) {
        return keccak256(abi.encode("cancel", _turn));
    }

    function _apply(bytes32[] memory names, address[] memory addresses) private {
        uint64 next = version + 1;
        version = next;
        ++_turn;
        for (uint256 i = 0; i < names.length; ++i) {
            _addresses[names[i]].push(next, uint160(addresses[i]));
        }
        emit ChangeApplied(next, names, addresses);
    }

    function _requireChange(bytes32[] calldata names, address[] calldata addresses) private view {
        uint256 count = names.length;
        if (count == 0 || count > MAX_NAMES || count != addresses.length) {
            revert ChangeSizeInvalid(count, addresses.length, MAX_NAMES);
        }
        for (uint256 i = 0; i < count; ++i) {
            if (names[i] == 0) revert NameInvalid(0);
            for (uint256 j = 0; j < i; ++j) {
                if (names[j] == names[i]) revert NameInvalid(names[i]);
            }
            if (addresses[i].code.length == 0) revert NotContract(names[i], addresses[i]);
        }
    }
}
