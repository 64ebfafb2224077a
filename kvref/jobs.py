"""What a worker process needs to know to run a campaign's shards: it opens a target of its own."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from kvref.errors import UserError
from kvref.fuzz.exact import ExactRunner
from kvref.fuzz.hits import held
from kvref.fuzz.interrupts import deferred
from kvref.fuzz.safe import Recognise, SafeRunner, SafeTarget, require_live
from kvref.fuzz.settings import Settings
from kvref.fuzz.workers import Runner
from kvref.judge import Finding, Terms
from kvref.known_file import read_known
from kvref.replay import replay
from kvref.targets.base import LiveTarget, Target
from kvref.targets.deviations import Catalogue, Verdict
from kvref.targets.named import Named
from kvref.targets.reference import ReferenceSession
from kvref.targets.registry import open_target

UNSAFE = frozenset({Verdict.UNSAFE})
WORSE_HITS = UNSAFE | {Verdict.SUBOPTIMAL}

ATTEMPTS = 400
"""So many attempts shrink a finding, to see whether it is known."""


class Job(msgspec.Struct, frozen=True):
    """A target by name, what it is held against, and what is done with it."""

    tested: Named
    against: str | None
    known: tuple[Path, ...]
    settings: Settings

    def __call__(self) -> AbstractContextManager[Runner]:
        """Open the target, and close it in the end. Raises UserError."""
        return self._opened()

    @contextmanager
    def _opened(self) -> Iterator[Runner]:
        with ExitStack() as opened:
            terms = opened.enter_context(agreed_terms(self.against, self.known, _open_quietly))
            target = self.tested.open(self.settings.level, lambda _: None)
            opened.callback(target.close)
            runner = runner_on(target, self.settings, terms)
            opened.callback(runner.close)
            yield runner


def _open_quietly(name: str) -> Target:
    return open_target(name, python=None, tell=lambda _: None)


@contextmanager
def agreed_terms(
    against: str | None, known: Sequence[Path], open_named: Callable[[str], Target]
) -> Iterator[Terms]:
    """What a target is held against: the reference, or the target called `against`, open as long as this.

    Raises UserError if there is no such target, or a file of intended differences cannot be used.
    """
    catalogue = read_known(known)
    if against is None or against == "reference":
        yield Terms(known=catalogue)
        return
    other = open_named(against)
    try:
        if not isinstance(other, LiveTarget):
            raise UserError(f"--against {against} cannot be asked one operation at a time")
        yield Terms(other, catalogue)
    finally:
        other.close()


def runner_on(target: Target, settings: Settings, terms: Terms) -> Runner:
    """Runs shards of these settings on an open target. Raises UserError if it cannot be asked so."""
    if settings.level == "safe":
        return _safe_runner(target, settings, terms.known, UNSAFE)
    if settings.level == "hits":
        return _safe_runner(held(target, ReferenceSession), settings, terms.known, WORSE_HITS)
    if settings.level == "exact":
        return ExactRunner(settings, ReferenceSession, target, terms)
    opener = getattr(target, "opener", None)
    if opener is None:
        raise UserError(f"level invariants needs a target in this process, not {target.name}: use exact")
    return ExactRunner(settings, opener, target)


def _safe_runner(
    target: Target, settings: Settings, mine: Catalogue, counting: AbstractSet[Verdict]
) -> Runner:
    live = require_live(target)
    try:
        with deferred():  # the import of torch loses a Ctrl-C
            from kvref.fuzz.play import play  # noqa: PLC0415 - torch is optional, and slow
    except ModuleNotFoundError as absent:
        if absent.name != "torch":
            raise
        raise UserError(f"level {settings.level} needs torch: pip install 'kvref[dataplane]'") from absent
    return SafeRunner(settings, live, play, _recogniser(live, mine, counting))


def _recogniser(target: SafeTarget, mine: Catalogue, counting: AbstractSet[Verdict]) -> Recognise:
    """The id of a finding that is known of the target or intended, shrunk to see it.

    `counting` are the verdicts of deviations that can show at the level.
    """
    from kvref.fuzz.shows_safe import Safe  # noqa: PLC0415 - needs torch
    from kvref.fuzz.shrink import shrink  # noqa: PLC0415
    from kvref.survey.catalogue import KNOWN, which  # noqa: PLC0415

    # What is known of vLLM excuses nobody else.
    catalogue = () if target.capabilities.is_sound else KNOWN

    def recognise(finding: Finding) -> str | None:
        if target.catalogue or mine:
            known = replay(ReferenceSession, target, finding.trace, Terms(known=mine)).known
            if known is not None and known.verdict in counting:
                return known.id
        if not catalogue:
            return None
        small = shrink(finding.trace, Safe(target), budget=ATTEMPTS)
        found = which(catalogue, small.trace, small.wrong[0]) if small else None
        return found.id if found is not None else None

    return recognise
