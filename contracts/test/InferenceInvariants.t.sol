// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IInferenceRouter} from "../src/interfaces/IInferenceRouter.sol";
import {IParticipantRegistry} from "../src/interfaces/IParticipantRegistry.sol";
import {IUplinkLedger} from "../src/interfaces/IUplinkLedger.sol";
import {Vm} from "./utils/Vm.sol";
import {WithTerms} from "./utils/WithTerms.sol";

/// @title Parties ask, reserve, anchor and close at random times; what was counted is counted once more from the events.
contract InferenceHandler is WithTerms {
    bytes32 internal jobId;
    bytes32 internal other;
    uint32 internal constant SHORT = 60;
    uint64 internal constant FEW = 20;

    mapping(bytes32 place => uint256) internal usedIn;
    mapping(address requester => uint64) internal next;
    mapping(address requester => uint64) internal anchored;
    mapping(address requester => uint32) internal anchors;
    mapping(uint32 requestId => uint256) internal ends;
    mapping(uint32 requestId => IInferenceRouter.RequestStatus) internal latest;
    mapping(uint32 requestId => uint256) internal deadlines;
    uint256 internal requests;

    constructor() {
        setUp();
        jobId = _completedWith(FEW, SHORT, SHORT);
        other = _completedWith(FEW, SHORT, SHORT);
        vm.recordLogs();
    }

    modifier checked() {
        _;
        _readLogs();
        _checkRequests();
    }

    function reserve(uint256 seed) external checked {
        _call(_party(seed), abi.encodeCall(IInferenceRouter.reserve, (jobId, uint32((seed >> 8) % (FEW + 2)))));
    }

    function anchor(uint256 seed) external checked {
        address party = _party(seed);
        uint32 count = uint32((seed >> 8) % (FEW + 2));
        bool sound = count != 0 && anchored[party] + count <= next[party];
        sound = sound && party != DAVE && _isAccredited(party);
        bool done = _call(party, abi.encodeCall(IInferenceRouter.anchor, (jobId, bytes32(seed | 1), count)));
        assertTrue(done == sound, "anchored more than was reserved, or less was refused");
    }

    function ask(uint256 seed) external checked {
        uint256 count = 1 + (seed >> 8) % 6;
        (bytes32[] memory digests, bytes[] memory bodies) = _bodies(count, 40, bytes32(seed));
        if ((seed >> 16) % 2 == 0) digests[0] = bytes32(seed);
        assertTrue(
            _call(_party(seed), abi.encodeCall(IInferenceRouter.ask, (jobId, digests, bodies))), "a verdict is state"
        );
    }

    function open(uint256 seed) external checked {
        _call(_party(seed), abi.encodeCall(IInferenceRouter.open, (jobId)));
    }

    function close(uint256 seed) external checked {
        if (requests == 0) return;
        _call(_party(seed), abi.encodeCall(IInferenceRouter.close, (jobId, _request(seed), uint8(1 + seed % 3))));
    }

    function closeMany(uint256 seed) external checked {
        if (requests == 0) return;
        uint32[] memory ids = new uint32[](3);
        uint8[] memory outcomes = new uint8[](3);
        for (uint256 i = 0; i < 3; ++i) {
            // the same request twice in one call, now and then
            (ids[i], outcomes[i]) = (_request(seed >> (8 * (i % 2))), uint8(1 + (seed + i) % 3));
        }
        _call(_party(seed), abi.encodeCall(IInferenceRouter.closeMany, (jobId, ids, outcomes)));
    }

    function expire(uint256 seed) external checked {
        if (requests == 0) return;
        uint32 requestId = _request(seed);
        bool isDue = deadlines[requestId] != 0 && block.timestamp > deadlines[requestId];
        bool done = _call(_party(seed), abi.encodeCall(IInferenceRouter.expire, (jobId, requestId)));
        assertTrue(isDue || !done, "ended before its time");
    }

    function wait(uint256 by) external checked {
        vm.warp(block.timestamp + by % SHORT);
    }

    function suspendOrReinstate(uint256 seed) external checked {
        vm.startPrank(STEWARD);
        if (!_isAccredited(CAROL)) registry.reinstate(CAROL);
        else if (seed % 4 == 0) registry.suspend(CAROL, "test");
        vm.stopPrank();
    }

    function _call(address party, bytes memory call) private returns (bool success) {
        vm.prank(party);
        // solhint-disable-next-line avoid-low-level-calls
        (success,) = address(router).call(call);
        if (!success) vm.getRecordedLogs(); // those of a call that reverted are recorded, too
    }

    function _party(uint256 seed) private pure returns (address) {
        address[4] memory parties = [ALICE, BOB, CAROL, DAVE];
        return parties[seed % 4];
    }

    function _request(uint256 seed) private view returns (uint32) {
        return uint32(FIRST + seed % requests);
    }

    function _isAccredited(address party) private view returns (bool) {
        return registry.statusOf(party) == IParticipantRegistry.Status.Accredited;
    }

    function _readLogs() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(router)) continue;
            assertEq(logs[i].topics[1], jobId, "of the job");
            bytes32 topic = logs[i].topics[0];
            if (topic == IInferenceRouter.Reserved.selector) _noteReserved(logs[i]);
            else if (topic == IInferenceRouter.ReceiptsAnchored.selector) _noteAnchored(logs[i]);
            else _noteRequest(topic, logs[i]);
        }
    }

    function _noteReserved(Vm.Log memory log) private {
        (uint64 first, uint32 count, uint32 window) = abi.decode(log.data, (uint64, uint32, uint32));
        address requester = _address(log.topics[2]);
        assertEq(first, next[requester], "a serial twice, or never");
        assertEq(window, block.timestamp / SHORT, "another window");
        next[requester] = first + count;
        _note(requester, count);
    }

    function _noteAnchored(Vm.Log memory log) private {
        (uint32 index, bytes32 root, uint32 count) = abi.decode(log.data, (uint32, bytes32, uint32));
        address requester = _address(log.topics[2]);
        assertEq(index, anchors[requester]++, "index");
        anchored[requester] += count;
        assertTrue(router.isAnchored(jobId, requester, index, root), "root");
    }

    function _noteRequest(bytes32 topic, Vm.Log memory log) private {
        uint32 requestId = uint32(uint256(log.topics[2]));
        if (topic == IInferenceRouter.RequestClosed.selector) {
            assertEq(++ends[requestId], 1, "a request ended twice");
            return;
        }
        assertEq(requestId, FIRST + requests++, "ids count up");
        if (topic == IInferenceRouter.RequestAsked.selector) {
            _note(_address(log.topics[3]), 1);
            deadlines[requestId] = block.timestamp + SHORT;
        } else if (topic == IInferenceRouter.RequestRefused.selector) {
            ++ends[requestId]; // it ended as it began
        }
    }

    function _note(address requester, uint256 rows) private {
        usedIn[keccak256(abi.encode(requester, block.timestamp / SHORT))] += rows;
    }

    function _address(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }

    /// @dev A request that has ended never changes, and one that has not is open.
    function _checkRequests() private {
        assertEq(router.requestCount(jobId), requests, "requests");
        for (uint256 i = 0; i < requests; ++i) {
            uint32 requestId = uint32(FIRST + i);
            (, IInferenceRouter.RequestStatus status,,) = router.requestOf(jobId, requestId);
            bool ended = latest[requestId] != IInferenceRouter.RequestStatus.Open;
            assertTrue(!ended || status == latest[requestId], "an ended request changed");
            assertEq(status == IInferenceRouter.RequestStatus.Open ? 0 : 1, ends[requestId], "ends once");
            bool refused = router.reasonOf(jobId, requestId) != IUplinkLedger.Reason.Accepted;
            assertTrue(!refused || status == IInferenceRouter.RequestStatus.Rejected, "refused");
            latest[requestId] = status;
        }
    }

    function assertInvariants() external view {
        address[4] memory parties = [ALICE, BOB, CAROL, DAVE];
        for (uint256 i = 0; i < 4; ++i) {
            address party = parties[i];
            (uint64 next_, uint64 used, uint32 window) = router.reservationOf(jobId, party);
            (uint32 count, uint64 serials) = router.anchorsOf(jobId, party);
            assertEq(next_, next[party], "next");
            assertEq(window, block.timestamp / SHORT, "window");
            assertEq(used, usedIn[keccak256(abi.encode(party, window))], "used");
            assertTrue(used <= FEW, "above the quota");
            assertTrue(count == anchors[party] && serials == anchored[party], "anchors");
            assertTrue(serials <= next_, "more anchored than reserved");
            (next_, used,) = router.reservationOf(other, party);
            assertTrue(next_ == 0 && used == 0, "jobs share nothing");
        }
        assertEq(next[DAVE] + _used(jobId, DAVE), 0, "nobody off the roster counts");
    }
}

contract InferenceInvariantsTest {
    InferenceHandler internal handler;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() public {
        handler = new InferenceHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = selectors[1] = InferenceHandler.reserve.selector;
        selectors[2] = selectors[3] = InferenceHandler.ask.selector;
        selectors[4] = InferenceHandler.anchor.selector;
        selectors[5] = InferenceHandler.open.selector;
        selectors[6] = InferenceHandler.close.selector;
        selectors[7] = InferenceHandler.closeMany.selector;
        selectors[8] = selectors[9] = InferenceHandler.expire.selector;
        selectors[10] = InferenceHandler.wait.selector;
        selectors[11] = InferenceHandler.suspendOrReinstate.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    function invariant_quotasAnchorsAndRequests_areWhatTheEventsSay() public view {
        handler.assertInvariants();
    }
}
