"""The commands and the page of a user's own catalogue: --against, --known, `kvref triage`, docs/known.md."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvref.cli import common
from kvref.facts import facts
from kvref.known_file import read_known
from kvref.operations import Free, FullGroup
from kvref.targets import named
from kvref.targets.base import Target
from kvref.targets.capabilities import everything
from kvref.targets.deviations import Situation
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from tests.command import Kvref
from tests.dataplane.faults import told
from tests.fuzz.faults import CountsAQueryTooMany, FaultyTarget, FreesInReverse
from tests.test_cli import FULL, STEPS, written

PAGE = (Path(__file__).parents[1] / "docs" / "known.md").read_text()
CASES = ("--cases", 20)
ANY = """\
from kvref.known import Deviation, Verdict
KNOWN = (Deviation("{name}", "", (), Verdict.UNSAFE, "what we mean", lambda c: True, lambda s: {recognises}),)
"""

Known = Callable[..., Path]


class Closing(InProcessTarget):
    """Counts how often it was closed."""

    def __init__(self, name: str, opener: Opener) -> None:
        super().__init__(name, opener)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Closing]:
    """The reference, and managers with a fault, by name."""
    openers: dict[str, Opener] = {
        "sound": ReferenceSession,
        "reverse": FreesInReverse,
        "counts": CountsAQueryTooMany,
    }
    found = {name: Closing(name, opener) for name, opener in openers.items()}
    found["counts"].capabilities = replace(everything("counts"), is_sound=False)

    def open_target(name: str, **_: object) -> Target:
        return ReferenceTarget() if name == "reference" else found[name]

    for place in (common, named):
        monkeypatch.setattr(place, "open_target", open_target)
    return found


@pytest.fixture
def known(tmp_path: Path) -> Known:
    def write(recognises: str = "True", name: str = "mine") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(ANY.format(name=name, recognises=recognises))
        return path

    return write


# Two targets


def test_two_targets_are_named_and_told_apart(kvref: Kvref, targets: dict[str, Closing]) -> None:
    ended = kvref("fuzz", "--target", "reverse", "--against", "counts", *CASES, "--report", "r.json")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("reverse against counts, seed 1, profile mixed\n")
    assert re.search(r"what +┃ counts +┃ reverse", ended.out)
    assert "--target reverse --against counts" in ended.out
    assert json.loads(Path("r.json").read_bytes())["against"] == "counts"
    assert [targets[name].closed for name in ("reverse", "counts")] == [1, 1]


@pytest.mark.usefixtures("targets")
def test_two_that_agree_end_well(kvref: Kvref) -> None:
    assert kvref("fuzz", "--target", "counts", "--against", "counts", *CASES).code == 0
    assert kvref("fuzz", "--target", "sound", "--against", "reference", *CASES).code == 0


@pytest.mark.usefixtures("targets")
def test_a_finding_of_two_replays_as_it_says(kvref: Kvref) -> None:
    said = kvref("fuzz", "--target", "reverse", "--against", "sound", *CASES).out
    (line, *_) = re.findall(r"^replay +kvref (.*)$", said, re.MULTILINE)
    ended = kvref(*line.split())
    assert (ended.code, ended.err) == (1, "")
    assert re.search(r"what +┃ sound +┃ reverse", ended.out)
    trace = line.split()[1]
    assert kvref("replay", trace, "--target", "sound", "--against", "reverse").code == 1
    assert kvref("replay", trace, "--target", "reverse", "--against", "reverse").code == 0


@pytest.mark.usefixtures("targets")
@pytest.mark.parametrize("more", [("--level", "safe"), ("--level", "invariants"), ("--profile", "clean")])
def test_two_are_compared_exactly_or_not_at_all(kvref: Kvref, more: tuple[str, ...]) -> None:
    ended = kvref("fuzz", "--target", "sound", "--against", "counts", *more)
    assert "--against compares two targets at --level exact, --profile mixed" in ended.refused


def test_a_target_that_cannot_be_drawn_on(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (common, named):
        monkeypatch.setattr(place, "open_target", lambda *_, **__: FaultyTarget(FreesInReverse))
    ended = kvref("fuzz", "--target", "faulty", "--against", "faulty")
    assert "--against faulty cannot be asked one operation at a time" in ended.refused


# A catalogue


@pytest.mark.usefixtures("targets")
def test_what_is_meant_is_counted_and_no_finding(kvref: Kvref, known: Known) -> None:
    ended = kvref("fuzz", "--target", "reverse", *CASES, "--known", known())
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"│ mine +│ +[1-9]\d* │ unsafe", ended.out)
    assert "never met" not in ended.out


def test_at_level_safe_only_what_is_unsafe_excuses(
    kvref: Kvref, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (common, named):
        monkeypatch.setattr(place, "open_target", lambda *_, **__: InProcessTarget("x", told(monkeypatch)))
    safe = ("fuzz", "--target", "x", "--level", "safe", "--cases", 4)
    assert kvref(*safe).code == 1
    meant = kvref(*safe, "--known", known())
    assert (meant.code, meant.err) == (0, "")
    assert re.search(r"^mine [1-9]\d* times: what we mean$", meant.out, re.MULTILINE)
    path = known()
    path.write_text(path.read_text().replace("UNSAFE", "COSMETIC"))
    assert kvref(*safe, "--known", path).code == 1


@pytest.mark.usefixtures("targets")
def test_what_is_not_met_is_told(kvref: Kvref, known: Known) -> None:
    files = ("--known", known("False", "first"), "--known", known("True", "second"))
    ended = kvref("fuzz", "--target", "reverse", *CASES, *files)
    assert ended.code == 0
    assert re.findall("^never met: .*$", ended.out, re.MULTILINE) == ["never met: first: what we mean"]


@pytest.mark.usefixtures("targets")
def test_a_replay_names_what_is_meant(kvref: Kvref, known: Known, tmp_path: Path) -> None:
    trace = written(tmp_path / "t.json")
    ended = kvref("replay", trace, "--target", "reverse", "--known", known())
    assert (ended.code, ended.err) == (1, "")
    assert "known deviation mine (unsafe): what we mean" in ended.out
    safe = kvref("replay", trace, "--target", "reverse", "--known", known(), "--level", "safe")
    assert "leave out --level safe" in safe.refused


@pytest.mark.usefixtures("targets")
def test_a_catalogue_that_fails_is_bad_input_and_loses_no_finding(kvref: Kvref, known: Known) -> None:
    ended = kvref("fuzz", "--target", "reverse", *CASES, "--known", known("1 / 0"))
    assert "mine: recognises failed: ZeroDivisionError: division by zero (line 2)" in ended.refused
    assert "0 findings" in ended.out
    wrong = kvref("fuzz", "--target", "reverse", *CASES, "--known", "nowhere.py")
    assert "nowhere.py cannot be read" in wrong.refused
    idle = kvref("fuzz", "--target", "reverse", "--level", "invariants", "--known", known())
    assert "compares nothing" in idle.refused


# Triage


@pytest.mark.usefixtures("targets")
@pytest.mark.parametrize("sides", [("reverse", "reference"), ("reverse", "sound"), ("sound", "counts")])
def test_a_draft_excuses_its_finding(kvref: Kvref, tmp_path: Path, sides: tuple[str, str]) -> None:
    target, against = sides
    trace = written(tmp_path / "t.json")
    both = ("--target", target, "--against", against)
    assert kvref("replay", trace, *both).code == 1
    drafted = kvref("triage", trace, *both, "--out", "mine.py")
    assert (drafted.code, drafted.out) == (0, "mine.py: edit it, and pass it with --known mine.py\n")
    (entry,) = read_known([Path("mine.py")])
    assert f"known deviation {entry.id} " in kvref("replay", trace, *both, "--known", "mine.py").out
    assert entry.releases == (target,)
    assert f"{target} differs from {against}." in Path("mine.py").read_text()
    assert kvref("triage", trace, *both).out == Path("mine.py").read_text()


@pytest.mark.usefixtures("targets")
def test_there_may_be_nothing_to_draft(kvref: Kvref, known: Known, tmp_path: Path) -> None:
    trace = written(tmp_path / "t.json")
    agrees = kvref("triage", trace, "--target", "sound")
    assert "agrees on sound and reference: there is nothing to draft" in agrees.refused
    is_known = kvref("triage", trace, "--target", "reverse", "--known", known())
    assert "shows mine, which is known" in is_known.refused


@pytest.mark.usefixtures("targets")
def test_a_draft_overwrites_nothing(kvref: Kvref, tmp_path: Path) -> None:
    trace = written(tmp_path / "t.json")
    Path("mine.py").write_text("mine")
    ended = kvref("triage", trace, "--target", "reverse", "--out", "mine.py")
    assert "mine.py cannot be written (File exists): choose another place" in ended.refused
    assert Path("mine.py").read_text() == "mine"


# The page


def test_the_pages_catalogue_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "intended.py"
    path.write_text(text)
    (entry,) = read_known([path])
    session = ReferenceSession(FULL)
    for operation in STEPS[:-1]:
        session.apply(operation)
    assert entry.concerns(FULL)
    assert entry.recognises(Situation(FULL, session, Free("r")))
    assert not entry.recognises(Situation(FULL, ReferenceSession(FULL), Free("r")))


def test_the_page_names_every_fact_and_field() -> None:
    names = set(re.findall(r'"([a-z_ ]+)"', PAGE))
    source = (Path(__file__).parents[1] / "kvref" / "facts.py").read_text()
    yielded = set(re.findall(r'yield "([a-z ]+)"', source))
    arguments = {"hit", "external", "delay", "lookahead", "encoder", "must_fit", "reserved"}
    assert len(yielded) == 8
    assert yielded | arguments <= names
    assert facts(Situation(FULL, ReferenceSession(FULL), Free("r"))) <= names
    for field in ("id", "rule", "releases", "verdict", "title", "concerns", "recognises", "at_construction"):
        assert f"| `{field}` |" in PAGE
    assert FullGroup.__struct_config__.tag in names


def test_the_pages_commands_have_the_options_of_ours(kvref: Kvref) -> None:
    for command in ("fuzz", "replay", "triage"):
        told = kvref(command, "--help").out
        for option in re.findall(rf"^    kvref {command} .*$", PAGE, re.MULTILINE):
            assert all(word in told for word in re.findall(r"--\w+", option))
