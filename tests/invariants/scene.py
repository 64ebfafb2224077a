"""One operation of the reference, before the invariants have seen it: to be corrupted by a test."""

from copy import deepcopy
from dataclasses import dataclass, replace

from invariants import (
    Checker,
    Step,
    View,
    Violation,
)
from invariants import step as told
from kvref.operations import (
    Allocate,
    Configuration,
    FullGroup,
    Group,
    Lookup,
    NewRequest,
    Operation,
    SlidingGroup,
)
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness, step_of

PROMPT = tuple(range(1, 15))
OTHER = tuple(range(21, 35))


def config(
    *groups: Group, num_blocks: int = 11, size: int = 4, fine: int = 4, caching: bool = True
) -> Configuration:
    return Configuration(
        groups=groups,
        num_blocks=num_blocks,
        max_model_len=64,
        scheduler_block_size=size,
        hash_block_size=fine,
        enable_caching=caching,
    )


FULL = config(FullGroup(4))
HYBRID = config(FullGroup(4), SlidingGroup(4, 8), num_blocks=21)


@dataclass(frozen=True)
class Scene:
    """The last operation of a trace, before the invariants have seen it."""

    checker: Checker
    before: View
    step: Step
    after: View

    def state(self, view: View) -> list[Violation]:
        """What is wrong with a view in itself."""
        assert self.checker.state(self.after) == []
        return self.checker.state(view)

    def judge(self, *, after: View | None = None, action: told.Action | None = None) -> list[Violation]:
        """What is wrong with the operation, once its result or the state behind it are changed."""
        assert deepcopy(self.checker).step(self.before, self.step, self.after) == []
        step = self.step if action is None else replace(self.step, action=action)
        return deepcopy(self.checker).step(self.before, step, self.after if after is None else after)

    @property
    def found(self) -> told.LookUp:
        """The last operation, a lookup."""
        assert isinstance(self.step.action, told.LookUp)
        return self.step.action


def scene(configuration: Configuration, *operations: Operation) -> Scene:
    """Drive the reference, and stop before the last operation is judged."""
    session = ReferenceSession(configuration)
    witness = Witness(configuration)
    for operation in operations[:-1]:
        assert witness.sees(operation, session.apply(operation), session.view()) == []
    step = step_of(operations[-1], session.apply(operations[-1]))
    return Scene(witness.checker, witness.last, step, session.view())


def admit(name: str, tokens: tuple[int, ...], new: int, *, hit: int = 0) -> list[Operation]:
    return [NewRequest(name, tokens), Lookup(name), Allocate(name, 0, new, hit=hit)]


def ids(violations: list[Violation]) -> set[str]:
    return {violation.invariant for violation in violations}


def text(violations: list[Violation]) -> str:
    return "\n".join(violation.message for violation in violations)


def changed(values: list[int], index: int, value: int) -> list[int]:
    return [*values[:index], value, *values[index + 1 :]]


def with_table(view: View, request: str, group: int, table: list[int]) -> View:
    tables = deepcopy(view.tables)
    tables[request][group] = table
    return replace(view, tables=tables)


def hit_scene(configuration: Configuration = FULL) -> Scene:
    """Request b shares the 12 first tokens of a."""
    return scene(configuration, *admit("a", PROMPT, 14), NewRequest("b", PROMPT[:13]), Lookup("b"))
