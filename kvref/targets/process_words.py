"""Between kvref's own terms and a driver's: block hashes are handed out, and come back as keys.

So a driver needs no hash function: it names content by what kvref has handed it. One that does hash
by itself is held to the same names.
"""

from collections.abc import Sequence
from typing import Final, final, get_args

from invariants.view import View
from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent
from kvref.operations import (
    AppendTokens,
    Configuration,
    ContinueRequest,
    Evict,
    NewRequest,
    Observation,
    Operation,
)
from kvref.request import Request
from kvref.targets.capabilities import Capabilities
from kvref.targets.inprocess import continue_request, hasher_of, request_of
from kvref.targets.process_messages import (
    Call,
    Cleared,
    Event,
    Level,
    Offer,
    Optional,
    Removed,
    Seen,
    Snapshot,
    Stored,
)
from kvref.targets.session import picture_map, removal_order
from spec.units import GroupId, Tokens

EVENT_DIGITS = 16
"""Events name a block by the last 8 bytes of its hash [HASH-11]."""


class ImplausibleError(Exception):
    """An answer that no manager can give, as the end of a sentence about the driver."""


def capabilities_of(offer: Offer, name: str, level: Level) -> Capabilities:
    """What the driver can be asked, in the terms of all targets."""
    optional = set(get_args(Optional))
    always = {kind.__name__ for kind in get_args(Operation)} - optional
    arguments = set(offer.arguments)
    if "CacheBlocks" not in offer.operations:
        arguments.discard("delay")
    return Capabilities(
        name,
        groups=frozenset(offer.groups),
        mamba_modes=frozenset(offer.mamba_modes),
        operations=frozenset(always | set(offer.operations)),
        arguments=frozenset(arguments),
        block_sizes=offer.block_sizes,
        eagle_groups=offer.eagle and offer.several_groups,
        decode_context_parallel=offer.decode_context_parallel,
        prefill_context_parallel=offer.prefill_context_parallel,
        retention=offer.retention,
        is_sound=True,
        shows_state=level == "exact",
        requests=frozenset(offer.requests),
        several_groups=offer.several_groups,
        caching_off=offer.caching_off,
        eagle=offer.eagle,
        names_mistakes=offer.mistakes,
    )


@final
class Words:
    """Translates for one manager, from its first operation on."""

    def __init__(self, configuration: Configuration) -> None:
        self._blocks: Final = configuration.num_blocks
        self._groups: Final = len(configuration.groups)
        self._hasher: Final = hasher_of(configuration)
        self._requests: Final[dict[str, Request]] = {}
        self._keys: Final[dict[str, bytes]] = {}

    def call(self, operation: Operation) -> Call:
        """The operation, with the hashes of the blocks that it makes full [HASH-12]."""
        match operation:
            case NewRequest(request=name):
                self._requests[name] = request = request_of(operation, self._hasher)
                known = 0
            case AppendTokens(request=name, tokens=tokens):
                request = self._requests[name]
                known = len(request.block_hashes)
                request.append_output_token_ids(list(tokens))
            case ContinueRequest(request=name, computed=computed):
                request = self._requests[name]
                known = len(request.block_hashes)
                request.num_computed_tokens = Tokens(computed)
                continue_request(request, operation)
            case _:
                return Call(operation)
        return Call(operation, tuple(one.hex() for one in request.block_hashes[known:]))

    def observation(self, operation: Operation, seen: Seen) -> Observation:
        """What the driver saw. Raises ImplausibleError for blocks that the pool does not have."""
        if seen.blocks is not None:
            if len(seen.blocks) != self._groups:
                raise ImplausibleError(
                    f"answered blocks of {len(seen.blocks)} groups, but there are {self._groups}"
                )
            for ids in seen.blocks:
                self._check_ids(ids)
        events = [self._event(event) for event in seen.events]
        if isinstance(operation, Evict):
            events.sort(key=removal_order)
        return Observation(
            seen.blocks, seen.tokens, seen.done, seen.numbers, seen.stats, tuple(events), seen.error
        )

    def view(self, shown: Snapshot) -> View:
        """The driver's state. Raises ImplausibleError for what cannot be one of this manager."""
        if not len(shown.ref_counts) == len(shown.keys) == self._blocks:
            raise ImplausibleError(
                f"showed {len(shown.ref_counts)} counts and {len(shown.keys)} keys of {self._blocks} blocks"
            )
        held = {name: tables for name, tables in shown.tables.items() if any(tables)}
        lists = [shown.free_queue, shown.reserved, *(blocks for _, blocks in shown.prefix_map)]
        for ids in (*lists, *(table for tables in held.values() for table in tables)):
            self._check_ids(ids)
        names = shown.handled
        if any(
            len(tables) != self._groups or len(names.get(r, ())) != self._groups for r, tables in held.items()
        ):
            raise ImplausibleError(f"showed a table, or how far it is handled, not of {self._groups} groups")
        known, key = self._keys, self._key
        return View(
            ref_counts=shown.ref_counts,
            keys=[one if one is None else known.get(one) or key(one) for one in shown.keys],
            free_queue=shown.free_queue,
            prefix_map=picture_map(
                [(known.get(one) or key(one), blocks) for one, blocks in shown.prefix_map]
            ),
            tables=held,
            handled={name: names[name] for name in held},
            reserved=shown.reserved,
            step_keys=sorted(key(one) for one in shown.step_keys),
            usage=shown.usage,
            stats=shown.stats,
        )

    def _check_ids(self, ids: Sequence[int]) -> None:
        if ids and max(ids) >= self._blocks:
            raise ImplausibleError(f"named block {max(ids)}, but the pool has {self._blocks} blocks")

    def _key(self, text: str) -> bytes:
        try:
            key = bytes.fromhex(text)
        except ValueError:
            raise ImplausibleError(f"named a key {text[:80]!r}, which is not hexadecimal") from None
        return self._keys.setdefault(text, key)

    def _number(self, text: str) -> int:
        """What events call the block with this hash [HASH-11]."""
        return int.from_bytes(self._key(text)[-EVENT_DIGITS // 2 :], "big")

    def _event(self, event: Event) -> KVCacheEvent:
        match event:
            case Stored():
                parent = event.parent_block_hash
                return BlockStored(
                    block_hashes=tuple(self._number(one) for one in event.block_hashes),
                    parent_block_hash=None if parent is None else self._number(parent),
                    token_ids=event.token_ids,
                    block_size=event.block_size,
                    lora_id=event.lora_id,
                    medium=event.medium,
                    lora_name=event.lora_name,
                    extra_keys=event.extra_keys,
                    group_idx=GroupId(event.group_idx),
                    kv_cache_spec_kind=event.kv_cache_spec_kind,
                    kv_cache_spec_sliding_window=event.kv_cache_spec_sliding_window,
                )
            case Removed():
                numbers = tuple(self._number(one) for one in event.block_hashes)
                return BlockRemoved(numbers, event.medium, GroupId(event.group_idx))
            case Cleared():
                return AllBlocksCleared()
