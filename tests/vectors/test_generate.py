"""A suite follows from its seed, covers what it says, and holds only what was checked."""

import re
from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.fuzz.coverage import EVENTS, ROWS
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
    Trace,
)
from kvref.targets.reference import ReferenceSession
from kvref.vectors.choose import FEATURES, MISTAKES, OPERATIONS, REFUSED, choose
from kvref.vectors.expect import Checked, expect
from kvref.vectors.form import FORMAT, Vector, VectorFile
from kvref.vectors.generate import add, generate
from kvref.vectors.rules import rules_of
from kvref.vectors.suite import read_found, read_suite
from kvref.witness import Witness
from tests.dataplane.faults import requests_without
from tests.fuzz.faults import LeaksABlock
from tests.rules_index import INDEX, read_index
from tests.vectors.suites import COMMITTED, small, written

ABSENT = {
    ("sink", "eviction"),
    ("cross", "hit"),
    ("cross", "eviction"),
    ("caching off", "hit"),
    ("caching off", "eviction"),
    ("skips reading", "hit"),
    ("context parallel", "eviction"),
}


def test_the_committed_suite_is_made_again_byte_for_byte() -> None:
    """After a change of what is drawn, or of the semantics: kvref vectors generate."""
    manifest, _ = read_suite(COMMITTED)
    again = generate(manifest.seed, manifest.cases, read_found(COMMITTED), ReferenceSession, lambda _: None)
    paths = [path for path in COMMITTED.rglob("*") if path.is_file() and path.name != "README.md"]
    assert {path.relative_to(COMMITTED).as_posix() for path in paths} == set(again.files)
    assert {
        path: (COMMITTED / path).read_bytes() == raw for path, raw in again.files.items()
    } == dict.fromkeys(again.files, True)
    assert sum(map(len, again.files.values())) < 5_000_000
    assert again.checked.slots > 300


def test_the_committed_suite_covers_every_kind_and_feature() -> None:
    _, files = read_suite(COMMITTED)
    assert {file.feature for file in files.values()} >= set(FEATURES)
    page = (COMMITTED / "COVERAGE.md").read_text()
    for row in ROWS:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {row} |")]
        counts = dict(zip(EVENTS, line.strip("| ").split(" | ")[1:], strict=True))
        assert {(row, event) for event, count in counts.items() if count == "-"} <= ABSENT
    for name in ("NewRequest", "Evict", "Reset", "TakeStats", "ContinueRequest", "RemoveSkipped", "StepEnds"):
        assert f"| {OPERATIONS} | {name} " in page
    for error in ("NothingToAllocateError", "UnhashedTokensError", "UnknownBlockError"):
        assert re.search(rf"^\| {MISTAKES} \| \w+: {error} \| [1-9]", page, re.MULTILINE)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    def made(seed: int) -> object:
        return generate(seed, 30, {}, ReferenceSession, lambda _: None).files

    assert made(3) == made(3) != made(4)


def test_a_chosen_trace_ends_where_its_cell_is_filled() -> None:
    chosen = choose(7, 60, ReferenceSession, lambda _: None)
    for feature, traces in chosen.traces().items():
        for what, trace in traces:
            if what == "hit" and feature in ("full", "one group"):
                *before, last = trace.operations
                session = ReferenceSession(trace.configuration)
                assert not any(session.apply(operation).tokens for operation in before)
                assert session.apply(last).tokens


def test_more_cases_give_shorter_traces() -> None:
    few, many = (choose(7, cases, ReferenceSession, lambda _: None).shortest for cases in (30, 90))
    assert few.keys() <= many.keys()
    assert all(many[cell][0] <= few[cell][0] for cell in few)
    assert any(many[cell][0] < few[cell][0] for cell in few)


def test_every_rule_that_is_named_is_in_the_index() -> None:
    known = {rule.id for rule in read_index(INDEX.read_text())}
    _, files = read_suite(COMMITTED)
    named = {rule for file in files.values() for vector in file.vectors for rule in vector.rules}
    assert named <= known
    assert len(named) > 60
    assert all(rules_of((row, "hit")) for row in ROWS)
    assert set(rules_of((REFUSED, "any"))) == {"CFG-3"}


# Only what is right becomes a vector

PLAIN = Configuration((FullGroup(4),), 9, 64, 4, 4)
NEW = NewRequest("r", tuple(range(9)))
BARE = Vector("x", (), (), PLAIN)


def freed() -> Trace:
    """A request that comes, is admitted and leaves."""
    prompt = NewRequest("a", tuple(range(9)))
    return Trace(PLAIN, (NewStep(), prompt, Allocate("a", 0, 9), StepEnds(), Free("a")))


def small_vector(path: str) -> Vector:
    return msgspec.json.decode(small().files[path], type=VectorFile).vectors[-1]


def test_what_breaks_an_invariant_is_no_vector() -> None:
    with pytest.raises(
        UserError, match=r"^x: operation \d+ is wrong in itself, so there is no vector: [a-z-]+: "
    ):
        expect(BARE, freed(), LeaksABlock, Checked(), careful=False)


def test_nor_is_what_reads_wrong_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def admitted(name: str, salt: str, hit: int) -> tuple[Operation, ...]:
        prompt = NewRequest(name, tuple(range(9)), salt=salt)
        admission = Allocate(name, 0, 9 - hit, hit=hit)
        return (
            prompt,
            NewStep(),
            Lookup(name),
            admission,
            GetBlocks(name),
            StepEnds(),
            AppendTokens(name, (1,)),
        )

    trace = Trace(PLAIN, (*admitted("a", "s", 0), *admitted("b", "t", 8)))
    monkeypatch.setattr(Witness, "sees", lambda *_: [])  # the invariants would see it first
    with pytest.raises(UserError, match="operation 12 is wrong in itself"):
        expect(BARE, trace, requests_without(salt=None), Checked(), careful=True)
    assert expect(BARE, trace, requests_without(salt=None), Checked(), careful=False).steps


def test_nor_is_a_trace_that_goes_on_behind_an_error() -> None:
    mistake = small_vector("mistakes.json").trace()
    longer = msgspec.structs.replace(mistake, operations=(*mistake.operations, Free("nobody")))
    with pytest.raises(UserError, match="follows an error: end the trace there"):
        expect(BARE, longer, ReferenceSession, Checked(), careful=False)


def test_a_refused_configuration_is_a_vector_without_steps() -> None:
    vector = expect(
        BARE, Trace(Configuration((), 9, 64, 4, 3), ()), ReferenceSession, Checked(), careful=False
    )
    assert (vector.steps, vector.initial) == ((), {})
    assert vector.refused == "scheduler_block_size 4 must be a multiple of hash_block_size 3"


# What was found


def test_what_was_found_is_kept_and_told_anew(tmp_path: Path) -> None:
    folder = written(tmp_path)
    path = add(folder, "nine-tokens", ("REQ-3",), Trace(PLAIN, (NEW,)), ReferenceSession)
    manifest, files = read_suite(folder)
    assert path == folder / "found" / "nine-tokens.json"
    (vector,) = files["found/nine-tokens.json"].vectors
    assert (vector.name, vector.rules, vector.trace()) == (
        "found/nine-tokens",
        ("REQ-3",),
        Trace(PLAIN, (NEW,)),
    )
    old = msgspec.structs.replace(vector, initial={"usage": 0})
    found = {"found/nine-tokens.json": VectorFile(FORMAT, "found", (old,))}
    again = generate(manifest.seed, manifest.cases, found, ReferenceSession, lambda _: None)
    assert again.files["found/nine-tokens.json"] == path.read_bytes()
    assert again.files["manifest.json"] == (folder / "manifest.json").read_bytes()
    with pytest.raises(UserError, match=r"nine-tokens\.json is there already: choose another --name"):
        add(folder, "nine-tokens", (), Trace(PLAIN, (NEW,)), ReferenceSession)


@pytest.mark.parametrize("name", ["Nine", "a/b", "../x", "", "a b"])
def test_a_name_is_a_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="use small letters, digits and hyphens"):
        add(written(tmp_path), name, (), Trace(PLAIN, (NEW,)), ReferenceSession)
