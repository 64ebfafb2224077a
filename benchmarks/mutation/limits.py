"""Where a manager says no: for each limit the last thing that it grants, and the first that it refuses."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from kvref.operations import Configuration, NewRequest
from kvref.request import Request
from kvref.targets.session import ApiSession, block_ids
from spec.units import Tokens

MOST_FILLERS = 450
LOOKAHEAD = 3


def reserves(session: ApiSession) -> Iterator[tuple[str, str]]:
    """For every request and some sizes of a step, how many blocks it must leave free to be refused [ALLOC-9]."""
    manager = session.manager
    for name, request in sorted(session.requests.items()):
        holds = any(manager.get_block_ids(name))
        for new, external in product((0, 1, 6, 40), (0, 1, 9)):
            if holds and new and not external:
                yield f"{name} {new} more", _least(session, request, new)
            elif not holds and request.num_tokens and new + external:
                yield f"{name} {new} {external} first", _least_of_new(session, request, new, external)
                manager.free(request)


def _least_of_new(session: ApiSession, request: Request, new: int, external: int) -> str:
    found, length = session.manager.get_computed_blocks(request)
    request.num_computed_tokens = Tokens(0)
    return _least(
        session,
        request,
        new,
        num_new_computed_tokens=length,
        new_computed_blocks=found,
        num_external_computed_tokens=external,
        delay_cache_blocks=True,
    )


def _least(session: ApiSession, request: Request, new: int, **given: Any) -> str:
    manager = session.manager
    for reserved in range(len(session.view().free_queue), -1, -1):
        granted = manager.allocate_slots(request, new, reserved_blocks=reserved, **given)
        if granted is not None:
            return f"{reserved} {block_ids(granted)} {granted is manager.empty_kv_cache_blocks}"
    return "never"


def gates(session: ApiSession, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """How full the pool is when a long prompt may no longer come in or go on [ADMIT-1]."""
    manager = session.manager
    for request in session.requests.values():
        manager.free(request)
    longest = configuration.max_model_len
    for tokens in (longest - 1, longest // 2):
        for lookahead in (0, LOOKAHEAD):
            for encoder in (0,) if configuration.enable_caching else (0, 5):
                half = tokens // 2
                # One that counts back to its beginning holds all that it ever held.
                for begun, computed in ((0, 0), (half, half), (half, 0)):
                    request = session.new_request(NewRequest("gated", tuple(range(1, tokens + 1))))
                    what = f"gate {tokens} {lookahead} {encoder} {begun} {computed}"
                    yield what, _gate(session, request, begun, computed, lookahead, encoder)


def _gate(
    session: ApiSession, request: Request, begun: int, computed: int, lookahead: int, encoder: int
) -> str:
    """How many small requests come in until this one may not, which holds slots for `begun` tokens."""
    manager = session.manager
    if begun:
        if manager.allocate_slots(request, begun, delay_cache_blocks=True) is None:
            return "does not begin"
        request.num_computed_tokens = Tokens(computed)
    fillers: list[Request] = []
    while len(fillers) < MOST_FILLERS:
        granted = manager.allocate_slots(
            request,
            1,
            num_lookahead_tokens=lookahead,
            delay_cache_blocks=True,
            num_encoder_tokens=encoder,
            full_sequence_must_fit=True,
        )
        if granted is None:
            break
        if not begun:
            manager.free(request)
        filler = session.new_request(NewRequest(f"filler {len(fillers)}", (1,)))
        fillers.append(filler)
        if manager.allocate_slots(filler, 1, delay_cache_blocks=True, num_encoder_tokens=1) is None:
            break
    left = len(session.view().free_queue)
    for one in (request, *fillers):
        manager.free(one)
    return f"{len(fillers)} others, {left} left"
