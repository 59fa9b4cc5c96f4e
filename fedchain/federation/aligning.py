"""The alignment of a job, as its spec says: around the ring, or with a cached set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from fedchain.alignment.cached import align_cached
from fedchain.alignment.cachedset import cached_chunk_ids
from fedchain.alignment.chunks import chunk_ids_within
from fedchain.alignment.psi import Admit, Aligned, align
from fedchain.alignment.shelf import CachedSets, MemoryCachedSets
from fedchain.compute.executor import Executor
from fedchain.federation.session import Keys
from fedchain.federation.spec import JobSpec
from fedchain.protocol import Checkpoint, Party, recall
from fedchain.types import PartyId

ALIGNED = "aligned"


def aligned_rows(
    spec: JobSpec,
    me: PartyId,
    ids: Sequence[str],
    keys: Keys,
    executor: Executor,
    admit: Admit | None,
    cached_sets: CachedSets | None,
) -> Party[Aligned]:
    """Align, unless that was done before a restart.

    Args:
        spec: the job.
        me: this party.
        ids: its own.
        keys: of the job.
        executor, admit: as in `align`.
        cached_sets: where cached sets are kept; None: in memory, for this job.
    """
    kept = yield from recall(ALIGNED)
    if kept is not None:
        return msgspec.msgpack.decode(kept, type=Aligned)
    rules, most = spec.alignment, spec.policy.max_payload_bytes
    if rules.cached is None:
        aligned = yield from align(
            me,
            spec.names,
            ids,
            keys.salt,
            min_rows=rules.min_rows,
            executor=executor,
            admit=admit,
            pad_to=rules.pad_to,
            proven_blinding=rules.proven_blinding,
            chunk_ids=chunk_ids_within(most),
            keep_partial=spec.inference.partial,
        )
    else:
        peer = next(name for name in spec.names if name != me)
        aligned = yield from align_cached(
            me,
            spec.names,
            ids,
            keys.salt,
            holder=PartyId(rules.cached),
            pair_key=partial(keys.pair_key, peer),
            sets=cached_sets or MemoryCachedSets(),
            min_rows=rules.min_rows,
            executor=executor,
            admit=admit,
            pad_to=rules.pad_to,
            proven_blinding=rules.proven_blinding,
            chunk_ids=chunk_ids_within(most),
            cached_chunk_ids=cached_chunk_ids(most),
        )
    yield Checkpoint(ALIGNED, msgspec.msgpack.encode(aligned))
    return aligned
