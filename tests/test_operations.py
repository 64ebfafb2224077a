"""A trace is JSON with a schema: what is written can be read, and nothing else can."""

import json
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored
from kvref.operations import (
    Allocate,
    Configuration,
    FullGroup,
    Group,
    Item,
    Lookup,
    NewRequest,
    Observation,
    Operation,
    Trace,
    trace_schema,
)
from spec.units import GroupId

FULL = Configuration(
    groups=(FullGroup(4),), num_blocks=9, max_model_len=64, scheduler_block_size=4, hash_block_size=4
)
SMALL = Trace(
    FULL,
    (
        NewRequest("r0", (1, 2, 3), salt="s", items=(Item("a", 0, 2),), embeds=b"\0\1\2\3" * 3),
        Lookup("r0"),
        Allocate("r0", 0, 3, hit=0),
    ),
    seed=1,
    case=7,
)

names = st.text(max_size=6)
counts = st.integers(0, 2**40)
positives = st.integers(1, 2**40)
token_ids = st.lists(st.integers(-(2**40), 2**40), max_size=4).map(tuple)
items = st.lists(st.builds(Item, names, counts, positives), max_size=2).map(tuple)


flags = st.booleans()
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "request": names,
    "tokens": token_ids,
    "CacheBlocks.tokens": counts,
    "RemoveSkipped.tokens": counts,
    "salt": st.none() | names,
    "lora": st.none() | names,
    "items": items,
    "embeds": st.none() | st.binary(max_size=9),
    "new": st.integers(-9, 2**40),
    "hit": st.none() | counts,
    "blocks": st.lists(st.integers(-3, 99), max_size=3).map(tuple),
    "mode": st.sampled_from(("none", "all", "align")),
    "retention_interval": st.none() | st.integers(-9, 2**40),
    "max_num_batched_tokens": st.none() | positives,
    "hash_function": st.sampled_from(("sha256", "sha256_cbor")),
    "hash_seed": names,
    **dict.fromkeys(("computed", "preemptions", "lookahead", "external", "encoder", "reserved"), counts),
    **dict.fromkeys(("block_size", "heads", "window", "chunk", "sink"), positives),
    **dict.fromkeys(("num_blocks", "max_model_len", "dcp_world_size", "pcp_world_size"), positives),
    **dict.fromkeys(("scheduler_block_size", "hash_block_size"), positives),
    "speculative_blocks": counts,
}
"""What a field takes, by its name or by its struct's and its own; all others are truths."""


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a struct: its defaults, too, are drawn."""

    def taken(field: str) -> st.SearchStrategy[Any]:
        return FIELDS.get(f"{kind.__name__}.{field}", FIELDS.get(field, flags))

    return st.builds(kind, **{field.name: taken(field.name) for field in msgspec.structs.fields(kind)})


KINDS: list[type[Any]] = list(get_args(Operation))
GROUPS: list[type[Any]] = list(get_args(Group))
FIELDS["groups"] = st.lists(st.one_of([any_of(kind) for kind in GROUPS]), max_size=3).map(tuple)
operations = st.one_of([any_of(kind) for kind in KINDS])
traces = st.builds(
    Trace,
    any_of(Configuration),
    st.lists(operations, max_size=3).map(tuple),
    seed=st.none() | st.integers(0, 9),
    case=st.none() | st.integers(0, 9),
    note=st.none() | names,
)


def written(value: object) -> Any:
    """What stands in a file."""
    return json.loads(msgspec.json.encode(value))


def read(text: object) -> Trace:
    return msgspec.json.decode(json.dumps(text), type=Trace)


def changed(path: str, value: object) -> Any:
    """SMALL in a file, with one value replaced: `operations.0.tokens` names the first one's tokens."""
    text = written(SMALL)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = text
    for step in parents:
        place = place[step]
    place[last] = value
    return text


@pytest.mark.parametrize("kind", KINDS + GROUPS, ids=lambda kind: str(kind.__name__))
@settings(max_examples=10)
@given(st.data())
def test_what_is_written_of_any_operation_or_group_is_read_back_equal(
    kind: type[Any], data: st.DataObject
) -> None:
    value = data.draw(any_of(kind))
    union: Any = Operation if kind in KINDS else Group
    assert msgspec.json.decode(msgspec.json.encode(value), type=union) == value
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=union) == value


@settings(max_examples=30)
@given(traces)
def test_a_whole_trace_is_read_back_equal_and_the_schema_accepts_it(trace: Trace) -> None:
    assert msgspec.json.decode(msgspec.json.encode(trace), type=Trace) == trace
    jsonschema.validate(written(trace), trace_schema())


def test_an_observation_crosses_a_process_boundary_unchanged() -> None:
    seen = Observation(
        blocks=((1, 2), ()),
        tokens=4,
        done=True,
        numbers=(3,),
        stats=(False, 1, 2, 3, 4, 5, 6),
        events=(
            BlockStored((1,), None, (5, 6), 2, None, "GPU", None, (("s", ("a", 0)),), GroupId(1), "full", 4),
            BlockRemoved((2**63,), "GPU", GroupId(0)),
            AllBlocksCleared(),
        ),
        error="ForeignHitError",
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Observation) == seen


def test_every_operation_is_told_from_the_others_by_its_name() -> None:
    assert [operation["type"] for operation in written(SMALL)["operations"]] == [
        "NewRequest",
        "Lookup",
        "Allocate",
    ]
    every = [kind.__struct_config__.tag for kind in KINDS + GROUPS]
    assert len(set(every)) == len(KINDS) + len(GROUPS) == 17 + 8


@pytest.mark.parametrize("kind", KINDS + GROUPS, ids=lambda kind: str(kind.__name__))
def test_no_operation_and_no_group_takes_an_unknown_field(kind: type[Any]) -> None:
    union: Any = Operation if kind in KINDS else Group
    text = {"type": kind.__struct_config__.tag, "colour": 1}
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        msgspec.json.decode(json.dumps(text), type=union)


def test_what_has_its_default_is_not_written() -> None:
    assert written(Lookup("r0")) == {"type": "Lookup", "request": "r0"}
    assert set(written(FULL)) == {
        "groups",
        "num_blocks",
        "max_model_len",
        "scheduler_block_size",
        "hash_block_size",
    }


BROKEN = {
    "an unknown field of the trace": ("colour", 1, "unknown field `colour`"),
    "an unknown field of the configuration": ("configuration.colour", 1, "unknown field `colour`"),
    "an unknown field of a group": ("configuration.groups.0.colour", 1, "unknown field `colour`"),
    "an unknown field of an operation": ("operations.2.lookahed", 4, "unknown field `lookahed`"),
    "an unknown operation": ("operations.1.type", "LookUp", "Invalid value 'LookUp'"),
    "an unknown kind of group": ("configuration.groups.0.type", "fool", "Invalid value 'fool'"),
    "another format": ("format", 2, "$.format"),
    "a text for a number": ("operations.2.new", "3", "Expected `int`, got `str`"),
    "a fraction for a number": ("operations.2.new", 2.5, "Expected `int`, got `float`"),
    "a truth for a number": ("operations.2.new", True, "Expected `int`, got `bool`"),
    "null for a number": ("operations.2.computed", None, "Expected `int`, got `null`"),
    "a negative count": ("operations.2.lookahead", -1, "`int` >= 0"),
    "a block of no tokens": ("configuration.groups.0.block_size", 0, "`int` >= 1"),
    "a pool of no blocks": ("configuration.num_blocks", 0, "`int` >= 1"),
    "a hash function of vLLM's that is not offered": (
        "configuration.hash_function",
        "builtin",
        "Invalid enum value 'builtin'",
    ),
    "an item without tokens": ("operations.0.items.0", ["a", 0, 0], "`int` >= 1"),
    "an item with a fourth part": ("operations.0.items.0", ["a", 0, 2, 9], "at most length 3"),
    "an item as an object": ("operations.0.items.0", {"identifier": "a"}, "Expected `array`"),
    "a list for an operation": ("operations.1", [], "Expected `object`, got `array`"),
}


@pytest.mark.parametrize(("path", "value", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_trace_is_refused_with_the_reason(path: str, value: object, message: str) -> None:
    text = changed(path, value)
    with pytest.raises(msgspec.ValidationError) as refused:
        read(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(("path", "value", "message"), BROKEN.values(), ids=BROKEN)
def test_the_schema_refuses_what_the_reader_refuses(path: str, value: object, message: str) -> None:
    del message
    jsonschema.validate(written(SMALL), trace_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(path, value), trace_schema())


@pytest.mark.parametrize("missing", ["configuration", "operations"])
def test_a_trace_needs_its_configuration_and_its_operations(missing: str) -> None:
    text = written(SMALL)
    del text[missing]
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{missing}`"):
        read(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(text, trace_schema())


def test_the_schema_is_itself_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(trace_schema())
