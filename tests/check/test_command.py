"""The command tells what it has exhausted, and ends as every command does."""

from pathlib import Path

import pytest

from kvref.targets import named
from kvref.targets.inprocess import InProcessTarget
from tests.check.test_explore import _ForgetsToQueue
from tests.test_cli import Kvref
from tests.test_cli import kvref as kvref  # noqa: PLC0414 - a fixture

SMALL = ("--letters", 1)


def test_what_is_exhausted_is_said(kvref: Kvref) -> None:
    ended = kvref("check", "full", *SMALL)
    assert (ended.code, ended.err) == (0, "")
    assert "exhausted" in ended.out


def test_what_is_not_exhausted_is_said_too(kvref: Kvref) -> None:
    ended = kvref("check", "full", "--most-states", 5)
    assert ended.code == 0
    assert "exhausted" not in ended.out


def test_a_counterexample_is_kept_as_a_trace(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = InProcessTarget("faulty", _ForgetsToQueue)
    monkeypatch.setattr("kvref.cli.common.open_target", lambda *_, **__: faulty)
    monkeypatch.setattr(named, "open_target", lambda *_, **__: faulty)
    ended = kvref("check", "full", "--target", "faulty", *SMALL)
    assert ended.code == 1
    (kept,) = Path("findings").rglob("*.json")
    assert "2 operations: kvref replay" in ended.out
    assert kvref("replay", kept, "--target", "faulty").code == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("none-such",), "no configuration is called 'none-such'"),
        (("full", "--blocks", 0), "--blocks 0 is not positive"),
        (("full", "--target", "vllm==0.23.0"), "needs a target in this process"),
    ],
)
def test_what_cannot_be_asked_is_one_line(kvref: Kvref, asked: tuple[object, ...], words: str) -> None:
    ended = kvref("check", *asked)
    assert ended.code == 2
    assert words in ended.err
