// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IContributionLedger} from "./interfaces/IContributionLedger.sol";
import {IJobManager} from "./interfaces/IJobManager.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "./interfaces/IUplinkLedger.sol";

/// @title ContributionLedger
/// @notice See {IContributionLedger}.
contract ContributionLedger is IContributionLedger {
    struct Contribution {
        int64 utilityFullE6;
        int64 utilityEmptyE6;
        uint64 blockNumber;
        int64[] sharesE6;
    }

    /// @notice Who is accredited.
    IParticipantRegistry public immutable registry;
    /// @notice The jobs that contributions belong to.
    IJobManager public immutable jobs;
    /// @notice Knows the contribution uplinks.
    IUplinkLedger public immutable ledger;

    mapping(bytes32 jobId => Contribution) private _contributions;

    /// @notice Takes the contracts it reads.
    constructor(IParticipantRegistry registry_, IJobManager jobs_, IUplinkLedger ledger_) {
        registry = registry_;
        jobs = jobs_;
        ledger = ledger_;
    }

    /// @inheritdoc IContributionLedger
    function record(
        bytes32 jobId,
        bytes32 uplinkId,
        int64[] calldata sharesE6,
        int64 utilityFullE6,
        int64 utilityEmptyE6
    ) external {
        address party = _requireActiveInEvaluating(jobId);
        Contribution storage contribution = _contributions[jobId];
        if (contribution.blockNumber != 0) revert AlreadyRecorded(jobId);
        address[] memory roster = jobs.rosterOf(jobId);
        if (sharesE6.length != roster.length) revert ShareCountInvalid(roster.length, sharesE6.length);
        int256 expected = int256(utilityFullE6) - int256(utilityEmptyE6);
        int256 sum = 0;
        for (uint256 i = 0; i < sharesE6.length; ++i) {
            sum += sharesE6[i];
        }
        if (sum != expected) revert SharesDoNotSum(expected, sum);
        _requireContribution(jobId, uplinkId, party);

        contribution.utilityFullE6 = utilityFullE6;
        contribution.utilityEmptyE6 = utilityEmptyE6;
        contribution.blockNumber = uint64(block.number);
        contribution.sharesE6 = sharesE6;
        emit ContributionRecorded(jobId, party, roster, sharesE6, utilityFullE6, utilityEmptyE6);
    }

    /// @inheritdoc IContributionLedger
    function contributionOf(bytes32 jobId)
        external
        view
        returns (
            address[] memory roster,
            int64[] memory sharesE6,
            int64 utilityFullE6,
            int64 utilityEmptyE6,
            uint64 blockNumber
        )
    {
        Contribution storage contribution = _contributions[jobId];
        return (
            contribution.blockNumber == 0 ? new address[](0) : jobs.rosterOf(jobId),
            contribution.sharesE6,
            contribution.utilityFullE6,
            contribution.utilityEmptyE6,
            contribution.blockNumber
        );
    }

    function _requireContribution(bytes32 jobId, bytes32 uplinkId, address party) private view {
        (bytes32 ofJob, address sender,,) = ledger.contributionOf(uplinkId);
        if (ofJob != jobId || sender != party) revert NotContributionUplink(jobId, uplinkId);
    }

    function _requireActiveInEvaluating(bytes32 jobId) private view returns (address party) {
        IJobManager.Phase phase = jobs.phaseOf(jobId);
        if (phase == IJobManager.Phase.None) revert IJobManager.UnknownJob(jobId);
        IParticipantRegistry.Status status;
        (party, status) = registry.identify(msg.sender);
        uint256 index = jobs.rosterIndexOf(jobId, party);
        if (index == type(uint256).max) revert IJobManager.NotOnRoster(jobId, msg.sender);
        if (index != 0) revert IJobManager.NotActiveParty(jobId, party);
        if (status != IParticipantRegistry.Status.Accredited) revert IJobManager.PartyNotAccredited(party);
        if (phase != IJobManager.Phase.Evaluating) revert IJobManager.WrongPhase(IJobManager.Phase.Evaluating, phase);
    }
}
