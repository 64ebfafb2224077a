"""A simulated worker: executes launched steps through block tables alone, and checks every read.

It knows what a real worker is told: tables, token ranges, sampled tokens. The order of reads and
writes is that of `spec.execution` [PROTO-14 to PROTO-21].
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from kvref.dataplane.content import AHEAD, NOTHING, SINK, Contents
from kvref.dataplane.memory import Memory
from kvref.dataplane.sinks import Sinks
from spec.attention import AlignedMambaState, Attention, CrossAttention, MambaState
from spec.execution import positions_read, state_entry
from spec.units import Blocks, Tokens

NULL = 0


@dataclass
class Life:
    """A request from one admission to its release: its tables by group, as the worker was told them.

    `states` is, by recurrent group, the block with the state behind the last accepted token.
    `rejected` counts the drafts that were rejected so far: later steps lie so many tokens lower than
    they were scheduled. `encoder` is what its encoder produced, by position.
    """

    request: str
    tables: list[list[int]]
    encoder: list[int]
    states: dict[int, int] = field(default_factory=dict)
    rejected: int = 0
    is_told: bool = False
    ended: bool = False
    encoded: set[int] = field(default_factory=set)
    """The cross-attention groups that hold the encoder's output."""


@dataclass(frozen=True)
class Share:
    """One request's part of a step, as it was scheduled: it loads [hit, start) and computes [start, end).

    It asked for slots up to `slots`, for what a draft head writes. `tables` and `rejected` are those of its life when it was scheduled.
    """

    life: Life
    tables: tuple[list[int], ...]
    hit: int
    start: int
    end: int
    slots: int
    rejected: int


@dataclass(frozen=True)
class Run:
    """What a step did for one request: it computed [start, end), with drafts from `known` on."""

    share: Share
    start: int
    known: int
    end: int
    after_draft: tuple[int, ...]
    """The contents of the last known token and of each draft behind it."""


@dataclass(frozen=True)
class Misread:
    """A slot that does not hold what it should; `block` is 0 where the table has none."""

    request: str
    group: int
    position: int
    block: int
    expected: int
    found: int
    writes: bool = False


@final
class Worker:
    """Executes steps over one memory. Lengths are in tokens, `attentions` by group."""

    def __init__(self, num_blocks: int, attentions: Sequence[Attention], contents: Contents) -> None:
        sizes = [1 if isinstance(one, MambaState) else int(one.block_size) for one in attentions]
        self.memory: Final = Memory(num_blocks, sizes)
        self.checked = 0
        """Slots that were read and found to be right, or wrong."""
        self.sinks: Final = Sinks(self.memory, num_blocks, attentions)
        self._attentions: Final = attentions
        self._contents: Final = contents
        self._recurrent: Final = [g for g, one in enumerate(attentions) if isinstance(one, MambaState)]
        self._cross: Final = [g for g, one in enumerate(attentions) if isinstance(one, CrossAttention)]
        self._spans: Final = [
            g for g in range(len(attentions)) if g not in self._recurrent and g not in self._cross
        ]

    def load(self, tables: Sequence[Sequence[int]], start: int, end: int, contents: Sequence[int]) -> None:
        """External tokens [start, end) arrive, wherever the tables have a block for them [PROTO-21]."""
        for group in self._spans:
            size = int(self._attentions[group].block_size)
            table = tables[group]
            held = [p for p in range(start, end) if p // size < len(table) and table[p // size]]
            self.memory.write(
                group, [table[p // size] * size + p % size for p in held], [contents[p] for p in held]
            )
        for group in self._recurrent if start < end else ():
            attention = self._attentions[group]
            size = int(attention.block_size)
            ends = [end]
            if not isinstance(attention, AlignedMambaState):
                # Such a table keeps a state at the end of every block, and so does who stores it.
                ends = [*range(start // size * size + size, end, size), end]
            held = [one for one in ends if _entry(tables[group], (one - 1) // size)]
            self.memory.write(
                group,
                [_entry(tables[group], (one - 1) // size) for one in held],
                [contents[one - 1] for one in held],
            )

    def execute(self, step: Sequence[tuple[Share, Sequence[int]]]) -> tuple[list[Run], list[Misread]]:
        """Run a step: each share with the contents of its request's known tokens [PROTO-15]."""
        misread: list[Misread] = []
        runs = []
        for share, contents in step:
            runs.append(self._run(share, contents))
            self.load(share.tables, share.hit, share.start, contents)
        for group in self._recurrent:
            misread += self._advance(group, runs, [contents for _, contents in step])
        for group in self._cross:
            misread += self._attend_across(group, runs)
        for group in self._spans:
            misread += self._write(group, runs, [contents for _, contents in step])
            misread += self._attend(group, runs, [contents for _, contents in step])
        return runs, misread

    def accept(self, run: Run, accepted: int, contents: Sequence[int]) -> None:
        """So many of the run's drafts were right: what they wrote is what should be there [PROTO-19]."""
        life = run.share.life
        life.rejected += run.end - run.known - accepted
        end = run.known + accepted
        for group in self._spans:
            slots = self._slots(group, run, run.known, end)
            self.memory.write(group, slots, contents[run.known : run.known + len(slots)])
        for group in self._recurrent:
            self._settle(group, run, end, contents)

    def _run(self, share: Share, contents: Sequence[int]) -> Run:
        lower = share.life.rejected - share.rejected
        start, end = share.start - lower, share.end - lower
        known = max(start, min(end, len(contents)))
        useless = [self._contents.useless() for _ in range(end - known)]
        last = contents[known - 1] if 0 < known <= len(contents) else self._contents.useless()
        return Run(share, start, known, end, (last, *useless))

    # Attention over slots of tokens

    def _slots(self, group: int, run: Run, start: int, end: int) -> list[int]:
        """The slots of these tokens, up to the first that has no block."""
        size, table = int(self._attentions[group].block_size), run.share.tables[group]
        slots = []
        for position in range(start, end):
            block = _entry(table, position // size)
            if not block:
                break
            slots.append(block * size + position % size)
        return slots

    def _write(self, group: int, runs: Sequence[Run], known: Sequence[Sequence[int]]) -> list[Misread]:
        """All requests' keys and values [PROTO-16], with slots for what a draft head writes behind them.

        A token without a slot is a misread of a live request [ALLOC-4].
        """
        misread, slots, values = [], list[int](), list[int]()
        for run, contents in zip(runs, known, strict=True):
            content = [*contents[run.start : run.known], *run.after_draft[1:]]
            asked = len(content) + run.share.slots - run.share.end
            own = self._slots(group, run, run.start, run.start + asked)
            slots += own[: len(content)]
            values += content[: len(own)]
            if len(own) < asked and not run.share.life.ended:
                at = run.start + len(own)
                lost = content[len(own)] if len(own) < len(content) else AHEAD
                misread.append(Misread(run.share.life.request, group, at, NULL, lost, NOTHING, writes=True))
        self.memory.write(group, slots, values)
        return misread

    def _attend(self, group: int, runs: Sequence[Run], known: Sequence[Sequence[int]]) -> list[Misread]:
        """All that the requests' known tokens read [PROTO-18]."""
        attention = self._attentions[group]
        size = int(attention.block_size)
        wanted, rows, misread = [], list[int](), list[Misread]()
        for run, contents in zip(runs, known, strict=True):
            life = run.share.life
            if life.ended or run.known == run.start:
                continue
            sink = self.sinks.lost(group)
            if sink is not None:
                misread.append(Misread(life.request, group, run.start, sink[0], SINK, sink[1]))
            reads = positions_read(attention, Tokens(run.start), Tokens(run.known))
            table = run.share.tables[group][reads.start // size : -(-reads.stop // size)]
            wanted.append((run, reads, len(rows) * size + reads.start % size, table, contents))
            rows += table
        found = self.memory.read(group, rows) if rows else []
        for run, reads, at, table, contents in wanted:
            own = found[at : at + min(len(reads), len(table) * size - reads.start % size)]
            expected = contents[reads.start : reads.stop]
            self.checked += len(expected)
            if own != expected or NULL in table:
                misread.append(_first_wrong(run, group, reads, table, size, expected, own))
        return misread

    def _attend_across(self, group: int, runs: Sequence[Run]) -> list[Misread]:
        """The encoder's output is written at the first step, and read whole at each [CROSS-1]."""
        size = int(self._attentions[group].block_size)
        misread = []
        for run in runs:
            life = run.share.life
            count = len(life.encoder)
            if group not in life.encoded:
                life.encoded.add(group)
                slots = self._slots(group, run, 0, count)
                self.memory.write(group, slots, life.encoder[: len(slots)])
        for run in runs:
            life = run.share.life
            count, table = len(life.encoder), run.share.tables[group]
            rows = table[: -(-count // size)]
            own = self.memory.read(group, rows)[:count] if rows else []
            if not life.ended and own != life.encoder:
                misread.append(_first_wrong(run, group, range(count), rows, size, life.encoder, own))
        return misread

    # Recurrent states

    def _advance(self, group: int, runs: Sequence[Run], known: Sequence[Sequence[int]]) -> list[Misread]:
        """All states are read, then all are written [PROTO-17, PROTO-20]."""
        misread = []
        for run, contents in zip(runs, known, strict=True):
            life = run.share.life
            if life.ended or run.start == 0 or run.start > len(contents):
                continue
            size = int(self._attentions[group].block_size)
            block = life.states.get(group) or _entry(run.share.tables[group], (run.start - 1) // size)
            found = self.memory.read(group, [block])[0] if block else NOTHING
            expected = contents[run.start - 1]
            self.checked += 1
            if found != expected:
                misread.append(Misread(life.request, group, run.start - 1, block, expected, found))
        for run, contents in zip(runs, known, strict=True):
            misread += self._leave_states(group, run, contents)
        return misread

    def _leave_states(self, group: int, run: Run, contents: Sequence[int]) -> Iterator[Misread]:
        life = run.share.life
        if run.known == run.start:
            return  # the tokens of a request that was freed were never known
        for drafted, content in enumerate(run.after_draft):
            block = self._state_block(group, run, drafted)
            if block:
                self.memory.write(group, [block], [content])
            elif not life.ended:
                yield Misread(
                    life.request, group, run.known + drafted - 1, NULL, content, NOTHING, writes=True
                )
        attention = self._attentions[group]
        if not isinstance(attention, AlignedMambaState):
            self._copy_ends(group, run, run.start + 1, run.known, contents)
        self._settle(group, run, run.known, contents)

    def _settle(self, group: int, run: Run, end: int, contents: Sequence[int]) -> None:
        """The state behind token `end` - 1 is the request's; those at ends of blocks get there."""
        block = self._state_block(group, run, end - run.known)
        if block:
            self.memory.write(group, [block], [contents[end - 1]])
            run.share.life.states[group] = block
        self._copy_ends(group, run, run.known, end, contents)

    def _copy_ends(self, group: int, run: Run, first: int, last: int, contents: Sequence[int]) -> None:
        """The states behind `first` to `last` tokens, where a block ends there and the table has it."""
        size, table = int(self._attentions[group].block_size), run.share.tables[group]
        for end in range(-(-first // size) * size, last + 1, size):
            block = _entry(table, end // size - 1)
            if block:
                self.memory.write(group, [block], [contents[end - 1]])

    def _state_block(self, group: int, run: Run, drafted: int) -> int:
        attention = self._attentions[group]
        assert isinstance(attention, MambaState)  # noqa: S101 - asked of recurrent groups
        # An aligned table was laid out for the step as it was scheduled.
        end = run.share.end if isinstance(attention, AlignedMambaState) else run.end
        entry = state_entry(attention, Tokens(run.known), Tokens(end), Blocks(drafted))
        return _entry(run.share.tables[group], int(entry))


def _entry(table: Sequence[int], index: int) -> int:
    """The block at a table entry, 0 where the table ends before."""
    return table[index] if index < len(table) else NULL


def _first_wrong(
    run: Run,
    group: int,
    reads: range,
    table: Sequence[int],
    size: int,
    expected: Sequence[int],
    found: Sequence[int],
) -> Misread:
    for at, (position, content) in enumerate(zip(reads, expected, strict=True)):
        block = _entry(table, position // size - reads.start // size)
        own = found[at] if at < len(found) and block else NOTHING
        if own != content:
            return Misread(run.share.life.request, group, position, block, content, own)
    raise AssertionError("what differs differs somewhere")
