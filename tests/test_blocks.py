"""Blocks as the API hands them out: DATA-1, DATA-3, DATA-4, DATA-5, DATA-6, POOL-2, ERR-18."""

import pytest

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from spec.units import BlockId, BlockKey


def blocks(*ids: int) -> list[KVCacheBlock]:
    return [KVCacheBlock(BlockId(i)) for i in ids]


def test_a_new_block_has_no_user_and_no_content() -> None:
    # DATA-1
    block = KVCacheBlock(BlockId(3))
    assert (block.ref_cnt, block.block_hash, block.is_null) == (0, None, False)
    assert KVCacheBlock(BlockId(0)).is_null


def test_a_block_has_no_other_attributes() -> None:
    # DATA-1
    with pytest.raises(AttributeError):
        KVCacheBlock(BlockId(3)).owner = "a"  # type: ignore[attr-defined]


def test_blocks_are_compared_by_identity() -> None:
    # DATA-3
    one, other = blocks(3, 3)
    assert one != other
    assert one == one  # noqa: PLR0124 - that is the point


def test_results_are_joined_group_by_group() -> None:
    # DATA-4
    both = KVCacheBlocks((blocks(1, 2), [])) + KVCacheBlocks((blocks(3), blocks(4)))
    assert both.get_block_ids() == ([1, 2, 3], [4])
    with pytest.raises(ValueError, match="zip"):
        _ = both + KVCacheBlocks(([],))


def test_an_empty_result_has_as_many_groups() -> None:
    # DATA-4
    empty = KVCacheBlocks((blocks(1), blocks(2))).new_empty()
    assert empty.blocks == ((), ())
    assert empty.get_block_ids(allow_none=True) is None
    assert KVCacheBlocks(([], blocks(2))).get_block_ids(allow_none=True) is not None


def test_null_entries_are_named_in_ids_and_left_out_of_blocks_without_content() -> None:
    # DATA-5, DATA-6
    cached, scratch = blocks(1, 2)
    cached.block_hash = BlockKey(b"key")
    result = KVCacheBlocks(([*blocks(0), cached, scratch], []))
    assert result.get_block_ids() == ([0, 1, 2], [])
    assert result.get_unhashed_block_ids_all_groups() == [[2], []]
    with pytest.raises(ValueError, match="Only one group is supported"):
        result.get_unhashed_block_ids()


def test_a_lone_groups_blocks_without_content_include_the_null_block() -> None:
    # DATA-6
    null, fresh, cached = blocks(0, 1, 2)
    cached.block_hash = BlockKey(b"hash")
    assert KVCacheBlocks(([null, fresh, cached],)).get_unhashed_block_ids() == [
        null.block_id,
        fresh.block_id,
    ]
