// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IJobManager} from "./interfaces/IJobManager.sol";

/// @title Kinds of uplinks
/// @notice Their numbers, and who may send which in which phase.
library Kinds {
    uint8 internal constant PUBLIC_KEY = 0;
    uint8 internal constant BLINDED_IDS = 1;
    uint8 internal constant GRADIENTS = 2;
    uint8 internal constant HISTOGRAM = 3;
    uint8 internal constant SPLIT = 4;
    uint8 internal constant PARTITION = 5;
    uint8 internal constant LEAF_WEIGHTS = 6;
    uint8 internal constant SHARD_DIGEST = 7;
    uint8 internal constant CONTRIBUTION = 8;
    uint8 internal constant PREDICT_REQUEST = 9;
    uint8 internal constant PREDICT_ANSWER = 10;
    uint8 internal constant AUDIT = 11;

    /// @notice Whether `kind` is one of the above.
    function isKnown(uint8 kind) internal pure returns (bool) {
        return kind <= AUDIT;
    }

    /// @notice Whether a known `kind` belongs to `phase`, whoever sends it.
    function belongsTo(uint8 kind, IJobManager.Phase phase) internal pure returns (bool) {
        if (phase == IJobManager.Phase.Aligning) return kind <= BLINDED_IDS;
        if (phase == IJobManager.Phase.Training) return kind >= GRADIENTS && kind <= LEAF_WEIGHTS;
        if (phase == IJobManager.Phase.Evaluating) return kind >= SHARD_DIGEST && kind <= AUDIT;
        if (phase == IJobManager.Phase.Completed) return kind == PREDICT_REQUEST || kind == PREDICT_ANSWER;
        return false;
    }

    /// @notice Whether the role permits a known `kind` before completion. (After it, a request is its requester's.)
    /// @param isActive whether the sender is the active party.
    function roleAllows(uint8 kind, bool isActive) internal pure returns (bool) {
        if (kind == HISTOGRAM) return !isActive;
        bool activeOnly = kind == GRADIENTS || kind == SPLIT || kind == LEAF_WEIGHTS || kind == CONTRIBUTION
            || kind == PREDICT_REQUEST;
        return isActive || !activeOnly;
    }

    /// @notice Whether uplinks of `kind` declare a statistic: those alone whose payload is plain, so that others can check
    /// it.
    function declaresStatistic(uint8 kind) internal pure returns (bool) {
        return kind == CONTRIBUTION;
    }

    /// @notice Whether an accepted uplink of `kind` changes more than its own record.
    function setsInMotion(uint8 kind) internal pure returns (bool) {
        return kind == SHARD_DIGEST || kind == CONTRIBUTION;
    }
}
