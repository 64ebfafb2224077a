"""What a step does to memory, and in which order: what makes a block id right or wrong.

A manager hands out block ids; a worker executes steps through them. A manager is *safe* if every
read finds the content that it should, whatever ids were chosen. That asks for an order:

* The worker is told of a request's whole block table at its first step since it was admitted, and
  later of what each allocation appends. It never hears of an entry that became null, but a block that
  is appended again has moved, and is no longer where it was. Example: told [1, 2], then [3], it holds
  [1, 2, 3], whatever the manager's own table says by now [PROTO-14].
* Steps run in the order in which they were launched, each to its end before the next. A request that
  was freed takes part in the steps that it was launched with; nobody reads their results. Example: a
  is freed with its step in flight, and b gets its block for the next step: a writes first, then b, who
  finds its own [PROTO-15].
* In one step all requests' keys and values are written, and external tokens are loaded, before any are
  read. Example: a fills a block, and b, with the same prefix, hits it in the same step [PROTO-16].
* A recurrent layer reads all requests' states before it writes any. Example: the same hit on a state
  finds what was there before the step [PROTO-17, MAMBA-3].
* A token reads what its attention spans, itself included: `positions_read`. Example: window 4, a step
  that computes tokens 8 and 9 reads 5 to 9 [PROTO-18].
* A step that verifies drafts writes them like tokens. What was rejected stays in its slots until the
  next step of the request overwrites it, and must not be found by anybody. Example: 4 and 5 are drafts,
  4 is right: slot 5 holds nothing of use until token 5 is computed [PROTO-19].
* A recurrent layer leaves the state behind each draft in a slot of its own, the next step starts from
  that of the last accepted one, and a state at the end of a block is copied to that block if the
  table has one for it: `state_entry`. Example: aligned, blocks of 4, 2 speculative blocks, a step over
  tokens 7, 8, 9, of which 8 and 9 are drafts: the state behind token 7 goes to entry 2, those behind
  8 and 9 to entries 3 and 4; the first is also the end of block 1, and copied there [PROTO-20].
* An external load begins with the step that it was allocated in, and is not told as done before that
  step has run. Until it is told as done, nothing of it is there. Example: a loads 8 tokens, and whoever
  hits its blocks before it is told reads nothing [PROTO-21].
* The groups share the memory behind the block ids. Example: block 1 in tables of two groups holds what
  the second one wrote, and nothing of the first's [PROTO-22].
"""

from spec.arithmetic import covering_blocks
from spec.attention import AlignedMambaState, Attention, MambaState
from spec.units import Blocks, Tokens


def positions_read(attention: Attention, start: Tokens, end: Tokens) -> range:
    """The tokens that a step computing [start, end) reads, its own included [PROTO-18].

    pre: 0 <= start < end
    post: __return__.stop == end
    post: 0 <= __return__.start <= start
    post: not attention.keeps_every_token or __return__.start == 0
    post: __return__.start == 0 or not isinstance(attention, MambaState) or __return__.start == start - 1
    """
    return range(attention.skipped_tokens(start), end)


def state_entry(attention: MambaState, known: Tokens, end: Tokens, drafted: Blocks) -> Blocks:
    """The table entry for the state behind the `drafted`-th draft of a step that ends at `end` [PROTO-20].

    `known` is where the step's drafts begin; 0 drafted means the state behind the last known token.
    An aligned table keeps its running state where the whole step ends, the others where the known
    tokens end; the speculative blocks lie behind it.

    pre: 0 < known <= end and 0 <= drafted <= end - known
    post: __return__ >= drafted
    post: (__return__ - drafted + 1) * attention.block_size >= (end if isinstance(attention, AlignedMambaState) else known)
    post: (__return__ - drafted) * attention.block_size < (end if isinstance(attention, AlignedMambaState) else known)
    """
    last = end if isinstance(attention, AlignedMambaState) else known
    return Blocks(covering_blocks(last, attention.block_size) - 1 + drafted)
