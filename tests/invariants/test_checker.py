"""The checker asks an invariant only where it may fail, and so finds all that asking every one would find."""

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from typing import get_args

import pytest

from invariants import STATE_INVARIANTS, STEP_INVARIANTS, Step, View
from invariants.checker import Checker, of_state, of_step
from invariants.step import Action, Allocate, BeginStep, LookUp
from invariants.view import PARTS, Part, changed
from kvref.fuzz.cases import draw_case
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession
from kvref.witness import setting_of, step_of, untouched

CASES = 40


def corrupted(view: View, rng: random.Random) -> View:
    """The view with something wrong in one of its parts."""
    blocks = len(view.ref_counts)
    block, other, name = rng.randrange(blocks), rng.randrange(blocks), rng.choice(["r0", "r1", "r2"])
    counts, keys, queue = view.ref_counts[:], view.keys[:], view.free_queue[:]
    counts[block] += rng.choice((-1, 1))
    keys[block] = rng.choice([*view.keys, None, b"a key that nothing has"])
    queue.insert(rng.randint(0, len(queue)), block)
    tables, handled = deepcopy(view.tables), deepcopy(view.handled)
    for rows in tables.values():
        rows[0] = [*rows[0], other]
    for ends in handled.values():
        ends[-1] += 9
    wrong: dict[Part, object] = {
        "ref_counts": counts,
        "keys": keys,
        "free_queue": rng.choice([queue, queue[1:], queue[::-1], queue[1:] + queue[:1]]),
        "prefix_map": rng.choice([view.prefix_map[1:], [*view.prefix_map, (b"key", [block])]]),
        "tables": rng.choice([tables, {n: rows for n, rows in tables.items() if n != name}]),
        "handled": handled,
        "reserved": [*view.reserved, block],
        "step_keys": [*view.step_keys, b"state"],
        "usage": view.usage / 2 + 0.1,
        "stats": None,
    }
    part = rng.choice(PARTS)
    return replace(view, **{part: wrong[part]})  # type: ignore[arg-type]


def everything(checker: Checker, before: View, step: Step, after: View) -> list[str]:
    """What every single invariant finds, whatever it says that it looks at."""
    checker.history.record(step)
    setting, whole = checker.setting, STATE_INVARIANTS[0]
    if after != before:
        if holes := [v.invariant for v in whole(after, setting)]:
            return holes
        state = [v.invariant for one in STATE_INVARIANTS for v in one(after, setting)]
    else:
        state = []
    return state + [v.invariant for one in STEP_INVARIANTS for v in one(before, step, after, checker.history)]


@pytest.mark.parametrize("twist", ["wrong view", "nothing changed", "another moment"])
def test_asking_where_it_may_fail_finds_what_asking_everywhere_finds(twist: str) -> None:
    rng, found = random.Random(twist), set[str]()  # noqa: S311 - not for secrets
    twists: dict[str, Callable[[View, View, list[View]], View]] = {
        "wrong view": lambda _before, after, _seen: corrupted(after, rng),
        "nothing changed": lambda before, _after, _seen: before,
        "another moment": lambda _before, _after, seen: rng.choice(seen),
    }
    for number in range(CASES):
        case = draw_case(7, "mixed", number, 40, ReferenceSession, ())
        if not case.trace.operations:
            continue
        configuration = case.trace.configuration
        session, checker = ReferenceSession(configuration), Checker(setting_of(configuration))
        before, seen = untouched(configuration), [untouched(configuration)]
        for operation in case.trace.operations:
            picture = Picture(session.apply(operation), session.view())
            step = step_of(operation, picture.observation)
            after = twists[twist](before, picture.view, seen)
            asked, all_asked = deepcopy(checker), deepcopy(checker)
            told = [v.invariant for v in asked.step(before, step, after)]
            assert told == everything(all_asked, before, step, after)
            found.update(told)
            assert checker.step(before, step, picture.view) == []
            before = picture.view
            seen.append(before)
    assert len(found) >= {"wrong view": 14, "nothing changed": 4, "another moment": 10}[twist]


def test_a_state_invariant_looks_at_nothing_but_what_it_says() -> None:
    case = draw_case(7, "mixed", 3, 40, ReferenceSession, ())
    session = ReferenceSession(case.trace.configuration)
    for operation in case.trace.operations:
        session.apply(operation)
    for invariant in STATE_INVARIANTS:
        hidden = {part: None for part in PARTS if part not in invariant.parts}
        seen = replace(session.view(), **hidden)  # type: ignore[arg-type]
        assert list(invariant(seen, setting_of(case.trace.configuration))) == [], invariant.id


def test_what_no_invariant_of_a_state_looks_at_is_judged_by_steps_alone() -> None:
    looked_at = frozenset[Part]().union(*(one.parts for one in STATE_INVARIANTS))
    assert set(PARTS) - looked_at == {"step_keys", "stats"}


def test_the_parts_of_a_view_are_its_fields() -> None:
    assert list(PARTS) == [field.name for field in fields(View)]


def test_the_first_state_is_looked_at_as_a_whole() -> None:
    configuration = draw_case(7, "mixed", 3, 1, ReferenceSession, ()).trace.configuration
    view = untouched(configuration)
    wrong = replace(view, usage=0.9)
    told = Checker(setting_of(configuration)).step(wrong, Step(BeginStep()), replace(wrong, step_keys=[b"s"]))
    assert [v.invariant for v in told] == ["usage-is-held-share"]


def test_few_are_asked_where_nothing_changed() -> None:
    def ids(action: type[Action], *parts: Part) -> list[str]:
        return [one.id for one in of_step(action, parts)]

    assert ids(BeginStep) == ["events-replay-the-map"]
    assert ids(BeginStep, "step_keys") == ["events-replay-the-map", "effects-are-its-own"]
    assert all(
        one.startswith(("hit-", "oldest", "equal", "eagle", "no-hit", "events")) for one in ids(LookUp)
    )
    assert "refusal-changes-nothing" in ids(Allocate)
    assert [one.id for one in of_state(("stats",))] == ["picture-is-whole"]
    assert set(get_args(Part)) == set(PARTS) == set(changed_everywhere())


def changed_everywhere() -> tuple[Part, ...]:
    """The parts that differ between a view and one of which nothing is the same."""
    view = untouched(draw_case(7, "mixed", 3, 1, ReferenceSession, ()).trace.configuration)
    return changed(view, replace(view, **dict.fromkeys(PARTS)))  # type: ignore[arg-type]
