"""A case follows from its seed, profile and number alone, and is a legal caller's life."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from invariants.view import View
from kvref.fuzz.cases import Case, Notice, draw_case, random_of
from kvref.fuzz.configurations import Profile
from kvref.operations import Configuration, Observation, Operation
from kvref.protocol import Scheduler
from kvref.targets.base import run_case
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict, met_at_construction, met_by
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.deviations import CATALOGUE

LENGTH = 60
MOST_DRAFTS = 4


def draw(number: int, profile: Profile = "mixed", seed: int = 1, length: int = LENGTH) -> Case:
    return draw_case(seed, profile, number, length, ReferenceSession, CATALOGUE)


def fingerprint(cases: int) -> str:
    """One hash over traces, results and coverage of both profiles."""
    hasher = hashlib.sha256()
    for number in range(cases):
        for profile in ("mixed", "clean"):
            case = draw(number, profile)
            hasher.update(repr((case.trace, case.expected, sorted(case.coverage.counts.items()))).encode())
    return hasher.hexdigest()


def test_the_same_seed_profile_and_number_give_the_same_case() -> None:
    assert [draw(n) for n in range(20)] == [draw(n) for n in range(20)]


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_a_fresh_process_with_another_hash_seed_draws_the_same(hash_seed: str) -> None:
    drawn = subprocess.run(
        [sys.executable, "-c", "from tests.fuzz.test_cases import fingerprint; print(fingerprint(25))"],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert drawn.stdout.strip() == fingerprint(25)


def test_seed_profile_and_number_each_matter() -> None:
    others = [draw(1), draw(2), draw(1, seed=2), draw(1, "clean")]
    assert len({case.trace.configuration for case in others}) == len(others)


def test_no_two_cases_draw_from_the_same_numbers() -> None:
    profiles: tuple[Profile, ...] = ("mixed", "clean")
    drawn = [
        random_of(seed, p, n).integer(0, 2**60) for seed in (1, 11) for p in profiles for n in (0, 1, 11)
    ]
    assert len(set(drawn)) == len(drawn)


def test_a_case_does_not_depend_on_the_cases_before_it() -> None:
    draw(0)
    assert draw(7) == draw(7)
    assert (draw(7).trace.seed, draw(7).trace.case) == (1, 7)


def test_a_longer_case_begins_as_the_shorter_one() -> None:
    numbers = [n for n in range(20) if not draw(n).expected.refused]
    for number in numbers:
        long, short = draw(number, "clean", length=40), draw(number, "clean", length=15)
        assert long.trace.operations[:15] == short.trace.operations
        assert len(long.trace.operations) == 40


def test_the_results_of_a_case_are_what_a_replay_shows() -> None:
    for number in range(60):
        case = draw(number)
        assert run_case(ReferenceSession, case.trace) == case.expected


class Witnessed:
    """What was seen while a case was drawn."""

    def __init__(self) -> None:
        self.seen: list[tuple[Operation, Observation]] = []

    def __call__(self, configuration: Configuration) -> Notice:
        self.configuration = configuration
        return self.see

    def see(self, operation: Operation, observation: Observation, view: View) -> None:
        del view
        self.seen.append((operation, observation))


@pytest.mark.parametrize("profile", ["mixed", "clean"])
def test_every_case_is_legal_but_for_a_last_mistake(profile: Profile) -> None:
    kinds, mistakes = Counter[str](), Counter[str]()
    for number in range(400):
        witnessed = Witnessed()
        case = draw_case(1, profile, number, LENGTH, ReferenceSession, CATALOGUE, witnessed)
        assert tuple(operation for operation, _ in witnessed.seen) == case.trace.operations
        scheduler = Scheduler(case.trace.configuration.max_model_len, MOST_DRAFTS)
        for at, (operation, observation) in enumerate(witnessed.seen):
            if observation.error is not None or scheduler.violation(operation) is not None:
                assert (at, profile) == (LENGTH, "mixed"), scheduler.violation(operation)
                mistakes[str(observation.error)] += 1
                break
            scheduler.record(operation, observation)
            kinds[type(operation).__name__] += 1
    assert len(kinds) == 17
    assert min(kinds.values()) >= 5
    if profile == "mixed":
        assert {"UnknownBlockError", "NothingToAllocateError", "UnhashedTokensError"} <= set(mistakes)
        assert 10 <= mistakes.total() <= 80
    else:
        assert not mistakes


def test_the_clean_profile_meets_no_known_deviation_of_vllm() -> None:
    for number in range(100):
        trace = draw(number, "clean").trace
        assert met_at_construction(CATALOGUE, trace.configuration) is None
        session = ReferenceSession(trace.configuration)
        for operation in trace.operations:
            assert met_by(CATALOGUE, Situation(trace.configuration, session, operation)) is None
            session.apply(operation)


def test_the_mixed_profile_meets_known_deviations() -> None:
    met = Counter[str]()
    for number in range(250):
        trace = draw(number).trace
        known = met_at_construction(CATALOGUE, trace.configuration)
        if known is not None:
            met[known.id] += 1
            continue
        if trace.operations:
            session = ReferenceSession(trace.configuration)
            for operation in trace.operations:
                known = met_by(CATALOGUE, Situation(trace.configuration, session, operation))
                met.update([known.id] if known else [])
                session.apply(operation)
    assert len(met) >= 4


def test_the_clean_profile_stays_clear_of_whatever_a_catalogue_knows() -> None:
    def lookups_of_r1(situation: Situation) -> bool:
        return getattr(situation.operation, "request", "") == "r1" and "Lookup" in str(situation.operation)

    odd: Catalogue = (
        Deviation("Q-0", "HIT-1", ("1",), Verdict.COSMETIC, "r1", lambda _: True, lookups_of_r1),
        Deviation(
            "Q-1",
            "CFG-1",
            ("1",),
            Verdict.COSMETIC,
            "EAGLE",
            lambda c: c.use_eagle,
            lambda _: False,
            at_construction=True,
        ),
    )
    plain = [draw_case(1, "clean", n, LENGTH, ReferenceSession, ()) for n in range(40)]
    wary = [draw_case(1, "clean", n, LENGTH, ReferenceSession, odd) for n in range(40)]
    shown = [f"{operation}" for case in plain for operation in case.trace.operations]
    avoided = [f"{operation}" for case in wary for operation in case.trace.operations]
    assert any(text.startswith("Lookup(request='r1'") for text in shown)
    assert not any(text.startswith("Lookup(request='r1'") for text in avoided)
    assert any(case.trace.configuration.use_eagle for case in plain)
    assert not any(case.trace.configuration.use_eagle for case in wary)


def test_a_refused_configuration_is_a_case_without_operations() -> None:
    refused = [case for case in map(draw, range(200)) if case.expected.refused]
    assert refused
    assert all(case.trace.operations == () and not case.coverage.counts for case in refused)
