"""The command tells what it has exhausted, and ends as every command does."""

from pathlib import Path

import msgspec
import pytest

from kvref.check.faults import Where
from kvref.check.page import Results
from kvref.targets import named
from kvref.targets.inprocess import InProcessTarget
from tests.check.test_explore import _ForgetsToQueue
from tests.command import Kvref

SMALL = ("--letters", 1, "--no-by-hand")


def test_what_is_exhausted_is_said(kvref: Kvref) -> None:
    ended = kvref("check", "full", *SMALL)
    assert (ended.code, ended.err) == (0, "")
    assert "exhausted" in ended.out


def test_what_is_not_exhausted_is_said_too(kvref: Kvref) -> None:
    ended = kvref("check", "full", "--most-transitions", 5)
    assert ended.code == 0
    assert "exhausted" not in ended.out
    assert "stopped after" in " ".join(ended.out.split())


def test_the_scope_can_be_given_by_hand(kvref: Kvref) -> None:
    size = ("--blocks", 4, "--requests", 2, "--tokens", 6, "--asynchronous")
    assert kvref("check", "full", *size, "--most-transitions", 200, "--json", "found.json").code == 0
    (check,) = msgspec.json.decode(Path("found.json").read_bytes(), type=Results).checks
    bound = check.bound
    assert (bound.blocks, bound.requests, bound.tokens, bound.asynchronous) == (4, 2, 6, True)


def test_a_counterexample_is_kept_as_a_trace(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = InProcessTarget("faulty", _ForgetsToQueue)
    monkeypatch.setattr("kvref.check.tasks.open_target", lambda *_, **__: faulty)
    monkeypatch.setattr(named, "open_target", lambda *_, **__: faulty)
    ended = kvref("check", "full", "--target", "faulty", *SMALL)
    assert ended.code == 1
    (kept,) = Path("findings").rglob("*.json")
    assert "2 operations: kvref explain" in ended.out
    assert kvref("replay", kept, "--target", "faulty").code == 1
    assert kvref("explain", kept, "--target", "faulty").code == 1


def test_a_bug_of_the_zoo_is_looked_for(kvref: Kvref) -> None:
    ended = kvref("check", "--bug", "a-window-is-a-token-too-short")
    assert ended.code == 1
    assert "2 operations: kvref explain" in ended.out
    assert "--target zoo==a-window-is-a-token-too-short" in ended.out


def test_what_was_found_is_a_page(kvref: Kvref) -> None:
    names = ("full", "full+no-caching")
    ended = kvref("check", *names, *SMALL, "--page", "page.md", "--json", "found.json")
    assert ended.code == 0
    found = msgspec.json.decode(Path("found.json").read_bytes(), type=Results).checks
    assert [one.name for one in found] == [*names]
    page = Path("page.md").read_text(encoding="utf-8")
    for one in found:
        assert f"| {one.name} | {one.bound} | {one.states:,} | {one.transitions:,} | {one.depth} |" in page
    assert "2 of 2 are exhausted" in page


def test_what_was_exhausted_earlier_is_told_again_in_the_order_asked_for(kvref: Kvref) -> None:
    names = ("full+no-caching", "full")
    assert kvref("check", names[1], *SMALL, "--json", "earlier.json").code == 0
    again = ("--earlier", "earlier.json", "--json", "both.json", "--workers", 2)
    assert kvref("check", *names, *SMALL, *again).code == 0
    (earlier,) = msgspec.json.decode(Path("earlier.json").read_bytes(), type=Results).checks
    both = msgspec.json.decode(Path("both.json").read_bytes(), type=Results).checks
    assert [one.name for one in both] == [*names]
    assert both[1] == earlier


def test_what_never_came_about_is_said(kvref: Kvref) -> None:
    ended = kvref("check", "full+sliding", "--blocks", 3, *SMALL)
    # A table may wrap between any two words.
    assert {"exhausted,", "without", "hit,", "behind"} <= set(ended.out.split())


def test_a_fault_with_a_longer_counterexample_than_fuzzing_needs_is_told(
    kvref: Kvref, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvref.cli.check.FAULTS", {"sinks-are-not-set-aside": Where("sink")})
    ended = kvref("check", "--seeded-faults", "--json", "found.json")
    assert (ended.code, ended.err) == (0, "")
    assert "1 of 1 seeded faults found" in ended.out
    (fault,) = msgspec.json.decode(Path("found.json").read_bytes(), type=Results).faults
    less = Results(faults=[msgspec.structs.replace(fault, fuzzed=0)])
    Path("found.json").write_bytes(msgspec.json.encode(less))
    ended = kvref("check", "--seeded-faults", "--earlier", "found.json")
    assert ended.code == 1
    assert "0 of 1 seeded faults found" in ended.out


def test_an_interrupt_tells_what_was_reached(
    kvref: Kvref, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvref.check.explore._Search._expand", interrupt)
    ended = kvref("check", "full", "sliding", "--json", tmp_path / "check.json")
    assert ended.code == 130
    assert "interrupted" in ended.out
    assert "sliding" not in ended.out
    (kept,) = msgspec.json.decode((tmp_path / "check.json").read_bytes(), type=Results).checks
    assert (kept.name, kept.ending, kept.transitions) == ("full", "interrupt", 0)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("none-such",), "no configuration is called 'none-such'"),
        (("full+slidin",), "near it are full+sliding"),
        (("full", "--blocks", 0), "--blocks 0 is not positive"),
        (("full", "--tokens", 1), "--tokens less one 0 is not positive"),
        (("full", "--workers", 0), "--workers 0 is not positive"),
        (("full", "--earlier", "none.json"), "cannot be read"),
        (("full", "--earlier", __file__), "is not what kvref check --json writes"),
        (("full", "--target", "vllm==0.23.0"), "needs a target in this process"),
        (("--bug", "none-such"), "no bug is called 'none-such'"),
        (("full", *SMALL, "--page", "no/such/place"), "cannot be written"),
    ],
)
def test_what_cannot_be_asked_is_one_line(kvref: Kvref, asked: tuple[object, ...], words: str) -> None:
    ended = kvref("check", *asked)
    assert ended.code == 2
    assert words in ended.err
