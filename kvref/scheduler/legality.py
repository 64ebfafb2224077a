"""Holds a recording against the protocol: its transitions, and the first call that no legal caller makes.

Some calls of the real scheduler are not sound. They are findings, each with a file in reproducers/; the
protocol goes on forbidding them, and a recording is followed up to the first.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from kvref.operations import Configuration, Observation, Operation
from kvref.scheduler.recording import Recording
from kvref.scheduler.situations import Follower, Transition
from kvref.scheduler.workloads import named


@dataclass(frozen=True)
class Breach:
    """Operation `at`, and why it must not come there."""

    at: int
    operation: Operation
    why: str


@dataclass(frozen=True)
class Followed:
    """How often each transition was gone through, and what ended that, if anything did."""

    transitions: Counter[Transition] = field(default_factory=Counter)
    breach: Breach | None = None


def follow(
    configuration: Configuration, performed: Iterable[tuple[Operation, Observation]], drafts: int
) -> Followed:
    """Follow operations and what they returned, up to the first that is not legal."""
    follower = Follower(configuration.max_model_len, drafts)
    transitions: Counter[Transition] = Counter()
    for at, (operation, seen) in enumerate(performed):
        why = follower.scheduler.violation(operation)
        if why is not None:
            return Followed(transitions, Breach(at, operation, why))
        transitions[follower.follow(operation, seen)] += 1
    return Followed(transitions)


def follow_recording(recording: Recording) -> Followed:
    """Follow a recording."""
    trace = recording.trace
    performed = zip(trace.operations, recording.observations, strict=True)
    return follow(trace.configuration, performed, named(recording.workload).drafts)


def unexplained(recording: Recording, followed: Followed) -> str | None:
    """What is wrong with a recording and no finding of its workload; None if nothing is."""
    finding = named(recording.workload).finding
    breach = followed.breach
    if breach is not None:
        rules = set(breach.why.partition(":")[0].split(", "))
        if finding is None or not rules & finding.rules:
            return f"operation {breach.at}, {type(breach.operation).__name__}, is illegal: {breach.why}"
    if recording.ended is not None:
        raises = None if finding is None else finding.raises
        if raises is None or raises not in recording.ended:
            return f"the scheduler ended with {recording.ended}"
    return None
