"""The story of a trace on a target beside the reference: every step up to the first that differs."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import msgspec

from invariants import Violation
from kvref.compare import Difference
from kvref.errors import ConfigurationError, UserError
from kvref.explain.pool import Contents
from kvref.explain.rules import Known, broken_rules
from kvref.explain.sentences import stats_in_words
from kvref.explain.story import Seen, Step, Story, Wrong
from kvref.judge import Judgement
from kvref.operations import Configuration, Trace
from kvref.replay import replay
from kvref.targets.base import Target, picture_case
from kvref.targets.deviations import Deviation
from kvref.targets.picture import Opener, Picture
from kvref.witness import Witness

NAMES = {
    "blocks": "blocks, by group",
    "tokens": "hit length in tokens",
    "numbers": "answer",
    "done": "reset",
    "stats": "statistics",
    "usage": "share of the pool in use",
    "step keys": "states still to be computed",
}
"""What is called otherwise in a report than in `kvref.compare`."""


def tell(name: str, trace: Trace, opener: Opener, target: Target) -> Story:
    """The story of a trace called `name`; `opener` builds the reference."""
    refused = _refusals(trace.configuration, opener, target)
    if any(refused):
        return _construction(name, trace, opener, target, refused)
    judgement = replay(opener, target, trace)
    told = msgspec.structs.replace(trace, operations=trace.operations[: judgement.agreed + 1])
    contents = Contents(trace.configuration)
    theirs = _pictures(target, told)
    steps = tuple(_steps(told, picture_case(opener, told), theirs, contents, judgement.agreed))
    wrong = _wrong(judgement, steps, contents)
    return Story(name, trace, target.name, "exact", steps, contents, wrong)


def _wrong(judgement: Judgement, steps: Sequence[Step], contents: Contents) -> Wrong | None:
    """What differs at the last step; else the first step that breaks an invariant, if any does."""
    known = _known(judgement.known)
    if judgement.finding is not None:
        last = steps[-1]
        found = judgement.finding.differences
        rules = broken_rules(known, found, last.violations, last.operation)
        return Wrong(in_words(found, last, contents), len(steps) - 1, rules, known)
    for at, step in enumerate(steps):
        if step.violations:
            told = tuple(
                Difference(one.invariant, "holds", contents.named(one.message)) for one in step.violations
            )
            return Wrong(told, at, broken_rules(None, (), step.violations, step.operation))
    return None


def _known(deviation: Deviation | None) -> Known | None:
    if deviation is None:
        return None
    return Known(deviation.id, deviation.verdict.value, deviation.title, deviation.rule)


def _refusals(configuration: Configuration, opener: Opener, target: Target) -> tuple[str | None, str | None]:
    """Why the reference, and why the target refuses this configuration; None where it does not."""
    mine = None
    try:
        opener(configuration)
    except ConfigurationError as refusal:
        mine = str(refusal)
    (theirs,) = target.run([Trace(configuration, ())])
    return mine, theirs.refused


def _construction(
    name: str, trace: Trace, opener: Opener, target: Target, refused: tuple[str | None, str | None]
) -> Story:
    """A configuration that a side refuses: the steps are those of the other one, if there is one."""
    mine, theirs = refused
    contents = Contents(trace.configuration)
    if mine and theirs:
        return Story(name, trace, target.name, "exact", (), contents, None, refused)
    pictures = picture_case(opener, trace) if theirs else target.picture(trace)
    steps = tuple(_steps(trace, pictures, pictures, contents, None))
    known = _known(replay(opener, target, trace).known)
    differs = (Difference("construction", mine or "built", theirs or "built"),)
    wrong = Wrong(differs, None, broken_rules(known, differs, (), None), known)
    teller = "reference" if theirs else target.name
    return Story(name, trace, target.name, "exact", steps, contents, wrong, refused, teller)


def _pictures(target: Target, told: Trace) -> Sequence[Picture]:
    """What the target shows; if it gives no answer to the last operation, what it shows before."""
    try:
        return target.picture(told)
    except UserError:
        return target.picture(msgspec.structs.replace(told, operations=told.operations[:-1]))


def _steps(
    trace: Trace,
    ours: Sequence[Picture],
    theirs: Sequence[Picture],
    contents: Contents,
    differing: int | None,
) -> Iterator[Step]:
    """What both showed, the same but at line `differing`. A target that ended early gives no answer there."""
    witness = Witness(trace.configuration)
    for line, (operation, mine, their) in enumerate(zip_longest(trace.operations, ours, theirs)):
        if mine is None and their is None:
            return
        expected = None
        if mine is not None and line == differing:
            contents.learn(mine.view)
            expected = Seen(mine.observation, mine.view)
        if their is None:
            yield Step(line, operation, Seen(None, None), expected)
            return
        contents.learn(their.view)
        violations: Sequence[Violation] = ()
        if their.observation.error is None:
            violations = witness.sees(operation, their.observation, their.view)
        yield Step(line, operation, Seen(their.observation, their.view), expected, tuple(violations))


def in_words(wrong: Sequence[Difference], step: Step, contents: Contents) -> tuple[Difference, ...]:
    """Differences as a report tells them: keys by what they stand for, statistics by name.

    Where the two sides have other keys for the same tokens, the keys stay.
    """
    told = []
    for difference in wrong:
        sides = (contents.named(difference.expected), contents.named(difference.actual))
        if difference.what == "stats":
            sides = (_stats(step.expected or step.seen), _stats(step.seen))
        if sides[0] == sides[1]:
            sides = (difference.expected, difference.actual)
        told.append(Difference(_words(difference.what), *sides))
    return tuple(dict.fromkeys(told))


def _words(what: str) -> str:
    named = NAMES.get(what, what).replace("handled of", "entries offered to the cache by")
    return named.replace("_", " ") if what.startswith("event ") else named


def _stats(seen: Seen) -> str:
    if seen.observation is not None and seen.observation.stats is not None:
        return stats_in_words(seen.observation.stats)
    return stats_in_words(None if seen.view is None else seen.view.stats)
