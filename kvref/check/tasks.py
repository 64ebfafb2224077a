"""What a run of `kvref check` consists of: scopes to exhaust, and faults to look for."""

from dataclasses import dataclass

from kvref.check.configurations import Size, scope_called
from kvref.check.faults import Fault, check_fault, compared, scope_of
from kvref.check.run import Bound, Result, run
from kvref.check.workers import OnState
from kvref.errors import UserError
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.picture import Opener
from kvref.targets.registry import open_target


@dataclass(frozen=True)
class Check:
    """A scope by name, on a target. What is `asked` goes before its own size."""

    name: str
    target: str
    asked: Size
    most_transitions: int | None

    def is_done_by(self, earlier: Result) -> bool:
        """Whether the same scope was exhausted earlier."""
        bound = Bound.of(scope_called(self.name, self.asked))
        return earlier.exhausted and (earlier.name, earlier.bound) == (self.name, bound)

    def run(self, on_state: OnState) -> Result:
        """Check it. Raises UserError if there is no such target in this process."""
        (result,) = run(
            [self.name],
            most_transitions=self.most_transitions,
            subject=opener_of(self.target),
            on_state=on_state,
            asked=self.asked,
        )
        return result


@dataclass(frozen=True)
class SeededFault:
    """A bug of the zoo that a small scope is known to show."""

    bug: str

    def is_done_by(self, earlier: Fault) -> bool:
        """Whether the same scope showed it earlier."""
        bound = Bound.of(scope_of(self.bug))
        return earlier.length is not None and (earlier.bug, earlier.result.bound) == (self.bug, bound)

    def run(self, on_state: OnState) -> Fault:
        """Look for it, and compare with fuzzing and shrinking."""
        return compared(self.bug, check_fault(self.bug, on_state))


def opener_of(target: str) -> Opener:
    """What opens a target of this process. Raises UserError if it is none."""
    opened = open_target(target, python=None, tell=lambda _: None)
    if not isinstance(opened, InProcessTarget):
        opened.close()
        raise UserError(f"kvref check needs a target in this process, not {target}: use kvref fuzz")
    return opened.opener
