"""What a release lacks is told before it is asked."""

from dataclasses import replace

import msgspec
import pytest

from kvref.operations import (
    Allocate,
    Configuration,
    ContinueRequest,
    Evict,
    Free,
    FullGroup,
    Item,
    MambaGroup,
    NewRequest,
    Operation,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.targets.capabilities import Capabilities

OLD = Capabilities(
    release="thing 1",
    groups=frozenset({"full", "sliding", "mamba"}),
    mamba_modes=frozenset({"none"}),
    operations=frozenset({"Allocate", "Free"}),
    arguments=frozenset({"lookahead", "delay"}),
    block_sizes=False,
    eagle_groups=False,
    decode_context_parallel=True,
    prefill_context_parallel=False,
    retention=False,
)
PLAIN = Configuration((FullGroup(4),), 9, 64, 4, 4)
with_ = msgspec.structs.replace


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Free("r"), None),
        (Allocate("r", 0, 1, lookahead=2, delay=True), None),
        (Evict((1,)), "thing 1 has no Evict"),
        (Allocate("r", 0, 1, external=3), "thing 1 has no external tokens"),
        (Allocate("r", 0, 1, encoder=3), "thing 1 has no encoder tokens"),
        (Allocate("r", 0, 1, must_fit=True), "thing 1 has no admission gate (full_sequence_must_fit)"),
        (Allocate("r", 0, 1, reserved=1), "thing 1 has no reserved blocks"),
    ],
)
def test_an_operation_is_lacking_by_its_name_or_its_arguments(
    operation: Operation, reason: str | None
) -> None:
    assert OLD.lacks(operation) == reason


@pytest.mark.parametrize(
    ("configuration", "lacking"),
    [
        (with_(PLAIN, groups=(SlidingMLAGroup(4, 8),)), "sliding_mla groups"),
        (with_(PLAIN, groups=(MambaGroup(4, "align"),)), "align mode of mamba groups"),
        (with_(PLAIN, groups=(FullGroup(4, eagle=True),)), "EAGLE marks on groups"),
        (
            with_(PLAIN, groups=(FullGroup(4), SlidingGroup(8, 8))),
            "block sizes other than one for all groups and hashes",
        ),
        (with_(PLAIN, pcp_world_size=2, hash_block_size=8), "prefill context parallelism"),
        (with_(PLAIN, retention_interval=0), "retention interval"),
    ],
)
def test_a_configuration_is_refused_with_what_is_lacking(configuration: Configuration, lacking: str) -> None:
    assert OLD.refuses(configuration) == f"thing 1 has no {lacking}"


@pytest.mark.parametrize(
    "configuration",
    [
        PLAIN,
        with_(PLAIN, groups=(MambaGroup(4), SlidingGroup(4, 8))),
        with_(PLAIN, dcp_world_size=2, hash_block_size=8),
    ],
)
def test_what_is_there_is_the_constructors_to_decide(configuration: Configuration) -> None:
    assert OLD.refuses(configuration) is None


def test_decode_context_parallelism_may_be_lacking() -> None:
    without = replace(OLD, decode_context_parallel=False)
    two = with_(PLAIN, dcp_world_size=2, hash_block_size=8)
    assert without.refuses(two) == "thing 1 has no decode context parallelism"


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (NewRequest("r", (1,)), None),
        (NewRequest("r", (1,), salt="s"), None),
        (NewRequest("r", (1,), lora="l"), "thing 1 has no adapters"),
        (NewRequest("r", (1,), items=(Item("a", 0, 1),)), "thing 1 has no multimodal items"),
        (NewRequest("r", (1,), embeds=b"1234"), "thing 1 has no prompt embeddings"),
        (NewRequest("r", (1,), skip_reading=True), "thing 1 has no requests that skip reading the cache"),
        (ContinueRequest("r", 1, (1,)), None),
        (ContinueRequest("r", 1, (1,), (Item("a", 0, 1),)), "thing 1 has no multimodal items"),
    ],
)
def test_a_request_is_lacking_by_what_it_brings(operation: Operation, reason: str | None) -> None:
    able = replace(OLD, requests=frozenset({"salt"}), operations=frozenset({"NewRequest", "ContinueRequest"}))
    assert able.lacks(operation) == reason


@pytest.mark.parametrize(
    ("lacking", "configuration", "words"),
    [
        (
            "several_groups",
            with_(PLAIN, groups=(FullGroup(4), SlidingGroup(4, 8))),
            "number of groups but one",
        ),
        ("several_groups", with_(PLAIN, groups=()), "number of groups but one"),
        ("caching_off", with_(PLAIN, enable_caching=False), "way to do without a prefix cache"),
        ("eagle", with_(PLAIN, use_eagle=True), "EAGLE"),
    ],
)
def test_a_manager_may_lack_what_all_releases_have(
    lacking: str, configuration: Configuration, words: str
) -> None:
    assert OLD.refuses(configuration) is None
    without = replace(OLD, **{lacking: False})  # type: ignore[arg-type] # a flag
    assert without.refuses(configuration) == f"thing 1 has no {words}"
    assert without.refuses(PLAIN) is None


def test_they_travel_in_a_message() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(OLD), type=Capabilities) == OLD
