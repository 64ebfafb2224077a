"""Names do not count, and all else does."""

from collections.abc import Sequence

from kvref.check.canonical import Canon
from kvref.check.hidden import hidden_form
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
)
from kvref.protocol import Scheduler
from kvref.targets.inprocess import InProcessSession
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

EVICTION = Evict((1,))
SMALL = Configuration((FullGroup(1),), 4, 4, 1, 1, log_stats=False)


def fingerprints(
    operations: Sequence[Operation], kind: type[InProcessSession] = ReferenceSession
) -> list[int]:
    """A session's states behind every operation."""
    session, scheduler, canon = kind(SMALL), Scheduler(4, 0), Canon(SMALL)
    texts: dict[str, tuple[int, ...]] = {}
    found = []
    for operation in operations:
        scheduler.record(operation, session.apply(operation))
        if isinstance(operation, NewRequest):
            texts[operation.request] = operation.tokens
        elif isinstance(operation, AppendTokens):
            texts[operation.request] += operation.tokens
        view = session.view()
        found.append(canon.fingerprint(view, scheduler, texts, lambda names: hidden_form(session, names)))
    return found


def _two_requests(first: str, second: str, one: int, other: int) -> list[Operation]:
    """One runs to its first output, another waits."""
    return [
        NewRequest(first, (one, other)),
        NewRequest(second, (other,)),
        NewStep(),
        Lookup(first, 0),
        Allocate(first, 0, 2, hit=0),
        StepEnds(),
    ]


def test_states_that_differ_in_names_are_one() -> None:
    assert fingerprints(_two_requests("a", "b", 5, 7)) == fingerprints(_two_requests("z", "y", 1, 0))


def test_states_that_differ_in_equal_tokens_are_two() -> None:
    assert fingerprints(_two_requests("a", "b", 5, 7)) != fingerprints(_two_requests("a", "b", 5, 5))


def test_requests_that_look_alike_are_put_in_one_order() -> None:
    texts = {"a": (1, 2), "b": (2, 1), "c": (1, 1)}

    def waiting(*names: str) -> int:
        arrivals: list[Operation] = [NewRequest(name, texts[name]) for name in names]
        return fingerprints(arrivals)[-1]

    assert waiting("a", "b", "c") == waiting("c", "b", "a") == waiting("b", "a", "c")
    assert waiting("a", "b") != waiting("a", "c")


def test_blocks_are_named_by_where_they_are() -> None:
    """A request that took a block and gave it back without content is where it was."""
    evicted: list[Operation] = [
        *(NewRequest("a", (1,)), NewStep(), Allocate("a", 0, 1), StepEnds(), Evict((1,)), Free("a"))
    ]
    first, *_, last = fingerprints(evicted)
    # Without content, the order of free blocks is but names.
    assert first == last


def test_a_token_more_a_step_more_and_content_more_are_other_states() -> None:
    seen = fingerprints(
        [
            NewRequest("a", (5,)),
            NewStep(),
            Allocate("a", 0, 1),
            StepEnds(),
            AppendTokens("a", (7,)),
            Free("a"),
        ]
    )
    assert len(set(seen)) == len(seen)


def test_a_hit_that_was_looked_up_is_a_state_and_a_miss_is_none() -> None:
    seen = fingerprints(
        [
            NewRequest("a", (5, 6)),
            NewStep(),
            Lookup("a", 0),
            Allocate("a", 0, 1),
            StepEnds(),
            Free("a"),
            NewStep(),
            Lookup("a", 1),
        ]
    )
    assert seen[2] == seen[1]
    assert seen[7] != seen[6]


def test_what_a_manager_keeps_behind_one_picture_makes_two_states() -> None:
    """Evicting a block without content changes no picture, but the optimized manager remembers it."""
    before, after = (
        fingerprints([NewRequest("a", (5,)), last], OptimizedSession)[-1]
        for last in (GetBlocks("a"), EVICTION)
    )
    assert before != after
    before, after = (fingerprints([NewRequest("a", (5,)), last])[-1] for last in (GetBlocks("a"), EVICTION))
    assert before == after
