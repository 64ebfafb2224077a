"""What each kind of attention reads, and so what must be cached and what may be forgotten.

One class a kind. Each answers three questions, in terms of the tokens that a model layer reads
and nothing else:

* which blocks must hold content for a computation to resume at length L (`blocks_read`);
* which leading tokens no later step reads once n tokens are computed (`skipped_tokens`);
* whether EAGLE's draft head needs one more block to be cached behind L (`eagle_blocks`).

`block_size` is always the size that one block table entry covers: the group's own block size
times the context-parallel world sizes [DCP-1].
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from spec.arithmetic import covering_blocks, full_blocks, tokens_in
from spec.units import Blocks, Tokens


@dataclass(frozen=True)
class Attention(ABC):
    """A kind of attention over blocks of `block_size` tokens.

    inv: self.block_size > 0
    """

    block_size: Tokens

    @property
    def keeps_every_token(self) -> bool:
        """Whether every computed token stays readable for the request's lifetime [MGR-2].

        post: __return__ == isinstance(self, (FullAttention, CrossAttention))
        """
        return False

    @abstractmethod
    def blocks_read(self, length: Tokens) -> range:
        """The block indexes that a step computing position `length` onwards reads before it [HIT-7].

        pre: length >= 0 and length % self.block_size == 0
        post: 0 <= __return__.start <= __return__.stop == length // self.block_size
        """

    @abstractmethod
    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """How many leading tokens no later step reads once `computed` are computed [MGR-2].

        pre: computed >= 0
        post: 0 <= __return__ <= computed
        """

    def eagle_blocks(self, length: Tokens) -> range:
        """The blocks behind `length` that EAGLE's draft head wants cached [EAGLE-1, EAGLE-2].

        The draft head has to recompute the last matched block, so that block must have been
        matched; it is then not part of the hit.

        pre: length >= 0 and length % self.block_size == 0
        post: __return__.start * self.block_size == length
        post: len(__return__) == (0 if isinstance(self, MambaState) else 1)
        """
        following = full_blocks(length, self.block_size)
        return range(following, following + 1)

    def skipped_blocks(self, computed: Tokens) -> Blocks:
        """How many leading table entries lie completely in the skipped tokens [SKIP-1].

        pre: computed >= 0
        post: __return__ * self.block_size <= self.skipped_tokens(computed)
        post: self.skipped_tokens(computed) < (__return__ + 1) * self.block_size
        """
        return full_blocks(self.skipped_tokens(computed), self.block_size)


@dataclass(frozen=True)
class FullAttention(Attention):
    """Every token reads every earlier one: full attention and MLA [FULL-1, MGR-2]."""

    @property
    def keeps_every_token(self) -> bool:
        """Nothing is ever skipped [MGR-2].

        post: __return__
        """
        return True

    def blocks_read(self, length: Tokens) -> range:
        """All blocks before `length` [FULL-1].

        pre: length >= 0 and length % self.block_size == 0
        post: __return__.start == 0
        """
        return range(full_blocks(length, self.block_size))

    def skipped_tokens(self, computed: Tokens) -> Tokens:  # noqa: ARG002
        """Nothing is ever skipped [MGR-2].

        pre: computed >= 0
        post: __return__ == 0
        """
        return Tokens(0)


@dataclass(frozen=True)
class SinkAttention(FullAttention):
    """Full attention whose first `sink_tokens` slots are set aside for the whole pool's lifetime.

    The sink blocks are held by no request, are never queued and never freed [SINK-1].

    inv: self.sink_tokens >= 0 and self.sink_tokens % self.block_size == 0
    """

    sink_tokens: Tokens = Tokens(0)

    def reserved_blocks(self) -> Blocks:
        """How many blocks the sink holds for good [SINK-1].

        post: __return__ * self.block_size == self.sink_tokens
        """
        return full_blocks(self.sink_tokens, self.block_size)


@dataclass(frozen=True)
class SlidingWindowAttention(Attention):
    """A token reads itself and the `window - 1` tokens before it: sliding window, and its MLA form.

    inv: self.window > 0
    """

    window: Tokens = Tokens(1)

    def blocks_read(self, length: Tokens) -> range:
        """The blocks that overlap the `window - 1` tokens before `length` [SWA-1, SWA-5, HIT-7].

        pre: length >= 0 and length % self.block_size == 0
        post: __return__.stop == length // self.block_size
        post: len(__return__) == 0 or (__return__.start + 1) * self.block_size > length - self.window + 1
        post: __return__.start * self.block_size <= max(0, length - self.window + 1)
        """
        return range(self.skipped_blocks(length), full_blocks(length, self.block_size))

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """All tokens before the window of the next one [MGR-2].

        pre: computed >= 0
        post: __return__ == 0 or computed - __return__ == self.window - 1
        post: computed - __return__ <= self.window - 1
        """
        return Tokens(max(0, computed - self.window + 1))

    def tail_blocks(self) -> Blocks:
        """The most blocks that a hit reads, wherever it ends [SWA-1].

        post: (__return__ - 1) * self.block_size < self.window - 1 <= __return__ * self.block_size
        """
        return covering_blocks(Tokens(self.window - 1), self.block_size)


@dataclass(frozen=True)
class ChunkedLocalAttention(Attention):
    """A token reads the tokens of its own chunk of `chunk` tokens, up to itself [CHUNK-2, MGR-2].

    inv: self.chunk > 0
    """

    chunk: Tokens = Tokens(1)

    def blocks_read(self, length: Tokens) -> range:
        """The blocks that overlap the part of the current chunk before `length` [CHUNK-2, HIT-7].

        pre: length >= 0 and length % self.block_size == 0
        post: __return__.stop == length // self.block_size
        post: length % self.chunk != 0 or len(__return__) == 0
        post: __return__.start * self.block_size <= length - length % self.chunk
        post: len(__return__) == 0 or (__return__.start + 1) * self.block_size > length - length % self.chunk
        """
        return range(self.skipped_blocks(length), full_blocks(length, self.block_size))

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """All complete chunks [MGR-2].

        pre: computed >= 0
        post: __return__ % self.chunk == 0
        post: __return__ <= computed < __return__ + self.chunk
        """
        return tokens_in(full_blocks(computed, self.chunk), self.chunk)


@dataclass(frozen=True)
class MambaState(Attention):
    """A recurrent layer: block i holds the state after its last token, which sums up all before.

    Modes `none` and `all` manage blocks alike: one state a block, `speculative_blocks` more for
    drafts [MAMBA-5].

    inv: self.speculative_blocks >= 0
    """

    speculative_blocks: Blocks = Blocks(0)

    def blocks_read(self, length: Tokens) -> range:
        """The one state that sums up everything before `length` [MAMBA-1, HIT-7].

        pre: length >= 0 and length % self.block_size == 0
        post: len(__return__) == (1 if length > 0 else 0)
        post: __return__.stop == length // self.block_size
        """
        end = full_blocks(length, self.block_size)
        return range(max(0, end - 1), end)

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """All but the last computed token: its state sums up the others [MGR-2].

        pre: computed >= 0
        post: __return__ == max(0, computed - 1)
        """
        return Tokens(max(0, computed - 1))

    def eagle_blocks(self, length: Tokens) -> range:
        """A recurrent state has no block to recompute: EAGLE asks for nothing more [Q-1].

        pre: length >= 0 and length % self.block_size == 0
        post: len(__return__) == 0
        """
        following = full_blocks(length, self.block_size)
        return range(following, following)

    def settled_tokens(self, computed: Tokens) -> Tokens:
        """The computed tokens whose states are surely past: drafts may still be rejected.

        Observed to subtract the number of speculative *blocks* from a number of tokens [MAMBA-2].

        pre: computed >= 0
        post: 0 <= __return__ <= computed
        post: computed - __return__ <= self.speculative_blocks
        post: __return__ == 0 or computed - __return__ == self.speculative_blocks
        """
        return Tokens(max(0, computed - self.speculative_blocks))


@dataclass(frozen=True)
class AlignedMambaState(MambaState):
    """Mamba in cache mode `align`: only the running state and its drafts hold blocks.

    The table is [nulls and kept states | running state | speculative blocks]; when the running
    state moves to a later block, the speculative blocks move behind it [MAMBA-6, MAMBA-7].
    """


@dataclass(frozen=True)
class CrossAttention(Attention):
    """A decoder token reads every encoder token; the table follows the encoder [CROSS-1].

    Cross attention is never cached [CROSS-3], so nothing can be hit but the empty prefix.
    """

    @property
    def keeps_every_token(self) -> bool:
        """Nothing is ever skipped [MGR-2].

        post: __return__
        """
        return True

    def blocks_read(self, length: Tokens) -> range:
        """Encoder content, which no prefix of decoder tokens provides [CROSS-3].

        pre: length >= 0 and length % self.block_size == 0
        post: __return__.start == 0
        """
        return range(full_blocks(length, self.block_size))

    def skipped_tokens(self, computed: Tokens) -> Tokens:  # noqa: ARG002
        """Nothing is ever skipped [MGR-2].

        pre: computed >= 0
        post: __return__ == 0
        """
        return Tokens(0)
