"""One group's tables and steps by vLLM's names [MGR-1 to MGR-5, NEED-1, BIND-1, GET-1, SKIP-1, FREE-1]."""

from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence, Sequence
from typing import Any

from kvref.compat.vllm.backing import Group, backing
from kvref.compat.vllm.block_pool import BlockPool
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.building import LONGEST
from kvref.config import KVCacheConfig, KVCacheGroupSpec, ManagerConfig
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
)
from kvref.request import Request
from spec.units import BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens


class SingleTypeKVCacheManager:
    """A manager's group, or one by itself over a pool."""

    def __init__(
        self,
        kv_cache_spec: KVCacheSpec,
        block_pool: BlockPool,
        enable_caching: bool,
        kv_cache_group_id: int,
        scheduler_block_size: int,
        dcp_world_size: int = 1,
        pcp_world_size: int = 1,
        max_admission_blocks_per_request: int | None = None,
        *,
        group: Group | None = None,
    ) -> None:
        """`group` is a manager's own; without one, a group is made.

        The admission cap is a manager's own matter, so that no single group can be asked to apply one [Q-17].
        """
        del max_admission_blocks_per_request
        self.kv_cache_spec = kv_cache_spec
        self.block_pool = block_pool
        self.enable_caching = enable_caching
        self.kv_cache_group_id = kv_cache_group_id
        self.scheduler_block_size = scheduler_block_size
        self.dcp_world_size = dcp_world_size
        self.pcp_world_size = pcp_world_size
        self.block_size = kv_cache_spec.block_size * dcp_world_size * pcp_world_size
        if group is None:
            config = ManagerConfig(
                KVCacheConfig(1, (KVCacheGroupSpec((), kv_cache_spec),) * (kv_cache_group_id + 1)),
                max_model_len=LONGEST,
                scheduler_block_size=scheduler_block_size,
                hash_block_size=block_pool.hash_block_size,
                enable_caching=False,  # whether these groups could share a cache is not asked
                enable_kv_cache_events=block_pool.enable_kv_cache_events,
                dcp_world_size=dcp_world_size,
                pcp_world_size=pcp_world_size,
            )
            group = backing().group(GroupId(kv_cache_group_id), config, block_pool.pool)
        self._group = group

    @property
    def req_to_blocks(self) -> "Tables":
        """The live block tables by request."""
        return Tables(self._group)

    @property
    def num_cached_block(self) -> "Handled":
        """How many leading entries of each table were offered to the prefix cache."""
        return Handled(self._group)

    @property
    def new_block_ids(self) -> list[BlockId]:
        """The blocks to zero, so far [MGR-3]."""
        return self._group.new_block_ids

    @new_block_ids.setter
    def new_block_ids(self, ids: list[BlockId]) -> None:
        self._group.new_block_ids = ids

    @property
    def use_eagle(self) -> bool:
        """Whether the group feeds EAGLE's draft head [CFG-6]."""
        return self._group.eagle

    @use_eagle.setter
    def use_eagle(self, use_eagle: bool) -> None:
        self._group.eagle = use_eagle

    @property
    def cached_blocks_this_step(self) -> set[BlockKey]:
        """The states that were cached in this step [MAMBA-3]."""
        return self._group.step_keys

    def get_num_blocks_to_allocate(
        self,
        request_id: str,
        num_tokens: int,
        new_computed_blocks: Sequence[KVCacheBlock],
        total_computed_tokens: int,
        num_tokens_main_model: int,
    ) -> Blocks:
        """Free blocks that an allocation takes, as many as it does take [NEED-1, Q-4, Q-28]."""
        if new_computed_blocks and request_id in self.req_to_blocks:
            raise AssertionError(f"request {request_id} has a table: hits are for one that has none")
        return self._group.need(
            RequestId(request_id),
            Tokens(num_tokens),
            new_computed_blocks,
            Tokens(total_computed_tokens),
            Tokens(num_tokens_main_model),
        )

    def allocate_new_computed_blocks(
        self,
        request_id: str,
        new_computed_blocks: Sequence[KVCacheBlock],
        num_local_computed_tokens: int,
        num_external_computed_tokens: int,
    ) -> None:
        """Start a table with hits and external blocks [BIND-1]; nothing happens where there is one."""
        if new_computed_blocks and not self.enable_caching:
            raise AssertionError("Computed blocks should be empty when prefix caching is disabled")
        if new_computed_blocks and request_id in self.req_to_blocks:
            raise AssertionError(f"request {request_id} has a table: hits are for one that has none")
        local, external = Tokens(num_local_computed_tokens), Tokens(num_external_computed_tokens)
        self._group.bind(RequestId(request_id), new_computed_blocks, local, external)

    def allocate_new_blocks(
        self, request_id: str, num_tokens: int, num_tokens_main_model: int
    ) -> list[KVCacheBlock]:
        """Append blocks for slots [GET-1]."""
        return self._group.grow(RequestId(request_id), Tokens(num_tokens), Tokens(num_tokens_main_model))

    def take_new_block_ids(self) -> list[BlockId]:
        """The blocks to zero, once [MGR-3]."""
        taken = self._group.new_block_ids
        self._group.new_block_ids = []
        return taken

    def cache_blocks(self, request: Request, num_tokens: int, retention_interval: int | None = None) -> None:
        """Cache all full blocks among the first tokens that retention keeps, densely if not told [MGR-4]."""
        interval = None if retention_interval is None else Tokens(retention_interval)
        self._group.cache_blocks(request, Tokens(num_tokens), interval)

    def remove_skipped_blocks(self, request_id: str, total_computed_tokens: int) -> None:
        """Release what no later step reads [SKIP-1]."""
        self._group.remove_skipped_blocks(RequestId(request_id), Tokens(total_computed_tokens))

    def get_num_skipped_tokens(self, num_computed_tokens: int) -> Tokens:
        """How many leading tokens no later step reads, never below zero [MGR-2]."""
        return self._group.skipped_tokens(Tokens(num_computed_tokens))

    def free(self, request_id: str) -> None:
        """Release the whole table [FREE-1]."""
        self._group.free(RequestId(request_id))

    def get_num_common_prefix_blocks(self, running_request_id: str) -> Blocks:
        """Leading blocks that every request holds [COMMON-1]."""
        return self._group.common_prefix_blocks(RequestId(running_request_id))

    def new_step_starts(self) -> None:
        """The states of the last step are computed [MAMBA-4]."""
        self._group.forget_step_keys()

    @classmethod
    def find_longest_cache_hit(
        cls,
        block_hashes: Sequence[BlockHash],
        max_length: int,
        kv_cache_group_ids: Sequence[int],
        block_pool: BlockPool,
        kv_cache_spec: KVCacheSpec,
        drop_eagle_block: bool,
        alignment_tokens: int,
        dcp_world_size: int = 1,
        pcp_world_size: int = 1,
    ) -> tuple[list[KVCacheBlock], ...]:
        """The longest hit of at most `max_length` tokens, a table a group [HIT-7].

        What the peer refuses here, a chunk with another alignment or too few hashes, is looked up as
        far as it goes.
        """
        return block_pool.pool.longest_hit(
            block_hashes,
            Tokens(max_length),
            [GroupId(group_id) for group_id in kv_cache_group_ids],
            kv_cache_spec,
            Tokens(alignment_tokens),
            eagle=drop_eagle_block,
            context_parallel_size=dcp_world_size * pcp_world_size,
        )


class Tables(MutableMapping[str, MutableSequence[KVCacheBlock]]):
    """The live block tables by request. An absent one that is subscribed is made by its first block.

    The peer makes it at once, and counts it as a request from then on [Q-15]. To forget a table is to
    forget how much of it was cached, too, which the peer keeps apart. A block by hand in a table counts
    as the pool's block of the same id once it is released.
    """

    def __init__(self, group: Group) -> None:
        self._group = group

    def __getitem__(self, request_id: str) -> MutableSequence[KVCacheBlock]:
        if request_id not in self:
            return NewTable(self, request_id)
        return self._group.table(RequestId(request_id))

    def get(self, request_id: str, default: Any = None) -> Any:
        """The request's table, or `default` if it has none."""
        if request_id not in self:
            return default
        return self[request_id]

    def pop(self, request_id: str, *default: Any) -> Any:
        """Forget the request's table, release nothing, and return it."""
        if request_id not in self and not default:
            raise KeyError(request_id)
        table = self.get(request_id, *default)
        if request_id in self:
            del self[request_id]
        return table

    def __setitem__(self, request_id: str, blocks: MutableSequence[KVCacheBlock]) -> None:
        self._group.set_table(RequestId(request_id), blocks)

    def __delitem__(self, request_id: str) -> None:
        self._group.drop_table(RequestId(request_id))

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._group.requests()

    def __iter__(self) -> Iterator[str]:
        return iter(self._group.requests())

    def __len__(self) -> int:
        return len(self._group.requests())


class NewTable(list[KVCacheBlock]):
    """The table of a request that has none: it is the request's as soon as a block is put in."""

    def __init__(self, tables: Tables, request_id: str) -> None:
        super().__init__()
        self._tables = tables
        self._request_id = request_id

    def append(self, block: KVCacheBlock) -> None:
        """Put a block last."""
        self.extend([block])

    def extend(self, blocks: Iterable[KVCacheBlock]) -> None:
        """Put blocks last."""
        super().extend(blocks)
        self._tables[self._request_id] = self


class Handled(MutableMapping[str, Blocks]):
    """How many leading entries of each table were offered to the prefix cache [DATA-8].

    A request of which nothing was offered has no entry. The peer has one, of 0, if such a request
    was bound to external tokens, or if a 0 was written.
    """

    def __init__(self, group: Group) -> None:
        self._group = group

    def __getitem__(self, request_id: str) -> Blocks:
        if request_id not in self._offered():
            raise KeyError(request_id)
        return self._group.handled(RequestId(request_id))

    def __setitem__(self, request_id: str, blocks: Blocks) -> None:
        self._group.set_handled(RequestId(request_id), blocks)

    def __delitem__(self, request_id: str) -> None:
        if request_id not in self._offered():
            raise KeyError(request_id)
        self._group.set_handled(RequestId(request_id), Blocks(0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._offered())

    def __len__(self) -> int:
        return len(self._offered())

    def _offered(self) -> list[RequestId]:
        return [request_id for request_id in self._group.requests() if self._group.handled(request_id)]


class FullAttentionManager(SingleTypeKVCacheManager):
    """A group of full attention."""


class SinkFullAttentionManager(FullAttentionManager):
    """A group of full attention with sinks."""


class SlidingWindowManager(SingleTypeKVCacheManager):
    """A group of sliding-window attention."""


class ChunkedLocalAttentionManager(SingleTypeKVCacheManager):
    """A group of chunked local attention."""


class MambaManager(SingleTypeKVCacheManager):
    """A group of recurrent layers."""


class CrossAttentionManager(SingleTypeKVCacheManager):
    """A group of cross attention."""


MANAGERS: dict[type[KVCacheSpec], type[SingleTypeKVCacheManager]] = {
    SinkFullAttentionSpec: SinkFullAttentionManager,
    FullAttentionSpec: FullAttentionManager,
    SlidingWindowSpec: SlidingWindowManager,
    ChunkedLocalAttentionSpec: ChunkedLocalAttentionManager,
    MambaSpec: MambaManager,
    CrossAttentionSpec: CrossAttentionManager,
}
"""What vLLM calls the manager of a spec, subclasses included, the most specific first [REG-1, REG-2]."""


def manager_class(spec: KVCacheSpec) -> type[SingleTypeKVCacheManager]:
    """The class for a spec. Raises AssertionError if there is none [ERR-15]."""
    for kind, manager in MANAGERS.items():
        if isinstance(spec, kind):
            return manager
    raise AssertionError(f"No manager registered for KVCacheSpec {type(spec).__name__}")


def get_manager_for_kv_cache_spec(
    kv_cache_spec: KVCacheSpec, max_num_batched_tokens: int, max_model_len: int, **options: Any
) -> SingleTypeKVCacheManager:
    """A group by itself, of the class for its spec [REG-1]. It has no use for the two lengths."""
    del max_num_batched_tokens, max_model_len
    return manager_class(kv_cache_spec)(kv_cache_spec, **options)
