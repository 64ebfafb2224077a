"""What a careful scheduler leaves be, example by example [Q-55 to Q-59]; `reproducers/` shows why."""

from kvref.fuzz.care import Care
from kvref.operations import Configuration, FullGroup, Group, MambaGroup, SlidingGroup


def care(*groups: Group) -> Care:
    return Care(Configuration(groups, 20, 64, 4, 4))


def test_a_window_sees_no_drafts_while_a_step_is_in_flight() -> None:
    assert care(FullGroup(4), SlidingGroup(4, 8)).drafts(3, asynchronous=True) == 0
    assert care(FullGroup(4), SlidingGroup(4, 8)).drafts(3, asynchronous=False) == 3
    assert care(FullGroup(4)).drafts(3, asynchronous=True) == 3


def test_a_state_for_each_draft_in_a_block_that_is_longer() -> None:
    assert care(MambaGroup(4, "align", 2)).drafts(5, asynchronous=False) == 2
    assert care(MambaGroup(2, "align", 3)).drafts(5, asynchronous=False) == 1


def test_an_aligned_state_in_mid_block_goes_on_to_its_end() -> None:
    assert care(MambaGroup(4, "align")).known(6, 9) == 2
    assert care(MambaGroup(4, "align")).known(8, 9) == 9
    assert care(MambaGroup(4, "none")).known(6, 9) == 9


def test_the_last_token_is_computed_not_loaded_where_something_is_forgotten() -> None:
    assert care(SlidingGroup(4, 8)).external(hit=4, wanted=8, rest=8) == 7
    assert care(FullGroup(4)).external(hit=4, wanted=8, rest=8) == 8


def test_a_load_ends_where_an_aligned_state_does() -> None:
    assert care(MambaGroup(4, "align")).external(hit=4, wanted=7, rest=20) == 4
    assert care(MambaGroup(4, "align")).external(hit=0, wanted=3, rest=20) == 0
