"""A driver is asked, understood and compared as any target; the protocol's page tells the truth."""

import json
import shlex
import sys
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from kvref.errors import CallerError, UserError
from kvref.fuzz.campaign import Report, Settings, run
from kvref.fuzz.coverage import EVENTS, ROWS
from kvref.fuzz.hits import HeldToHits
from kvref.operations import (
    AppendTokens,
    Configuration,
    ContinueRequest,
    FullGroup,
    Lookup,
    NewRequest,
    Operation,
)
from kvref.targets.base import Target
from kvref.targets.capabilities import ADMISSION, REQUESTS, everything
from kvref.targets.process import ProcessTarget
from kvref.targets.process_messages import (
    MOST,
    Argument,
    Feature,
    Kind,
    Mistake,
    Offer,
    Seen,
    Snapshot,
    driver_schema,
)
from kvref.targets.process_words import ImplausibleError, Words, capabilities_of
from kvref.targets.reference import ReferenceSession
from tests.fuzz import faults
from tests.fuzz.faults import FaultyTarget, FreesInReverse, HitsTheYoungestDuplicate, TellsNoParents
from tests.fuzz.safely import run_safely
from tests.targets.exchange import DICTIONARY, PAGE, REFERENCE, SCHEMA, exchange, shown
from tests.targets.reference_driver import EVERYTHING

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)


def campaign(target: Target, cases: int) -> Report:
    return run(Settings(1, cases, None), ReferenceSession, target, lambda _: None)


@pytest.fixture
def reference() -> Iterator[ProcessTarget]:
    target = ProcessTarget(REFERENCE, "exact")
    yield target
    target.close()


# The protocol carries everything


def test_the_reference_behind_the_protocol_agrees_with_itself_on_everything(reference: ProcessTarget) -> None:
    report = campaign(reference, 120)
    assert report.findings == []
    assert report.failure is None
    assert report.whole_share == 1.0
    unseen = {row for row in ROWS if not any(report.coverage.counts[row, event] for event in EVENTS)}
    assert unseen <= {"cross", "sink"}


def test_a_driver_that_lacks_nothing_can_be_asked_for_everything() -> None:
    told = capabilities_of(EVERYTHING, "it", "exact")
    assert told == everything("it")


@pytest.mark.parametrize("fault", [FreesInReverse, TellsNoParents, HitsTheYoungestDuplicate])
def test_a_fault_shows_behind_the_protocol_as_it_does_in_this_process(fault: type[faults.Fault]) -> None:
    target = ProcessTarget(f"{REFERENCE} {fault.__name__}", "exact")
    found = campaign(target, 40).findings
    target.close()
    here = campaign(FaultyTarget(fault), 40).findings
    assert [one.trace for one in found] == [one.trace for one in here]
    assert [one.differences for one in found] == [one.differences for one in here]
    assert found


def test_batches_and_single_operations_show_the_same(reference: ProcessTarget) -> None:
    for number in range(6):
        played = run_safely(Settings(3, 1, first=number, witnessed=1), reference)
        assert played.findings == []


def test_the_words_of_the_protocol_are_those_of_targets() -> None:
    assert set(get_args(Argument)) == set(ADMISSION)
    assert set(get_args(Feature)) == set(REQUESTS)
    assert set(get_args(Kind)) == everything("").groups
    assert set(get_args(Mistake)) == {kind.__name__ for kind in CallerError.__subclasses__()}


# Only what the driver has


def test_nothing_is_asked_of_a_driver_that_it_does_not_have() -> None:
    asked: list[Operation] = []
    offer = Offer(groups=("full",))
    capabilities = capabilities_of(offer, "small", "exact")

    class Small(FaultyTarget):
        def run(self, traces: Any) -> Any:
            for trace in traces:
                assert capabilities.refuses(trace.configuration) is None
                asked.extend(trace.operations)
            return super().run(traces)

    target = Small(ReferenceSession)
    target.capabilities = capabilities  # type: ignore[attr-defined]
    assert campaign(target, 80).findings == []
    assert len(asked) > 3000
    assert {capabilities.lacks(operation) for operation in asked} == {None}
    assert {type(operation).__name__ for operation in asked} == {
        "NewRequest", "AppendTokens", "Lookup", "Allocate", "Free", "NewStep", "StepEnds", "GetBlocks",
    }  # fmt: skip


def test_delayed_tokens_need_an_operation_that_says_when_they_are_there() -> None:
    offer = Offer(groups=("full",), arguments=("delay", "external"))
    assert capabilities_of(offer, "it", "hits").arguments == {"external"}
    offer = Offer(groups=("full",), arguments=("delay", "external"), operations=("CacheBlocks",))
    assert capabilities_of(offer, "it", "hits").arguments == {"external", "delay"}


def test_a_level_that_is_not_offered_is_refused() -> None:
    asked = shlex.join([sys.executable, "-m", "tests.targets.reference_driver", "safe"])
    with pytest.raises(UserError, match="reference driver offers level safe, not hits: use --level safe"):
        ProcessTarget(asked, "hits")


def test_the_dictionary_agrees_in_hits_until_it_would_have_to_evict() -> None:
    target = ProcessTarget(DICTIONARY, "hits")
    held = HeldToHits(target, ReferenceSession)
    report = run_safely(Settings(1, 60), held)
    target.close()
    assert report.failure is None
    assert report.coverage.counts["full", "hit"] > 50
    told = {finding.differences[0].actual for finding in report.findings}
    assert told == {"gives up: the next block is cached, and none is ever evicted here"}
    assert 0 < len(report.findings) < 30


# Names for content


def test_calls_carry_the_hashes_of_blocks_that_became_full() -> None:
    words = Words(FULL)
    request = ReferenceSession(FULL)
    first = NewRequest("r", tuple(range(9)), salt="s")
    later = (AppendTokens("r", (1, 2, 3, 4)), ContinueRequest("r", 10, (7,) * 6), Lookup("r"))
    handed = [words.call(one).hashes for one in (first, *later)]
    for one in (first, *later[:2]):
        request.perform(one)
    due = [one.hex() for one in request.requests["r"].block_hashes]
    assert [len(some) for some in handed] == [2, 1, 1, 0]
    assert [name for some in handed for name in some] == due


def test_without_a_prefix_cache_there_are_no_hashes() -> None:
    words = Words(msgspec.structs.replace(FULL, enable_caching=False))
    assert words.call(NewRequest("r", tuple(range(9)))).hashes == ()


SMALL = Configuration((FullGroup(4),), 3, 64, 4, 4)
SHOWN = Snapshot([0, 0, 0], [None, None, None], [1, 2], [], {}, {}, 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ref_counts": [0, 0]}, "showed 2 counts and 3 keys of 3 blocks"),
        ({"keys": []}, "showed 3 counts and 0 keys of 3 blocks"),
        ({"free_queue": [3]}, "named block 3, but the pool has 3 blocks"),
        ({"reserved": [9]}, "named block 9"),
        ({"tables": {"r": [[7]]}, "handled": {"r": [0]}}, "named block 7"),
        ({"tables": {"r": [[1]]}}, "showed a table, or how far it is handled, not of 1 groups"),
        ({"tables": {"r": [[1], []]}, "handled": {"r": [0]}}, "showed a table"),
        ({"keys": [None, "key", None]}, "named a key 'key', which is not hexadecimal"),
        ({"prefix_map": [("0", [1])]}, "named a key '0'"),
        ({"prefix_map": [("00", [5])]}, "named block 5"),
        ({"step_keys": ["?"]}, "named a key '?'"),
    ],
)
def test_a_snapshot_that_cannot_be_is_told(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ImplausibleError, match=words):
        Words(SMALL).view(msgspec.structs.replace(SHOWN, **change))


def test_as_many_new_keys_as_a_pool_has_are_understood() -> None:
    count = 5000
    large = msgspec.structs.replace(SMALL, num_blocks=count)
    keys = [f"{block:064x}00000000" for block in range(1, count)]
    entries = [(key, [block]) for block, key in enumerate(keys, 1)]
    told = Snapshot([0] * count, [None, *keys], list(range(1, count)), entries, {}, {}, 0.0)
    assert Words(large).view(told).keys[1:] == [bytes.fromhex(key) for key in keys]


def test_what_does_not_count_in_a_snapshot_is_put_in_order() -> None:
    first, second = "aa00000000", "bb00000000"
    told = msgspec.structs.replace(
        SHOWN, prefix_map=[(second, [2]), (first, [1])], tables={"gone": [[]]}, step_keys=[second, first]
    )
    view = Words(SMALL).view(told)
    assert view.prefix_map == [(bytes.fromhex(first), [1]), (bytes.fromhex(second), [2])]
    assert view.tables == {}
    assert view.handled == {}
    assert view.step_keys == [bytes.fromhex(first), bytes.fromhex(second)]


def test_numbers_are_those_that_every_json_reader_keeps() -> None:
    decoder = msgspec.json.Decoder(Seen)
    assert decoder.decode(json.dumps({"tokens": MOST})).tokens == MOST
    for wrong in (MOST + 1, -1, 1.5, "1"):
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(json.dumps({"tokens": wrong}))


# The page


def test_the_committed_schema_is_that_of_the_messages() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(msgspec.json.encode(driver_schema()))


def test_every_message_on_the_page_was_really_said_and_fits_the_schema() -> None:
    on_the_page = shown(PAGE.read_text())
    said = exchange()
    questions, answers = [question for question, _ in said], [answer for _, answer in said]
    schema = driver_schema()
    pairs = list(said)
    at = 0
    while at < len(on_the_page):
        question = on_the_page[at]
        assert question in questions
        jsonschema.validate(question, schema | {"anyOf": [{"$ref": "#/$defs/questions"}]})
        if question["type"] == "close":
            at += 1
            continue
        answer = on_the_page[at + 1]
        assert (question, answer) in pairs
        jsonschema.validate(answer, schema | {"anyOf": [{"$ref": "#/$defs/answers"}]})
        at += 2
    kinds = {message["type"] for message in (*questions, *answers) if message is not None}
    assert {message["type"] for message in on_the_page} == kinds
    assert kinds == {tag for name in ("questions", "answers") for tag in tags(schema["$defs"][name])}


def tags(union: dict[str, Any]) -> list[str]:
    mapping: dict[str, str] = union["discriminator"]["mapping"]
    return list(mapping)


def test_the_page_names_all_that_a_driver_can_offer() -> None:
    page = PAGE.read_text()
    for field in (*Offer.__struct_fields__, *Snapshot.__struct_fields__):
        assert f"`{field}`" in page
    for words in (*get_args(Kind), *get_args(Argument), *get_args(Feature)):
        assert f"`{words}`" in page
