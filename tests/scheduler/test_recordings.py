"""The committed recordings of the real scheduler: what a manager must answer, and that they can be made again."""

from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import Allocate, Observation
from kvref.scheduler.collection import Listed, read_collection, read_list, sum_up, write_collection
from kvref.scheduler.held import answers, first_unlike, replayed
from kvref.scheduler.legality import follow_recording, unexplained
from kvref.scheduler.recording import Recording
from kvref.scheduler.workloads import WORKLOADS, named
from kvref.targets.optimized import open_optimized
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.scheduler.process import SchedulerProcess
from tests.rules_index import ROOT

FOLDER = ROOT / "recordings"
MOST_BYTES = 1_000_000
RECORDINGS = read_collection(FOLDER)
names = [listed.workload for listed, _ in RECORDINGS]
AGAIN = ["async-loads", "async-priorities", "states-pressure"]


def with_answers(recording: Recording) -> Recording:
    """The recording, with what was answered."""
    seen = tuple(answers(ReferenceSession, recording.trace))
    return msgspec.structs.replace(recording, observations=seen)


def test_every_workload_is_recorded_and_all_are_small() -> None:
    assert names == [workload.name for workload in WORKLOADS]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.parametrize(("listed", "recording"), RECORDINGS, ids=names)
def test_the_reference_answers_as_the_live_manager_did(listed: Listed, recording: Recording) -> None:
    assert sum_up(answers(ReferenceSession, recording.trace)) == listed.answers


@pytest.mark.parametrize(("listed", "recording"), RECORDINGS, ids=names)
def test_the_optimized_manager_shows_what_the_reference_shows(listed: Listed, recording: Recording) -> None:
    judgement = replayed(ReferenceSession, open_optimized(None, None, print), recording)
    assert judgement == (listed.calls, None, None)


@pytest.mark.parametrize(("listed", "recording"), RECORDINGS, ids=names)
def test_every_call_is_legal_but_for_the_findings(listed: Listed, recording: Recording) -> None:
    whole = with_answers(recording)
    assert listed.ended == recording.ended
    assert unexplained(whole, follow_recording(whole)) is None


def test_an_illegal_call_is_told_where_no_finding_explains_it() -> None:
    recording = with_answers(dict(zip(names, (one for _, one in RECORDINGS), strict=True))["plain"])
    operations = list(recording.trace.operations)
    at, running = next(
        (at, one)
        for at, one in enumerate(operations)
        if isinstance(one, Allocate) and one.hit is None and one.computed
    )
    operations[at] = msgspec.structs.replace(running, computed=running.computed + 1)
    trace = msgspec.structs.replace(recording.trace, operations=tuple(operations))
    broken = msgspec.structs.replace(recording, trace=trace)
    told = unexplained(broken, follow_recording(broken))
    assert told is not None
    assert f"operation {at}, Allocate, is illegal: PROTO-4" in told


def test_an_end_that_no_finding_explains_is_told() -> None:
    recording = msgspec.structs.replace(with_answers(RECORDINGS[0][1]), ended="KeyError: 7")
    assert unexplained(recording, follow_recording(recording)) == "the scheduler ended with KeyError: 7"


def test_an_answer_that_is_not_the_references_is_found() -> None:
    recording = with_answers(RECORDINGS[0][1])
    at = next(at for at, one in enumerate(recording.observations) if one.blocks)
    seen = list(recording.observations)
    seen[at] = Observation(blocks=((99,),))
    unlike = first_unlike(ReferenceSession, msgspec.structs.replace(recording, observations=tuple(seen)))
    assert unlike is not None
    assert unlike.at == at


def test_a_collection_is_read_as_it_was_written(tmp_path: Path) -> None:
    recording = with_answers(RECORDINGS[0][1])
    write_collection(tmp_path, [recording])
    ((listed, read),) = read_collection(tmp_path)
    assert listed == RECORDINGS[0][0]
    assert read.trace == recording.trace


def test_a_folder_without_recordings_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name a folder that kvref scheduler record wrote"):
        read_list(tmp_path)
    (tmp_path / "recordings.json").write_text("[")
    with pytest.raises(UserError, match="is no list of recordings"):
        read_list(tmp_path)


def test_a_recording_that_was_cut_is_told(tmp_path: Path) -> None:
    recording = with_answers(RECORDINGS[0][1])
    write_collection(tmp_path, [recording])
    cut = msgspec.structs.replace(recording.trace, operations=recording.trace.operations[:-1])
    (tmp_path / "plain-0.json").write_bytes(msgspec.json.encode(cut))
    with pytest.raises(UserError, match="record the folder again"):
        read_collection(tmp_path)


def test_an_unknown_workload_is_told() -> None:
    with pytest.raises(UserError, match="choose one of plain, async-plain"):
        named("plane")


@pytest.mark.vllm
def test_the_real_scheduler_does_the_same_again() -> None:
    with SchedulerProcess(None, print) as process:
        for name in AGAIN:
            again = process.record(named(name), 0)
            listed, recording = RECORDINGS[names.index(name)]
            assert again.trace == recording.trace
            assert sum_up(again.observations) == listed.answers
            assert first_unlike(ReferenceSession, again) is None


@pytest.mark.vllm
def test_a_workload_is_built_from_the_configuration_that_it_says() -> None:
    for listed, recording in RECORDINGS:
        assert recording.trace.configuration == named(listed.workload).configuration


@pytest.mark.vllm
def test_another_seed_is_another_story() -> None:
    with SchedulerProcess(None, print) as process:
        first, second = (process.record(named("plain"), seed).trace for seed in (0, 1))
    assert first.operations != second.operations
