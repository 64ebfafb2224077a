"""Explicit-state model checking: every state within a scope, and every move from each of them.

States are kept as hashes, with the move that first led to each; a state is made again by playing the
moves that lead to it. At each transition both managers must show the same, and all invariants hold.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from kvref.check.canonical import Contents, Digest, canonical
from kvref.check.copies import Copies
from kvref.check.moves import Admit, Leave, Move, Scope, admission, lookup, moves
from kvref.compare import Difference, differences
from kvref.fuzz.legal import Legal
from kvref.operations import AppendTokens, Free, NewRequest, Observation, Operation, Trace
from kvref.targets.picture import Opener, Picture, Session
from kvref.targets.session import ApiSession
from kvref.witness import Witness

ROOT = -1


@dataclass
class Explored:
    """What a check has seen: `states` and `transitions`, the longest of the shortest paths, and what ended it.

    `complete` tells that every move from every state was made. `wrong` ends the check: `trace` is a shortest
    way to it, in moves.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = False
    trace: Trace | None = None
    wrong: tuple[Difference, ...] = ()


@dataclass
class _Playing:
    """Two managers, and a scheduler's book over both."""

    scope: Scope
    reference: Session
    subject: Session
    legal: Legal
    witness: Witness
    texts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    arrivals: int = 0
    performed: list[Operation] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)

    def make(self, move: Move) -> bool:
        """Make a move. False if it turned out to be none."""
        if isinstance(move, Admit):
            hit = self._do(lookup(self.legal, move)).tokens or 0
            allocation = None if self.wrong else admission(self.legal, move, hit)
            if allocation is not None:
                self._do(allocation)
            return allocation is not None or bool(self.wrong)
        if isinstance(move, Leave):
            self._do(Free(move.request))
            self._forget(move.request)
        else:
            self._do(move)
        return True

    def _do(self, operation: Operation) -> Observation:
        observation = self.reference.apply(operation)
        shown = self.subject.apply(operation)
        mine, theirs = Picture(observation, self.reference.view()), Picture(shown, self.subject.view())
        if mine != theirs:
            self.wrong += differences(mine, theirs)
        for broken in self.witness.sees(operation, observation, mine.view):
            self.wrong.append(Difference(broken.invariant, "holds", broken.message))
        self.legal.record(operation, observation)
        self.performed.append(operation)
        if isinstance(operation, NewRequest):
            self.texts[operation.request] = operation.tokens
            self.arrivals += 1
        elif isinstance(operation, AppendTokens):
            self.texts[operation.request] += operation.tokens
        return observation

    def _forget(self, name: str) -> None:
        del self.legal.scheduler.books[name], self.texts[name]
        for session in (self.reference, self.subject):
            if isinstance(session, ApiSession):
                del session.requests[name]
        self.witness.checker.history.requests.pop(name, None)


def explore(
    scope: Scope,
    reference: Opener,
    subject: Opener,
    most_states: int | None = None,
    on_state: Callable[[Explored], None] = lambda _: None,
) -> Explored:
    """Visit every state, nearest first, until all are visited, `most_states` are, or something is wrong."""
    return _Search(scope, reference, subject).run(most_states, on_state)


class _Search:
    def __init__(self, scope: Scope, reference: Opener, subject: Opener) -> None:
        self._scope = scope
        self._build = (reference, subject)
        self._contents = Contents(scope.configuration)
        self._seen: set[Digest] = set()
        self._parents: list[int] = []
        self._moves: list[Move] = []
        self._depths: list[int] = []

    def run(self, most_states: int | None, on_state: Callable[[Explored], None]) -> Explored:
        result = Explored(states=1)
        self._seen.add(self._digest(self._start()))
        at = ROOT
        while at < len(self._moves):
            if not self._expand(at, result):
                return result
            on_state(result)
            at += 1
            if most_states is not None and result.states > most_states:
                return result
        result.complete = True
        return result

    def _expand(self, at: int, result: Explored) -> bool:
        """Make every move from a state. False if something is wrong."""
        here = self._play_to(at)
        copies = Copies(here)
        for move in list(moves(self._scope, here.legal, here.arrivals)):
            playing = copies.make()
            if not playing.make(move):
                continue
            result.transitions += 1
            if playing.wrong:
                result.trace = Trace(self._scope.configuration, tuple(playing.performed))
                result.wrong = tuple(playing.wrong)
                return False
            digest = self._digest(playing)
            if digest in self._seen:
                continue
            self._seen.add(digest)
            self._parents.append(at)
            self._moves.append(move)
            self._depths.append(1 + (self._depths[at] if at != ROOT else 0))
            result.states += 1
            result.depth = self._depths[-1]
        return True

    def _start(self) -> _Playing:
        configuration = self._scope.configuration
        reference, subject = (build(configuration) for build in self._build)
        legal = Legal(configuration, asynchronous=False)
        legal.scheduler.drafts = min(legal.scheduler.drafts, self._scope.drafts)
        return _Playing(self._scope, reference, subject, legal, Witness(configuration))

    def _play_to(self, at: int) -> _Playing:
        path = []
        while at != ROOT:
            path.append(self._moves[at])
            at = self._parents[at]
        playing = self._start()
        for move in reversed(path):
            playing.make(move)
        return playing

    def _digest(self, playing: _Playing) -> Digest:
        for tokens in playing.texts.values():
            self._contents.note(tokens)
        return canonical(playing.witness.last, playing.legal.scheduler, playing.texts, self._contents)
