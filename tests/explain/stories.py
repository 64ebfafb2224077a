"""Stories to be told: one that goes well, some that do not."""

from functools import cache

import msgspec

from kvref.explain.exact import tell
from kvref.explain.story import Story
from kvref.fuzz.caller import Caller
from kvref.fuzz.choices import Seeded
from kvref.fuzz.generate import play
from kvref.fuzz.guidance import weights_for
from kvref.fuzz.habits import draw_habits
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    SlidingGroup,
    Trace,
)
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from tests.fuzz.faults import FaultyTarget, FreesInReverse

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
STEPS: tuple[Operation, ...] = (
    NewRequest("r", tuple(range(9))),
    NewStep(),
    Lookup("r"),
    Allocate("r", 0, 9, hit=0),
    NewStep(),
    Free("r"),
    NewRequest("s", (1,)),
)
TRACE = Trace(FULL, STEPS)

HYBRID = Configuration((FullGroup(4), SlidingGroup(4, 8)), 60, 128, 4, 4)
HOSTILE = "</script><b onclick=\"alert('x')\">&\u2028"


def optimized() -> InProcessTarget:
    """The optimized manager as a target."""
    return InProcessTarget("optimized", OptimizedSession)


@cache
def drawn(length: int, configuration: Configuration = HYBRID) -> Trace:
    """A scheduler's life on the reference."""
    session = ReferenceSession(configuration)
    choices = Seeded("a story")
    habits = draw_habits(choices, configuration, weights_for(None))
    caller = Caller(choices, configuration, habits, session.apply, lambda _: False, length, careful=True)
    return Trace(configuration, tuple(play(caller)))


@cache
def healthy(length: int = 350) -> Story:
    """The optimized manager agrees to the end."""
    return tell("healthy.json", drawn(length), ReferenceSession, optimized())


@cache
def diverging() -> Story:
    """A target that differs at operation 5, and one operation more."""
    return tell("diverging.json", TRACE, ReferenceSession, FaultyTarget(FreesInReverse))


@cache
def hostile() -> Story:
    """The same with names that would be markup, if they were let."""
    renamed = [
        msgspec.structs.replace(operation, request=HOSTILE) if hasattr(operation, "request") else operation
        for operation in STEPS
    ]
    trace = Trace(FULL, tuple(renamed[:6]), note=HOSTILE)
    return tell(HOSTILE, trace, ReferenceSession, FaultyTarget(FreesInReverse))


def told_of_the_reference(trace: Trace) -> Story:
    """The reference beside itself."""
    return tell("trace.json", trace, ReferenceSession, ReferenceTarget())
