"""What a job is, and the whole of one party's part in it, as generators."""

from fedchain.federation.spec import JobSpec, PartySpec

__all__ = ["JobSpec", "PartySpec"]
