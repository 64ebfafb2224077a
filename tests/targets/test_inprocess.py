"""A manager in this process is asked as its callers ask: what is left at its default is left out."""

from typing import Any

from kvref.operations import Allocate, Configuration, FullGroup, NewRequest, NewStep
from kvref.targets.inprocess import manager_of
from kvref.targets.reference import ReferenceSession

PLAIN = Configuration((FullGroup(4),), 8, 32, 4, 4, log_stats=False, enable_kv_cache_events=False)


def built(configuration: Configuration) -> dict[str, Any]:
    return dict(manager_of(lambda *_, **given: given, configuration))


def test_a_manager_is_built_from_what_differs_from_the_defaults() -> None:
    sizes = {"max_model_len": 32, "scheduler_block_size": 4, "hash_block_size": 4}
    assert built(PLAIN) == sizes
    other = Configuration((FullGroup(4),), 8, 32, 4, 4, enable_caching=False, dcp_world_size=2)
    changed = {
        "enable_caching": False,
        "dcp_world_size": 2,
        "log_stats": True,
        "enable_kv_cache_events": True,
    }
    assert built(other) == sizes | changed


def test_an_allocation_names_what_is_asked_for_alone() -> None:
    session = ReferenceSession(PLAIN)
    session.apply(NewRequest("r", (1, 2, 3)))
    session.apply(NewStep())
    asked: list[dict[str, Any]] = []
    original = session.manager.allocate_slots

    def allocate(request: Any, new: int, **given: Any) -> Any:
        asked.append(given)
        return original(request, new, **given)

    session.manager.allocate_slots = allocate  # type: ignore[method-assign, assignment]
    session.apply(Allocate("r", 0, 2))
    session.apply(Allocate("r", 2, 1, lookahead=3, reserved=1))
    assert asked == [{}, {"num_lookahead_tokens": 3, "reserved_blocks": 1}]
