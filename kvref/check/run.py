"""Checks by name: what `kvref check` and `make prove` run."""

from collections.abc import Callable, Sequence

import msgspec

from kvref.check.configurations import UNASKED, Size, rules_of, scope_called
from kvref.check.coverage import EVENTS, due
from kvref.check.explore import Ending, Explored, explore
from kvref.check.moves import Scope
from kvref.compare import Difference
from kvref.operations import Trace
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession


class Bound(msgspec.Struct, frozen=True):
    """How far a check went: blocks that can be used, requests alive at once, tokens a request, token values.

    `by_hand`: evictions of single blocks, and resets. `asynchronous`: a step is scheduled while another one runs.
    `chunked_prefill`: a prompt may be computed in parts.
    """

    blocks: int
    requests: int
    tokens: int
    letters: int
    drafts: int
    by_hand: bool
    asynchronous: bool
    chunked_prefill: bool = True

    @classmethod
    def of(cls, scope: Scope) -> "Bound":
        """That of a scope."""
        return cls(
            blocks=scope.configuration.num_blocks - 1,
            requests=scope.requests,
            tokens=scope.tokens,
            letters=scope.letters,
            drafts=scope.drafts,
            by_hand=scope.by_hand,
            asynchronous=scope.asynchronous,
            chunked_prefill=scope.chunked_prefill,
        )

    def __str__(self) -> str:
        """In words."""
        counts = {"block": self.blocks, "request": self.requests, "token": self.tokens}
        told = [f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items()]
        told.append(f"{self.letters} token value{'s' * (self.letters != 1)}")
        extra = {
            "a draft": self.drafts,
            "by hand": self.by_hand,
            "asynchronous": self.asynchronous,
            "whole prompts": not self.chunked_prefill,
        }
        return ", ".join([*told, *(what for what, there in extra.items() if there)])


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one check; `depth` is in operations, `memory` in bytes, seconds are of one processor.

    `shown` counts what came about, by transition; `missing` is what should have, and never did.
    """

    name: str
    rules: tuple[str, ...]
    bound: Bound
    states: int
    transitions: int
    depth: int
    memory: int
    seconds: float
    ending: Ending
    shown: dict[str, int] = msgspec.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    counterexample: Trace | None = None
    wrong: tuple[Difference, ...] = ()

    @property
    def exhausted(self) -> bool:
        """Whether every move was made from every state, and nothing was wrong."""
        return self.ending == "exhausted"

    @property
    def rate(self) -> float:
        """Transitions a second."""
        return self.transitions / max(self.seconds, 1e-9)

    @property
    def told(self) -> str:
        """The result in words."""
        match self.ending:
            case "exhausted":
                return "exhausted" + (f", without any {', '.join(self.missing)}" if self.missing else "")
            case "counterexample":
                length = 0 if self.counterexample is None else len(self.counterexample.operations)
                return f"counterexample of {length} operations"
            case "bound":
                return f"stopped after {self.transitions:,} transitions"
            case "interrupt":
                return f"interrupted after {self.transitions:,} transitions"


def run(
    names: Sequence[str],
    *,
    most_transitions: int | None = None,
    subject: Opener = OptimizedSession,
    reference: Opener = ReferenceSession,
    on_state: Callable[[str, Explored], None] = lambda *_: None,
    asked: Size = UNASKED,
) -> list[Result]:
    """Check configurations by name, one after another; Ctrl-C ends it behind what was reached.

    `most_transitions` bounds each. What is `asked` goes before the names' own sizes. Raises UserError for a name
    that there is not.
    """
    scopes = {name: scope_called(name, asked) for name in names}
    results: list[Result] = []
    for name, scope in scopes.items():
        seen = explore(
            scope,
            reference,
            subject,
            most_transitions,
            lambda seen, name=name: on_state(name, seen),  # type: ignore[misc]
        )
        results.append(result_of(name, scope, seen))
        if seen.ending == "interrupt":
            break
    return results


def result_of(name: str, scope: Scope, seen: Explored) -> Result:
    """What was seen, as it is kept."""
    assert seen.ending is not None  # noqa: S101 - the check has ended
    return Result(
        name=name,
        rules=rules_of(name),
        bound=Bound.of(scope),
        states=seen.states,
        transitions=seen.transitions,
        depth=seen.depth,
        memory=seen.memory,
        seconds=seen.seconds,
        ending=seen.ending,
        shown={one: seen.shown[one] for one in EVENTS if one in seen.shown},
        missing=tuple(one for one in EVENTS if one in due(scope) and not seen.shown.get(one)),
        counterexample=seen.trace,
        wrong=seen.wrong,
    )
