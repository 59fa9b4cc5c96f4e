// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IAnomalyRecord} from "./interfaces/IAnomalyRecord.sol";

/// @title How the contracts tell the anomaly record what they saw.
/// @notice What is told never undoes what it is about: if the record refuses, the verdict or the closed round stands and
/// the refusal is an event. But whoever pays for the call chooses its gas: running out of it inside the record, which
/// leaves no error data, reverts everything, so that nobody escapes an answer by paying for the verdict alone.
library Reports {
    /// @notice Code of a party that let a deadline pass.
    uint8 internal constant MISSING = 64;

    /// @notice The anomaly record refused a report or a statistic, with `refusal` as its error.
    event ReportRefused(address indexed party, bytes32 indexed jobId, uint8 code, bytes refusal);

    /// @notice Too little gas for the anomaly record.
    error ReportOutOfGas();

    /// @notice Reports a fault; parameters as of {IAnomalyRecord-report}. Emits {ReportRefused} if that reverts.
    function report(IAnomalyRecord record, address party, bytes32 jobId, uint32 round, uint8 reason, bytes32 evidence)
        internal
    {
        try record.report(party, jobId, round, reason, evidence) returns (uint256) {
            return;
        } catch (bytes memory refusal) {
            _note(party, jobId, reason, refusal);
        }
    }

    /// @notice Shows a declared statistic; parameters as of {IAnomalyRecord-observe}. Emits {ReportRefused}, with the kind
    /// as its code, if that reverts.
    function observe(
        IAnomalyRecord record,
        address party,
        bytes32 jobId,
        uint32 round,
        uint8 kind,
        bytes32 uplinkId,
        uint64 statisticE6
    ) internal {
        try record.observe(party, jobId, round, kind, uplinkId, statisticE6) {
            return;
        } catch (bytes memory refusal) {
            _note(party, jobId, kind, refusal);
        }
    }

    function _note(address party, bytes32 jobId, uint8 code, bytes memory refusal) private {
        if (refusal.length == 0) revert ReportOutOfGas();
        emit ReportRefused(party, jobId, code, refusal);
    }
}
