"""Follows a manager by its operations and what they return, and says which reads go wrong.

Nothing is asked of the manager but the ids and lengths that it hands out, so this judges any manager
of any engine [PROTO-14 to PROTO-22].
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from kvref.compare import Difference
from kvref.dataplane.content import AHEAD, FOREIGN, NOTHING, SINK, Contents
from kvref.dataplane.worker import NULL, Life, Misread, Run, Share, Worker
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    Configuration,
    ContinueRequest,
    Free,
    GetBlocks,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
)
from kvref.witness import attention_of
from spec.attention import AlignedMambaState

WORDS = {
    NOTHING: "nothing",
    FOREIGN: "what another group wrote",
    SINK: "the attention sink",
    AHEAD: "what a draft head writes",
}


@dataclass
class _Told:
    """What is known of one request. `run` is what its last executed step did, until its outputs are there."""

    contents: list[int]
    root: int
    life: Life | None = None
    loading: tuple[int, int] | None = None
    run: Run | None = None


@final
class DataPlane:
    """Real content behind one manager's block ids, from its first operation on."""

    def __init__(self, configuration: Configuration) -> None:
        factor = configuration.dcp_world_size * configuration.pcp_world_size
        self._longest: Final = configuration.max_model_len
        self._groups: Final = configuration.groups
        self._attentions: Final = [attention_of(group, factor) for group in configuration.groups]
        self._contents: Final = Contents()
        self._worker: Final = Worker(configuration.num_blocks, self._attentions, self._contents)
        self._told: Final[dict[str, _Told]] = {}
        self._step: list[Share] | None = None
        self._launched: Final[deque[list[Share]]] = deque()

    def sees(self, operation: Operation, observation: Observation) -> list[Misread]:
        """Follow one legal operation. What a step misread is told when the step has run."""
        match operation:
            case NewRequest(request=name):
                self._told[name] = _Told(self._contents.of_prompt(operation), self._contents.root(operation))
            case Allocate() if observation.blocks is not None:
                self._allocated(operation, observation.blocks)
            case GetBlocks(request=name):
                self._tell(self._told[name], observation.blocks or ())
            case Free(request=name):
                self._release(self._told[name])
            case CacheBlocks(request=name, tokens=valid):
                self._loaded(self._told[name], valid)
            case NewStep():
                self._launch()
                self._step = []
            case StepEnds():
                self._launch()
                return self._execute(self._launched.popleft())
            case AppendTokens(request=name, tokens=tokens):
                self._append(self._told[name], tokens)
            case ContinueRequest(request=name, computed=computed):
                told = self._told[name]
                del told.contents[computed:]
                parent = told.contents[-1] if told.contents else told.root
                told.contents += self._contents.chain(parent, operation.tokens, operation.items)
            case _:
                pass
        return []

    @property
    def checked(self) -> int:
        """Slots of tokens and states whose content was checked so far."""
        return self._worker.checked

    @property
    def knows_tables(self) -> bool:
        """Whether it was told of the table of every request that holds one."""
        return all(told.life.is_told for told in self._told.values() if told.life is not None)

    def block_size(self, group: int) -> int:
        """How many tokens an entry of the group's tables covers."""
        return int(self._attentions[group].block_size)

    def holders(self, content: int, position: int) -> list[str]:
        """The requests whose token at this position has this content."""
        return [
            name
            for name, told in self._told.items()
            if position < len(told.contents) and told.contents[position] == content
        ]

    def uncommon(self, name: str, told: Sequence[int]) -> list[Difference]:
        """Where requests that run hold other blocks than those which are told as common to all [COMMON-1]."""
        own = self._told[name].life
        running = [one.life for one in self._told.values() if one.life is not None and one.loading is None]
        wrong = []
        if own is None or not own.is_told:
            return []
        for group, count in enumerate(told):
            first = own.tables[group][:count]
            others = (
                life.request for life in running if life.is_told and life.tables[group][:count] != first
            )
            other = next(others, None)
            if other is not None:
                what = f"blocks of {name} in group {group} that all requests hold"
                wrong.append(Difference(what, f"fewer: {other} holds others", str(count)))
        return wrong

    def lose(self, blocks: Sequence[int]) -> None:
        """These blocks were evicted by hand, or reset.

        What they hold is wrong: its load has failed, or it is of other weights. What a request holds is
        mended by it [POOL-8, RESET-1].
        """
        if self.knows_tables:
            lives = [told.life for told in self._told.values() if told.life is not None]
            held = {block for life in lives for table in life.tables for block in table}
            sinks = self._worker.sinks
            self._worker.memory.lose([one for one in blocks if one not in held and one not in sinks])

    def difference(self, misread: Misread) -> Difference:
        """A misread in words."""
        kind = type(self._groups[misread.group]).__struct_config__.tag
        where = f"block {misread.block}" if misread.block else "no block"
        verb = "writes" if misread.writes else "reads"
        what = f"{misread.request} {verb} token {misread.position} in group {misread.group} ({kind}): {where}"
        expected, found = (self._words(content, misread) for content in (misread.expected, misread.found))
        return Difference(what, expected, found)

    def _words(self, content: int, misread: Misread) -> str:
        if content in WORDS:
            return WORDS[content]
        for name in (misread.request, *self._told):
            contents = self._told[name].contents
            if content in contents:
                return f"token {contents.index(content)} of {name}"
        return "a rejected draft, or what was dropped"

    def _allocated(self, operation: Allocate, appended: Sequence[Sequence[int]]) -> None:
        told = self._told[operation.request]
        if told.life is None:
            encoder = [self._contents.useless() for _ in range(operation.encoder)]
            told.life = Life(operation.request, [[] for _ in self._groups], encoder)
        elif told.life.is_told:
            for group, blocks in enumerate(appended):
                self._append_blocks(told.life, group, blocks)
        hit = operation.computed + (operation.hit or 0)
        start = hit + operation.external
        if operation.delay:
            told.loading = (hit, start)
            return
        assert self._step is not None  # noqa: S101 - an allocation belongs to a step
        life = told.life
        end = start + operation.new
        slots = min(end + operation.lookahead, self._longest)
        share = Share(life, tuple(life.tables), hit, start, end, slots, life.rejected)
        self._step.append(share)

    def _append_blocks(self, life: Life, group: int, blocks: Sequence[int]) -> None:
        """What an allocation appends; steps that were scheduled before keep the entries that move."""
        table = life.tables[group]
        if isinstance(self._attentions[group], AlignedMambaState) and blocks:
            life.tables[group] = table = [NULL if block in blocks else block for block in table]
        table.extend(blocks)

    def _tell(self, told: _Told, tables: Sequence[Sequence[int]]) -> None:
        """The whole table, at the first step of a life; what is asked later is told to nobody [PROTO-14]."""
        life = told.life
        if life is not None and not life.is_told:
            life.is_told = True
            for table, blocks in zip(life.tables, tables, strict=True):
                table.extend(blocks)

    def _release(self, told: _Told) -> None:
        if told.life is not None:
            told.life.ended = True
        told.life = told.loading = told.run = None

    def _loaded(self, told: _Told, valid: int) -> None:
        if told.loading is not None and told.life is not None:
            start, end = told.loading
            self._worker.load(told.life.tables, start, min(valid, end), told.contents)
        told.loading = None

    def _launch(self) -> None:
        if self._step is not None:
            self._launched.append(self._step)
        self._step = None

    def _execute(self, step: list[Share]) -> list[Misread]:
        runs, misread = self._worker.execute([(s, self._told[s.life.request].contents) for s in step])
        for run in runs:
            told = self._told[run.share.life.request]
            if told.life is run.share.life:
                told.run = run
        return misread

    def _append(self, told: _Told, tokens: Sequence[int]) -> None:
        parent = told.contents[-1] if told.contents else told.root
        told.contents += self._contents.chain(parent, tokens)
        if told.run is not None:
            self._worker.accept(told.run, len(tokens) - 1, told.contents)
            told.run = None
