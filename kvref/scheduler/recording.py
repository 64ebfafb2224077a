"""A recording: what the real scheduler asked of its manager, and what was seen after each call."""

import msgspec

from kvref.operations import Observation, Trace


class Recording(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A workload's calls, by name and seed, and what each returned; events are left out.

    `ended` is what the scheduler raised, if it did not serve to the end.
    """

    workload: str
    seed: int
    release: str
    trace: Trace
    observations: tuple[Observation, ...]
    ended: str | None = None
