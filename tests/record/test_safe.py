"""Data behind a recorded engine's block ids: what it would have read wrong is told, live and afterwards."""

from pathlib import Path

import msgspec
import pytest

from kvref.followed_safe import FollowedSafe
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
)
from kvref.record import entries as e
from kvref.record.shadow import SUMMARY, Shadow, Summary, follow
from tests.command import Kvref
from tests.record.made import entries_of, header_of, write
from tests.record.test_shadow import stream

CONFIGURATION = Configuration((FullGroup(4),), 9, 64, 4, 4)


def served(second: tuple[int, ...]) -> list[tuple[Operation, Observation]]:
    """Two requests, one behind the other; the second one's table is told as given."""
    pairs: list[tuple[Operation, Observation]] = [
        (NewRequest("a", (1, 2, 3, 4, 5)), Observation()),
        (NewStep(), Observation()),
        (Lookup("a"), Observation(blocks=((),), tokens=0)),
        (Allocate("a", 0, 5, hit=0), Observation(blocks=((1, 2),))),
        (GetBlocks("a"), Observation(blocks=((1, 2),))),
        (StepEnds(), Observation()),
        (AppendTokens("a", (6,)), Observation()),
        (NewRequest("b", (1, 2, 3, 4, 9)), Observation()),
        (NewStep(), Observation()),
        (Lookup("b"), Observation(blocks=((second[0],),), tokens=4)),
        (Allocate("b", 0, 1, hit=4), Observation(blocks=((second[1],),))),
        (GetBlocks("b"), Observation(blocks=(second,))),
        (StepEnds(), Observation()),
    ]
    return pairs


@pytest.mark.parametrize(("second", "code"), [((1, 3), 0), ((2, 3), 1), ((7, 3), 1)])
def test_a_recorded_hit_is_read_and_its_content_is_checked(
    kvref: Kvref, tmp_path: Path, second: tuple[int, ...], code: int
) -> None:
    path = tmp_path / "a.kvr"
    write(path, CONFIGURATION, entries_of(served(second)))
    assert kvref("replay", path, "--target", "recorded", "--level", "safe").code == code


@pytest.mark.parametrize(("second", "differences"), [((1, 3), 0), ((2, 3), 1)])
def test_a_shadow_at_level_safe_goes_on_behind_what_was_read_wrong(
    tmp_path: Path, second: tuple[int, ...], differences: int
) -> None:
    noted = [*entries_of(served(second)), e.Append(1, (7,))]

    def shadow_of(header: e.Header) -> Shadow:
        return Shadow(header, "safe", safe=FollowedSafe(header.configuration))

    summary = follow(stream(CONFIGURATION, noted), tmp_path, shadow_of, stops=False, ask=None)
    assert (summary.differences > 0) == bool(differences)
    assert (summary.operations, summary.unfollowed, summary.ended) == (len(noted), 0, None)
    assert summary.checked > 0
    assert msgspec.json.decode((tmp_path / SUMMARY).read_bytes(), type=Summary) == summary


def test_a_call_that_nobody_may_make_ends_it_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    pairs = served((1, 3))
    del pairs[2]  # the lookup that an admission follows
    write(tmp_path / "a.kvr", CONFIGURATION, entries_of(pairs))
    told = kvref("replay", tmp_path / "a.kvr", "--target", "recorded", "--level", "safe").refused
    assert "nothing is wrong before operation 2" in told
    assert "PROTO" in told


def test_calls_alone_are_not_enough(kvref: Kvref, tmp_path: Path) -> None:
    path = tmp_path / "a.kvr"
    write(
        path,
        CONFIGURATION,
        entries_of(served((1, 3))),
        header=msgspec.structs.replace(header_of(CONFIGURATION), blocks=False),
    )
    assert "block ids" in kvref("replay", path, "--target", "recorded", "--level", "safe").refused
