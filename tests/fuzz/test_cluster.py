"""On a cluster of Ray a campaign finds what it finds alone. The cluster is local here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.fuzz.campaign import ATTEMPTS, Memory, conduct
from kvref.fuzz.cluster import LOCAL, Cluster
from kvref.fuzz.settings import BATCH, Settings
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Runner
from tests.fuzz.crews import SETTINGS, SHARDS, alone, empty, opens, run_on
from tests.fuzz.test_workers import broken_runner


def test_without_ray_it_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'kvref\[ray\]'"):
        Cluster(LOCAL, 1, opens())


@pytest.mark.ray
class TestOnRay:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("ray", reason="Ray is not installed")

    def test_a_cluster_finds_what_one_process_does(self) -> None:
        report = run_on(Cluster(LOCAL, 2, opens()))
        assert report.failure is None
        assert report.findings
        assert report.timeless == alone().timeless

    def test_a_shard_that_lost_its_actor_is_run_by_another(self, tmp_path: Path) -> None:
        report = run_on(Cluster(LOCAL, 2, partial(broken_runner, "killed", 1, tmp_path)))
        assert len(list(tmp_path.iterdir())) == SHARDS // 2
        assert report.failure is None
        assert report.timeless == alone().timeless

    def test_a_shard_that_kills_every_actor_is_given_up_and_told(self, tmp_path: Path) -> None:
        settings = Settings(1, 3 * BATCH, length=SETTINGS.length)
        report = run_on(Cluster(LOCAL, 2, partial(broken_runner, "killed", 9, tmp_path)), settings)
        told = f"cases 20 to 39 were given up after {ATTEMPTS} attempts: its actor ended ("
        assert str(report.failure).startswith(told)
        assert "\n" not in str(report.failure)
        assert report.cases == 2 * BATCH

    def test_a_target_that_cannot_be_opened_is_told(self) -> None:
        report = run_on(Cluster(LOCAL, 1, unopenable), Settings(1, BATCH))
        assert "attempts: no target of this name" in str(report.failure)

    def test_an_interrupt_keeps_what_was_found(self) -> None:
        def interrupt(report: Report) -> None:
            if report.cases:
                raise KeyboardInterrupt

        settings = Settings(1, 40 * BATCH, length=SETTINGS.length)
        report = conduct(Cluster(LOCAL, 2, opens(settings)), Memory(empty(settings)), interrupt)
        assert 0 < report.cases < 40 * BATCH
        assert report.findings

    def test_a_cluster_that_does_not_answer_is_told_in_one_line(self) -> None:
        with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
            Cluster("127.0.0.1:1", 1, opens())


@contextmanager
def unopenable() -> Iterator[Runner]:
    raise UserError("no target of this name")
    yield
