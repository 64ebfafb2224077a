"""Seeded faults: bugs of the zoo that a small scope shows, and the least scope that shows each soonest.

A step may begin while another one runs here, as it may in the cases of `kvref fuzz` that are compared with.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from kvref.check.configurations import Size, scope_called
from kvref.check.explore import Ending, Explored
from kvref.check.moves import Scope
from kvref.check.run import Result, run
from kvref.errors import UserError
from kvref.zoo.catalogue import bug_called
from kvref.zoo.measure import Task, measure
from kvref.zoo.results import CASES
from kvref.zoo.session import session_with

SEED: Final = 1
"""What the fuzzer's cases follow from."""


class Where(NamedTuple):
    """A scope by name, and what takes the place of its own size."""

    name: str
    blocks: int | None = None
    tokens: int | None = None

    @property
    def size(self) -> Size:
        """What takes the place of the scope's own."""
        return Size(blocks=self.blocks, tokens=self.tokens, asynchronous=True)


FAULTS: Final[dict[str, Where]] = {
    "a-release-forgets-other-users": Where("sliding/two"),
    "a-second-user-is-not-counted": Where("full/two"),
    "a-hit-block-stays-in-the-queue": Where("full/two"),
    "a-freed-request-keeps-its-tables": Where("full"),
    "the-last-block-is-never-freed": Where("full"),
    "a-refused-admission-keeps-its-hits": Where("full/two"),
    "the-free-count-forgets-hits": Where("full/two"),
    "usage-counts-content": Where("full"),
    "sinks-are-not-set-aside": Where("sink"),
    "a-freed-table-is-queued-head-first": Where("full"),
    "the-youngest-is-evicted-first": Where("full"),
    "groups-are-freed-in-reverse": Where("full+full"),
    "a-taken-block-keeps-its-key": Where("full"),
    "the-map-keeps-taken-blocks": Where("full"),
    "the-youngest-duplicate-answers": Where("full+no-events"),
    "a-lost-copy-takes-the-others-along": Where("full/two"),
    "groups-share-one-map": Where("full+full"),
    "a-reset-keeps-the-map": Where("full"),
    "a-reset-does-not-wait": Where("full"),
    "eviction-by-hand-does-nothing": Where("full"),
    "the-whole-prompt-is-hit": Where("sliding+retention"),
    "the-last-block-is-taken-for-all": Where("full", tokens=4),
    "one-block-too-many-is-cached": Where("full"),
    "a-window-is-a-token-too-short": Where("sliding"),
    "windows-never-release": Where("sliding"),
    "released-entries-stay-in-the-table": Where("sliding"),
    "a-hit-window-begins-late": Where("sliding", tokens=4),
    "a-chunk-ends-a-token-early": Where("chunked"),
    "a-chunk-slides": Where("chunked", tokens=4),
    "a-step-is-quiet-too-long": Where("full"),
    "a-state-is-hit-before-it-is-there": Where("mamba/two"),
    "the-running-state-is-released": Where("mamba+connector"),
    "steps-never-begin": Where("mamba"),
    "eagle-needs-no-block-behind": Where("full+eagle"),
    "hits-count-as-free": Where("full/two", blocks=1),
    "what-just-fits-is-refused": Where("full"),
    "the-gate-is-open": Where("full", blocks=1),
    "removals-are-not-told": Where("full"),
    "a-store-has-no-parent": Where("full"),
    "preempted-requests-count-as-new": Where("full"),
    "statistics-never-start-anew": Where("full"),
    "a-reset-is-not-counted": Where("full"),
}
"""By the bug's name, where it is looked for."""


class Fault(msgspec.Struct, frozen=True):
    """What looking for a fault came to. `fuzzed` are the operations of what fuzzing and shrinking finds of it.

    None: that has not found it.
    """

    bug: str
    rule: str
    result: Result
    fuzzed: int | None

    @property
    def ending(self) -> Ending:
        """Why looking for it ended."""
        return self.result.ending

    @property
    def length(self) -> int | None:
        """The operations of the counterexample; None if there is none."""
        trace = self.result.counterexample
        return None if trace is None else len(trace.operations)

    @property
    def is_shortest(self) -> bool:
        """Whether it is found, and by no more operations than fuzzing and shrinking takes."""
        return self.length is not None and (self.fuzzed is None or self.length <= self.fuzzed)


def check_fault(name: str, on_state: Callable[[str, Explored], None] = lambda *_: None) -> Result:
    """Look for a bug of the zoo. Raises UserError if there is none of this name, or no scope for it."""
    where = _where(name)
    (result,) = run([where.name], subject=session_with(bug_called(name)), on_state=on_state, asked=where.size)
    return result


def scope_of(name: str) -> Scope:
    """The scope that a bug is looked for in. Raises UserError as `check_fault` does."""
    where = _where(name)
    return scope_called(where.name, where.size)


def _where(name: str) -> Where:
    bug = bug_called(name)
    if bug.name not in FAULTS:
        raise UserError(f"no small scope is known to show {name}: choose one of {', '.join(FAULTS)}")
    return FAULTS[bug.name]


def compared(name: str, result: Result) -> Fault:
    """The result beside what `kvref zoo` finds of the bug, unless the check was interrupted."""
    bug = bug_called(name)
    if result.ending == "interrupt":
        return Fault(name, bug.rule, result, None)
    cases = CASES["fuzz"]["ci"]
    fuzzed = measure(Task(bug=name, driver="fuzz", level="exact", seed=SEED, cases=cases, shrinks=True))
    return Fault(name, bug.rule, result, fuzzed.reproducer)
