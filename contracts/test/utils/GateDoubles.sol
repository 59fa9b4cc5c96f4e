// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IParticipantRegistry} from "../../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../../src/interfaces/IUplinkLedger.sol";

/// @title Stewards that need two votes for a motion.
contract StewardsDouble {
    mapping(address account => bool) public isSteward;
    mapping(bytes32 motion => uint256) public votes;
    mapping(bytes32 motion => mapping(address steward => bool)) public hasVoted;

    error NotSteward(address caller);
    error AlreadyVoted(address steward, bytes32 motion);

    constructor(address[] memory members) {
        for (uint256 i = 0; i < members.length; ++i) {
            isSteward[members[i]] = true;
        }
    }

    function vote(address steward, bytes32 motion) external returns (bool carried) {
        if (!isSteward[steward]) revert NotSteward(steward);
        bytes32 here = keccak256(abi.encode(msg.sender, motion));
        if (hasVoted[here][steward]) revert AlreadyVoted(steward, motion);
        hasVoted[here][steward] = true;
        return ++votes[here] == 2;
    }
}

/// @title A registry whose parties are set by the test; counts the strikes that the gate writes.
contract RegistryDouble {
    address public gate;
    mapping(address party => IParticipantRegistry.Status) public statusOf;
    mapping(address party => address) public signerOf;
    mapping(address signer => address) public partyOf;
    mapping(address party => uint32) public strikesOf;
    mapping(address party => uint256) public suspensionsOf;
    bool public strikesSuspend = true;

    error NotGate(address caller);

    modifier onlyGate() {
        if (msg.sender != gate) revert NotGate(msg.sender);
        _;
    }

    function setGate(address gate_) external {
        gate = gate_;
    }

    function setParty(address party, address signer, IParticipantRegistry.Status status) external {
        delete partyOf[signerOf[party]];
        signerOf[party] = signer;
        partyOf[signer] = party;
        statusOf[party] = status;
    }

    function setStatus(address party, IParticipantRegistry.Status status) external {
        statusOf[party] = status;
    }

    function setStrikesSuspend(bool on) external {
        strikesSuspend = on;
    }

    function strike(address party, bytes32, uint32, uint8) external onlyGate returns (uint32 strikes, bool suspended) {
        strikes = ++strikesOf[party];
        suspended = strikesSuspend && strikes >= 3;
        if (suspended) statusOf[party] = IParticipantRegistry.Status.Suspended;
    }

    function suspendAtOnce(address party, bytes32, uint8) external onlyGate returns (bool) {
        ++suspensionsOf[party];
        statusOf[party] = IParticipantRegistry.Status.Suspended;
        return true;
    }

    function forgive(address party) external onlyGate {
        --strikesOf[party];
    }

    function identify(address signer) external view returns (address party, IParticipantRegistry.Status status) {
        party = partyOf[signer];
        status = statusOf[party];
    }
}

/// @title One roster for every job.
contract JobsDouble {
    address[] internal roster;

    function setRoster(address[] calldata parties) external {
        roster = parties;
    }

    function rosterIndexOf(bytes32, address party) external view returns (uint256) {
        for (uint256 i = 0; i < roster.length; ++i) {
            if (roster[i] == party) return i;
        }
        return type(uint256).max;
    }

    /// @dev Nobody has accepted anything: only present keys convict.
    function acceptanceOf(bytes32, address) external pure returns (address, uint64, uint64) {
        return (address(0), 0, 0);
    }
}

/// @title A ledger that accepts what the test says.
contract LedgerDouble {
    mapping(bytes32 uplinkId => uint256 blockNumber) internal accepted;

    function accept(address party, IUplinkLedger.Envelope calldata envelope) external {
        accepted[uplinkIdOf(party, envelope)] = block.number;
    }

    function verdictOf(address party, IUplinkLedger.Envelope calldata envelope)
        external
        view
        returns (IUplinkLedger.Verdict memory verdict)
    {
        verdict.blockNumber = uint64(accepted[uplinkIdOf(party, envelope)]);
        verdict.known = verdict.blockNumber != 0;
    }

    function isAccepted(address party, IUplinkLedger.Envelope calldata envelope) external view returns (bool) {
        return accepted[uplinkIdOf(party, envelope)] != 0;
    }

    function slotOf(address party, IUplinkLedger.Envelope calldata e) external pure returns (bytes32) {
        return keccak256(abi.encode(e.jobId, e.round, e.attempt, e.step, party, e.recipient, e.kind));
    }

    function uplinkIdOf(address party, IUplinkLedger.Envelope calldata envelope) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), party, envelope));
    }
}
