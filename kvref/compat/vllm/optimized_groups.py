"""The optimized manager's groups behind the views: its tables hold numbers, what is shown holds blocks."""

from collections.abc import MutableSequence, Sequence
from copy import copy
from typing import Any, Final, overload

from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.optimized_pool import Numbers, Pool, map_of
from kvref.optimized import groups as kinds
from kvref.optimized import tables as steps
from kvref.optimized.caching import cache_full_blocks
from kvref.optimized.retention import Retention
from kvref.optimized.tables import Tables
from kvref.request import Request
from spec.content import group_key
from spec.units import BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens


class Row(MutableSequence[KVCacheBlock]):
    """One block table: the manager's own list of numbers, block by block."""

    def __init__(self, numbers: Numbers, row: list[int]) -> None:
        self._numbers = numbers
        self._row = row

    def __len__(self) -> int:
        return len(self._row)

    @overload
    def __getitem__(self, index: int) -> KVCacheBlock: ...
    @overload
    def __getitem__(self, index: slice) -> list[KVCacheBlock]: ...

    def __getitem__(self, index: int | slice) -> KVCacheBlock | list[KVCacheBlock]:
        if isinstance(index, slice):
            return [self._numbers.block(number) for number in self._row[index]]
        return self._numbers.block(self._row[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        many = isinstance(index, slice)
        self._let_go(index)
        self._row[index] = [*map(self._adopted, value)] if many else self._adopted(value)

    def __delitem__(self, index: int | slice) -> None:
        self._let_go(index)
        del self._row[index]

    def insert(self, index: int, value: KVCacheBlock) -> None:
        """Put a block into the table, which holds it from now on."""
        self._row.insert(index, self._adopted(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of any list

    def _let_go(self, index: int | slice) -> None:
        """What is taken out of the table by hand, or replaced, is in hand from then on."""
        numbers = self._row[index]
        for number in numbers if isinstance(numbers, list) else [numbers]:
            if number:
                self._numbers.own.stretches.alone(number)

    def _adopted(self, block: KVCacheBlock) -> int:
        """The number of a block that is put here by hand, which has a user from then on."""
        number, own = self._numbers.number(block), self._numbers.own
        own.give_up_runs()
        if not block.is_null:
            stretch = own.stretches.alone(number)
            if not stretch.users:
                own.stretches.hold([stretch])
        return number


class ListByHand:
    """A list that was set as a table, which it is for whoever looks: either follows the other when it is used.

    What was done to the list counts before what was done to the table; a manager's own steps do not use it.
    """

    def __init__(self, row: Row, tables: Tables, blocks: MutableSequence[KVCacheBlock]) -> None:
        self._row = row
        self.tables: Final = tables
        self.blocks: Final = blocks
        self._seen: list[KVCacheBlock] = []
        self.follow()

    def follow(self) -> None:
        """Let both hold the same."""
        if list(self.blocks) != self._seen:
            self._row[:] = self.blocks
        else:
            self.blocks[:] = self._row
        self._seen = list(self.blocks)


class Group:
    """A group of the optimized manager; one allocation's steps can be taken by themselves."""

    def __init__(
        self,
        own: kinds.Group,
        over: Pool,
        tables: dict[str, Tables],
        new_ids: list[list[int]],
        *,
        tells: bool,
    ) -> None:
        self._own = own
        self._pool = over
        self._tables = tables
        self._new_ids = new_ids
        self._tells = tells
        self._by_hand: dict[RequestId, ListByHand] = {}
        self._begun: set[RequestId] = set()

    @property
    def new_block_ids(self) -> list[BlockId]:
        """The blocks to zero."""
        return self._new_ids[self._own.index]  # type: ignore[return-value] # plain numbers there

    @new_block_ids.setter
    def new_block_ids(self, ids: list[BlockId]) -> None:
        self._new_ids[self._own.index] = ids  # type: ignore[assignment]

    @property
    def eagle(self) -> bool:
        """Whether the group feeds EAGLE's draft head."""
        return self._own.eagle

    @eagle.setter
    def eagle(self, eagle: bool) -> None:
        vars(self._own)["eagle"] = eagle

    @property
    def step_keys(self) -> set[BlockKey]:
        """The states that were cached in this step."""
        contents = map_of(self._pool.own, self._own.index).cached_this_step
        return {group_key(BlockHash(content), GroupId(self._own.index)) for content in contents}

    def forget_step_keys(self) -> None:
        """A step begins."""
        map_of(self._pool.own, self._own.index).cached_this_step.clear()

    def requests(self) -> list[RequestId]:
        """Who has a table."""
        return [RequestId(name) for name in self._tables]

    def table(self, request_id: RequestId) -> MutableSequence[KVCacheBlock]:
        """The live table of a request."""
        self._held(request_id)
        by_hand = self._by_hand.get(request_id)
        return by_hand.blocks if by_hand else self._row(self._tables[request_id])

    def set_table(self, request_id: RequestId, blocks: MutableSequence[KVCacheBlock]) -> None:
        """Let the table hold these blocks."""
        tables = self._tables_of(request_id)
        self._by_hand[request_id] = ListByHand(self._row(tables), tables, blocks)

    def drop_table(self, request_id: RequestId) -> None:
        """Forget the table."""
        del self._tables[request_id]

    def handled(self, request_id: RequestId) -> Blocks:
        """How many leading entries were offered to the prefix cache."""
        return Blocks(self._tables[request_id].handled[self._own.index])

    def set_handled(self, request_id: RequestId, blocks: Blocks) -> None:
        """Set that number."""
        self._pool.own.give_up_runs()
        self._tables_of(request_id).handled[self._own.index] = blocks

    def need(
        self,
        request_id: RequestId,
        slots: Tokens,
        hits: Sequence[KVCacheBlock],
        computed: Tokens,
        main: Tokens,
    ) -> Blocks:
        """Free blocks that an allocation takes."""
        if hits and self._own.is_state and hits[-1].block_hash in self.step_keys:
            return Blocks(self._pool.own.num_blocks + 1)
        target = self._own.table_length(slots, main, slots)
        held = self._held(request_id)
        if held is not None:
            length = len(held.rows[self._own.index])
            return Blocks(steps.growth_need(self._own, length, target, is_new=False))
        numbers = self._pool.numbers
        known = [numbers.number(block) for block in hits]
        start = steps.start_of(self._pool.own, self._own, known, computed, 0)
        # Blocks may have been made by hand: those without a user count as free, wherever they are.
        free = sum(1 for number in start.kept if number and numbers.block(number).ref_cnt == 0)
        return Blocks(free + steps.growth_need(self._own, start.length, target, is_new=True))

    def bind(
        self, request_id: RequestId, hits: Sequence[KVCacheBlock], local: Tokens, external: Tokens
    ) -> None:
        """Start a request's table."""
        held = self._held(request_id)
        if held is not None and held.rows[self._own.index]:
            return
        numbers = [self._pool.numbers.number(block) for block in hits]
        start = steps.start_of(self._pool.own, self._own, numbers, local + external, external)
        tables = self._tables_of(request_id)
        self._pool.own.hold(start.hits)
        self._require_free(start.external)
        steps.bind(self._pool.own, self._own, tables, start)
        if start.external and self._own.is_zeroed:
            self._new_ids[self._own.index].extend(tables.rows[self._own.index][-start.external :])
        self._begun.add(request_id)

    def grow(self, request_id: RequestId, slots: Tokens, main: Tokens) -> list[KVCacheBlock]:
        """Append blocks for slots."""
        is_new = request_id in self._begun or request_id not in self._tables
        self._begun.discard(request_id)
        target = self._own.table_length(slots, main, slots)
        tables = self._tables_of(request_id)
        length = len(tables.rows[self._own.index])
        self._require_free(steps.growth_need(self._own, length, target, is_new=is_new))
        taken = steps.grow(self._pool.own, self._own, tables, target, is_new=is_new)
        if self._own.is_zeroed:
            self._new_ids[self._own.index].extend(taken)
        self._held(request_id)
        return [self._pool.numbers.block(number) for number in taken]

    def _require_free(self, count: int) -> None:
        if count > self._pool.own.queue.count:
            raise ValueError(f"Cannot get {count} free blocks from the pool")

    def cache_blocks(self, request: Request, tokens: Tokens, interval: Tokens | None) -> None:
        """Cache all full blocks among the first tokens."""
        self._held(RequestId(request.request_id))
        tables, told = self._tables[request.request_id], _as_told(self._own, interval)
        self._pool.own.give_up_runs()
        cache_full_blocks(self._pool.own, told, request, tables, tokens, tells=self._tells)
        # What this retention leaves out counts as handled, but has no content.
        self._pool.own.was_evicted_by_hand = True

    def remove_skipped_blocks(self, request_id: RequestId, computed: Tokens) -> None:
        """Release what no later step reads."""
        tables = self._held(request_id)
        if tables is not None:
            steps.release_skipped(self._pool.own, self._own, tables, computed)
            self._held(request_id)

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """How many leading tokens no later step reads."""
        return Tokens(self._own.skipped_tokens(computed))

    def free(self, request_id: RequestId) -> None:
        """Release the whole table."""
        tables = self._held(request_id)
        if tables is None:
            return
        steps.free(self._pool.own, self._own, tables)
        self._by_hand.pop(request_id, None)
        tables.rows[self._own.index] = []
        if not any(tables.rows):
            del self._tables[request_id]

    def common_prefix_blocks(self, request_id: RequestId) -> Blocks:
        """Leading blocks that every request holds."""
        tables = self._held(request_id)
        if tables is None or not self._own.is_full:
            return Blocks(0)
        users = [self._pool.own.users(number) for number in tables.rows[self._own.index]]
        return Blocks([count == len(self._tables) for count in [*users, 0]].index(False))

    def _row(self, tables: Tables) -> Row:
        return Row(self._pool.numbers, tables.rows[self._own.index])

    def _held(self, request_id: RequestId) -> Tables | None:
        """The tables of a request, if it has any; what was set by hand is brought up to date."""
        tables = self._tables.get(request_id)
        by_hand = self._by_hand.get(request_id)
        if by_hand is not None and by_hand.tables is tables:
            by_hand.follow()
        else:
            self._by_hand.pop(request_id, None)
        return tables

    def _tables_of(self, request_id: RequestId) -> Tables:
        """The same, made if there are none."""
        tables = self._held(request_id)
        if tables is None:
            groups = max(len(self._pool.own.maps), self._own.index + 1)
            tables = self._tables[request_id] = Tables(groups)
        return tables


def _as_told(own: kinds.Group, interval: Tokens | None) -> kinds.Group:
    """The group for one call whose caller decides what a manager decides otherwise: how far, how densely."""
    told = copy(own)
    vars(told)["_alignment"] = own.block_size
    if isinstance(own, kinds.SlidingGroup):
        retention = Retention(
            own.block_size,
            own.window or 0,
            alignment=own._retention._alignment,  # noqa: SLF001
            interval=interval,
            eagle=own.eagle,
        )
        vars(told)["_retention"] = retention
        told.thins_out = not retention.keeps_all
    return told
