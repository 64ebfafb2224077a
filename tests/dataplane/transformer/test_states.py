"""Where a recurrent layer's states lie, step by step, in tables as mode `align` lays them out."""

import pytest

from kvref.dataplane.transformer.states import StateSlots
from kvref.dataplane.transformer.tables import BlockTables, Share
from kvref.operations import MambaGroup


def test_a_new_request_starts_from_nothing_and_a_hit_from_its_last_state() -> None:
    assert StateSlots.starting(4, [5, 6, 7], 0).source is None
    assert StateSlots.starting(4, [0, 5, 6, 7, 8], 8).source == 5


def test_each_draft_leaves_its_state_one_entry_further() -> None:
    slots = StateSlots.starting(4, [5, 6, 7], 0)
    slots.begin([5, 6, 7], new=3, drafts=0)
    assert slots.written == {3: 5}
    assert slots.settle([5, 6, 7], 3) == []
    # Token 3 and the drafts 4 and 5: the step ends in block 1.
    slots.begin([5, 6, 7, 8], new=3, drafts=2)
    assert slots.written == {4: 6, 5: 7, 6: 8}


@pytest.mark.parametrize(
    ("stands", "copies", "source"),
    [
        (7, [], 6),
        (8, [(7, 5)], 7),
        (9, [(7, 5)], 8),
    ],
)
def test_a_boundary_that_stands_goes_to_its_own_block(
    stands: int, copies: list[tuple[int, int]], source: int
) -> None:
    table = [0, 5, 6, 7, 8]
    slots = StateSlots(4, 6, 5)
    slots.begin(table, new=3, drafts=2)
    assert slots.settle(table, stands) == copies
    assert slots.source == source


def test_no_state_goes_to_a_null_entry() -> None:
    table = [0, 0, 6, 7]
    slots = StateSlots(2, 3, 6)
    slots.begin(table, new=2, drafts=1)
    assert slots.written == {4: 6, 5: 7}
    assert slots.settle(table, 5) == []


def test_a_block_that_is_appended_again_has_moved() -> None:
    kind = MambaGroup(4, mode="align", speculative_blocks=2)
    tables = BlockTables((kind,))
    tables.follow(Share("r", range(4), 0, 0, ([5, 6, 7],), starts=True))
    assert tables.settle("r", 4) == []
    share = Share("r", range(16), 4, 0, ([0, 6, 7, 8],), starts=False)
    tables.follow(share)
    assert tables.slots_of(share, 0, range(0, 24, 4))[0] == [5, 0, 0, 0, 6, 7]
    assert tables.states_of(share, 0).source == 5
    assert tables.states_of(share, 0).written == {20: 6}
