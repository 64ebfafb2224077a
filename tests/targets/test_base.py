"""The digest of what was seen: everything that may be compared changes it, and nothing else does."""

from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored
from kvref.operations import (
    Allocate,
    Configuration,
    Evict,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Trace,
)
from kvref.targets.base import DIGEST_BYTES, CaseResult, digest, picture_case, run_case
from kvref.targets.reference import ReferenceSession
from spec.units import GroupId

VIEW = View(
    ref_counts=[0, 1, 0],
    keys=[None, b"key", None],
    free_queue=[2],
    prefix_map=[(b"key", [1])],
    tables={"r": [[1]], "s": [[]]},
    handled={"r": [1]},
    reserved=[],
    step_keys=[b"state"],
    usage=0.5,
    stats=(False, 1, 8, 4, 0, 0, 0),
)
STORED = BlockStored((1, 2), 3, (4, 5), 2, 7, "GPU", "lora", (("salt",),), GroupId(0), "full_attention", None)
SEEN = Observation(
    blocks=((1,),), tokens=4, done=True, numbers=(3,), stats=(False, 1, 2, 3, 4, 5, 6), events=(STORED,)
)

VIEWS: dict[str, list[Any]] = {
    "ref_counts": [[0, 2, 0], [0, 1], [0, 1, 0, 0]],
    "keys": [[None, b"kez", None], [None, None, None], [None, None, b"key"]],
    "free_queue": [[], [2, 1], [1]],
    "prefix_map": [[], [(b"key", [1, 2])], [(b"kez", [1])], [(b"key", [2])]],
    "tables": [{}, {"r": [[0]], "s": [[]]}, {"r": [[1], []], "s": [[]]}, {"s": [[1]], "r": [[]]}],
    "handled": [{}, {"r": [0]}, {"s": [1]}],
    "reserved": [[2]],
    "step_keys": [[], [b"state", b"state"]],
    "usage": [0.5000000000000001, 0.0],
    "stats": [
        None,
        (True, 1, 8, 4, 0, 0, 0),
        *[(False, *(2 if i == at else 1 for i in range(6))) for at in range(6)],
    ],
}
OBSERVATIONS: dict[str, list[Any]] = {
    "blocks": [None, (), ((1, 2),), ((1,), ())],
    "tokens": [None, 0, 5],
    "done": [None, False],
    "numbers": [None, (), (3, 3)],
    "stats": [None, (True, 1, 2, 3, 4, 5, 6)],
    "events": [(), (STORED, STORED), (BlockRemoved((1,), "GPU", GroupId(0)),), (AllBlocksCleared(),)],
    "error": ["ForeignHitError"],
}
EVENTS: dict[str, Any] = {
    "block_hashes": (2, 1),
    "parent_block_hash": None,
    "token_ids": (4, 6),
    "block_size": 4,
    "lora_id": None,
    "medium": "CPU",
    "lora_name": "salt",
    "extra_keys": ((("salt", 0),),),
    "group_idx": GroupId(1),
    "kv_cache_spec_kind": "mla_attention",
    "kv_cache_spec_sliding_window": 4,
}


@pytest.mark.parametrize("name", [field.name for field in fields(View)])
def test_the_digest_sees_every_part_of_the_state(name: str) -> None:
    others = [digest(SEEN, replace(VIEW, **{name: value})) for value in VIEWS[name]]
    assert len({digest(SEEN, VIEW), *others}) == 1 + len(VIEWS[name])


@pytest.mark.parametrize("name", Observation.__struct_fields__)
def test_the_digest_sees_every_part_of_what_was_returned(name: str) -> None:
    others = [digest(msgspec.structs.replace(SEEN, **{name: value}), VIEW) for value in OBSERVATIONS[name]]
    assert len({digest(SEEN, VIEW), *others}) == 1 + len(OBSERVATIONS[name])


@pytest.mark.parametrize("name", BlockStored.__struct_fields__)
def test_the_digest_sees_every_part_of_an_event(name: str) -> None:
    other = msgspec.structs.replace(STORED, **{name: EVENTS[name]})
    assert digest(msgspec.structs.replace(SEEN, events=(other,)), VIEW) != digest(SEEN, VIEW)


def test_the_order_in_which_requests_are_pictured_does_not_matter() -> None:
    turned = replace(VIEW, tables=dict(reversed(VIEW.tables.items())))
    assert list(turned.tables) != list(VIEW.tables)
    assert digest(SEEN, turned) == digest(SEEN, VIEW)


def test_lists_and_tuples_are_one_as_they_are_behind_a_process_boundary() -> None:
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(VIEW), type=View)
    assert digest(SEEN, sent) == digest(SEEN, VIEW)
    assert digest(SEEN, replace(VIEW, free_queue=(2,))) == digest(SEEN, VIEW)  # type: ignore[arg-type]


def test_the_state_after_an_error_is_not_compared() -> None:
    failed = Observation(error="ForeignHitError")
    assert digest(failed, VIEW) == digest(failed, replace(VIEW, free_queue=[]))
    assert digest(failed, VIEW) != digest(Observation(error="UnknownBlockError"), VIEW)


def test_a_digest_is_short() -> None:
    assert len(digest(SEEN, VIEW)) == DIGEST_BYTES == 8


FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
TRACE = Trace(FULL, (NewRequest("r", tuple(range(9))), NewStep(), Lookup("r"), Allocate("r", 0, 9, hit=0)))
MISTAKE = Trace(FULL, (NewStep(), Evict((9,)), NewStep()))


def test_a_case_has_one_digest_and_one_picture_an_operation() -> None:
    result, pictures = run_case(ReferenceSession, TRACE), picture_case(ReferenceSession, TRACE)
    assert result.refused is None
    assert list(result.digests) == [digest(p.observation, p.view) for p in pictures]
    assert len(pictures) == 4
    # ceil(9 / 4) blocks, from the front of the queue; the two full ones can be found.
    assert pictures[-1].observation.blocks == ((1, 2, 3),)
    assert [len(picture.view.prefix_map) for picture in pictures] == [0, 0, 0, 2]


def test_a_picture_does_not_change_with_what_follows() -> None:
    longer = Trace(FULL, (*TRACE.operations, GetBlocks("r"), NewRequest("s", (1,)), Allocate("s", 0, 1)))
    assert picture_case(ReferenceSession, longer)[:4] == picture_case(ReferenceSession, TRACE)


def test_a_case_ends_with_the_first_mistake() -> None:
    pictures = picture_case(ReferenceSession, MISTAKE)
    assert [picture.observation.error for picture in pictures] == [None, "UnknownBlockError"]
    assert len(run_case(ReferenceSession, MISTAKE).digests) == 2


def test_a_refused_configuration_is_a_result_not_an_error() -> None:
    nothing = Trace(Configuration((), 9, 64, 4, 3), ())
    result = run_case(ReferenceSession, nothing)
    assert result == CaseResult(refused="scheduler_block_size 4 must be a multiple of hash_block_size 3")
    with pytest.raises(ConfigurationError):
        picture_case(ReferenceSession, nothing)
