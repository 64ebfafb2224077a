"""The story of a trace at level `safe`: a target alone, with data behind its block ids. Needs torch."""

import re
from contextlib import suppress

from invariants.view import View
from kvref.errors import UnpicturableError
from kvref.explain.pool import Contents
from kvref.explain.rules import Known, broken_rules
from kvref.explain.story import Seen, Step, Story, Wrong
from kvref.following import Replayed
from kvref.fuzz.safe import SafeTarget, require_live
from kvref.operations import Configuration, GetBlocks, Observation, Operation, Trace
from kvref.replay_safe import follow
from kvref.survey.catalogue import KNOWN, which
from kvref.targets.base import Target
from kvref.targets.picture import Session

_MISREAD = re.compile(r": block (\d+)$")

Life = list[tuple[Operation, Seen]]
"""What one manager was asked, and what it showed."""


class _NotingSession:
    """A session that notes what it shows."""

    def __init__(self, session: Session, life: Life) -> None:
        self._session = session
        self._life = life

    def apply(self, operation: Operation) -> Observation:
        observation = self._session.apply(operation)
        view = None
        if observation.error is None:
            with suppress(UnpicturableError):
                view = self._session.view()
        self._life.append((operation, Seen(observation, view)))
        return observation

    def view(self) -> View:
        return self._session.view()


class _NotingTarget:
    """A target that notes the lives of its managers."""

    def __init__(self, target: SafeTarget) -> None:
        self.name = target.name
        self.capabilities = target.capabilities
        self.lives: list[Life] = []
        self._target = target

    def opener(self, configuration: Configuration, /) -> Session:
        """A manager whose life is noted."""
        self.lives.append([])
        return _NotingSession(self._target.opener(configuration), self.lives[-1])


def tell_safe(name: str, trace: Trace, target: Target) -> Story:
    """The story of a trace called `name`. Raises UserError as `replay_safe` does."""
    noting = _NotingTarget(require_live(target))
    found = follow(trace, noting)
    contents = Contents(trace.configuration)
    steps = tuple(_lines(trace, noting.lives[0]))
    for step in steps:
        if step.seen.view is not None:
            contents.learn(step.seen.view)
    wrong = _wrong(trace, found, steps, excuses=not noting.capabilities.is_sound)
    return Story(name, trace, target.name, "safe", steps, contents, wrong, teller=target.name)


def _lines(trace: Trace, life: Life) -> list[Step]:
    """Every operation by its line; a table that was asked for besides has none."""
    steps, line = [], 0
    for operation, seen in life:
        due = trace.operations[line] if line < len(trace.operations) else None
        besides = isinstance(operation, GetBlocks) and operation != due
        steps.append(Step(None if besides else line, operation, seen))
        line += not besides
    return steps


def _wrong(trace: Trace, found: Replayed, steps: tuple[Step, ...], *, excuses: bool) -> Wrong | None:
    if not found.wrong:
        return None
    at = next((i for i, step in enumerate(steps) if found.at is not None and step.line == found.at), None)
    catalogued = which(KNOWN, trace, found.wrong[0]) if excuses else None
    known = None
    operation = None if at is None else steps[at].operation
    rules = broken_rules(None, found.wrong, (), operation)
    if catalogued is not None:
        known = Known(catalogued.id, catalogued.harm.value, catalogued.title)
        rules += broken_rules(known, (), (), operation)
    blocks = frozenset(int(block) for one in found.wrong for block in _MISREAD.findall(one.what))
    return Wrong(found.wrong, at, rules, known, blocks)
