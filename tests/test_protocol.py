"""The caller's side of the contract, rule by rule: what may come next, and the near miss that may not."""

from typing import Any

import pytest

from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    ContinueRequest,
    Evict,
    Free,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.protocol import Phase, Scheduler

GRANTED = Observation(blocks=((1,),))
REFUSED = Observation()
MODEL = 40


class Play:
    """A scheduler's book, written line by line; allocations are granted unless a test says otherwise."""

    def __init__(self, drafts: int = 0) -> None:
        self.book = Scheduler(MODEL, drafts)

    def does(self, *operations: Operation) -> "Play":
        """Legal operations, one after another."""
        for operation in operations:
            self.gets(operation, GRANTED if isinstance(operation, Allocate) else REFUSED)
        return self

    def gets(self, operation: Operation, observation: Observation) -> "Play":
        """A legal operation that returns `observation`."""
        assert self.book.violation(operation) is None
        self.book.record(operation, observation)
        return self

    def may(self, operation: Operation) -> bool:
        return self.book.violation(operation) is None

    def why_not(self, operation: Operation) -> str:
        """The violation, which there must be."""
        found = self.book.violation(operation)
        assert found is not None
        return found

    def arrives(self, tokens: int = 10, name: str = "r") -> "Play":
        return self.does(NewRequest(name, tuple(range(tokens))))

    def looks_up(self, hit: int = 0, name: str = "r") -> "Play":
        return self.gets(Lookup(name), Observation(blocks=((),), tokens=hit))

    def admits(self, new: int, hit: int = 0, name: str = "r", **more: Any) -> "Play":
        """Looked up and allocated at once, in the current step."""
        return self.looks_up(hit, name).does(Allocate(name, 0, new, hit=hit, **more))

    def prefills(self, tokens: int = 10, name: str = "r") -> "Play":
        """A request whose prompt was computed in one step that has ended; its first output is due."""
        return self.arrives(tokens, name).does(NewStep()).admits(tokens, name=name).does(StepEnds())

    def runs(self, tokens: int = 10, name: str = "r") -> "Play":
        """A running request of `tokens` + 1 tokens, of which the last is not computed."""
        return self.prefills(tokens, name).does(AppendTokens(name, (7,)))

    @property
    def r(self) -> Any:
        """What is known of request r."""
        return self.book.books["r"]


def in_step() -> Play:
    return Play().arrives().does(NewStep())


# PROTO-1: each scheduling step begins with NewStep


def test_slots_are_given_within_a_step_only() -> None:
    assert in_step().looks_up().may(Allocate("r", 0, 10, hit=0))
    assert "PROTO-1" in Play().arrives().looks_up().why_not(Allocate("r", 0, 10, hit=0))


def test_after_a_step_has_ended_the_next_must_begin_before_slots_are_given() -> None:
    play = Play().runs()
    assert "PROTO-1" in play.why_not(Allocate("r", 10, 1))
    assert play.does(NewStep()).may(Allocate("r", 10, 1))


# PROTO-2: look up, and allocate at once


def test_hits_are_those_of_the_lookup_right_before() -> None:
    assert in_step().looks_up(4).may(Allocate("r", 0, 6, hit=4))
    assert "PROTO-2" in in_step().why_not(Allocate("r", 0, 6, hit=4))


def test_another_length_than_the_one_found_is_no_hit() -> None:
    play = in_step().looks_up(8)
    assert "PROTO-2" in play.why_not(Allocate("r", 0, 2, hit=4))
    assert play.may(Allocate("r", 0, 2, hit=8))


def test_a_hit_may_be_left_unused() -> None:
    assert in_step().looks_up(8).may(Allocate("r", 0, 10))


def test_the_hit_of_one_request_is_none_of_anothers() -> None:
    play = in_step().arrives(10, "other").looks_up(4, "other")
    assert "PROTO-2" in play.why_not(Allocate("r", 0, 6, hit=4))


MUTATING: list[Operation] = [
    Reset(),
    Evict((1,)),
    Free("other"),
    RemoveSkipped("other", 10),
    CacheBlocks("other", 10),
    Allocate("other", 10, 1),
    NewStep(),
    StepEnds(),
    Lookup("third"),
]
HARMLESS: list[Operation] = [
    TakeEvents(),
    TakeStats(),
    TakeNewBlockIds(),
    CommonPrefix("other"),
    GetBlocks("other"),
]


@pytest.mark.parametrize("between", MUTATING, ids=lambda operation: str(type(operation).__name__))
def test_a_hit_does_not_outlive_a_mutation(between: Operation) -> None:
    play = Play().runs(10, "other").arrives().arrives(10, "third").does(NewStep()).looks_up(4)
    play.does(between)
    if isinstance(between, StepEnds):
        play.does(NewStep())
    assert "PROTO-2" in play.why_not(Allocate("r", 0, 6, hit=4))


@pytest.mark.parametrize("between", HARMLESS, ids=lambda operation: str(type(operation).__name__))
def test_a_hit_outlives_a_question(between: Operation) -> None:
    play = Play().runs(10, "other").arrives().does(NewStep()).looks_up(4).does(between)
    assert play.may(Allocate("r", 0, 6, hit=4))


def test_only_a_waiting_request_is_looked_up() -> None:
    assert in_step().may(Lookup("r"))
    assert "PROTO-2" in Play().runs().why_not(Lookup("r"))


@pytest.mark.parametrize(
    ("external", "new", "fits"), [(0, 6, True), (3, 3, True), (0, 7, False), (3, 4, False)]
)
def test_hit_external_and_new_tokens_fit_into_the_request(external: int, new: int, *, fits: bool) -> None:
    operation = Allocate("r", 0, new, hit=4, external=external)
    play = in_step().looks_up(4)
    assert play.may(operation) if fits else "PROTO-2" in play.why_not(operation)


def test_no_more_is_admitted_than_the_model_can_hold() -> None:
    play = Play().arrives(MODEL + 1).does(NewStep()).looks_up()
    assert "PROTO-2" in play.why_not(Allocate("r", 0, MODEL + 1, hit=0))
    assert play.may(Allocate("r", 0, MODEL, hit=0))


def test_what_is_admitted_counts_as_computed_with_its_hit_and_external_tokens() -> None:
    play = in_step().looks_up(4).does(Allocate("r", 0, 2, hit=4, external=3))
    assert (play.r.phase, play.r.computed) == (Phase.RUNNING, 9)


def test_a_refused_request_waits_as_before_and_is_looked_up_again() -> None:
    play = in_step().looks_up(4).gets(Allocate("r", 0, 6, hit=4), REFUSED)
    assert (play.r.phase, play.r.computed) == (Phase.WAITING, 0)
    assert "PROTO-2" in play.why_not(Allocate("r", 0, 6, hit=4))
    assert play.looks_up(4).may(Allocate("r", 0, 6, hit=4))


def test_a_request_is_scheduled_once_a_step() -> None:
    play = in_step().admits(5)
    assert "PROTO-2" in play.why_not(Allocate("r", 5, 5))
    assert play.does(StepEnds(), NewStep()).may(Allocate("r", 5, 5))


# PROTO-3: asynchronous loads


def loading() -> Play:
    """A request of 10 tokens: 4 hit, 5 on their way."""
    return in_step().looks_up(4).does(Allocate("r", 0, 0, hit=4, external=5, delay=True))


def test_an_external_load_computes_nothing() -> None:
    assert loading().r.phase is Phase.LOADING
    play = in_step().looks_up(4)
    assert "PROTO-3" in play.why_not(Allocate("r", 0, 1, hit=4, external=5, delay=True))


@pytest.mark.parametrize("more", [{}, {"external": 5}, {"delay": True}], ids=str)
def test_nothing_but_an_external_load_admits_no_new_token(more: dict[str, Any]) -> None:
    assert "PROTO-3" in in_step().looks_up(4).why_not(Allocate("r", 0, 0, hit=4, **more))


def test_a_loading_request_does_not_run() -> None:
    play = loading().does(StepEnds(), NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 9, 1))
    assert play.does(CacheBlocks("r", 9)).may(Allocate("r", 9, 1))


def test_no_more_is_cached_than_was_loaded() -> None:
    assert "PROTO-3" in loading().does(StepEnds()).why_not(CacheBlocks("r", 10))


def test_a_load_is_not_done_before_the_step_that_began_it() -> None:
    assert "PROTO-21" in loading().why_not(CacheBlocks("r", 9))
    assert loading().does(StepEnds()).may(CacheBlocks("r", 9))


def test_when_everything_is_loaded_one_token_is_left_to_compute() -> None:
    play = in_step().looks_up(4).does(Allocate("r", 0, 0, hit=4, external=6, delay=True), StepEnds())
    play.does(CacheBlocks("r", 10), NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 10, 1))
    assert play.may(Allocate("r", 9, 1))


def test_when_a_load_fails_the_request_goes_on_behind_the_valid_prefix() -> None:
    play = loading().does(StepEnds(), CacheBlocks("r", 6), NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 9, 1))
    assert play.may(Allocate("r", 6, 4))


def test_when_nothing_valid_was_loaded_the_request_is_freed_and_waits() -> None:
    play = loading().does(StepEnds(), Free("r"), NewStep())
    assert (play.r.phase, play.r.preemptions) == (Phase.WAITING, 1)
    assert play.may(Lookup("r"))


# PROTO-4 and PROTO-9: a running request


def test_a_running_request_is_given_what_it_has_left() -> None:
    play = in_step().admits(4).does(StepEnds(), NewStep())
    assert play.may(Allocate("r", 4, 1))
    assert play.may(Allocate("r", 4, 6))
    assert "PROTO-4" in play.why_not(Allocate("r", 4, 7))
    assert "PROTO-4" in play.why_not(Allocate("r", 4, 0))


def test_a_prompt_may_be_computed_in_chunks_and_only_the_last_brings_an_output() -> None:
    play = in_step().admits(4).does(StepEnds(), NewStep())
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))
    assert play.does(Allocate("r", 4, 6), StepEnds()).may(AppendTokens("r", (7,)))


def test_computed_tokens_advance_with_the_step() -> None:
    play = Play().runs().does(NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 9, 1))
    assert "PROTO-4" in play.why_not(Allocate("r", 0, 1))
    assert play.may(Allocate("r", 10, 1))


@pytest.mark.parametrize("admission", [{"hit": 0}, {"external": 1}, {"delay": True}, {"encoder": 1}], ids=str)
def test_hits_external_and_encoder_tokens_come_with_admission_only(admission: dict[str, Any]) -> None:
    play = Play().runs().does(NewStep())
    found = play.why_not(Allocate("r", 10, 1, **admission))
    assert "PROTO-4" in found
    assert "PROTO-9" in found


def test_encoder_tokens_come_at_admission() -> None:
    assert in_step().looks_up().may(Allocate("r", 0, 10, hit=0, encoder=6))


def test_a_request_stays_one_short_of_the_models_length() -> None:
    play = Play().runs(MODEL - 2).does(NewStep())
    assert play.may(Allocate("r", MODEL - 2, 1))
    play.does(Allocate("r", MODEL - 2, 1), StepEnds(), AppendTokens("r", (7,)), NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", MODEL - 1, 1))


def test_drafts_may_be_scheduled_behind_the_known_tokens() -> None:
    assert Play(drafts=2).runs().does(NewStep()).may(Allocate("r", 10, 3))
    assert "PROTO-4" in Play(drafts=2).runs().does(NewStep()).why_not(Allocate("r", 10, 4))
    assert "PROTO-4" in Play(drafts=0).runs().does(NewStep()).why_not(Allocate("r", 10, 2))


# PROTO-5: outputs


def test_outputs_come_when_the_step_has_ended() -> None:
    play = in_step().admits(10)
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))
    assert play.does(StepEnds()).may(AppendTokens("r", (7,)))


def test_a_step_without_drafts_brings_one_output() -> None:
    play = Play().prefills()
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7, 8)))
    assert "PROTO-5" in play.why_not(AppendTokens("r", ()))


def test_outputs_are_appended_once() -> None:
    assert "PROTO-5" in Play().runs().why_not(AppendTokens("r", (7,)))


def test_a_request_does_not_run_while_its_outputs_are_due() -> None:
    assert "PROTO-4" in Play().prefills().does(NewStep()).why_not(Allocate("r", 10, 1))


@pytest.mark.parametrize(("accepted", "computed"), [(2, 13), (1, 12), (0, 11)])
def test_rejected_drafts_are_computed_again(accepted: int, computed: int) -> None:
    play = Play(drafts=2).runs().does(NewStep(), Allocate("r", 10, 3), StepEnds())
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7, 7, 7, 7)))
    play.does(AppendTokens("r", (7,) * (accepted + 1)), NewStep())
    assert play.r.tokens == 12 + accepted
    assert "PROTO-4" in play.why_not(Allocate("r", computed + 1, 1))
    assert play.may(Allocate("r", computed, 1))


def test_outputs_that_have_not_come_when_the_next_step_ends_never_come() -> None:
    play = Play().prefills().does(NewStep(), StepEnds())
    assert play.r.phase is Phase.FINISHED
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))
    assert "PROTO-4" in play.does(NewStep()).why_not(Allocate("r", 10, 1))
    assert play.may(Free("r"))


def test_outputs_of_a_freed_request_are_no_longer_due() -> None:
    assert Play().prefills().does(NewStep(), Free("r")).may(StepEnds())


def preempted_in_flight(drafts: int = 0) -> Play:
    """A request of 11 tokens, preempted for the second step while the first is running."""
    play = Play(drafts).runs().does(NewStep(), Allocate("r", 10, 1 + drafts), NewStep(), Free("r"))
    return play.does(StepEnds())


def test_outputs_of_a_step_in_flight_come_late_to_a_request_that_was_preempted_meanwhile() -> None:
    play = preempted_in_flight(drafts=2)
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7, 7, 7, 7)))
    play.does(AppendTokens("r", (7, 7)))
    assert (play.r.phase, play.r.tokens, play.r.computed) == (Phase.WAITING, 13, 0)
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))


def test_late_outputs_need_not_come() -> None:
    play = preempted_in_flight().does(NewStep()).admits(11)
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))
    # The step between them was empty.
    assert play.does(StepEnds(), StepEnds()).may(AppendTokens("r", (7,)))


# PROTO-23: external tokens that were lost


def admitted_with_external(external: int) -> Play:
    """10 tokens, 4 hit, some external, the others computed in a step that has run."""
    play = in_step().looks_up(4)
    return play.does(Allocate("r", 0, 6 - external, hit=4, external=external), StepEnds(), NewStep())


@pytest.mark.parametrize(("computed", "fits"), [(3, False), (4, True), (6, True), (7, True), (8, False)])
def test_who_lost_external_tokens_is_computed_again_from_within_them(computed: int, *, fits: bool) -> None:
    play = admitted_with_external(3)
    again = Allocate("r", computed, 10 - computed)
    assert play.may(again) if fits else "PROTO-4" in play.why_not(again)


def test_what_is_computed_again_brings_one_output_in_place_of_those_that_were_lost() -> None:
    play = admitted_with_external(3).does(Allocate("r", 4, 6), StepEnds())
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7, 7)))
    assert play.does(AppendTokens("r", (7,)), NewStep()).may(Allocate("r", 10, 1))


def test_nothing_is_computed_again_once_its_outputs_have_come() -> None:
    play = in_step().looks_up(4).does(Allocate("r", 0, 3, hit=4, external=3), StepEnds())
    play.does(AppendTokens("r", (7,)), NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 4, 6))


def test_without_external_tokens_nothing_is_lost() -> None:
    assert "PROTO-4" in admitted_with_external(0).why_not(Allocate("r", 4, 6))


def test_who_hit_what_was_lost_in_the_same_step_is_computed_again_too() -> None:
    play = in_step().arrives(10, "other").looks_up(4).does(Allocate("r", 0, 3, hit=4, external=3))
    play.looks_up(8, "other").does(Allocate("other", 0, 2, hit=8), StepEnds(), NewStep())
    assert play.may(Allocate("other", 8, 2))
    assert "PROTO-4" in play.why_not(Allocate("other", 7, 3))


# PROTO-6: preemption, finish, abort


def test_a_preempted_request_begins_again_and_keeps_its_outputs() -> None:
    play = Play().runs().does(Free("r"))
    assert (play.r.phase, play.r.computed, play.r.tokens) == (Phase.WAITING, 0, 11)
    assert play.r.preemptions == 1
    play.does(NewStep())
    assert "PROTO-4" in play.why_not(Allocate("r", 10, 1))
    assert play.looks_up(8).may(Allocate("r", 0, 3, hit=8))


def test_a_request_may_be_aborted_before_it_was_given_anything() -> None:
    play = Play().arrives().does(Free("r"))
    assert play.r.preemptions == 0


def test_a_preempted_request_has_no_outputs_to_come() -> None:
    assert "PROTO-5" in Play().prefills().does(Free("r")).why_not(AppendTokens("r", (7,)))


def test_no_more_is_released_as_unread_than_is_computed() -> None:
    play = Play().runs()
    assert play.may(RemoveSkipped("r", 10))
    assert "PROTO-6" in play.why_not(RemoveSkipped("r", 11))


# PROTO-7: a refused step


def test_a_refused_step_is_tried_again_after_another_request_was_preempted() -> None:
    play = Play().runs().runs(10, "other").does(NewStep()).gets(Allocate("r", 10, 1), REFUSED)
    assert play.does(Free("other")).may(Allocate("r", 10, 1))
    assert play.may(Free("r"))


def test_who_was_given_slots_in_this_step_is_no_victim() -> None:
    play = Play().runs().runs(10, "other").does(NewStep(), Allocate("other", 10, 1))
    play.gets(Allocate("r", 10, 1), REFUSED).does(Free("other"))
    assert "PROTO-13" in play.why_not(Allocate("r", 10, 1))


# PROTO-13: a request is freed with its step launched


def test_a_request_may_be_aborted_with_the_step_that_was_just_launched() -> None:
    play = in_step().admits(10).does(Free("r"))
    assert play.may(StepEnds())
    assert play.does(NewStep()).may(Lookup("r"))


def test_nothing_is_allocated_in_a_step_that_was_launched() -> None:
    play = in_step().arrives(10, "late").admits(10).does(Free("r")).looks_up(0, "late")
    assert "PROTO-13" in play.why_not(Allocate("late", 0, 10, hit=0))
    assert play.does(NewStep()).looks_up(0, "late").may(Allocate("late", 0, 10, hit=0))


def test_a_victim_that_waits_for_its_turn_in_this_step_launches_nothing() -> None:
    play = Play().runs().runs(10, "other").does(NewStep()).gets(Allocate("r", 10, 1), REFUSED)
    assert play.does(Free("other")).may(Allocate("r", 10, 1))


# PROTO-8: how a caller splits chunks for recurrent states is advice, not law


def test_a_chunk_may_end_anywhere() -> None:
    assert all(in_step().looks_up().may(Allocate("r", 0, new, hit=0)) for new in range(1, 11))


# PROTO-10: questions and upheavals


@pytest.mark.parametrize(
    "operation",
    [Reset(), Evict((1,)), TakeEvents(), TakeNewBlockIds(), TakeStats(), CommonPrefix("r"), GetBlocks("r")],
    ids=lambda operation: str(type(operation).__name__),
)
def test_questions_and_upheavals_may_come_at_any_time(operation: Operation) -> None:
    moments = [Play().arrives(), in_step(), in_step().admits(10), loading(), Play().prefills(), Play().runs()]
    assert all(play.may(operation) for play in moments)


# PROTO-11: names


def test_a_name_belongs_to_one_request() -> None:
    play = Play().arrives()
    assert "PROTO-11" in play.why_not(NewRequest("r", (1,)))
    assert play.may(NewRequest("s", (1,)))


@pytest.mark.parametrize(
    "operation",
    [
        AppendTokens("nobody", (1,)),
        ContinueRequest("nobody", 0, (1,)),
        Lookup("nobody"),
        Allocate("nobody", 0, 1),
        Free("nobody"),
        CacheBlocks("nobody", 0),
        RemoveSkipped("nobody", 0),
        CommonPrefix("nobody"),
        GetBlocks("nobody"),
    ],
    ids=lambda operation: str(type(operation).__name__),
)
def test_a_request_arrives_before_anything_is_done_with_it(operation: Operation) -> None:
    assert "PROTO-11" in in_step().why_not(operation)


# PROTO-12: one step in flight


def test_one_step_may_be_in_flight_while_the_next_is_scheduled() -> None:
    play = Play().arrives().does(NewStep()).admits(10).does(NewStep())
    assert "PROTO-12" in play.why_not(NewStep())
    assert play.does(StepEnds()).may(NewStep()) is True


def test_a_step_ends_once() -> None:
    assert "PROTO-12" in Play().why_not(StepEnds())
    play = in_step().does(NewStep(), StepEnds(), StepEnds())
    assert "PROTO-12" in play.why_not(StepEnds())


def test_a_request_runs_ahead_of_its_sampled_token() -> None:
    play = in_step().admits(10).does(NewStep())
    assert play.may(Allocate("r", 10, 1))
    assert "PROTO-4" in play.why_not(Allocate("r", 10, 2))


def test_an_output_that_arrives_late_belongs_to_the_step_that_ended() -> None:
    play = in_step().admits(10).does(NewStep(), Allocate("r", 10, 1), StepEnds())
    play.does(AppendTokens("r", (7,)))
    assert "PROTO-5" in play.why_not(AppendTokens("r", (8,)))
    play.does(StepEnds(), AppendTokens("r", (8,)))
    assert (play.r.tokens, play.r.computed, play.r.expected) == (12, 11, 0)


def test_drafts_are_rejected_late_while_the_next_step_is_in_flight() -> None:
    play = Play(drafts=2).runs().does(NewStep(), Allocate("r", 10, 3), NewStep())
    play.does(Allocate("r", 13, 3), StepEnds(), AppendTokens("r", (7,)))
    # 16 were scheduled and two rejected: the second step's three outputs follow 12 known tokens.
    assert (play.r.tokens, play.r.computed, play.r.expected) == (12, 14, 3)
    play.does(StepEnds(), AppendTokens("r", (8, 8)))
    assert (play.r.tokens, play.r.computed, play.r.expected) == (14, 13, 0)


def test_tokens_are_cached_late_as_far_as_they_are_known() -> None:
    play = in_step().admits(10).does(NewStep(), Allocate("r", 10, 1), StepEnds(), AppendTokens("r", (7,)))
    assert play.may(CacheBlocks("r", 10))
    assert "PROTO-12" in play.why_not(CacheBlocks("r", 11))


def test_a_waiting_request_has_nothing_to_cache() -> None:
    assert "PROTO-12" in Play().arrives().why_not(CacheBlocks("r", 0))


def test_a_request_may_be_freed_with_a_step_in_flight_and_its_output_may_be_lost() -> None:
    play = in_step().admits(10).does(NewStep(), Free("r"), StepEnds(), StepEnds())
    assert (play.r.phase, play.r.tokens) == (Phase.WAITING, 10)


def test_the_output_of_an_earlier_life_is_lost_after_readmission_too() -> None:
    play = in_step().admits(10).does(NewStep(), Free("r")).admits(5).does(StepEnds())
    assert "PROTO-5" in play.why_not(AppendTokens("r", (7,)))
    assert play.does(StepEnds(), NewStep()).may(Allocate("r", 5, 5))


# PROTO-13: a load publishes no keys


def test_what_loads_has_published_nothing_and_may_be_freed_at_once() -> None:
    assert loading().may(Free("r"))


# REQ-7: a streaming session


def streaming() -> Play:
    """11 tokens, of which 10 are computed."""
    return Play().runs()


def test_a_session_goes_on_when_its_step_has_ended() -> None:
    play = streaming().does(ContinueRequest("r", 10, (1, 2, 3)))
    assert (play.r.tokens, play.r.prompt, play.r.computed) == (13, 13, 10)
    assert play.does(NewStep()).may(Allocate("r", 10, 3))


@pytest.mark.parametrize(
    ("play", "computed"),
    [
        (Play().arrives(), 0),
        (loading(), 9),
        (Play().prefills(), 10),
        (streaming(), 9),
        (streaming(), 11),
        (streaming().does(NewStep(), Allocate("r", 10, 1)), 11),
        (streaming().does(NewStep(), Allocate("r", 10, 1), NewStep()), 11),
        (streaming().does(Free("r")), 0),
    ],
    ids=[
        "waiting",
        "loading",
        "its output is due",
        "too few computed",
        "too many computed",
        "scheduled",
        "in flight",
        "preempted",
    ],
)
def test_a_session_does_not_go_on_while(play: Play, computed: int) -> None:
    assert "REQ-7" in play.why_not(ContinueRequest("r", computed, (1, 2, 3)))
