"""What the blocks that a manager returns tell of themselves, and what hooks are told."""

from collections.abc import Iterator

from kvref.blocks import KVCacheBlock
from kvref.targets.session import ApiSession, block_ids


def answers(session: ApiSession) -> Iterator[tuple[str, str]]:
    """All that can be asked of the blocks of every request [DATA-4 to DATA-7]."""
    manager = session.manager
    nothing = manager.empty_kv_cache_blocks
    yield "nothing", f"{block_ids(nothing)} {nothing.get_block_ids(allow_none=True)} {manager.usage}"
    yield "nobody", f"{manager.get_block_ids('nobody')} {manager.get_blocks('nobody') is nothing}"
    for name in sorted(session.requests):
        found = manager.get_blocks(name)
        looked, length = manager.get_computed_blocks(session.requests[name])
        for blocks in (found, looked):
            made = manager.create_kv_cache_blocks(blocks.blocks)
            told = [
                blocks.get_block_ids(),
                blocks.get_block_ids(allow_none=True),
                (blocks + looked).get_block_ids(),
                (nothing + blocks).get_block_ids(),
                block_ids(blocks.new_empty()),
                made.get_block_ids(),
                made is nothing,
                blocks.get_unhashed_block_ids_all_groups(),
                blocks.get_unhashed_block_ids() if len(blocks.blocks) == 1 else None,
                [
                    [(block.ref_cnt, block.block_hash, block.is_null) for block in row]
                    for row in blocks.blocks
                ],
            ]
            yield f"{name} {length}", str(told)


class Hooks:
    """Notes what hooks are told [METRIC-1]."""

    def __init__(self) -> None:
        self._told: list[tuple[str, int, str]] = []

    def take(self) -> list[tuple[str, int, str]]:
        """What was told since the last call: what one operation tells has no order that counts [Q-19]."""
        told, self._told = sorted(self._told), []
        return told

    def on_block_allocated(self, block: KVCacheBlock) -> None:
        """A block was taken from the free queue."""
        self._note("allocated", block)

    def on_block_accessed(self, block: KVCacheBlock) -> None:
        """A cached block was hit."""
        self._note("accessed", block)

    def on_block_evicted(self, block: KVCacheBlock) -> None:
        """A block is about to lose its content, if it has any."""
        self._note("evicted", block)

    def reset(self) -> None:
        """The prefix cache was emptied."""
        self._told.append(("reset", 0, ""))

    def _note(self, what: str, block: KVCacheBlock) -> None:
        key = block.block_hash
        self._told.append((what, int(block.block_id), "" if key is None else key.hex()))
