"""Sample alignment of two parties of very different sizes: the larger one's set is blinded once for many jobs.

The *holder* has the larger set, the *asker* the smaller one. F(x), the tag of an id, is the hash of its point times
the holder's secret of a *set epoch*: one peer, one set of ids, some days. Steps:

1. holder: make the cached set (F of all its ids, ascending) where the epoch has none yet; say its size and the digests
   of its chunks;
2. asker: hash the own ids (and dummies) to the curve under the epoch's salt, in secret order, and blind them with a
   fresh secret r; commit to the blinded chunks, and say whether the cached set is still here;
3. holder: send the cached set, if it is not; multiply the asker's points by the epoch's secret and send them back;
4. asker: take r off again, which gives F of each own id; look them up; tell the holder the positions that were found;
5. both: order the common ids by id, and declare the digest of their row tags, which are of this job alone: the hash of
   the session salt and F.

Reveals to each: the size of the other's set (padded, where the job pads) and which own ids are common, as the ring
does. Beyond the ring, within an epoch: the asker holds tags of all the holder's ids, so it can tell whether a set of
evaluations that it once had is among them, and that the holder's set is the same as in an earlier job; the holder can
tell which of its ids were common in which jobs, as after any alignment. A new epoch has a new key, which nobody can
link to the old one. Evaluations are capped by the holder's policy (`Admit`): low-entropy ids can be enumerated by
whoever may have points evaluated. Semi-honest; with `proven_blinding` the holder proves its evaluations, and the asker
that its committed points are the ids at the positions that it tells; whoever proves wrongly is named.

Sources: Kiss, Liu, Schneider, Asokan, Pinkas (2017) "Private Set Intersection for Unequal Set Sizes with Mobile
Applications"; Jarecki, Liu (2010) for the function; Resende, Aranha (2018) for the reuse within an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedchain.alignment.asker import ask
from fedchain.alignment.cachedrun import CachedRun
from fedchain.alignment.chunks import CHUNK_IDS
from fedchain.alignment.holder import hold
from fedchain.alignment.psi import Admit, Aligned
from fedchain.alignment.shelf import CachedSets
from fedchain.compute.executor import Executor
from fedchain.errors import AlignmentError
from fedchain.protocol import Party
from fedchain.types import PartyId


def align_cached(
    me: PartyId,
    roster: Sequence[PartyId],
    ids: Sequence[str],
    session_salt: bytes,
    *,
    holder: PartyId,
    pair_key: Callable[[bytes], bytes],
    sets: CachedSets,
    min_rows: int,
    executor: Executor,
    cached_chunk_ids: int,
    pad_to: int | str | None = None,
    proven_blinding: bool = False,
    admit: Admit | None = None,
    chunk_ids: int = CHUNK_IDS,
) -> Party[Aligned]:
    """One party's side of an alignment with a cached set.

    Args:
        me: this party.
        roster: both parties, in the job's order.
        ids: this party's ids, distinct and not blank.
        session_salt: 32 bytes that both agreed on, fresh for each job.
        holder: whose set is cached; the larger one.
        pair_key: gives 32 bytes that the two parties alone know, in this job, for a purpose.
        sets: where cached sets are kept between jobs.
        min_rows, executor, pad_to, proven_blinding, chunk_ids: as in `align`.
        cached_chunk_ids: tags in a chunk of the cached set, the same at both.
        admit: asked before any id is evaluated, or sent: whoever is refused learns nothing.

    Raises:
        AlignmentError: no id, a set or an intersection below `min_rows`, or a cached set that is not the larger one.
        ProtocolViolationError: the peer sent something out of shape, or not what it committed to; names it.
    """
    if not ids:
        raise AlignmentError(f"party '{me}' has no usable id: every id is blank or the table is empty")
    asker = next(one for one in roster if one != holder)
    run = CachedRun(
        me,
        holder,
        asker,
        ids,
        session_salt,
        min_rows,
        pad_to,
        proven_blinding,
        admit,
        pair_key,
        sets,
        chunk_ids,
        cached_chunk_ids,
        executor,
    )
    return (yield from (hold if me == holder else ask)(run, roster))
