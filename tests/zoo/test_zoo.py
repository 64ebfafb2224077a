"""The zoo's bugs are what they say: each is a patch that fits, breaks a rule, and is killed."""

from pathlib import Path

import msgspec
import pytest

import kvref.optimized
from kvref.errors import UserError
from kvref.operations import Configuration, FullGroup, Lookup, NewRequest, Operation
from kvref.targets.registry import open_target
from kvref.testing import KVCacheMachine
from kvref.zoo.bug import Bug, Driver, Edit, Level, changed_by
from kvref.zoo.cases import hunt_cases
from kvref.zoo.catalogue import BUGS, bug_called
from kvref.zoo.machine import hunt_machine
from kvref.zoo.measure import Task, measure, measure_all
from kvref.zoo.page import page
from kvref.zoo.results import CASES, LEVELS, Results, Run, entry_of, scores
from kvref.zoo.session import NO_PICTURE, raising, session_with
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
    killed = [bug for bug in BUGS if hunt_cases(bug, "exact", 1, CASES["fuzz"]["ci"]).kill]
    assert len(killed) >= 0.95 * len(BUGS)


@pytest.mark.parametrize("level", ["hits", "safe", "invariants"])
def test_what_is_hidden_at_a_level_is_not_shown_there(level: Level) -> None:
    hidden = [bug for bug in BUGS if not bug.shows_at(level)]
    assert [bug.name for bug in hidden if hunt_cases(bug, level, 2, 25).kill] == []


def test_exact_sees_every_bug() -> None:
    assert all(bug.shows_at("exact") for bug in BUGS)


DRIVEN = [("fuzz", "exact"), ("fuzz", "hits"), ("hypothesis", "exact"), ("hypothesis", "invariants")]


def killing(driver: Driver, level: Level, bug: str) -> Task:
    return Task(bug=bug, driver=driver, level=level, seed=5, cases=300, shrinks=True)


def timeless(run: Run) -> Run:
    return msgspec.structs.replace(run, seconds=0.0)


@pytest.mark.parametrize(("driver", "level"), DRIVEN)
def test_operations_to_a_kill_follow_from_the_seed(driver: Driver, level: Level) -> None:
    task = killing(driver, level, "the-youngest-is-evicted-first")
    run = measure(task)
    assert run.killed
    assert run.cases <= run.operations
    assert run.reproducer is not None
    assert run.reproducer <= 12
    assert timeless(measure(task)) == timeless(run)


def test_workers_change_nothing_but_the_time() -> None:
    tasks = [killing("fuzz", "exact", bug.name) for bug in BUGS[:4]]
    alone = {task.bug: timeless(run) for task, run in measure_all(tasks, 1)}
    assert {task.bug: timeless(run) for task, run in measure_all(tasks, 2)} == alone


def test_more_examples_of_hypothesis_begin_with_the_same_ones() -> None:
    bug = bug_called("the-tail-lacks-a-block")
    few, many = (hunt_machine(bug, "exact", 1, examples) for examples in (250, 500))
    assert few == many
    assert few.kill is not None


def test_what_a_manager_raises_is_what_the_machine_has_found() -> None:
    bug = Bug(
        "raises", "HIT-1", "Raises.", (Edit("manager", "tokens = request.num_tokens\n", "tokens = 1 // 0\n"),)
    )
    opened = raising(bug)(ONE_GROUP)
    opened.apply(NewRequest("r", (1, 2, 3, 4, 5)))
    with pytest.raises(ZeroDivisionError):
        opened.apply(Lookup("r"))
    kill = hunt_machine(bug, "exact", 1, 250).kill
    assert kill is not None
    assert kill.wrong[0].what == "raised"


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


def test_what_was_measured_is_of_every_level() -> None:
    assert [score.level for score in scores(KEPT) if score.driver == "fuzz"] == list(LEVELS)
    for score in scores(KEPT):
        assert score.bugs == sum(bug.shows_at(score.level) for bug in BUGS)


@pytest.mark.parametrize("level", ["exact", "invariants"])
def test_what_was_measured_keeps_the_targets_of_the_ci_profile(level: Level) -> None:
    [score] = [one for one in scores(KEPT) if (one.driver, one.level) == ("fuzz", level)]
    assert score.misses("ci") == []


def test_the_page_tells_which_targets_are_missed() -> None:
    assert "of the CI profile that are missed:\n\nNone." in page(results_of([8] * 20))
    assert "- fuzz, level exact: the CI profile kills 18 of 20, 19 are due." in page(
        results_of(["lives"] * 2 + [8] * 18)
    )


def test_missed_targets_are_told() -> None:
    [found] = scores(results_of(["lives"] * 2 + ["late"] + [9] * 17))
    assert found.misses("ci") == [
        "the CI profile kills 17 of 20, 19 are due",
        "the median reproducer has 9 operations, 8 at the most are due",
    ]
    assert found.misses("ci", is_whole=False) == found.misses("ci")[:1]
    [found] = scores(results_of(["lives"] + [8] * 19))
    assert found.misses("ci") == []
    assert found.misses("nightly") == ["1 lives, none may"]


def results_of(outcomes: list[int | str]) -> Results:
    """A zoo in which each bug lives, dies late, or has a reproducer of so many operations."""
    most = CASES["fuzz"]["ci"]
    runs = [
        Run(
            driver="fuzz",
            level="exact",
            killed=one != "lives",
            cases=most + 1 if one == "late" else 1,
            operations=60,
            seconds=0.1,
            reproducer=one if isinstance(one, int) else None,
        )
        for one in outcomes
    ]
    bugs = zip(BUGS, runs, strict=False)
    return Results(seed=1, entries=[entry_of("references", bug, [run]) for bug, run in bugs])


def test_ctrl_c_ends_a_hunt_of_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    performed = 0

    def interrupted(self: KVCacheMachine, operation: Operation | None) -> bool:
        nonlocal performed
        performed += 1
        if performed == 200:
            raise KeyboardInterrupt
        return perform(self, operation)

    perform = KVCacheMachine.perform
    monkeypatch.setattr(KVCacheMachine, "perform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hunt_machine(bug_called("a-second-member-is-not-asked"), "exact", 1, 50)
