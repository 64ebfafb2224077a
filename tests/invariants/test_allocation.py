"""What several invariants ask of one allocation: worked out once, and by the rules alone."""

from invariants import GroupSetting, Setting
from invariants.allocation import computed_tokens, layout, once_a_step
from invariants.step import Allocate
from spec.attention import FullAttention
from spec.capacity import Step
from spec.units import Blocks, Tokens


def test_what_is_asked_twice_of_the_same_objects_is_worked_out_once() -> None:
    worked: list[list[int]] = []

    @once_a_step
    def scaled(numbers: list[int], times: int) -> list[int]:
        worked.append(numbers)
        return [times * number for number in numbers]

    one, other = [1], [1]
    assert scaled(one, 2) is scaled(one, 2)
    assert len(worked) == 1
    assert scaled(other, 2) == [2]
    assert scaled(one, 2) == [2]
    assert scaled(one, times=3) == [3]
    assert len(worked) == 4


def slots_of(model: int, *, computed: int, hit: int | None, external: int) -> tuple[Step, int]:
    setting = Setting(
        (GroupSetting(FullAttention(Tokens(4))),), Blocks(9), Tokens(model), Tokens(4), Tokens(4)
    )
    action = Allocate(
        "a",
        Tokens(computed),
        Tokens(3),
        None if hit is None else Tokens(hit),
        Tokens(2),
        Tokens(external),
        delay=False,
        encoder=Tokens(7),
        must_fit=False,
        appended=None,
    )
    return layout(action, setting), computed_tokens(action, setting)


def test_an_allocation_lays_out_hit_external_new_and_lookahead_tokens_in_a_row() -> None:
    # ALLOC-2: 4 + 8 found here, 5 external, 3 new, 2 of lookahead.
    assert slots_of(64, computed=4, hit=8, external=5) == (
        Step(Tokens(12), Tokens(5), Tokens(20), Tokens(22), Tokens(7)),
        17,
    )
    assert slots_of(64, computed=4, hit=None, external=0)[0].slots == 9


def test_the_layout_ends_where_the_model_does() -> None:
    step, computed = slots_of(18, computed=4, hit=8, external=9)
    assert (computed, step.main, step.slots) == (18, 21, 18)
