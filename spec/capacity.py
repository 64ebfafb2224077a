"""How many blocks a request needs, and when it may have them.

A block table grows in two steps. *Binding* gives a new request its computed prefix: nulls where
the attention no longer reads, then hit blocks, then blocks for tokens that a connector brings.
*Growth* appends blocks for the slots that the step wants. Both are defined here as the shape of the
table that results; what is taken from the pool follows from it and so can never be predicted too
low, too high, or below zero [Q-4, Q-28, Q-30].
"""

from dataclasses import dataclass

from spec.arithmetic import covering_blocks
from spec.attention import (
    AlignedMambaState,
    Attention,
    ChunkedLocalAttention,
    CrossAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.units import Blocks, Tokens


@dataclass(frozen=True)
class Step:
    """The token layout of one allocation, from left to right [ALLOC-2, ALLOC-4].

    computed (`local` found here, `external` brought by a connector) | new | lookahead.
    `slots` counts all of them, clipped to the model's length; `main` leaves the lookahead out.

    inv: self.local >= 0 and self.external >= 0
    inv: self.main >= 0 and self.slots >= 0 and self.encoder >= 0
    """

    local: Tokens
    external: Tokens
    main: Tokens
    slots: Tokens
    encoder: Tokens = Tokens(0)

    @property
    def computed(self) -> Tokens:
        """Tokens that need no computation in this step [ALLOC-2].

        post: __return__ - self.external == self.local
        """
        return Tokens(self.local + self.external)


@dataclass(frozen=True)
class Binding:
    """A new table: `nulls` null entries, the hit blocks from index `nulls` on, `external` fresh ones."""

    nulls: Blocks
    external: Blocks
    length: Blocks


@dataclass(frozen=True)
class Growth:
    """What is appended to a table.

    `nulls` null entries, `moved` entries that leave a null behind, and `taken` blocks from the pool.
    `length` is the table's length afterwards.
    """

    nulls: Blocks
    moved: range
    taken: Blocks
    length: Blocks


def binding(attention: Attention, hits: Blocks, step: Step) -> Binding:
    """The table of a new request with `hits` hit blocks [BIND-3, BIND-4, BIND-6, BIND-8, MAMBA-9].

    Cross attention binds nothing [CROSS-2].

    pre: hits >= 0
    post: isinstance(attention, CrossAttention) or __return__.nulls == attention.skipped_blocks(step.computed)
    post: __return__.length == (0 if isinstance(attention, CrossAttention) else max(__return__.nulls, hits) + __return__.external)
    post: __return__.external == 0 or 0 <= __return__.length * attention.block_size - step.computed < attention.block_size
    post: __return__.external == 0 or step.external > 0
    post: __return__.external > 0 or step.external == 0 or not attention.keeps_every_token or __return__.length == 0 or __return__.length * attention.block_size >= step.computed
    """
    if isinstance(attention, CrossAttention):
        return Binding(Blocks(0), Blocks(0), Blocks(0))
    nulls = attention.skipped_blocks(step.computed)
    local = Blocks(max(nulls, hits))
    still_read = step.computed - attention.skipped_tokens(step.computed)
    needed = covering_blocks(step.computed, attention.block_size)
    brings_read = step.external > 0 and (nulls == 0 or still_read > 0)
    external = Blocks(max(0, needed - local) if brings_read else 0)
    return Binding(nulls, external, Blocks(local + external))


def table_length(attention: Attention, step: Step) -> Blocks:
    """How many entries a table needs for the slots of `step` [NEED-1, GET-1, MAMBA-5, MAMBA-6, CROSS-1].

    post: isinstance(attention, MambaState) or 0 <= __return__ * attention.block_size - (step.encoder if isinstance(attention, CrossAttention) else step.slots) < attention.block_size
    post: not isinstance(attention, MambaState) or 0 <= (__return__ - attention.speculative_blocks) * attention.block_size - (step.main if isinstance(attention, AlignedMambaState) else step.slots) < attention.block_size
    """
    if isinstance(attention, AlignedMambaState):
        states = covering_blocks(step.main, attention.block_size)
        return Blocks(states + attention.speculative_blocks)
    if isinstance(attention, MambaState):
        states = covering_blocks(step.slots, attention.block_size)
        return Blocks(states + attention.speculative_blocks)
    if isinstance(attention, CrossAttention):
        return covering_blocks(step.encoder, attention.block_size)
    return covering_blocks(step.slots, attention.block_size)


def growth(attention: Attention, held: Blocks, step: Step, *, grown_before: bool) -> Growth:
    """What a table of `held` entries gains for `step` [GET-1, GET-2, MAMBA-7]. It never shrinks.

    In Mamba's align mode all entries between the bound prefix and the running state stay null, and
    the speculative blocks of a table that was grown before move behind the running state.

    pre: held >= 0
    post: __return__.length == held + __return__.nulls + len(__return__.moved) + __return__.taken
    post: __return__.length == max(held, table_length(attention, step))
    post: __return__.taken >= 0 and __return__.nulls >= 0
    post: isinstance(attention, AlignedMambaState) or __return__.nulls == len(__return__.moved) == 0
    post: not isinstance(attention, AlignedMambaState) or __return__.taken <= attention.speculative_blocks + 1 - len(__return__.moved)
    post: not (grown_before and __return__.nulls > 0) or len(__return__.moved) == min(held, attention.speculative_blocks)
    post: len(__return__.moved) == 0 or (grown_before and 0 <= __return__.moved.start and __return__.moved.stop <= held)
    """
    length = table_length(attention, step)
    if length <= held:
        return Growth(Blocks(0), range(0), Blocks(0), held)
    if not isinstance(attention, AlignedMambaState):
        return Growth(Blocks(0), range(0), Blocks(length - held), length)
    running = length - attention.speculative_blocks - 1
    nulls = Blocks(max(0, running - held))
    first_moved = max(0, held - attention.speculative_blocks) if grown_before else held
    moved = range(first_moved, max(first_moved, min(held, running)))
    return Growth(nulls, moved, Blocks(length - held - nulls - len(moved)), length)


def most_held(
    attention: Attention, *, batched_tokens: Tokens, model_tokens: Tokens, lookahead: Tokens
) -> Blocks | None:
    """The most non-null blocks that a request can hold at once, None if that is not bounded.

    The admission cap [SPEC-8, ADMIT-1, CFG-7]: what is still read, plus a step of at most `batched_tokens` and
    its lookahead [Q-50], in a sequence of at most `model_tokens`; one block more where the first token
    still read can lie in the middle of a block [Q-51].

    pre: batched_tokens >= 0 and model_tokens >= 0 and lookahead >= 0
    post: (__return__ is None) == (not isinstance(attention, (SlidingWindowAttention, ChunkedLocalAttention)))
    post: __return__ is None or (__return__ - 2) * attention.block_size < model_tokens
    post: not isinstance(attention, SlidingWindowAttention) or 0 <= (__return__ - 1) * attention.block_size - min(attention.window - 1 + batched_tokens + lookahead, model_tokens) < attention.block_size
    post: not isinstance(attention, ChunkedLocalAttention) or 0 <= __return__ * attention.block_size - min(attention.chunk + batched_tokens + lookahead, model_tokens) < 2 * attention.block_size
    """
    if isinstance(attention, SlidingWindowAttention):
        still_read, ragged = attention.window - 1, True
    elif isinstance(attention, ChunkedLocalAttention):
        still_read, ragged = attention.chunk, attention.chunk % attention.block_size != 0
    else:
        return None
    tokens = Tokens(min(still_read + batched_tokens + lookahead, model_tokens))
    return Blocks(covering_blocks(tokens, attention.block_size) + (1 if ragged else 0))


def admission_need(wanted: Blocks, held: Blocks, cap: Blocks | None) -> Blocks:
    """Free blocks that must be there for a whole sequence to run to its end [ADMIT-1, Q-17].

    `wanted` blocks leave the free queue over the sequence's life, but never more than `cap` are
    held at a time, of which the request holds `held` already.

    pre: wanted >= 0 and held >= 0
    post: 0 <= __return__ <= wanted
    post: cap is None or __return__ + held <= max(cap, held)
    post: __return__ == wanted or (cap is not None and __return__ + held >= cap)
    """
    return wanted if cap is None else Blocks(min(wanted, max(0, cap - held)))


def fits(need: Blocks, free: Blocks, reserved: Blocks = Blocks(0)) -> bool:
    """Whether `need` blocks can be taken while `reserved` stay free [ALLOC-3, ALLOC-7, Q-16].

    A step that needs no block always fits, however much is reserved.

    pre: need >= 0 and free >= 0 and reserved >= 0
    post: __return__ == (need == 0 or need + reserved <= free)
    """
    return need == 0 or need + reserved <= free
