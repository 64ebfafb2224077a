"""Holds a recording against the reference, and any target against the reference on it."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from kvref.judge import Judgement, replay_to
from kvref.operations import Observation, Operation, Trace
from kvref.replay import replay
from kvref.scheduler.recording import Recording
from kvref.targets.base import Target
from kvref.targets.deviations import Catalogue, Deviation, met_by
from kvref.targets.picture import Opener


class Unlike(NamedTuple):
    """What the live manager returned, and what the reference does, at operation `at`."""

    at: int
    operation: Operation
    live: Observation
    due: Observation


def answers(opener: Opener, trace: Trace) -> Iterator[Observation]:
    """What a manager returns on a trace, events left out."""
    session = opener(trace.configuration)
    for operation in trace.operations:
        yield msgspec.structs.replace(session.apply(operation), events=())


def first_unlike(opener: Opener, recording: Recording) -> Unlike | None:
    """Where the live manager's answers leave the reference's: block ids, hits, refusals, statistics."""
    due = answers(opener, recording.trace)
    asked = zip(recording.trace.operations, recording.observations, due, strict=True)
    for at, (operation, live, expected) in enumerate(asked):
        if live != expected:
            return Unlike(at, operation, live, expected)
    return None


def known_at(opener: Opener, catalogue: Catalogue, recording: Recording, unlike: Unlike) -> Deviation | None:
    """The catalogued deviation by which the live manager left the reference, if it is one."""
    return met_by(catalogue, replay_to(opener, recording.trace, unlike.at))


def replayed(opener: Opener, target: Target, recording: Recording) -> Judgement:
    """The recording's calls on a target, its state and events compared with the reference's after each."""
    return replay(opener, target, recording.trace)
