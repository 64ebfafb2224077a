"""What each kind of attention reads, holds and keeps, as arithmetic on one group's block table.

Counts of tokens come in, counts of table entries go out. A `FOREVER` says that nothing will happen
however far a request gets.
"""

from typing import Final, final

from kvref.config import KVCacheGroupSpec, ManagerConfig
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
    TQFullAttentionSpec,
    window_of,
)

from .retention import Retention

FOREVER: Final = 1 << 60


class Group:
    """A KV cache group with full attention, which everything else departs from.

    `block_size` is in tokens, context parallelism included [DCP-1]; `hashes_per_block` fine hashes
    name one block [HASH-10]. `eagle` is shared by all groups with an equal spec [CFG-6].
    """

    def __init__(self, index: int, config: ManagerConfig) -> None:
        spec = config.specs[index]
        self.index: Final = index
        self.kind: Final[str] = spec.kind
        self.window: Final = window_of(spec)
        self.block_size: Final = spec.block_size * config.context_parallel_size
        self.hashes_per_block: Final = self.block_size // config.hash_block_size
        self.eagle: Final = config.enable_caching and _feeds_eagle(config, spec)
        self.is_full: Final = isinstance(spec, FullAttentionSpec)
        self.is_zeroed: Final = type(spec) in (FullAttentionSpec, TQFullAttentionSpec, MLAAttentionSpec)
        self.is_state: Final = isinstance(spec, MambaSpec)
        self.frees_scratch_first: Final = isinstance(spec, SlidingWindowSpec)
        self.thins_out = False
        self.has_gaps: Final = isinstance(spec, MambaSpec) and spec.mamba_cache_mode == "align"
        self.drafts: Final = spec.num_speculative_blocks if isinstance(spec, MambaSpec) else 0
        # A lone group caches every full block [COORD-4].
        self._alignment: Final = self.block_size if config.has_lone_group else config.scheduler_block_size

    # What is read

    def skipped_tokens(self, computed: int) -> int:  # noqa: ARG002 - full attention reads everything
        """The leading tokens that no token behind `computed` ones reads [MGR-2]."""
        return 0

    def first_read(self, computed: int) -> int:
        """The first table entry that is read once `computed` tokens are."""
        return self.skipped_tokens(computed) // self.block_size

    def released_entries(self, computed: int) -> int:
        """The leading table entries to be released once `computed` tokens are [SKIP-1]."""
        return self.first_read(computed)

    def next_release(self, released: int) -> int:  # noqa: ARG002
        """The least computed tokens at which more than `released` entries are to be released."""
        return FOREVER

    # What is held

    def table_length(self, slots: int, main: int, encoder: int) -> int:  # noqa: ARG002
        """The entries for so many slots; `main` are those without lookahead [GET-1]."""
        return -(-slots // self.block_size)

    def covered(self, length: int) -> int:
        """The most slots, or tokens, for which a table of this length does not grow."""
        return length * self.block_size

    def binds(self) -> bool:
        """Whether computed tokens have entries in the table [CROSS-2]."""
        return True

    def most_held(self, batched: int, lookahead: int, model: int) -> int:  # noqa: ARG002
        """The most blocks that one request holds at a time, if it releases some on its way [ADMIT-1]."""
        return FOREVER

    # What is cached

    def cacheable_blocks(self, tokens: int) -> int:
        """How many blocks may be cached of the first `tokens` tokens [COORD-5, EAGLE-3]."""
        aligned = tokens - tokens % self._alignment
        if self.eagle and aligned:
            aligned = min(tokens, aligned + self.block_size)
        return aligned // self.block_size

    def next_cached(self, handled: int) -> int:
        """The least tokens of which more than `handled` blocks may be cached."""
        end = (handled + 1) * self.block_size
        unit = self._alignment
        if not self.eagle:
            return -(-end // unit) * unit
        return max(end, unit, -(-(end - self.block_size) // unit) * unit)

    def kept_blocks(self, start: int, end: int, prompt_tokens: int) -> list[int] | None:  # noqa: ARG002
        """The blocks of [start, end) that are worth caching, None for all [SWA-7]."""
        return None


@final
class SlidingGroup(Group):
    """Reads the last `window` tokens [SWA-1]."""

    def __init__(self, index: int, config: ManagerConfig, spec: SlidingWindowSpec) -> None:
        super().__init__(index, config)
        self._past: Final = spec.sliding_window - 1
        self._retention: Final = Retention(
            self.block_size,
            spec.sliding_window,
            alignment=config.scheduler_block_size,
            interval=config.retention_interval,
            eagle=self.eagle,
        )
        self.thins_out = not self._retention.keeps_all

    def skipped_tokens(self, computed: int) -> int:
        """All but the window before the next token."""
        return max(0, computed - self._past)

    def next_release(self, released: int) -> int:
        """When the window leaves the next entry."""
        return (released + 1) * self.block_size + self._past

    def most_held(self, batched: int, lookahead: int, model: int) -> int:
        """A window and a step, wherever they lie in their blocks [SPEC-8, Q-50]."""
        return -(-min(self._past + batched + lookahead, model) // self.block_size) + 1

    def kept_blocks(self, start: int, end: int, prompt_tokens: int) -> list[int] | None:
        """The tails that retention keeps."""
        if not self.thins_out:
            return None
        return self._retention.kept(start, end, prompt_tokens)


@final
class ChunkedGroup(Group):
    """Reads the tokens of the current chunk [CHUNK-2]."""

    def __init__(self, index: int, config: ManagerConfig, spec: ChunkedLocalAttentionSpec) -> None:
        super().__init__(index, config)
        self._chunk: Final = spec.attention_chunk_size

    def skipped_tokens(self, computed: int) -> int:
        """The chunks before the current one."""
        return computed - computed % self._chunk

    def next_release(self, released: int) -> int:
        """When a chunk ends at or behind the next entry's end."""
        return -(-(released + 1) * self.block_size // self._chunk) * self._chunk

    def most_held(self, batched: int, lookahead: int, model: int) -> int:
        """A chunk and a step, and one block more if a chunk may cut it [SPEC-8, Q-50, Q-51]."""
        cut = 1 if self._chunk % self.block_size else 0
        return -(-min(self._chunk + batched + lookahead, model) // self.block_size) + cut


class MambaGroup(Group):
    """Reads one recurrent state, and keeps `drafts` more for tokens that may be taken back [MAMBA-5]."""

    def skipped_tokens(self, computed: int) -> int:
        """All but the state's own last token."""
        return max(0, computed - 1)

    def released_entries(self, computed: int) -> int:
        """States that drafts can no longer return to [MAMBA-2]."""
        return self.first_read(computed - self.drafts)

    def next_release(self, released: int) -> int:
        """When the next state has settled."""
        return (released + 1) * self.block_size + 1 + self.drafts

    def table_length(self, slots: int, main: int, encoder: int) -> int:  # noqa: ARG002
        """A state a block, and the drafts' on top."""
        return -(-slots // self.block_size) + self.drafts

    def covered(self, length: int) -> int:
        """What the table covers without the drafts' entries."""
        return (length - self.drafts) * self.block_size


@final
class AlignedMambaGroup(MambaGroup):
    """Keeps only the states that chunks end with; lookahead takes no entries [MAMBA-6]."""

    def table_length(self, slots: int, main: int, encoder: int) -> int:  # noqa: ARG002
        """Up to the running state, and the drafts' behind it."""
        return -(-main // self.block_size) + self.drafts


@final
class CrossGroup(Group):
    """Reads the encoder's tokens, which all come with admission [CROSS-1]."""

    def table_length(self, slots: int, main: int, encoder: int) -> int:  # noqa: ARG002
        """As many entries as the encoder's tokens take."""
        return -(-encoder // self.block_size)

    def covered(self, length: int) -> int:  # noqa: ARG002
        """Decoding takes nothing."""
        return FOREVER

    def binds(self) -> bool:
        """The decoder's tokens have no entries here."""
        return False


def _feeds_eagle(config: ManagerConfig, spec: KVCacheSpec) -> bool:
    return any(config.specs[marked] == spec for marked in config.eagle_groups)


def group_of(index: int, config: ManagerConfig) -> Group:
    """The group's kind by its spec [REG-1]."""
    spec = config.specs[index]
    if isinstance(spec, SlidingWindowSpec):
        return SlidingGroup(index, config, spec)
    if isinstance(spec, ChunkedLocalAttentionSpec):
        return ChunkedGroup(index, config, spec)
    if isinstance(spec, MambaSpec):
        aligned = spec.mamba_cache_mode == "align"
        return AlignedMambaGroup(index, config) if aligned else MambaGroup(index, config)
    if isinstance(spec, CrossAttentionSpec):
        return CrossGroup(index, config)
    return Group(index, config)


def reserved_blocks(groups: tuple[KVCacheGroupSpec, ...]) -> int:
    """How many blocks the sinks set aside for good [SINK-1]."""
    specs = [group.kv_cache_spec for group in groups]
    return sum(
        (spec.sink_len or 0) // spec.block_size for spec in specs if isinstance(spec, SinkFullAttentionSpec)
    )
