"""A campaign that is killed at any moment goes on, and has lost no finding and counted nothing twice."""

import subprocess
import sys
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.fuzz import state
from kvref.fuzz.campaign import Ledger, Memory, conduct
from kvref.fuzz.settings import BATCH, Settings, Slice
from kvref.fuzz.state import NAME, state_in
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Here
from tests.fuzz.crews import SETTINGS, SHARDS, alone, empty, faulty_runner


def kept_in(folder: Path, settings: Settings = SETTINGS) -> Report:
    with state_in(folder, empty(settings)) as ledger:
        return ledger.report


def campaign(folder: Path, settings: Settings = SETTINGS) -> Report:
    with state_in(folder, empty(settings)) as ledger:
        return alone(settings, ledger)


def killed(folder: Path, moment: int, workers: int = 0) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "tests.fuzz.crews", str(folder), str(moment), str(workers)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603


def test_a_campaign_that_is_killed_in_a_loop_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Each run dies a step later than the one before: in every step of keeping a state, and behind it."""
    deaths = 0
    for moment in range(6, 200):
        ended = killed(tmp_path, moment)
        if ended.returncode == 0:
            break
        assert ended.returncode == -9, ended.stderr
        deaths += 1
    assert deaths >= 6
    assert ended.stdout.endswith("done\n")
    assert kept_in(tmp_path).timeless == alone().timeless


def test_so_does_one_with_processes(tmp_path: Path) -> None:
    deaths = sum(killed(tmp_path, moment, workers=2).returncode == -9 for moment in (12, 17))
    assert deaths == 2
    assert killed(tmp_path, 0, workers=2).returncode == 0
    assert kept_in(tmp_path).timeless == alone().timeless


def test_a_finished_campaign_is_told_again_and_nothing_is_run(tmp_path: Path) -> None:
    first = campaign(tmp_path)
    submitted: list[object] = []
    with state_in(tmp_path, empty()) as ledger, faulty_runner(SETTINGS) as runner:
        here = Here(runner)
        here.submit = submitted.append  # type: ignore[method-assign,assignment]
        again = conduct(here, ledger, lambda _: None)
    assert submitted == []
    assert again.timeless == first.timeless


def test_an_interrupted_campaign_goes_on(tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        if report.cases >= 2 * BATCH:
            raise KeyboardInterrupt

    with state_in(tmp_path, empty()) as ledger, faulty_runner(SETTINGS) as runner:
        cut = conduct(Here(runner), ledger, interrupt)
    assert 2 * BATCH <= cut.cases < SHARDS * BATCH
    assert campaign(tmp_path).timeless == alone().timeless


def test_what_was_seen_of_half_a_shard_is_told_and_not_counted_twice(tmp_path: Path) -> None:
    class HalfWay(Memory):
        """As `State`, so far as `conduct` sees it."""

    settings = Settings(1, BATCH, length=20)

    def half(ledger: Ledger) -> Report:
        with faulty_runner(settings) as runner:
            target = runner.target  # type: ignore[attr-defined]
            original, left = target.picture, [2]

            def picture(trace: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                return original(trace)

            target.picture = picture
            return conduct(Here(runner), ledger, lambda _: None)

    with state_in(tmp_path, empty(settings)) as ledger:
        told = half(ledger)
    assert 0 < told.cases < BATCH
    assert len(told.findings) == 2
    assert kept_in(tmp_path, settings).cases == 0
    assert campaign(tmp_path, settings).timeless == alone(settings).timeless
    assert half(HalfWay(empty(settings))).timeless == told.timeless


def test_slices_keep_their_own_places(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, slice=Slice(2, 3))
    with state_in(tmp_path, empty(settings)) as ledger:
        shards = list(settings.shards())
        assert [shard.number for shard in shards] == [1, 4]
        ledger.finish(shards[1].number)
        assert [ledger.is_finished(shard.number) for shard in shards] == [False, True]
        ledger.keep()
    with state_in(tmp_path, empty(settings)) as ledger:
        assert [ledger.is_finished(shard.number) for shard in shards] == [False, True]
        ledger.finish(shards[0].number)
        assert [ledger.is_finished(shard.number) for shard in shards] == [True, True]
    assert campaign(tmp_path / "whole", settings).timeless == alone(settings).timeless


# A state that cannot be used


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(2, SETTINGS.cases, length=20), "seed 1, not 2"),
        (Settings(1, 7, length=20), f"cases {SETTINGS.cases}, not 7"),
        (Settings(1, SETTINGS.cases, length=21), "length 20, not 21"),
        (Settings(1, SETTINGS.cases, length=20, level="safe"), "level exact, not safe"),
        (Settings(1, SETTINGS.cases, length=20, slice=Slice(1, 2)), "slice 1/1, not 1/2"),
    ],
)
def test_a_state_of_other_settings_is_refused(tmp_path: Path, settings: Settings, message: str) -> None:
    kept_in(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        kept_in(tmp_path, settings)
    assert "choose another --state" in str(refused.value)


def test_a_state_of_another_target_is_refused(tmp_path: Path) -> None:
    kept_in(tmp_path)
    with (
        pytest.raises(UserError, match="target faulty, not other"),
        state_in(tmp_path, Report("other", SETTINGS)),
    ):
        pass


def test_a_campaign_may_take_another_time(tmp_path: Path) -> None:
    kept_in(tmp_path, Settings(1, None, seconds=0.1))
    assert kept_in(tmp_path, Settings(1, None, seconds=9.0)).settings.seconds == 9.0


def test_a_state_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_in(tmp_path)
    monkeypatch.setattr(state, "source_version", lambda: "another")
    with pytest.raises(UserError, match="of another version of kvref"):
        kept_in(tmp_path)


CUTS: list[Callable[[bytes], bytes]] = [
    lambda raw: raw[:0],
    lambda raw: raw[:10],
    lambda raw: raw[:-1],
    lambda raw: raw[: len(raw) // 2],
    lambda raw: raw + b"\0",
    lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
    lambda raw: b"something else" + raw,
]


@pytest.mark.parametrize("cut", CUTS)
def test_a_damaged_state_is_told_in_one_line(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    campaign(tmp_path, Settings(1, BATCH, length=5))
    path = tmp_path / NAME
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(UserError, match="is damaged, or no campaign"):
        kept_in(tmp_path, Settings(1, BATCH, length=5))


def test_one_folder_is_for_one_campaign_at_a_time(tmp_path: Path) -> None:
    with (
        state_in(tmp_path, empty()),
        pytest.raises(UserError, match="in use by another campaign"),
        state_in(tmp_path, empty()),
    ):
        pass


def test_a_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used"):
        kept_in(tmp_path / "file")


def test_a_full_disk_ends_the_campaign_and_the_state_before_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = [0]
    original = state._replace

    def full(path: Path, raw: bytes) -> None:
        writes[0] += 1
        if writes[0] > 3:
            path.with_suffix(".new").write_bytes(raw[:7])
            raise OSError(ENOSPC, "No space left on device", str(path))
        original(path, raw)

    with monkeypatch.context() as patched:
        patched.setattr(state, "_replace", full)
        report = campaign(tmp_path)
    assert "cannot be written (No space left on device)" in str(report.failure)
    assert report.findings
    assert 0 < kept_in(tmp_path).cases < SHARDS * BATCH
    assert campaign(tmp_path).timeless == alone().timeless
