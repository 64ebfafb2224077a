"""Data behind the block ids that any target hands out for a recording's calls. Needs torch."""

import msgspec

from kvref.following import Replayed
from kvref.replay_safe import replay_safe
from kvref.scheduler.legality import Followed
from kvref.scheduler.recording import Recording
from kvref.targets.base import Target


def safe(target: Target, recording: Recording, followed: Followed) -> Replayed:
    """What is read wrong when the recording's calls, as far as they are legal, are done on a target."""
    end = None if followed.breach is None else followed.breach.at
    trace = msgspec.structs.replace(recording.trace, operations=recording.trace.operations[:end])
    return replay_safe(trace, target)
