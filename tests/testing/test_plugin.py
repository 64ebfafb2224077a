"""`pytest --kvref-target`, in sessions of their own."""

import json
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MANAGERS = """
from kvref.operations import Free, Observation
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession

class Leaky(OptimizedSession):
    def apply(self, operation):
        return Observation() if isinstance(operation, Free) else super().apply(operation)

class Harmless(OptimizedSession):
    def __init__(self, configuration):
        from kvref.errors import ConfigurationError
        raise ConfigurationError("nothing can be built")
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(managers=MANAGERS)
    return pytester


def run(session: pytest.Pytester, *options: str) -> pytest.RunResult:
    return session.runpytest_subprocess("-p", "kvref.pytest_plugin", "-p", "no:cacheprovider", *options)


def test_without_a_target_nothing_is_added(session: pytest.Pytester) -> None:
    session.makepyfile(test_one="def test_one(): pass")
    run(session).assert_outcomes(passed=1)


def test_a_failing_share_tells_the_smallest_trace_and_how_to_see_it_again(session: pytest.Pytester) -> None:
    result = run(session, "--kvref-target", "managers:Leaky", "--kvref-shares", "1")
    result.assert_outcomes(failed=1)
    [written] = (session.path / "findings").iterdir()
    result.stdout.fnmatch_lines(
        [
            "managers:Leaky, level exact, after 4 operations: Free(request='a')",
            "*queue-order: expected holds*",
            f"*kvref replay findings/{written.name} --target managers:Leaky",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert len(json.loads(written.read_text())["operations"]) == 4


def test_a_finding_is_seen_again_at_the_level_where_it_was_made(session: pytest.Pytester) -> None:
    result = run(
        session, "--kvref-target", "managers:Leaky", "--kvref-shares", "1", "--kvref-level", "invariants"
    )
    result.assert_outcomes(failed=1)
    [written] = (session.path / "findings").iterdir()
    again = f"kvref replay findings/{written.name} --target managers:Leaky --level invariants"
    result.stdout.fnmatch_lines([f"*{again}"])
    seen = session.run(sys.executable, "-m", "kvref.cli", *again.split()[1:])
    assert seen.ret == 1
    seen.stdout.fnmatch_lines(["*wrong at operation *Free(request='a')*"])


def test_shares_are_the_same_in_every_run_and_on_every_worker(session: pytest.Pytester) -> None:
    def failures(*options: str) -> tuple[list[str], list[str]]:
        result = run(session, "--kvref-target", "managers:Leaky", "--kvref-shares", "3", "-rf", *options)
        result.assert_outcomes(failed=3)
        folder = session.path / "findings"
        told = sorted(line for line in result.outlines if line.startswith("FAILED kvref::exact["))
        found = sorted(path.name for path in folder.iterdir())
        for path in folder.iterdir():
            path.unlink()
        return told, found

    alone = failures()
    assert [line.split()[1] for line in alone[0]] == [f"kvref::exact[{n}/3]" for n in (1, 2, 3)]
    assert failures("-n", "2") == alone


def test_a_name_of_kvrefs_targets_will_do_and_shares_can_be_chosen_by_their_mark(
    session: pytest.Pytester,
) -> None:
    session.makepyfile(test_one="def test_one(): pass")
    options = ("--kvref-target", "optimized", "--kvref-level", "invariants", "--kvref-shares", "2")
    result = run(session, *options, "-m", "kvref", "-k", "1/2", "--strict-markers")
    result.assert_outcomes(passed=1, deselected=2)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--kvref-target", "nobody"), "no target is called 'nobody': choose one of *"),
        (("--kvref-target", "managers:nobody"), "target managers:nobody: * has no attribute 'nobody'*"),
        (("--kvref-level", "best"), "--kvref-level best: choose one of exact, hits, safe, invariants"),
        (("--kvref-profile", "fast"), "--kvref-profile fast: choose one of ci, nightly, soak"),
        (("--kvref-shares", "0"), "--kvref-shares 0: give a whole number, at least 1"),
        (("--kvref-shares", "many"), "--kvref-shares many: give a whole number, at least 1"),
    ],
)
def test_a_bad_value_is_one_clear_line(session: pytest.Pytester, options: tuple[str, str], line: str) -> None:
    result = run(session, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {line}"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_without_hypothesis_it_says_what_to_install(session: pytest.Pytester) -> None:
    session.makepyfile(
        hypothesis="raise ModuleNotFoundError('No module named hypothesis', name='hypothesis')"
    )
    result = run(session, "-p", "no:hypothesispytest", "--kvref-target", "optimized")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kvref-target needs Hypothesis: pip install 'kvref[[]testing]'"])


def test_a_folder_that_cannot_be_written_loses_no_finding(session: pytest.Pytester) -> None:
    Path(session.path / "findings").write_text("a file, not a folder")
    result = run(session, "--kvref-target", "managers:Leaky", "--kvref-shares", "1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["as a trace: {*", "findings/*.json cannot be written *"])
