"""What took part in a hit, an eviction, a refusal: counted where it happens, and nowhere else."""

from kvref.fuzz.cases import draw_case
from kvref.fuzz.coverage import EVENTS, ROWS, UNREACHABLE, Coverage, Watch
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    ContinueRequest,
    Evict,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    SlidingGroup,
)
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.deviations import CATALOGUE

FULL = Configuration((FullGroup(4),), 6, 64, 4, 4)
HYBRID = Configuration((FullGroup(4), SlidingGroup(4, 5)), 7, 64, 4, 4, retention_interval=0)
PROMPT = tuple(range(12))


def seen(configuration: Configuration, *operations: Operation) -> Coverage:
    """What is counted while the reference performs `operations`."""
    session, watch = ReferenceSession(configuration), Watch(configuration)
    for operation in operations:
        before = session.view()
        watch.see(operation, session.apply(operation), before, session.view())
    return watch.coverage


def admitted(name: str, tokens: tuple[int, ...] = PROMPT, hit: int = 0) -> list[Operation]:
    new = len(tokens) - hit
    return [NewRequest(name, tokens), NewStep(), Lookup(name), Allocate(name, 0, new, hit=hit)]


def test_a_hit_counts_for_the_groups_and_features_that_had_a_part() -> None:
    coverage = seen(FULL, *admitted("r"), *admitted("s", hit=8))
    assert coverage.counts == {("full", "hit"): 1, ("one group", "hit"): 1}


def test_a_lookup_that_finds_nothing_is_no_hit() -> None:
    assert seen(FULL, *admitted("r"), *admitted("s", tuple(range(50, 54)))).counts == {}


def test_a_refusal_counts_once() -> None:
    coverage = seen(FULL, *admitted("r", tuple(range(40))))
    assert coverage.counts == {("full", "refusal"): 1, ("one group", "refusal"): 1}


def test_an_eviction_counts_for_the_groups_whose_content_was_lost() -> None:
    # Three blocks of r lie free with content; the next twenty tokens take all five.
    coverage = seen(FULL, *admitted("r"), Free("r"), *admitted("s", tuple(range(50, 70))))
    assert coverage.counts == {("full", "eviction"): 1, ("one group", "eviction"): 1}


def test_forgetting_by_hand_is_no_eviction() -> None:
    assert seen(FULL, *admitted("r"), Evict((1, 2))).counts == {}


def test_a_requests_features_count_with_it() -> None:
    coverage = seen(
        FULL,
        NewRequest("r", PROMPT, salt="s", lora="l", skip_reading=True),
        NewStep(),
        Allocate("r", 0, 12, lookahead=20, reserved=9, must_fit=True, external=0),
    )
    rows = {
        "full",
        "one group",
        "salt",
        "LoRA",
        "skips reading",
        "lookahead",
        "reserved blocks",
        "admission gate",
    }
    assert coverage.counts == {(row, "refusal"): 1 for row in rows}


def test_a_request_was_preempted_from_its_first_lookup_as_such_on() -> None:
    coverage = seen(FULL, *admitted("r"), Free("r"), NewStep(), Lookup("r", preemptions=1))
    assert coverage.counts["preempted", "hit"] == 1


def test_a_session_streams_from_its_second_input_on() -> None:
    steps = [*admitted("r"), AppendTokens("r", (1,)), ContinueRequest("r", 12, (1, 2)), Lookup("r")]
    assert seen(FULL, *steps).counts["streaming", "hit"] == 1


def test_a_configurations_features_count_with_every_event() -> None:
    coverage = seen(HYBRID, *admitted("r", tuple(range(40))))
    rows = {"full", "sliding", "several groups", "retention 0"}
    assert coverage.counts == {(row, "refusal"): 1 for row in rows}


def test_a_callers_mistake_is_no_refusal() -> None:
    mistakes = 0
    for number in range(600):
        case = draw_case(1, "mixed", number, 20, ReferenceSession, CATALOGUE)
        if len(case.trace.operations) > 20 and isinstance(case.trace.operations[-1], Allocate):
            mistakes += 1
            assert case.coverage == seen(case.trace.configuration, *case.trace.operations[:-1])
    assert mistakes > 0


def test_counts_add_up() -> None:
    both = Coverage()
    both.add(seen(FULL, *admitted("r"), *admitted("s", hit=8)))
    both.add(seen(FULL, *admitted("r"), *admitted("s", hit=8)))
    assert both.counts["full", "hit"] == 2


def test_a_gap_is_a_cell_that_could_have_been_filled() -> None:
    empty, full = Coverage(), Coverage()
    assert len(empty.gaps()) == len(ROWS) * len(EVENTS) - len(UNREACHABLE)
    full.counts.update((row, event) for row in ROWS for event in EVENTS)
    assert full.gaps() == []
    del full.counts["full", "hit"], full.counts["sink", "hit"]
    assert full.gaps() == [("full", "hit")]


def test_a_long_campaign_leaves_hardly_a_gap() -> None:
    coverage = Coverage()
    for number in range(600):
        coverage.add(draw_case(1, "mixed", number, 60, ReferenceSession, CATALOGUE).coverage)
    assert len(coverage.gaps()) <= 2
    assert {row for row, _ in coverage.counts} <= set(ROWS)
