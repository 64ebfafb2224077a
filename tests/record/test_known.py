"""A shadow names the differences that a catalogue knows, counts them, and goes on."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvref.operations import Allocate, NewRequest, NewStep
from kvref.record import entries as e
from kvref.record.restored import FollowingSession
from kvref.record.settings import ShadowSettings
from kvref.record.shadow import RESUME, Shadow, Summary, follow
from kvref.record.told import Names, told
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict
from tests.record.made import anew, identified, resuming
from tests.record.test_shadow import spoiled, stream


def catalogue(recognises: Callable[[Situation], bool], *, concerns: bool = True) -> Catalogue:
    return (Deviation("K-1", "", (), Verdict.COSMETIC, "meant", lambda _: concerns, recognises),)


def followed(
    folder: Path, number: int, noted: list[e.Entry], known: Catalogue, *, stops: bool = True
) -> tuple[Summary, bytes]:
    asked = io.BytesIO()
    stored = stream(identified(number)[0], noted)
    summary = follow(stored, folder, lambda header: Shadow(header, "exact", known), stops=stops, ask=asked)
    return summary, asked.getvalue()


def with_states(number: int) -> list[e.Entry]:
    """The entries of a case with the state at each step, as a recorder notes it."""
    configuration, noted = identified(number)
    session, names = FollowingSession(configuration), Names(kept=True)
    numbers: dict[str, int] = {}
    arrived: dict[str, NewRequest] = {}
    whole: list[e.Entry] = []
    for one in noted:
        (operation,) = (each.operation for each in told([one], names))
        session.apply(operation)
        if isinstance(operation, NewRequest):
            numbers[operation.request] = len(numbers)
            arrived[operation.request] = operation
        whole.append(one)
        if isinstance(operation, NewStep):
            whole.append(resuming(anew(session, arrived), numbers)[-1])
    return whole


@pytest.mark.parametrize("number", range(5))
def test_a_known_difference_is_counted_and_stops_nothing(tmp_path: Path, number: int) -> None:
    at, wrong = spoiled(identified(number)[1])
    known = catalogue(lambda situation: isinstance(situation.operation, Allocate))
    summary, asked = followed(tmp_path, number, wrong, known)
    assert (summary.known, summary.differences, summary.ended) == ({"K-1": 1}, 0, None)
    assert (summary.operations, summary.unfollowed) == (len(wrong), len(wrong) - at - 1)
    assert asked == RESUME
    assert not list(tmp_path.glob("difference-*"))


@pytest.mark.parametrize("concerns", [True, False])
def test_what_no_entry_recognises_stops_it(tmp_path: Path, concerns: bool) -> None:
    _, wrong = spoiled(identified(1)[1])
    known = catalogue(lambda situation: not concerns and bool(situation), concerns=concerns)
    summary, _ = followed(tmp_path, 1, wrong, known)
    assert (summary.known, summary.differences) == ({}, 1)


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("number", range(5))
def test_a_recogniser_sees_the_reference_right_before_the_operation(
    tmp_path: Path, number: int, states: bool
) -> None:
    noted = with_states(number) if states else identified(number)[1]
    _, wrong = spoiled(noted)
    seen = []

    def recognises(situation: Situation) -> bool:
        seen.append((situation.operation, situation.session.view()))
        return True

    followed(tmp_path, number, wrong, catalogue(recognises))
    ((operation, view),) = seen
    session = FollowingSession(identified(number)[0])
    for one in told(noted, Names(kept=True)):
        if one.operation == operation and one.observation.blocks != () and session.view() == view:
            return
        session.apply(one.operation)
    pytest.fail("the state is none that the reference has before such an operation")


@pytest.mark.parametrize("number", range(5))
def test_where_only_a_state_differs_the_operations_since_the_last_one_are_asked(
    tmp_path: Path, number: int
) -> None:
    noted = with_states(number)
    states = [at for at, one in enumerate(noted) if isinstance(one, e.Snapshot)]
    before, at = states[1:3]
    one = noted[at]
    assert isinstance(one, e.Snapshot)
    noted[at] = msgspec.structs.replace(one, ref_counts=(*one.ref_counts[:-1], one.ref_counts[-1] + 1))
    asked: list[Situation] = []

    def never(situation: Situation) -> bool:
        asked.append(situation)
        return False

    summary, _ = followed(tmp_path / "none", number, noted, catalogue(never))
    assert (summary.known, summary.differences) == ({}, 1)
    between = [one.operation for one in told(noted[before + 1 : at + 1], names_of(noted[:before]))]
    assert [situation.operation for situation in asked] == between
    summary, _ = followed(tmp_path / "first", number, noted, catalogue(lambda _: True))
    assert summary.differences == 0
    assert summary.known == {"K-1": 1}


def names_of(noted: list[e.Entry]) -> Names:
    names = Names(kept=True)
    for one in noted:
        if isinstance(one, e.Arrive):
            names.arrive(one.number, one.name)
    return names


def test_files_of_intended_differences_go_through_the_environment(tmp_path: Path) -> None:
    settings = ShadowSettings(tmp_path, known=(tmp_path / "a.py", tmp_path / "b.py"))
    assert ShadowSettings.of(settings.variables()) == settings
