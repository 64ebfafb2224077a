"""The driver `hypothesis`: `KVCacheMachine`, whose operations Hypothesis draws.

Examples are counted by shares, as those of the pytest plugin are: each has a seed of its own, so that more
shares begin with the same examples.
"""

from typing import TYPE_CHECKING

from hypothesis import seed as seeded
from hypothesis import settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from kvref.operations import Operation
from kvref.testing.divergence import DivergenceError
from kvref.testing.machine import KVCacheMachine
from kvref.testing.profiles import PROFILES
from kvref.testing.run import smallest
from kvref.zoo.bug import Bug, Level
from kvref.zoo.hunt import Hunt, Kill
from kvref.zoo.session import BuggySession, raising

if TYPE_CHECKING:
    from kvref.testing.trial import Trial

SHARE = 250
"""Examples a share, of sixty rules each at the most."""


def hunt_machine(bug: Bug, level: Level, seed: int, cases: int) -> Hunt:
    """Let Hypothesis draw examples until the bug is killed, or there are none left to draw."""
    hunt = Hunt(bug)
    session = raising(bug)
    for share in range(-(-cases // SHARE)):
        profile = settings(PROFILES["ci"], max_examples=min(SHARE, cases - share * SHARE))
        machine = seeded(seed * 1000 + share)(_counting(hunt, level, session))
        try:
            with hunt.timed():
                run_state_machine_as_test(machine, settings=profile)
        except DivergenceError as found:
            hunt.kill = Kill(found.trace, found.wrong)
            break
        except Flaky as ended:
            # Ctrl-C in the midst of an example looks to Hypothesis as if it had been drawn otherwise.
            if isinstance(ended.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from ended
            raise
    return hunt


def shrunk_length(bug: Bug, level: Level, kill: Kill) -> int | None:
    """How many operations the reproducer has that the machine reports."""
    found = DivergenceError(bug.name, level, kill.trace, kill.wrong)
    small = smallest(_counting(Hunt(bug), level, raising(bug)), found)
    return len(small.trace.operations) if small is not None else None


def _counting(hunt: Hunt, level: Level, session: type[BuggySession]) -> type[KVCacheMachine]:
    """The machine on this manager; what it does is counted up to the first thing that is wrong."""

    class Counting(KVCacheMachine):
        target = session
        trial: "Trial"
        is_over = False

        def perform(self, operation: Operation | None) -> bool:
            performed = super().perform(operation)
            if not Counting.is_over:
                hunt.operations += performed
                self._look()
            return performed

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                if not Counting.is_over or hunt.cases == 0:
                    hunt.cases += 1
                    self._look()

        def _look(self) -> None:
            trial: Trial | None = getattr(self, "trial", None)
            Counting.is_over = Counting.is_over or bool(trial and trial.wrong)

    Counting.level = level
    return Counting
