"""The reference as a target: in this process, built from the API types that a user would build."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from invariants.view import View
from kvref.config import KVCacheConfig, KVCacheGroupSpec
from kvref.errors import CallerError, UserError
from kvref.events import KVCacheEvent
from kvref.hashing import BlockHasher
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowMLASpec,
    SlidingWindowSpec,
)
from kvref.operations import (
    EMBEDDING_BYTES,
    ChunkedGroup,
    Configuration,
    ContinueRequest,
    CrossGroup,
    FullGroup,
    Group,
    Item,
    MambaGroup,
    MLAGroup,
    NewRequest,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
    Trace,
)
from kvref.reference import KVCacheManager
from kvref.reference.groups import BlockTable
from kvref.request import (
    LoRARequest,
    MultiModalFeature,
    PlaceholderRange,
    PromptEmbeds,
    Request,
)
from kvref.targets.base import CaseResult, picture_case, run_case
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Picture
from kvref.targets.session import ApiSession, picture_map, stats_of
from spec.units import RequestId, Tokens

LORA_ID = 7


@dataclass(frozen=True)
class Float16:
    """Half precision, without a tensor library."""

    itemsize: int = 2


FLOAT16 = Float16()


def spec_of(group: Group) -> KVCacheSpec:  # noqa: PLR0911 - one line a kind
    """The API's spec for a group of a trace."""
    size, heads = group.block_size, group.heads
    match group:
        case FullGroup():
            return FullAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)
        case MLAGroup():
            return MLAAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)
        case SinkGroup(sink=sink):
            return SinkFullAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sink_len=sink)
        case SlidingGroup(window=window):
            return SlidingWindowSpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sliding_window=window
            )
        case SlidingMLAGroup(window=window):
            return SlidingWindowMLASpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sliding_window=window
            )
        case ChunkedGroup(chunk=chunk):
            return ChunkedLocalAttentionSpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, attention_chunk_size=chunk
            )
        case MambaGroup(mode=mode, speculative_blocks=speculative):
            return MambaSpec(
                size,
                ((heads, 8),),
                (FLOAT16,),
                mamba_cache_mode=mode,
                num_speculative_blocks=speculative,
            )
        case CrossGroup():
            return CrossAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)


class ReferenceSession(ApiSession):
    """A reference manager and the requests that its caller keeps."""

    def __init__(self, configuration: Configuration) -> None:
        groups = tuple(
            KVCacheGroupSpec((f"layer.{i}",), spec_of(group), group.eagle)
            for i, group in enumerate(configuration.groups)
        )
        manager = KVCacheManager(
            KVCacheConfig(configuration.num_blocks, groups),
            max_model_len=configuration.max_model_len,
            scheduler_block_size=configuration.scheduler_block_size,
            hash_block_size=configuration.hash_block_size,
            max_num_batched_tokens=configuration.max_num_batched_tokens,
            enable_caching=configuration.enable_caching,
            use_eagle=configuration.use_eagle,
            log_stats=configuration.log_stats,
            enable_kv_cache_events=configuration.enable_kv_cache_events,
            dcp_world_size=configuration.dcp_world_size,
            pcp_world_size=configuration.pcp_world_size,
            retention_interval=configuration.retention_interval,
        )
        super().__init__(manager)
        self.manager: KVCacheManager = manager
        self._hasher = (
            BlockHasher.seeded(
                configuration.hash_function,
                Tokens(configuration.hash_block_size),
                configuration.hash_seed,
            )
            if configuration.enable_caching
            else None
        )

    def new_request(self, operation: NewRequest) -> Request:
        """The API's request object."""
        embeds = operation.embeds
        return Request(
            RequestId(operation.request),
            operation.tokens,
            block_hasher=self._hasher,
            lora_request=LoRARequest(operation.lora, LORA_ID) if operation.lora else None,
            mm_features=_features(operation.items),
            cache_salt=operation.salt,
            prompt_embeds=None if embeds is None else PromptEmbeds(embeds, EMBEDDING_BYTES),
            skip_reading_prefix_cache=operation.skip_reading,
        )

    def continue_request(self, request: Request, operation: ContinueRequest) -> None:
        """Give a streaming session its next input [REQ-7]."""
        request.continue_with(operation.tokens, _features(operation.items))

    def meaning(self, error: Exception) -> str | None:
        """The class's own name, for a caller's mistake."""
        return type(error).__name__ if isinstance(error, CallerError) else None

    def drain_events(self) -> list[KVCacheEvent]:
        """The events since the last call."""
        return self.manager.take_events()

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager = self.manager
        pool, groups = manager.pool, manager.groups
        names = sorted({str(name) for group in groups for name in group.tables})
        tables: dict[str, list[list[int]]] = {
            name: [[b.block_id for b in t.blocks] if t else [] for t in self._tables(name)] for name in names
        }
        held = {name: table for name, table in tables.items() if any(table)}
        return View(
            ref_counts=[block.ref_cnt for block in pool.blocks],
            keys=[block.block_hash for block in pool.blocks],
            free_queue=list(pool.free_queue),
            prefix_map=picture_map([(key, list(holders)) for key, holders in pool.prefix_map.items()]),
            tables=held,
            handled={name: [t.handled if t else 0 for t in self._tables(name)] for name in held},
            reserved=list(pool.reserved),
            step_keys=sorted(key for group in groups for key in group.cached_this_step),
            usage=manager.usage,
            stats=stats_of(manager.prefix_cache_stats),
        )

    def _tables(self, name: str) -> list[BlockTable | None]:
        return [group.tables.get(RequestId(name)) for group in self.manager.groups]


class ReferenceTarget:
    """The reference, in this process."""

    name = "reference"
    catalogue: Catalogue = ()
    cpu_seconds = 0.0
    opener = ReferenceSession

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """Run whole cases for their digests."""
        return [run_case(ReferenceSession, trace) for trace in traces]

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation."""
        return picture_case(ReferenceSession, trace)

    def close(self) -> None:
        """Nothing to let go of."""


def _features(items: Sequence[Item]) -> list[MultiModalFeature]:
    return [MultiModalFeature(item.identifier, PlaceholderRange(item.offset, item.length)) for item in items]


def open_reference(release: str | None, python: Path | None, tell: Callable[[str], None]) -> ReferenceTarget:
    """The registry's entry point. The reference has one release, and runs here."""
    del tell
    if release is not None or python is not None:
        raise UserError("the reference runs in this interpreter and has no release: use --target reference")
    return ReferenceTarget()
