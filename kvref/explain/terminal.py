"""A story in the terminal: the verdict, the rules, both sides, and the steps with the pool as it was."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, zip_longest

from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from invariants.view import View
from kvref.explain.pool import MEANING, State, changes, states
from kvref.explain.sentences import (
    DASH,
    TIMES,
    answered,
    by_group,
    configuration_in_words,
    counted,
    events_in_words,
    group_in_words,
    told,
)
from kvref.explain.story import Seen, Step, Story

STYLES = {
    State.FREE: "dim",
    State.CACHED: "green",
    State.USED: "bold blue",
    State.SHARED: "bold magenta",
    State.NULL: "dim",
    State.RESERVED: "yellow",
    State.LOST: "bold red",
}
SHORTEST_RUN = 4
"""So many alike neighbours, and more, are drawn as one."""

MARGIN = 6

Look = tuple[State, int, bool]
"""How a block looks: its state, its users, and whether it has content."""


_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def _text(text: str, style: str = "") -> Text:
    """A text whose control characters can be seen, and do nothing: names are anybody's."""
    return Text(text.translate(_VISIBLE), style)


def tell_story(
    console: Console, story: Story, first: int | None = None, last: int | None = None, most: int | None = None
) -> None:
    """Tell a story. Of its steps those from `first` to `last`, else the `most` last ones."""
    chosen = story.between(first, last)
    if first is None and last is None and most is not None and len(chosen) > most:
        chosen = chosen[-most:]
    _print(console, _text(story.headline, "bold green" if story.wrong is None else "bold red"))
    for line in _setting(story):
        _print(console, line)
    if story.wrong is not None:
        _tell_wrong(console, story)
    if not chosen:
        return
    console.print()
    _print(console, _text("Step by step", "bold"))
    console.print(Padding(legend(), (0, 0, 0, 2)))
    if chosen.start:
        _print(console, _text(f"  {counted(chosen.start, 'step')} before; --from 0 tells them, too.", "dim"))
    for at in chosen:
        _tell_step(console, story, at, is_first=at == chosen.start)
    if story.untold and chosen.stop == len(story.steps):
        _print(console, _text(f"  {counted(story.untold, 'operation')} behind it left untold.", "dim"))


def _print(console: Console, text: Text, margin: int = 0) -> None:
    console.print(Padding(text, (0, 0, 0, margin)), highlight=False)


def _setting(story: Story) -> Iterator[Text]:
    """Where it happened: the trace and its configuration."""
    trace = story.trace
    drawn = f", seed {trace.seed}, case {trace.case}" if trace.seed is not None else ""
    yield _text(f"{story.name}{drawn}", "dim")
    if trace.note:
        yield _text(trace.note, "italic")
    yield _text("; ".join(configuration_in_words(trace.configuration)))
    for number, group in enumerate(trace.configuration.groups):
        yield _text(f"group {number}: {group_in_words(group)}")


def _tell_wrong(console: Console, story: Story) -> None:
    wrong = story.wrong
    if wrong is None:
        return
    if wrong.known is not None:
        known = f"known deviation {wrong.known.id} ({wrong.known.verdict}): {wrong.known.title}"
        _print(console, _text(known, "yellow"))
    if wrong.rules:
        rules = Table.grid(padding=(0, 2))
        for rule, following in zip_longest(wrong.rules, wrong.rules[1:]):
            why = rule.why if following is None or following.why != rule.why else ""
            rules.add_row(_text(rule.id, "bold"), _text(rule.text), _text(why, "dim"))
        console.print()
        _print(console, _text("The rule" if len(wrong.rules) == 1 else "The rules", "bold"))
        console.print(Padding(rules, (0, 0, 0, 2)))
    console.print()
    _print(console, _text("What is wrong" if story.level == "safe" else "Both sides", "bold"))
    table = Table(show_lines=True)
    for column in ("what", *story.sides):
        table.add_column(column, overflow="fold")
    for one in wrong.differences:
        table.add_row(_text(one.what), _text(one.expected), _text(one.actual))
    console.print(table)


def legend() -> Columns:
    """What the marks of blocks mean."""
    looks = {State.CACHED: (1, True), State.SHARED: (2, False)}
    entries = [
        Text.assemble(_mark("1", state, *looks.get(state, (1, False))), f" {meaning}")
        for state, meaning in MEANING.items()
    ]
    return Columns([*entries, _text("• its content can be found")], padding=(0, 3))


def _tell_step(console: Console, story: Story, at: int, *, is_first: bool) -> None:
    step, before = story.steps[at], story.before(at)
    is_wrong = story.wrong is not None and story.wrong.at == at
    number = "" if step.line is None else str(step.line)
    head = Table.grid(padding=(0, 2))
    head.add_row(
        _text(f"{number:>4}", "dim"), _text(told(step.operation), "bold red" if is_wrong else "bold")
    )
    console.print()
    console.print(head)
    sides: list[Iterable[Text | Table]]
    if step.expected is None:
        sides = [_side(step, step.seen, before, is_whole=is_first)]
    else:
        alike = step.expected.view == step.seen.view
        ours = _side(step, step.expected, before, is_whole=not alike)
        theirs = _side(step, step.seen, before, is_whole=True)
        sides = [[_text(story.sides[0], "underline"), *ours], [_text(story.sides[1], "underline"), *theirs]]
    for line in chain(*sides):
        console.print(Padding(line, (0, 0, 0, MARGIN)), highlight=False)
    if is_wrong and story.wrong is not None and story.level == "safe":
        for one in story.wrong.differences:
            told_ = f"{one.what}: {story.sides[0]}: {one.expected}; {story.sides[1]}: {one.actual}"
            _print(console, _text(told_, "red"), MARGIN)
    for violation in step.violations:
        _print(
            console,
            _text(f"broken: {violation.invariant}: {story.contents.named(violation.message)}", "red"),
            MARGIN,
        )


def _side(step: Step, seen: Seen, before: View | None, *, is_whole: bool) -> Iterator[Text | Table]:
    """What one side showed: its answer, what changed, and the pool where that or `is_whole` asks for it."""
    answer = answered(step.operation, seen.observation)
    if answer:
        yield _text(answer)
    done = changes(before, seen.view) if before is not None and seen.view is not None else []
    for line in (*done, *(f"event: {event}" for event in events_in_words(seen.events))):
        yield _text(line, "dim")
    if seen.view is not None and (
        is_whole or before is None or _drawn_parts(before) != _drawn_parts(seen.view)
    ):
        yield picture(seen.view)


def _drawn_parts(view: View) -> tuple[object, ...]:
    return (view.ref_counts, view.keys, view.free_queue, view.tables, view.reserved)


def picture(view: View) -> Table:
    """The pool, the free queue in order, and the tables by request and group."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(_text("pool", "dim"), _drawn(view, range(len(view.ref_counts))))
    grid.add_row(
        _text("queue", "dim"), _drawn(view, view.free_queue) if view.free_queue else _text("empty", "dim")
    )
    for request, rows in view.tables.items():
        grid.add_row(_text(request), _text(by_group(rows, most=len(view.ref_counts))))
    return grid


def _drawn(view: View, blocks: Sequence[int]) -> Text:
    """Blocks in the order given; alike neighbours are drawn as one."""
    known = states(view)

    def look(block: int) -> Look:
        """A block that is not of the pool is as good as lost."""
        if not 0 <= block < len(known):
            return State.LOST, 0, False
        return known[block], view.ref_counts[block], view.keys[block] is not None

    alike = groupby(enumerate(blocks), lambda each: (each[1] - each[0], look(each[1])))
    drawn = []
    for (_, shown), run in alike:
        ids = [str(block) for _, block in run]
        names = [f"{ids[0]}{DASH}{ids[-1]}"] if len(ids) >= SHORTEST_RUN else ids
        drawn += [_mark(name, *shown) for name in names]
    return Text(" ").join(drawn)


def _mark(name: str, state: State, users: int, has_content: bool) -> Text:
    content = "•" if has_content else ""
    marks = {
        State.NULL: "∅",
        State.RESERVED: f"({name})",
        State.USED: f"[{name}{content}]",
        State.SHARED: f"[{name}{content}{TIMES}{users}]",
        State.LOST: f"?{name}{content}",
    }
    return _text(marks.get(state, f"{name}{content}"), STYLES[state])
