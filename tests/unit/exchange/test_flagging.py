"""A flag on a histogram is on record once, and no refusal of the chain ends a job."""

from __future__ import annotations

from fedchain.chain import Consortium, JobPolicy
from fedchain.chain.inprocess import InProcessConsortium
from fedchain.exchange.flagging import flag_histogram
from fedchain.messages import Envelope
from fedchain.protocol import Flag
from fedchain.types import Answer, Kind, PartyId, Reason


def test_a_flag_is_recorded_once_per_party_and_round_and_accuses_nobody() -> None:
    chain = InProcessConsortium()
    active, passive = chain.enrol("active"), chain.enrol("passive")
    addresses = [address(active), address(passive)]
    job_id = active.propose(b"{}", addresses, JobPolicy(1 << 20, 10, 10**7))
    for member in (active, passive):
        member.accept(job_id)
    for member in (active, passive):
        member.declare_aligned(job_id, b"o" * 32, 100)
    active.begin_round(job_id, 1)
    flag = Flag(PartyId("passive"), 4, 9_000_000, 7_500_000)

    def tell(by: Consortium, what: Flag) -> None:
        flag_histogram(by, job_id, what, round=1, attempt=0, sender=addresses[1], active=addresses[0])

    tell(active, flag)
    tell(active, flag)  # a restarted party
    tell(passive, Flag(PartyId("passive"), 5, 9_000_000, 7_500_000))  # not its to flag
    assert active.faults.count() == 1
    fault = active.faults.fault(1)
    envelope = Envelope(
        job_id=bytes.fromhex(job_id[2:]),
        round=1,
        attempt=0,
        step=4,
        kind=Kind.HISTOGRAM,
        recipient=bytes.fromhex(addresses[0][2:]),
        digest=b"d" * 32,
        size=12,
    )
    assert (fault.party, fault.reason, fault.answer) == (addresses[1], Reason.STATISTIC_OUTLIER, Answer.RECORDED)
    assert fault.evidence == active.slot(addresses[1], envelope)
    tell(active, Flag(PartyId("passive"), 5, 9_000_000, 7_500_000))  # another histogram of the same round
    assert active.faults.count() == 1


def address(member: Consortium) -> str:
    assert member.sender is not None
    return member.sender.address
