"""The simulated worker of a reproducer: source text, in the parts that a trace asks for.

It does what `kvref.dataplane.worker` does, for reading: one slot at a time. What a step does to memory,
and in which order, is said in `spec.execution`.
"""

from collections.abc import Set as AbstractSet
from typing import Final, Literal

from kvref.targets.vllm.reproducer_kinds import (
    CROSS,
    DRAFTED_STATES,
    DRAFTS,
    LOADS,
    PLAIN_STATES,
    SPANS,
    STATES,
)

Part = Literal["spans", "states", "aligned", "cross", "drafts", "loads", "in flight"]

_DATA: Final = '''
class Fault(Exception):
    """What the manager did wrong."""


@dataclass
class Life:
    """A request from its admission until it is freed, with its block tables as a worker was told them."""

    request: Request
    tables: list[list[int]]
    ended: bool = False
    #states states: dict[int, int] = field(default_factory=dict)  # by group, the block of the running state
    #cross encoder: tuple = ()  # what it leaves in its slots
    #cross encoded: bool = False
    #drafts rejected: int = 0  # drafts so far
    #drafts last: "Share | None" = None  # what has run last
    #loads loading: tuple[int, int] = (0, 0)


@dataclass
class Share:
    """A request's part of a step: it computes tokens [start, end)."""

    life: Life
    tables: list[list[int]]
    start: int
    end: int
    #loads hit: int = 0  # from here to `start`, tokens are loaded
    #drafts rejected: int = 0
    #drafts known: int = 0  # behind these tokens it computes drafts
    #drafts drafts: list[tuple] = field(default_factory=list)


class Memory(dict):
    """What was written, by group, block and offset. The groups share the blocks: one writes over another."""

    def __init__(self):
        self.writers = {}  # by block, the group that wrote it last

    def __setitem__(self, place, value):
        group, block, _ = place
        if self.writers.get(block) != group:
            for old in [old for old in self if old[1] == block]:
                del self[old]
            self.writers[block] = group
        super().__setitem__(place, value)

    def read(self, group, block, offset):
        if self.writers.get(block, group) != group:
            return "what another group wrote"
        return self.get((group, block, offset), "nothing")


def words(found, reader):
    """What a slot holds, in plain words."""
    if isinstance(found, str):
        return found
    for request in [reader, *requests]:
        for position in range(len(request.all_token_ids)):
            if content(request, position) == found:
                return f"token {position} of {request.request_id}"
    return "a rejected draft, or what was dropped"


def entry(table, index):
    """The block at a table entry; block 0 is no block."""
    return table[index] if index < len(table) else 0
'''

_WORKER: Final = '''
class Worker:
    """Runs steps through block tables."""

    def __init__(self, manager):
        self.manager = manager
        self.memory = Memory()
        self.lives = {}  # by request
        self.steps = []  # those that have not run

    def step_starts(self):
        self.steps.append([])

    def schedule(self, request, blocks, start, end, hit=None, encoder=0):
        """The worker is told of the whole tables at first, and then of new blocks: None if refused."""
        if blocks is None:
            return
        life = self.lives.get(request.request_id)
        if life is None:
            life = self._admit(request, encoder)
        else:
            for group, new in enumerate(blocks.get_block_ids()):
                #aligned if group in ALIGNED and new:  # a block that comes again has moved
                #aligned     life.tables[group] = [0 if block in new else block for block in life.tables[group]]
                life.tables[group].extend(new)
        share = Share(life, list(life.tables), start, end)
        #loads share.hit = start if hit is None else hit
        #drafts share.rejected = life.rejected
        self.steps[-1].append(share)
        #in flight request.num_in_flight_tokens += end - start

    def _admit(self, request, encoder):
        tables = [list(table) for table in self.manager.get_block_ids(request.request_id)]
        life = self.lives[request.request_id] = Life(request, tables)
        #cross life.encoder = tuple(("encoder", id(life), position) for position in range(encoder))
        return life

    def free(self, request):
        """Its steps run on, but nobody reads their results."""
        if request.request_id in self.lives:
            self.lives.pop(request.request_id).ended = True

    def step_ends(self):
        """The oldest step has run."""
        step = self.steps.pop(0)
        #each for share in step:
            #in flight share.life.request.num_in_flight_tokens -= share.end - share.start
            #drafts self._tell_drafts(share)
            #loads self.load(share.life.request, share.tables, share.hit, share.start)
        #states for group in STATES:
        #states     self._advance(group, step)
        #cross for group in CROSS:
        #cross     self._attend_across(group, step)
        #spans for group in FIRST_READ:
        #spans     self._attend(group, step)

    def _check(self, share, group, block, offset, position, expected, verb="reads"):
        found = self.memory.read(group, block, offset) if block else "nothing"
        if (found != expected or verb == "writes") and not share.life.ended:
            reader, where = share.life.request, f"block {block}" if block else "no block"
            raise Fault(
                f"{reader.request_id} {verb} token {position} in group {group} ({KINDS[group]}): {where}. "
                f"There should be {words(expected, reader)}, and there is {words(found, reader)}."
            )
'''

_MARKS: Final = ("spans", "states", "aligned", "unaligned", "cross", "drafts", "loads", "in flight", "each")


def source(parts: AbstractSet[Part]) -> str:
    """The worker's source with what these parts ask for, and no more."""
    states = STATES + (DRAFTED_STATES if "drafts" in parts else PLAIN_STATES)
    methods = {"spans": SPANS, "states": states, "cross": CROSS, "drafts": DRAFTS, "loads": LOADS}
    text = _DATA + "\n" + _WORKER + "".join(one for part, one in methods.items() if part in parts)
    marks = {*parts, "aligned" if "aligned" in parts else "unaligned"}
    if parts & {"in flight", "loads", "drafts"}:
        marks.add("each")
    lines = []
    for line in text.splitlines():
        mark = next((mark for mark in _MARKS if line.lstrip().startswith(f"#{mark} ")), None)
        if mark is None or mark in marks:
            lines.append(line.replace(f"#{mark} ", "", 1))
    written = "\n".join(lines) + "\n"
    # Without drafts, all that a share computes is known.
    return written if "drafts" in parts else written.replace("share.known", "share.end")
