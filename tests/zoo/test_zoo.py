"""The zoo's bugs are what they say: each is a patch that fits, breaks a rule, and is killed."""

from pathlib import Path

import msgspec
import pytest

import kvref.optimized
from kvref.errors import UserError
from kvref.operations import Configuration, FullGroup, Lookup, NewRequest
from kvref.targets.registry import open_target
from kvref.zoo.bug import Bug, Edit, Level, changed_by
from kvref.zoo.catalogue import BUGS, bug_called
from kvref.zoo.hunt import hunt
from kvref.zoo.measure import CASES, measure
from kvref.zoo.page import page
from kvref.zoo.results import Results, scores
from kvref.zoo.session import NO_PICTURE, session_with
from tests.rules_index import INDEX, read_index

DOCS = Path(__file__).parent.parent.parent / "docs"
KEPT = msgspec.json.decode((DOCS / "zoo.json").read_bytes(), type=Results)
RULES = {rule.id for rule in read_index(INDEX.read_text(encoding="utf-8"))}
ONE_GROUP = Configuration((FullGroup(4),), 8, 32, 4, 4)


def test_there_are_at_least_forty_bugs_and_no_two_of_one_name() -> None:
    assert len(BUGS) >= 40
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_most_of_them_were_seen_elsewhere() -> None:
    assert sum(bool(bug.origin) for bug in BUGS) >= len(BUGS) / 2


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_a_patch_that_fits_and_breaks_a_rule_of_the_index(bug: Bug) -> None:
    assert bug.rule in RULES
    assert bool(bug.edits) != (bug.sees is not None)
    assert session_with(bug).manager_class is not kvref.optimized.KVCacheManager


def test_an_edit_that_no_longer_fits_is_told() -> None:
    gone = Bug("gone", "HIT-1", "Nothing.", (Edit("manager", "what is not there", ""),))
    with pytest.raises(UserError, match=r"bug gone: 'what is not there' occurs 0 times in manager\.py"):
        changed_by(gone)


def test_a_copy_leaves_the_manager_itself_alone() -> None:
    before = kvref.optimized.KVCacheManager
    session_with(bug_called("the-last-block-is-never-freed"))
    assert kvref.optimized.KVCacheManager is before
    own = session_with(bug_called("usage-counts-content"))
    other = session_with(bug_called("the-gate-is-open"))
    assert own.manager_class is not other.manager_class


def test_the_ci_profile_kills_nineteen_in_twenty() -> None:
    killed = [one for one in hunt("exact", BUGS, 1, CASES["ci"], lambda *_: None) if one.kill]
    assert len(killed) >= 0.95 * len(BUGS)


@pytest.mark.parametrize("level", ["safe", "invariants"])
def test_what_is_hidden_at_a_level_is_not_shown_there(level: Level) -> None:
    hidden = [bug for bug in BUGS if not bug.shows_at(level)]
    assert [one.bug.name for one in hunt(level, hidden, 2, 25, lambda *_: None) if one.kill] == []


def test_operations_to_a_kill_follow_from_the_seed() -> None:
    bugs = [bug_called("a-reset-does-not-wait"), bug_called("scratch-blocks-go-to-the-back")]
    first, again = (measure("exact", bugs, 5, 60, shrinks=True, tell=lambda _: None) for _ in range(2))
    for name, run in first.items():
        assert run.killed
        assert msgspec.structs.replace(again[name], seconds=run.seconds) == run


def test_what_a_buggy_manager_raises_is_an_answer() -> None:
    session = session_with(
        Bug(
            "raises",
            "HIT-1",
            "Raises.",
            (Edit("manager", "tokens = request.num_tokens\n", "tokens = 1 // 0\n"),),
        )
    )
    opened = session(ONE_GROUP)
    opened.apply(NewRequest("r", (1, 2, 3, 4, 5)))
    assert opened.apply(Lookup("r")).error == "ZeroDivisionError"


def test_a_state_that_contradicts_itself_is_a_picture_like_no_other() -> None:
    opened = session_with(bug_called("the-map-keeps-taken-blocks"))(ONE_GROUP)
    opened.manager.pool.maps[0].oldest[b"nobody"] = 3
    assert opened.view().usage == NO_PICTURE


def test_a_bug_is_a_target() -> None:
    target = open_target("zoo==the-gate-is-open", python=None, tell=lambda _: None)
    assert target.name == "zoo==the-gate-is-open"


@pytest.mark.parametrize(
    ("name", "why"),
    [("zoo", "zoo has many bugs: say which"), ("zoo==the-gate-is-opn", "near it are the-gate-is-open")],
)
def test_a_bug_that_is_not_there_is_told(name: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        open_target(name, python=None, tell=lambda _: None)


def test_the_page_is_made_from_what_was_measured() -> None:
    assert (DOCS / "zoo.md").read_text(encoding="utf-8") == page(KEPT)


def test_what_was_measured_is_of_these_bugs() -> None:
    assert [(one.name, one.rule, one.title, one.origin) for one in KEPT.entries] == [
        (bug.name, bug.rule, bug.title, bug.origin) for bug in BUGS
    ]


def test_what_was_measured_keeps_the_targets() -> None:
    [exact] = [score for score in scores(KEPT) if (score.driver, score.level) == ("fuzz", "exact")]
    assert exact.bugs == len(BUGS)
    assert exact.killed_by_ci >= 0.95 * exact.bugs
    assert exact.reproducer is not None
    assert exact.reproducer <= 8
