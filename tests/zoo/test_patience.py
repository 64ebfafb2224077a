"""A manager that never ends is told as one, after the same number of rounds everywhere."""

import pytest

from kvref.operations import Configuration, FullGroup, Lookup, NewRequest
from kvref.zoo.bug import Bug, Driver, Edit, Level
from kvref.zoo.cases import hunt_cases
from kvref.zoo.hunt import Hunt
from kvref.zoo.machine import hunt_machine
from kvref.zoo.patience import MOST, PATIENCE, DoesNotEndError, Patience, counting
from kvref.zoo.session import session_with

LOOKUP = "        tokens = request.num_tokens\n        rows, length"
ONE_GROUP = Configuration((FullGroup(4),), 8, 32, 4, 4)


def endless(how: str) -> Bug:
    """A bug whose lookups go `how` before anything else."""
    return Bug("endless", "HIT-1", "Endless.", (Edit("manager", LOOKUP, f"        {how}\n{LOOKUP}"),))


TURNS = endless("while True:\n            pass")
GROWS = endless("found = [1]\n        for one in found:\n            found.append(one)")
CATCHES = endless(
    "while True:\n            try:\n                for one in [1]:\n                    pass\n"
    "            except Exception:\n                pass"
)


@pytest.mark.parametrize("bug", [TURNS, GROWS], ids=["a loop", "a list that grows"])
def test_a_manager_that_never_ends_is_stopped_and_goes_on(bug: Bug) -> None:
    session = session_with(bug)(ONE_GROUP)
    session.apply(NewRequest("a", (1, 2)))
    for _ in range(2):
        assert session.apply(Lookup("a")).error == "DoesNotEndError"


def test_who_catches_what_stops_it_is_stopped_again() -> None:
    session = session_with(CATCHES)(ONE_GROUP)
    session.apply(NewRequest("a", (1, 2)))
    assert session.apply(Lookup("a")).error == "DoesNotEndError"


def hunted(driver: Driver, level: Level) -> Hunt:
    return hunt_machine(TURNS, level, 1, 50) if driver == "hypothesis" else hunt_cases(TURNS, level, 1, 50)


@pytest.mark.parametrize(
    ("driver", "level"),
    [
        ("fuzz", "exact"),
        ("fuzz", "hits"),
        ("fuzz", "safe"),
        ("fuzz", "invariants"),
        ("hypothesis", "exact"),
        ("hypothesis", "invariants"),
    ],
)
def test_a_bug_that_never_ends_is_killed_by_every_driver_at_every_level(driver: Driver, level: Level) -> None:
    hunt = hunted(driver, level)
    assert hunt.kill is not None
    assert "DoesNotEndError" in " ".join(one.actual for one in hunt.kill.wrong)
    assert hunted(driver, level) == hunt


def test_the_rounds_of_all_loops_count_together_and_anew_in_each_operation() -> None:
    patience = Patience()
    for _ in range(2):
        patience.begin()
        for _ in range(MOST):
            patience.count()
    with pytest.raises(DoesNotEndError, match="more than 100,000 rounds"):
        patience.count()


def test_a_source_that_counts_does_what_it_did() -> None:
    source = '"""Adds."""\ntotal = 0\nfor one in range(4):\n    while total < one:\n        total += one\n'
    done: dict[str, object] = {}
    PATIENCE.begin()
    exec(compile(counting(source), "here", "exec"), done)  # noqa: S102 - the source above
    assert done["total"] == 3
