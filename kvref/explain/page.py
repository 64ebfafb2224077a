"""A story as one page of HTML: it needs no network, and shows the pool at any step.

The page's script draws a step from the one before it: only what an operation changed is in the file.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import msgspec

from invariants.view import View
from kvref.errors import UserError
from kvref.explain.deltas import NOTHING, Delta, Names, delta
from kvref.explain.pool import MEANING, Contents, State, changes, states
from kvref.explain.rules import statements
from kvref.explain.sentences import (
    answered,
    configuration_in_words,
    events_in_words,
    group_in_words,
    told,
)
from kvref.explain.story import Seen, Step, Story, Wrong


class Side(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one side showed at a step. Without `delta` its state was not looked at."""

    answer: str
    named: list[int]
    changes: list[str]
    events: list[str]
    delta: Delta | None = None


class Broken(msgspec.Struct, frozen=True):
    """An invariant that does not hold, or what is wrong at level safe."""

    invariant: str
    statement: str
    message: str


class PageStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step. `expected` is the reference's side where it differs."""

    line: int | None
    operation: str
    says: str
    seen: Side
    expected: Side | None = None
    broken: list[Broken] = []


class PageData(msgspec.Struct, frozen=True):
    """All that the page shows. `drawn` is the first of the blocks that are free and bare throughout."""

    headline: str
    level: str
    is_well: bool
    name: str
    origin: str
    note: str
    known: list[str]
    facts: list[str]
    groups: list[tuple[str, str]]
    rules: list[tuple[str, str, str]]
    sides: tuple[str, str]
    differences: list[tuple[str, str, str]]
    wrong_at: int | None
    untold: int
    states: dict[str, str]
    contents: list[str]
    num_blocks: int
    drawn: int
    is_pictured: bool
    start: Delta
    steps: list[PageStep]


def write_page(path: Path, story: Story, first: int | None = None, last: int | None = None) -> None:
    """Write the page. Raises UserError if it cannot be written."""
    text = page(story, first, last)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure


def page(story: Story, first: int | None = None, last: int | None = None) -> str:
    """The page's text, with the steps of the operations from `first` to `last`."""
    here = files("kvref.explain")
    style, script = (here.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    data = msgspec.json.encode(page_data(story, first, last)).decode()
    return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(story.headline),
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        style=style,
        script=script,
        # Nothing in a name may end the element that holds the data.
        data=data.replace("<", "\\u003c"),
    )


def _hash(source: str) -> str:
    """What the page's policy lets run: this text and nothing else."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def page_data(story: Story, first: int | None = None, last: int | None = None) -> PageData:
    """What the page shows."""
    chosen = story.between(first, last)
    trace, wrong = story.trace, story.wrong
    told_steps = [story.steps[at] for at in chosen]
    begin = next(
        (step.seen.view for step in reversed(story.steps[: chosen.start]) if step.seen.view is not None),
        story.initial,
    )
    names = Names(story.contents)
    start = delta(NOTHING, begin, names)
    steps = list(_steps(told_steps, begin, names, story.contents))
    known = wrong.known if wrong is not None else None
    at = wrong.at if wrong is not None else None
    wrong_at = chosen.index(at) if at is not None and at in chosen else None
    if story.level == "safe" and wrong is not None and wrong_at is not None:
        steps[wrong_at] = _misread(steps[wrong_at], story, wrong)
    return PageData(
        headline=story.headline,
        level=story.level,
        is_well=wrong is None,
        name=story.name,
        origin=f"seed {trace.seed}, case {trace.case}" if trace.seed is not None else "",
        note=trace.note or "",
        known=[known.id, known.verdict, known.title] if known is not None else [],
        facts=configuration_in_words(trace.configuration),
        groups=[
            (str(type(group).__struct_config__.tag), group_in_words(group))
            for group in trace.configuration.groups
        ],
        rules=[(rule.id, rule.text, rule.why) for rule in wrong.rules] if wrong is not None else [],
        sides=story.sides,
        differences=[(d.what, d.expected, d.actual) for d in wrong.differences] if wrong is not None else [],
        wrong_at=wrong_at,
        untold=story.untold,
        states={state.value: meaning for state, meaning in MEANING.items()},
        contents=names.told,
        num_blocks=trace.configuration.num_blocks,
        drawn=_drawn(begin, told_steps),
        is_pictured=any(step.seen.view is not None for step in told_steps) or not told_steps,
        start=start,
        steps=steps,
    )


def _steps(steps: Sequence[Step], before: View, names: Names, contents: Contents) -> Iterator[PageStep]:
    for step in steps:
        broken = [
            Broken(v.invariant, statements()[v.invariant], contents.named(v.message)) for v in step.violations
        ]
        yield PageStep(
            step.line,
            type(step.operation).__name__,
            told(step.operation),
            _side(step, step.seen, before, names),
            None if step.expected is None else _side(step, step.expected, before, names),
            broken,
        )
        before = step.seen.view or before


def _misread(step: PageStep, story: Story, wrong: Wrong) -> PageStep:
    """The step with what it shows to be wrong, which no picture shows."""
    due, shown = story.sides
    told_ = [Broken(d.what, f"{due}: {d.expected}", f"{shown}: {d.actual}") for d in wrong.differences]
    seen = msgspec.structs.replace(step.seen, named=sorted(wrong.blocks.union(step.seen.named)))
    return msgspec.structs.replace(step, seen=seen, broken=told_)


def _side(step: Step, seen: Seen, before: View, names: Names) -> Side:
    return Side(
        answered(step.operation, seen.observation),
        sorted(seen.named),
        changes(before, seen.view) if seen.view is not None else [],
        events_in_words(seen.events),
        delta(before, seen.view, names) if seen.view is not None else None,
    )


def _drawn(begin: View, steps: Sequence[Step]) -> int:
    """One more than the last block that is ever anything but free and bare."""
    highest = 0
    for view in (begin, *(seen.view for step in steps for seen in (step.seen, step.expected) if seen)):
        if view is not None:
            told_states = states(view)
            taken = [block for block, state in enumerate(told_states) if state is not State.FREE]
            highest = max([highest, *taken])
    return highest + 1
