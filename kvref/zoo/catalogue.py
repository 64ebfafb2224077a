"""All bugs of the zoo."""

from difflib import get_close_matches

from kvref.errors import UserError
from kvref.zoo.bug import Bug
from kvref.zoo.bugs import (
    admission,
    eagle,
    events,
    hits,
    hybrid,
    keys,
    mamba,
    order,
    prefix_map,
    references,
    reports,
    windows,
)

CHAPTERS: dict[str, tuple[Bug, ...]] = {
    "references": references.BUGS,
    "order": order.BUGS,
    "prefix map": prefix_map.BUGS,
    "hits": hits.BUGS,
    "hybrid": hybrid.BUGS,
    "windows": windows.BUGS,
    "recurrent states": mamba.BUGS,
    "EAGLE": eagle.BUGS,
    "admission": admission.BUGS,
    "keys": keys.BUGS,
    "events": events.BUGS,
    "reports": reports.BUGS,
}

BUGS: tuple[Bug, ...] = tuple(bug for bugs in CHAPTERS.values() for bug in bugs)


def bug_called(name: str) -> Bug:
    """The bug of this name. Raises UserError if there is none."""
    for bug in BUGS:
        if bug.name == name:
            return bug
    near = get_close_matches(name, [bug.name for bug in BUGS], n=3) or [BUGS[0].name]
    raise UserError(f"no bug is called {name!r}: kvref zoo lists them; near it are {', '.join(near)}")
