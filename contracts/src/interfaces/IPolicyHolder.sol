// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAnomalyPolicy} from "./IAnomalyPolicy.sol";

/// @title A contract that follows an anomaly policy.
/// @notice The anomaly record, for whoever asks which policy that is.
interface IPolicyHolder {
    /// @notice The policy by which faults are answered.
    function policy() external view returns (IAnomalyPolicy);
}
