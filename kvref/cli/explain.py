"""`kvref explain`: a trace, told step by step."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kvref.cli.common import DIVERGED, console, needing_torch, tell
from kvref.cli.loading import load
from kvref.cli.tested import Tested, as_asked
from kvref.errors import UserError
from kvref.explain.exact import tell as tell_exact
from kvref.explain.page import write_page
from kvref.explain.story import Story
from kvref.explain.terminal import tell_story
from kvref.fuzz.settings import Level
from kvref.operations import Trace
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession

MOST_STEPS = 40
"""So many steps are told on a terminal, the last ones, unless others are asked for."""


def explain(
    trace: Path,
    *,
    tested: Tested = Tested(),
    level: Literal["exact", "hits", "safe"] = "exact",
    html: Path | None = None,
    first: Annotated[int | None, Parameter(name="--from")] = None,
    last: Annotated[int | None, Parameter(name="--to")] = None,
) -> int:
    """Tell a trace step by step: what was asked, what came of it, and the pool as it was.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does.
    level
        `exact` tells it beside the reference, up to the first difference; `safe` keeps data behind
        the target's block ids, and tells it up to what is wrong; `hits` looks at hit lengths, admissions
        and refusals, too.
    html
        Write the story as one page, to be opened in a browser, instead of telling it here.
    first
        The first operation to tell, by its line: 0 is the first.
    last
        The last operation to tell.
    """
    loaded = load(trace, last)
    _check_range(trace, loaded, first, last)
    opened = tested.open(level)
    try:
        story = story_of(trace.name, loaded, opened, level)
    finally:
        opened.close()
    if html is not None:
        write_page(html, story, first, last)
        tell(f"{story.headline}: {html}")
    else:
        tell_story(console, story, first, last, MOST_STEPS)
    return 0 if story.wrong is None else DIVERGED


def story_of(name: str, trace: Trace, target: Target, level: Level) -> Story:
    """The story of a trace on a target. Raises UserError if the target cannot be asked so."""
    if level not in ("safe", "hits"):
        return tell_exact(name, trace, ReferenceSession, target)
    with needing_torch(f"level {level}"):
        from kvref.explain.safe import tell_safe  # noqa: PLC0415
    return tell_safe(name, trace, as_asked(target, level))


def page_beside(path: Path, trace: Trace, target: Target, level: Level) -> Path | None:
    """Write the page of a trace beside its file; None if its story cannot be told, or shows nothing wrong.

    Raises UserError if the page cannot be written.
    """
    try:
        story = story_of(path.name, trace, target, level)
    except UserError:
        return None
    if story.wrong is None:
        return None
    page = path.with_suffix(".html")
    write_page(page, story)
    return page


def _check_range(path: Path, trace: Trace, first: int | None, last: int | None) -> None:
    end = len(trace.operations) - 1
    for value, name in ((first, "--from"), (last, "--to")):
        if value is not None and not 0 <= value <= end:
            raise UserError(f"{name} {value}: {path} has operations 0 to {end}")
    if first is not None and last is not None and first > last:
        raise UserError(f"--from {first} comes after --to {last}: turn them round")
