"""A reference in the middle of a manager's life: brought to the state that a recording tells anew.

Blocks are known by the numbers that stand for their hashes, so its requests' hashes are these numbers. What a
picture does not show is as it is between two steps: no lookup is pending, and a table that holds blocks has
been given slots.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.hashing import ExtraKeys
from kvref.operations import Configuration, NewRequest
from kvref.record.entries import IDENTITY_BYTES
from kvref.record.told import Resumed
from kvref.reference.groups import BlockTable
from kvref.reference.manager import KVCacheManager
from kvref.stats import PrefixCacheStats
from kvref.targets.reference import ReferenceSession
from spec.units import BlockHash, BlockId, BlockKey, Blocks, RequestId, Tokens


@dataclass(frozen=True)
class Identified:
    """Gives a block the number that its last token is: it stands for the block and all before it."""

    block_size: Tokens

    def hash_block(self, parent: BlockHash | None, tokens: Sequence[int], extra_keys: ExtraKeys) -> BlockHash:
        """The number, as bytes."""
        del parent, extra_keys
        return BlockHash(tokens[-1].to_bytes(IDENTITY_BYTES, "big"))


class FollowingSession(ReferenceSession):
    """A reference that follows a recording with numbers for tokens, and can be brought to any state of it."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        if self._hasher is not None:
            self._hasher = Identified(Tokens(configuration.hash_block_size))  # type: ignore[assignment] # it hashes, too

    def resume(self, told: Resumed) -> None:
        """Take over requests and state. Raises ConfigurationError if the state is another configuration's."""
        manager, view = self.manager, told.view
        if len(view.ref_counts) != len(manager.pool.blocks):
            raise ConfigurationError("the state has another number of blocks than the configuration")
        self.requests.clear()
        self._found.clear()
        for request, prompt in zip(told.requests, told.prompts, strict=True):
            known = self.new_request(request)
            known.num_prompt_tokens = Tokens(prompt)
            self.requests[request.request] = known
        _restore_pool(manager, view)
        _restore_tables(manager, view)
        if manager.prefix_cache_stats is not None and view.stats is not None:
            manager.prefix_cache_stats = PrefixCacheStats(*view.stats)

    def resumable(self) -> Resumed:
        """Its own requests and state, from which another can go on between two steps."""
        requests = [
            NewRequest(name, tuple(one.all_token_ids), skip_reading=one.skip_reading_prefix_cache)
            for name, one in self.requests.items()
        ]
        prompts = [int(one.num_prompt_tokens) for one in self.requests.values()]
        return Resumed(tuple(requests), tuple(prompts), self.view())


def _restore_pool(manager: KVCacheManager, view: View) -> None:
    pool = manager.pool
    for block, count, key in zip(pool.blocks, view.ref_counts, view.keys, strict=True):
        block.ref_cnt = count
        block.block_hash = None if key is None else BlockKey(key)
    pool.free_queue = OrderedDict.fromkeys(BlockId(block) for block in view.free_queue)
    pool.prefix_map = {
        BlockKey(key): {BlockId(block): pool.blocks[block] for block in holders}
        for key, holders in view.prefix_map
    }
    pool.events.clear()


def _restore_tables(manager: KVCacheManager, view: View) -> None:
    blocks = manager.pool.blocks
    for index, group in enumerate(manager.groups):
        group.tables = {
            RequestId(name): BlockTable(
                [blocks[block] for block in table[index]], Blocks(view.handled[name][index]), grown=True
            )
            for name, table in view.tables.items()
        }
        group.new_block_ids.clear()
        own = group.group_id.to_bytes(4, "big")
        group.cached_this_step = {BlockKey(key) for key in view.step_keys if key.endswith(own)}
