"""The newest parts of a recording are kept, and each is replayed from the state that it begins in."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import NewRequest, NewStep, TakeNewBlockIds
from kvref.record import entries as e
from kvref.record.file import File
from kvref.record.reader import Recording, trace_of
from kvref.record.restored import FollowingSession
from kvref.record.settings import Settings
from kvref.record.told import Names, Resumed, told
from kvref.record.writer import Writer
from tests.command import Kvref
from tests.record.made import anew, header_of, identified, resuming

SMALL = 1500
PARTS = 3


class Engine:
    """Notes what a reference does, and tells all anew at a step when it is asked."""

    def __init__(
        self,
        path: Path,
        number: int,
        telling: Callable[[Resumed, dict[str, int]], list[e.Entry]] = resuming,
    ) -> None:
        self.telling = telling
        self.configuration, self.noted = identified(number, 400)
        self.is_to_resume = False
        self.anew = 0
        header = msgspec.structs.replace(header_of(self.configuration), tokens="hash")
        self.file = File(path, header, SMALL, PARTS, self.resume)

    def resume(self) -> None:
        self.is_to_resume = True

    def run(self) -> None:
        writer = Writer(self.file)
        session = FollowingSession(self.configuration)
        arrived: dict[str, NewRequest] = {}
        numbers: dict[str, int] = {}
        names = Names(kept=True)
        for one in self.noted:
            (operation,) = (each.operation for each in told([one], names))
            session.apply(operation)
            if isinstance(operation, NewRequest):
                arrived[operation.request] = operation
                numbers[operation.request] = len(numbers)
            more: list[e.Entry] = []
            if isinstance(operation, NewStep) and self.is_to_resume:
                self.is_to_resume = False
                self.anew += 1
                more = self.telling(anew(session, arrived), numbers)
            if not isinstance(operation, TakeNewBlockIds):  # who resumes does not know those before
                more = [one, *more]
            assert (
                writer._sort([tuple(msgspec.to_builtins(each, builtin_types=(bytes,))) for each in more])
                is None
            )
        writer.close()


def parts_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", range(8))
def test_the_newest_parts_are_kept_and_replayed_together_and_alone(
    kvref: Kvref, tmp_path: Path, number: int
) -> None:
    path = tmp_path / "a.kvr"
    engine = Engine(path, number)
    engine.run()
    assert parts_of(tmp_path) == ["a.kvr", "a.kvr.1", "a.kvr.2"][: engine.anew + 1]
    for name in parts_of(tmp_path):
        recording = Recording(tmp_path / name)
        assert [type(one) for one in recording.entries()].count(e.Snapshot) in range(PARTS + 1)
        assert recording.ends_early is None
        assert kvref("replay", tmp_path / name, "--target", "recorded").code == 0


def test_a_part_goes_on_where_the_one_before_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.kvr"
    engine = Engine(path, 1)
    engine.run()
    assert engine.anew > PARTS
    recording = Recording(path)
    whole = [one.operation for one in recording.told(Names(kept=True))]
    assert recording.ends_early is None
    every = [one.operation for one in told(engine.noted, Names(kept=True))]
    every = [one for one in every if not isinstance(one, TakeNewBlockIds)]
    assert whole == every[-len(whole) :]
    assert 0 < len(whole) < len(every)


def test_a_state_that_was_told_wrong_is_found_by_the_part_that_begins_in_it(
    kvref: Kvref, tmp_path: Path
) -> None:
    found = 0
    for number in range(6):
        path = tmp_path / f"{number}.kvr"
        Engine(path, number, spoiled).run()
        found += kvref("replay", path, "--target", "recorded").code == 1
    assert found > 2


def spoiled(resumed: Resumed, numbers: dict[str, int]) -> list[e.Entry]:
    """All told anew, with a free queue in reverse."""
    *before, snapshot = resuming(resumed, numbers)
    assert isinstance(snapshot, e.Snapshot)
    return [*before, msgspec.structs.replace(snapshot, free_queue=snapshot.free_queue[::-1])]


@pytest.mark.parametrize("command", ["explain", "shrink", "replay"])
def test_what_needs_the_beginning_says_so(kvref: Kvref, tmp_path: Path, command: str) -> None:
    Engine(tmp_path / "a.kvr", 1).run()
    assert "begins in the middle" in kvref(command, tmp_path / "a.kvr", "--target", "optimized").refused
    with pytest.raises(UserError, match="begins in the middle"):
        trace_of(Recording(tmp_path / "a.kvr"))


def test_another_recordings_part_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.kvr.1").write_text("precious")
    with pytest.raises(UserError, match="it would be written over"):
        File(tmp_path / "a.kvr", header_of(identified(1)[0]), SMALL, PARTS)
    assert parts_of(tmp_path) == ["a.kvr.1"]


@pytest.mark.parametrize(
    ("options", "why"), [({"tokens": "keep", "megabytes": 1.0}, "--tokens keep"), ({}, "--megabytes")]
)
def test_parts_that_could_not_be_read_are_refused(
    tmp_path: Path, options: dict[str, object], why: str
) -> None:
    with pytest.raises(UserError, match=why):
        Settings(tmp_path / "a.kvr", parts=2, **options).checked()  # type: ignore[arg-type]
