"""What can be said of a situation in words: its configuration, its operation, the state before it.

For recognisers, which must be narrow: they name what was there, and never what came out.
"""

from collections.abc import Iterator

from invariants.view import View
from kvref.fuzz.coverage import Watch
from kvref.operations import (
    Allocate,
    CacheBlocks,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    Evict,
    Free,
    GetBlocks,
    Lookup,
    Operation,
    RemoveSkipped,
    Reset,
)
from kvref.targets.deviations import Situation

OfRequest = (
    Lookup | Allocate | Free | CacheBlocks | RemoveSkipped | ContinueRequest | CommonPrefix | GetBlocks
)


def features(configuration: Configuration) -> frozenset[str]:
    """The kinds and features of a configuration, as the coverage table of `kvref fuzz` names them."""
    return frozenset(Watch(configuration).met)


def facts(situation: Situation) -> frozenset[str]:
    """What is special about an operation and the state before it.

    Of its arguments: `hit`, `external`, `delay`, `lookahead`, `encoder`, `must_fit`, `reserved` of an
    `Allocate`, `preempted` of a `Lookup`. Of the request: `admission` if it holds no block yet, `shares
    blocks` if some of its blocks are held elsewhere, `holds uncached blocks` if some have no key. Of the
    blocks of an `Evict`: `cached`, `in use`; the latter of a `Reset`, too. Of the pool: `full` if no block
    is free, `next block is cached` if the next one to be taken has content that can be hit.
    """
    return frozenset(
        (*_arguments(situation.operation), *_state(situation.operation, situation.session.view()))
    )


def _arguments(operation: Operation) -> Iterator[str]:
    if isinstance(operation, Allocate):
        names = ("hit", "external", "delay", "lookahead", "encoder", "must_fit", "reserved")
        yield from (name for name in names if getattr(operation, name))
    if isinstance(operation, Lookup) and operation.preemptions:
        yield "preempted"


def _state(operation: Operation, view: View) -> Iterator[str]:
    if isinstance(operation, OfRequest):
        yield from _held(view, view.tables.get(operation.request, []))
    if isinstance(operation, Evict):
        known = [block for block in operation.blocks if block < len(view.keys)]
        if any(view.keys[block] is not None for block in known):
            yield "cached"
        if any(view.ref_counts[block] for block in known):
            yield "in use"
    if isinstance(operation, Reset) and any(view.ref_counts):
        yield "in use"
    if not view.free_queue:
        yield "full"
    elif view.keys[view.free_queue[0]] is not None:
        yield "next block is cached"


def _held(view: View, table: list[list[int]]) -> Iterator[str]:
    held = [block for row in table for block in row if block]
    if not held:
        yield "admission"
    if any(view.ref_counts[block] > 1 for block in held):
        yield "shares blocks"
    if any(view.keys[block] is None for block in held):
        yield "holds uncached blocks"
