"""The command `kvref`: exit code 0 all well, 1 a divergence was found, 2 bad input told in one line."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from rich.console import Console

from kvref.cli import common
from kvref.errors import UserError
from kvref.fuzz.campaign import Report, Settings
from kvref.fuzz.report import progress
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Trace,
)
from kvref.targets import named
from kvref.targets.base import CaseResult
from kvref.targets.deviations import Catalogue, Deviation, Verdict
from tests.command import Ended, Kvref
from tests.fuzz.faults import FaultyTarget, FreesInReverse

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
STEPS: tuple[Operation, ...] = (
    NewRequest("r", tuple(range(9))),
    NewStep(),
    Lookup("r"),
    Allocate("r", 0, 9, hit=0),
    NewStep(),
    Free("r"),
)


def command(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command as a process of its own."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "kvref.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **{"stdout": subprocess.PIPE} | more,
    )


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyTarget:
    """A target that diverges, under the name `faulty`; the others stay."""
    return installed(monkeypatch, FaultyTarget(FreesInReverse))


def installed(monkeypatch: pytest.MonkeyPatch, target: FaultyTarget) -> FaultyTarget:
    for place in (common, named):
        monkeypatch.setattr(place, "open_target", lambda *_, **__: target)
    return target


def written(path: Path, *steps: Operation, configuration: Configuration = FULL) -> Path:
    path.write_bytes(msgspec.json.encode(Trace(configuration, steps or STEPS)))
    return path


# All well


@pytest.mark.parametrize("level", ["exact", "invariants"])
def test_the_reference_agrees_with_itself(kvref: Kvref, level: str) -> None:
    ended = kvref("fuzz", "--target", "reference", "--level", level, "--cases", 20)
    assert (ended.code, ended.err) == (0, "")
    assert "operations compared in 20 cases" in ended.out
    assert ended.out.endswith("0 findings\n")
    assert list(Path().iterdir()) == []


def test_a_campaign_is_repeated_by_its_seed(kvref: Kvref) -> None:
    def coverage(*more: object) -> Any:
        assert kvref("fuzz", "--target", "reference", "--cases", 10, "--report", "r.json", *more).code == 0
        seen = json.loads(Path("r.json").read_bytes())
        return seen["coverage"], seen["operations"]

    assert coverage("--seed", 3) == coverage("--seed", 3) != coverage("--seed", 4)


def test_the_report_says_what_was_done(kvref: Kvref) -> None:
    arguments = ("--cases", 10, "--length", 30, "--profile", "clean", "--report", "deep/r.json")
    kvref("fuzz", "--target", "reference", *arguments)
    seen = json.loads(Path("deep/r.json").read_bytes())
    assert {name: seen[name] for name in ("target", "seed", "profile", "level", "cases", "operations")} == {
        "target": "reference",
        "seed": 1,
        "profile": "clean",
        "level": "exact",
        "cases": 10,
        "operations": 300,
    }
    assert seen["findings"] == []
    assert seen["coverage"]["full"]["hit"] > 0


def test_workers_and_slices_see_the_same_cases(kvref: Kvref) -> None:
    def seen(*more: object) -> dict[str, Any]:
        arguments = ("--target", "reference", "--cases", 60, "--length", 10, "--report", "r.json")
        assert kvref("fuzz", *arguments, *more).code == 0
        told: dict[str, Any] = json.loads(Path("r.json").read_bytes())
        return {
            name: told[name] for name in ("cases", "operations", "coverage", "histogram", "median_length")
        }

    whole = seen()
    assert seen("--workers", 2) == whole
    thirds = [seen("--slice", f"{number}/3") for number in (1, 2, 3)]
    assert [one["cases"] for one in thirds] == [20, 20, 20]
    assert sum(one["operations"] for one in thirds) == whole["operations"]


def test_a_campaign_goes_on_from_its_state(kvref: Kvref) -> None:
    arguments = ("fuzz", "--target", "reference", "--length", 10, "--state", "here")
    first = kvref(*arguments, "--cases", 40)
    again = kvref(*arguments, "--cases", 40)
    assert (first.code, again.code) == (0, 0)
    assert "operations compared in 40 cases" in again.out
    assert "cases 40, not 50" in kvref(*arguments, "--cases", 50).refused
    Path("here/campaign.state").write_bytes(b"cut")
    assert "here/campaign.state is damaged" in kvref(*arguments, "--cases", 40).refused


def test_a_campaign_that_reached_too_little_fails_and_says_where(kvref: Kvref) -> None:
    ended = kvref("fuzz", "--target", "reference", "--cases", 20, "--length", 5, "--floor", 1)
    assert ended.code == 1
    assert "below the floor: full, preempted, eviction 0 visits, not 1" in ended.out
    assert "0 findings" in ended.out


def test_a_guided_campaign_is_another_one_and_says_so(kvref: Kvref) -> None:
    def seen(choice: str) -> dict[str, Any]:
        kvref("fuzz", "--target", "reference", "--cases", 20, "--guidance", choice, "--report", "r.json")
        told: dict[str, Any] = json.loads(Path("r.json").read_bytes())
        return told

    on, off = seen("on"), seen("off")
    assert (on["guidance"], off["guidance"]) == (True, False)
    assert on["coverage"] != off["coverage"]


def test_a_trace_that_agrees_is_counted(kvref: Kvref, tmp_path: Path) -> None:
    ended = kvref("replay", written(tmp_path / "t.json"), "--target", "reference")
    assert (ended.code, ended.err) == (0, "")
    assert "6 of 6 operations agree" in ended.out


def test_a_replay_may_end_at_a_line(kvref: Kvref, tmp_path: Path) -> None:
    path = written(tmp_path / "t.json")
    assert "3 of 3 operations agree" in kvref("replay", path, "--target", "reference", "--until", 2).out
    too_far = kvref("replay", path, "--target", "reference", "--until", 6)
    assert (too_far.code, "has operations 0 to 5" in too_far.err) == (2, True)


def test_targets_are_listed(kvref: Kvref) -> None:
    ended = kvref("targets")
    assert ended.code == 0
    assert ended.out.splitlines()[:4] == ["compiled", "optimized", "reference", "vllm"]


def test_the_schema_is_json_and_accepts_a_trace(kvref: Kvref, tmp_path: Path) -> None:
    ended = kvref("schema")
    assert ended.code == 0
    jsonschema.validate(json.loads(written(tmp_path / "t.json").read_bytes()), json.loads(ended.out))


def test_help_and_the_version_are_told(kvref: Kvref) -> None:
    assert kvref("--help").code == kvref().code == 0
    assert "fuzz" in kvref("--help").out
    assert kvref("--version").out == "0.1.0\n"


# A divergence


def test_a_divergence_is_shown_and_its_trace_kept(kvref: Kvref, faulty: FaultyTarget) -> None:
    ended = kvref("fuzz", "--target", "faulty", "--cases", 10)
    assert (ended.code, ended.err) == (1, "")
    assert "case 0: Free differs in free queue" in ended.out
    assert "kvref replay findings/seed1-case0.json --target faulty" in ended.out
    kept = sorted(path.name for path in Path("findings").glob("*[0-9].json"))
    assert f"{len(kept)} findings" in ended.out
    assert faulty.closed


@pytest.mark.usefixtures("faulty")
def test_findings_are_told_by_what_differs(kvref: Kvref) -> None:
    ended = kvref("fuzz", "--target", "faulty", "--cases", 10, "--report", "r.json")
    told = json.loads(Path("r.json").read_bytes())
    assert told["findings_met"] >= len(told["findings"]) > 0
    assert "sorts" in ended.out
    assert "│ Free  │ free queue" in ended.out


@pytest.mark.usefixtures("faulty")
def test_a_kept_trace_replays(kvref: Kvref) -> None:
    kvref("fuzz", "--target", "faulty", "--cases", 1, "--findings", "here")
    ended = kvref("replay", "here/seed1-case0.json", "--target", "faulty")
    length = len(json.loads(Path("here/seed1-case0.json").read_bytes())["operations"])
    assert (ended.code, ended.err) == (1, "")
    assert f"{length - 1} of {length} operations agree" in ended.out
    assert "Free differs in free queue" in ended.out


def test_a_known_deviation_is_a_divergence_too_and_is_named(
    kvref: Kvref, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    catalogue: Catalogue = (
        Deviation("Q-0", "FREE-3", ("1",), Verdict.COSMETIC, "turned", lambda _: True, lambda _: True),
    )
    installed(monkeypatch, FaultyTarget(FreesInReverse, catalogue))
    ended = kvref("replay", written(tmp_path / "t.json"), "--target", "faulty")
    assert ended.code == 1
    assert "5 of 6 operations agree" in ended.out
    assert "known deviation Q-0 (cosmetic): turned" in ended.out
    assert kvref("fuzz", "--target", "faulty", "--cases", 5).code == 0


# Bad input

OPTIONS: list[tuple[list[object], str]] = [
    (["fuzz", "--target", "nobody"], "no target is called 'nobody'"),
    (["fuzz", "--target", ""], "no target is called ''"),
    (["fuzz", "--target", "reference==1"], "has no release"),
    (["fuzz", "--cases", 0], "--cases 0 is not positive"),
    (["fuzz", "--cases", -1], "--cases -1 is not positive"),
    (["fuzz", "--length", 0], "--length 0 is not positive"),
    (["fuzz", "--length", -9], "--length -9 is not positive"),
    (["fuzz", "--seconds", -1], "--seconds -1.0 is not positive"),
    (["fuzz", "--seconds", "nan"], "--seconds nan is not positive"),
    (["fuzz", "--first", -1], "--first -1 is negative"),
    (["fuzz", "--workers", 0], "--workers 0 is not positive"),
    (["fuzz", "--floor", 0], "--floor 0 is not positive"),
    (["fuzz", "--slice", "4/3"], "--slice 4/3 is no share"),
    (["fuzz", "--guidance", "perhaps"], 'Invalid value "perhaps" for --guidance'),
    (["fuzz", "--cases", "many"], 'unable to convert "many"'),
    (["fuzz", "--level", "perfect"], 'Invalid value "perfect" for --level'),
    (["fuzz", "--profile", "dirty"], 'Invalid value "dirty" for --profile'),
    (["fuzz", "--colour"], "Unknown option: --colour"),
    (["fuzz", "--seed"], "--seed requires an argument"),
    (["--colour"], '"--colour"'),
    (["divine"], 'Unknown command "divine"'),
    (["replay"], "--trace requires an argument"),
    (["replay", "nowhere.json", "--target", "reference"], "nowhere.json cannot be read"),
    (["replay", ".", "--target", "reference"], "Is a directory"),
]


@pytest.mark.parametrize(("arguments", "message"), OPTIONS, ids=[" ".join(map(str, o[0])) for o in OPTIONS])
def test_bad_options_are_told_in_one_line(kvref: Kvref, arguments: list[object], message: str) -> None:
    ended = kvref(*arguments)
    assert message in ended.refused
    assert ended.out == ""


def broken_trace(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


def test_a_trace_cut_in_half_is_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    whole = written(tmp_path / "t.json").read_bytes()
    ended = kvref("replay", broken_trace(tmp_path / "half.json", whole[: len(whole) // 2]))
    assert "half.json is not a trace of format 1" in ended.refused


def test_a_trace_of_another_format_is_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    text = json.loads(written(tmp_path / "t.json").read_bytes()) | {"format": 2}
    ended = kvref("replay", broken_trace(tmp_path / "new.json", json.dumps(text).encode()))
    assert "new.json is not a trace of format 1" in ended.refused


def test_an_operation_on_an_unknown_request_is_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    ended = kvref("replay", written(tmp_path / "t.json", NewStep(), Free("r")), "--target", "reference")
    assert "operation 1 names request 'r', which has not arrived" in ended.refused


def test_a_hit_of_a_lookup_that_was_not_made_is_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    steps = (NewRequest("r", (1, 2)), NewStep(), Allocate("r", 0, 2, hit=0))
    ended = kvref("replay", written(tmp_path / "t.json", *steps), "--target", "reference")
    assert "operation 2 uses a lookup that was not made" in ended.refused


def test_too_few_embeddings_are_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", NewRequest("r", (1, 2), embeds=b"1234"))
    assert "4 bytes of embeds a token" in kvref("replay", path, "--target", "reference").refused


def test_level_invariants_needs_a_target_in_this_process(
    kvref: Kvref, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = installed(monkeypatch, FaultyTarget(FreesInReverse))
    del target.opener
    assert "needs a target in this process" in kvref("fuzz", "--level", "invariants", "--cases", 1).refused


# A world that does not go along


@pytest.mark.parametrize("report", ["/dev/full", "/proc/nothing/r.json", "file/r.json"])
def test_a_report_that_cannot_be_written_is_told_in_one_line(kvref: Kvref, report: str) -> None:
    Path("file").touch()
    ended = kvref("fuzz", "--target", "reference", "--cases", 2, "--report", report)
    assert f"{report} cannot be written" in ended.refused
    assert "operations compared in 2 cases" in ended.out


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("folder", ["/proc/nothing", "file"])
def test_findings_that_cannot_be_written_are_shown_all_the_same(kvref: Kvref, folder: str) -> None:
    Path("file").touch()
    ended = kvref("fuzz", "--target", "faulty", "--cases", 2, "--findings", folder)
    assert "cannot be written" in ended.refused
    assert "case 0: Free differs in free queue" in ended.out
    assert "kvref replay" not in ended.out


class Dies(FaultyTarget):
    """Finds something in its first batch, and dies in its second."""

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        if self.ran:
            raise UserError("the worker\nhas died")
        return super().run(traces)


def test_a_target_that_dies_is_told_behind_what_was_found(
    kvref: Kvref, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = installed(monkeypatch, Dies(FreesInReverse))
    ended = kvref("fuzz", "--target", "faulty", "--cases", 90, "--length", 20)
    assert ended.refused == "kvref: the worker has died"
    assert "Free differs in free queue" in ended.out
    assert list(Path("findings").iterdir())
    assert target.closed


@pytest.mark.parametrize(
    "arguments", [("schema",), ("targets",), ("fuzz", "--target", "reference", "--cases", "1")]
)
def test_standard_output_on_a_full_disk_is_told_in_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = command(*arguments, stdout=full)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "No space left on device" in ended.stderr


def test_a_reader_that_went_away_is_no_divergence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = command("targets", stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (2, "kvref: [Errno 32] Broken pipe\n")


def test_an_interrupt_before_the_campaign_ends_quietly(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place in (common, named):
        monkeypatch.setattr(place, "open_target", interrupted)
    assert kvref("fuzz", "--cases", 1) == Ended(130, "", "")


def test_a_process_of_its_own_ends_with_the_same_codes() -> None:
    fine = command("fuzz", "--target", "reference", "--cases", "3")
    assert (fine.returncode, fine.stderr) == (0, "")
    bad = command("fuzz", "--target", "nobody")
    assert bad.returncode == 2
    assert (
        bad.stderr
        == "kvref: no target is called 'nobody': choose one of compiled, optimized, reference, vllm, zoo, or module:attribute\n"
    )


# What is shown


def test_piped_output_has_no_live_display() -> None:
    said = command("fuzz", "--target", "reference", "--cases", "90", "--length", "5").stdout
    assert "\x1b" not in said
    assert "\r" not in said
    assert "a CPU second, 90 configurations" not in said


def test_a_terminal_has_a_live_display() -> None:
    terminal = Console(force_terminal=True, highlight=False, width=200)
    with terminal.capture() as said, progress(terminal) as tell:
        tell(Report("reference", Settings(1, 90, None), cases=40))
    assert "40/90 cases" in said.get()
    assert "\x1b" in said.get()


def test_without_a_terminal_progress_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("kvref.fuzz.report.time.monotonic", lambda: now[0])
    plain = Console(force_terminal=False, width=200)
    with plain.capture() as said, progress(plain) as tell:
        for second in range(0, 150, 10):
            now[0] = float(second)
            tell(Report("reference", Settings(1, None, 150.0), cases=second))
    lines = said.get().splitlines()
    assert [line.split()[0] for line in lines] == ["60", "120"]
