// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Reasons of faults, and answers to them
/// @notice Their numbers. 1..31 are the structural reasons, numbered as {IUplinkLedger-Reason}.
library Faults {
    uint8 internal constant SENDER_SUSPENDED = 1;
    uint8 internal constant DEADLINE_MISSED = 15;
    uint8 internal constant LAST_STRUCTURAL = 31;
    /// @dev Two signed digests for one slot.
    uint8 internal constant EQUIVOCATION = 32;
    /// @dev What was served is not what was committed to.
    uint8 internal constant PAYLOAD_MISMATCH = 33;
    /// @dev A ciphertext that must be fresh was sent twice.
    uint8 internal constant REPLAY = 34;
    /// @dev A declared statistic far from those before it: a flag, nobody's fault as yet.
    uint8 internal constant STATISTIC_OUTLIER = 48;
    /// @dev Receivers recomputed the statistic and found it false.
    uint8 internal constant STATISTIC_FALSE = 49;
    /// @dev Auditors recomputed what a label holder posted about contributions and found it false.
    uint8 internal constant CONTRIBUTION_FALSE = 50;
    /// @dev Steps of a contribution audit that their party let pass.
    uint8 internal constant AUDIT_SILENT = 51;
    /// @dev A receiver says that it recomputed a declared statistic and found it false: others vote, nobody's fault as yet.
    uint8 internal constant STATISTIC_CHALLENGED = 52;
    /// @dev The active party did not post losses, or did not reveal its seed, so that nobody could audit.
    uint8 internal constant AUDIT_REFUSED = 53;
    /// @dev Absent at a deadline.
    uint8 internal constant MISSING = 64;

    uint8 internal constant RECORDED = 0;
    uint8 internal constant STRIKE = 1;
    uint8 internal constant SUSPENSION = 2;
}
