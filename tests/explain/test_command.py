"""`kvref explain`, and the pages that `kvref fuzz` leaves beside its findings."""

from pathlib import Path

import pytest

from kvref.cli import common
from kvref.targets import named, vllm
from tests.command import Kvref
from tests.explain.stories import STEPS
from tests.fuzz.faults import FaultyTarget, FreesInReverse
from tests.test_cli import installed, written

TRACES = Path(vllm.__file__).parent / "traces"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return written(tmp_path / "t.json", *STEPS)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyTarget:
    return installed(monkeypatch, FaultyTarget(FreesInReverse))


def test_a_healthy_trace_is_told_and_ends_well(kvref: Kvref, trace: Path) -> None:
    ended = kvref("explain", trace, "--target", "optimized")
    assert (ended.code, ended.err) == (0, "")
    assert "optimized agrees with the reference in 7 operations" in ended.out
    assert "Request s arrives with 1 token." in ended.out


def test_a_divergence_is_told_with_exit_code_1(kvref: Kvref, trace: Path, faulty: FaultyTarget) -> None:
    ended = kvref("explain", trace, "--target", "faulty")
    assert (ended.code, ended.err) == (1, "")
    assert "faulty differs from the reference at operation 5" in ended.out
    assert faulty.closed


@pytest.mark.usefixtures("faulty")
def test_the_page_is_written_where_it_is_asked_for(kvref: Kvref, trace: Path) -> None:
    ended = kvref("explain", trace, "--target", "faulty", "--html", "deep/t.html")
    assert (ended.code, ended.out) == (1, "faulty differs from the reference at operation 5: deep/t.html\n")
    assert Path("deep/t.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_part_is_told_by_lines(kvref: Kvref, trace: Path) -> None:
    ended = kvref("explain", trace, "--target", "reference", "--from", 1, "--to", 2)
    assert "A scheduling step begins." in ended.out
    assert "r asks for slots" not in ended.out


def test_level_safe_tells_the_target_alone(kvref: Kvref, tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", *STEPS[:4])
    ended = kvref("explain", path, "--target", "optimized", "--level", "safe")
    assert (ended.code, ended.err) == (0, "")
    assert "optimized: nothing is wrong in 4 operations" in ended.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", 7], "--from 7: "),
        (["--to", -1], "--to -1: "),
        (["--from", 3, "--to", 2], "--from 3 comes after --to 2"),
        (["--target", "nobody"], "no target is called 'nobody'"),
        (["--level", "perfect"], 'Invalid value "perfect" for --level'),
        (
            ["--target", "reference", "--html", "/proc/nothing/p.html"],
            "/proc/nothing/p.html cannot be written",
        ),
        (["--target", "reference", "--html", "/dev/full"], "/dev/full cannot be written"),
    ],
    ids=str,
)
def test_bad_input_is_told_in_one_line(
    kvref: Kvref, trace: Path, options: list[object], message: str
) -> None:
    assert message in kvref("explain", trace, *options).refused


@pytest.mark.usefixtures("faulty")
def test_a_part_behind_the_divergence_is_refused(kvref: Kvref, trace: Path) -> None:
    ended = kvref("explain", trace, "--target", "faulty", "--from", 6)
    assert "told up to operation 5: give a lower --from" in ended.refused


@pytest.mark.usefixtures("faulty")
def test_a_finding_has_its_page_beside_its_trace(kvref: Kvref) -> None:
    ended = kvref("fuzz", "--target", "faulty", "--cases", 10)
    assert ended.code == 1
    traces = {path.stem for path in Path("findings").glob("*.json")}
    pages = {path.stem for path in Path("findings").glob("*.html")}
    assert len(pages) == 3  # those that are told
    assert pages < traces
    assert "page       findings/seed1-case0-small.html" in ended.out
    assert "faulty differs from the reference" in Path("findings/seed1-case0-small.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.usefixtures("faulty")
def test_a_replay_says_how_to_see_it_step_by_step(kvref: Kvref, trace: Path) -> None:
    assert f"kvref explain {trace} --target faulty" in kvref("replay", trace, "--target", "faulty").out


@pytest.mark.vllm
def test_a_known_deviation_of_the_real_vllm_is_told(kvref: Kvref) -> None:
    ended = kvref("explain", TRACES / "Q-1.json")
    assert (ended.code, ended.err) == (1, "")
    assert "known deviation Q-1 (unsafe)" in ended.out
    assert "The hit is the largest aligned length that every group serves." in " ".join(ended.out.split())


def test_an_interrupt_ends_quietly(kvref: Kvref, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place in (common, named):
        monkeypatch.setattr(place, "open_target", interrupted)
    ended = kvref("explain", trace)
    assert (ended.code, ended.err) == (130, "")
