"""Optimized managers with one fault each: ids stay plausible, data does not."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from kvref.hashing import BlockHasher
from kvref.operations import Allocate, Configuration, NewRequest, Observation, Operation
from kvref.optimized.groups import ChunkedGroup, Group, SlidingGroup
from kvref.optimized.lookup import SpecGroup
from kvref.optimized.pool import BlockPool
from kvref.optimized.results import BlockIds
from kvref.request import Request
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener
from spec.units import BlockHash

Patch = Callable[[pytest.MonkeyPatch], Opener]
FAULTS: dict[str, Patch] = {}


def fault(named: str) -> Callable[[Patch], Patch]:
    def keep(patch: Patch) -> Patch:
        FAULTS[named] = patch
        return patch

    return keep


def session_with(**methods: Callable[..., Any]) -> Opener:
    """Sessions whose manager's methods are replaced: each gets the true one first."""

    class Faulty(OptimizedSession):
        def __init__(self, configuration: Configuration) -> None:
            super().__init__(configuration)
            true, faulty = self.manager, _Wrapped(self.manager)
            for name, method in methods.items():
                setattr(faulty, name, _bound(method, getattr(true, name)))
            self.manager = faulty  # type: ignore[assignment]

    return Faulty


class _Wrapped:
    def __init__(self, true: Any) -> None:
        self.true = true

    def __getattr__(self, name: str) -> Any:
        return getattr(self.true, name)


def _bound(method: Callable[..., Any], true: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **given: method(true, *arguments, **given)


def requests_without(**lacking: Any) -> Opener:
    """Sessions that hash requests as if they lacked something."""

    class Faulty(OptimizedSession):
        def new_request(self, operation: NewRequest) -> Request:
            return super().new_request(msgspec.structs.replace(operation, **lacking))

    return Faulty


@fault("the salt is not in the key")
def salt(_: pytest.MonkeyPatch) -> Opener:
    return requests_without(salt=None)


@fault("the adapter is not in the key")
def adapter(_: pytest.MonkeyPatch) -> Opener:
    return requests_without(lora=None)


@fault("images are not in the key")
def images(_: pytest.MonkeyPatch) -> Opener:
    return requests_without(items=())


@fault("embeddings are not in the key")
def embeddings(_: pytest.MonkeyPatch) -> Opener:
    return requests_without(embeds=None)


@fault("a key leaves out the blocks before")
def chain(patch: pytest.MonkeyPatch) -> Opener:
    true = BlockHasher.hash_block

    def hash_block(self: BlockHasher, _: BlockHash | None, tokens: Sequence[int], keys: Any) -> BlockHash:
        return true(self, None, tokens, keys)

    patch.setattr(BlockHasher, "hash_block", hash_block)
    return OptimizedSession


@fault("external tokens are cached before they arrive")
def early(_: pytest.MonkeyPatch) -> Opener:
    class Early(OptimizedSession):
        def apply(self, operation: Operation) -> Observation:
            observation = super().apply(operation)
            if isinstance(operation, Allocate) and operation.delay and observation.blocks is not None:
                request = self.requests[operation.request]
                self.manager.cache_blocks(request, (operation.hit or 0) + operation.external)
            return observation

    return Early


@fault("a state may be hit in the step that computes it")
def same_step(_: pytest.MonkeyPatch) -> Opener:
    class Hasty(OptimizedSession):
        def apply(self, operation: Operation) -> Observation:
            if isinstance(operation, Allocate):
                self.manager.new_step_starts()
            return super().apply(operation)

    return Hasty


@fault("a table is told in another order")
def told(_: pytest.MonkeyPatch) -> Opener:
    def get_blocks(true: Callable[..., Any], name: str) -> Any:
        found = true(name)
        return BlockIds(found._pool, [[*row[:-2], *row[:-3:-1]] for row in found.rows])

    return session_with(get_blocks=get_blocks)


@fault("what is appended is told in another order")
def appended(_: pytest.MonkeyPatch) -> Opener:
    def allocate_slots(true: Callable[..., Any], *arguments: Any, **given: Any) -> Any:
        found = true(*arguments, **given)
        return None if found is None else BlockIds(found._pool, [row[::-1] for row in found.rows])

    return session_with(allocate_slots=allocate_slots)


@fault("a window forgets a block too early")
def window(patch: pytest.MonkeyPatch) -> Opener:
    true = SlidingGroup.skipped_tokens
    patch.setattr(
        SlidingGroup,
        "skipped_tokens",
        lambda self, computed: max(0, min(computed, true(self, computed) + self.block_size)),
    )
    return OptimizedSession


@fault("a chunk forgets its first block")
def chunk(patch: pytest.MonkeyPatch) -> Opener:
    true = ChunkedGroup.skipped_tokens
    patch.setattr(
        ChunkedGroup,
        "skipped_tokens",
        lambda self, computed: min(computed, true(self, computed) + self.block_size),
    )
    return OptimizedSession


@fault("a block is cached before it is full")
def early_block(patch: pytest.MonkeyPatch) -> Opener:
    true = Group.cacheable_blocks
    patch.setattr(Group, "cacheable_blocks", lambda self, tokens: true(self, tokens + 1))
    return OptimizedSession


@fault("a block that is taken again keeps its old key")
def old_key(patch: pytest.MonkeyPatch) -> Opener:
    patch.setattr(BlockPool, "_forget_all", lambda _self, _blocks: None)
    return OptimizedSession


@fault("the state of an earlier block is handed out")
def earlier_state(patch: pytest.MonkeyPatch) -> Opener:
    true = SpecGroup._last_state

    def last_state(self: SpecGroup, names: list[bytes], length: int) -> int:
        found = true(self, names, length)
        earlier = found // self.kind.block_size - 2
        if found and earlier >= 0 and all(names[earlier] in one for one in self._maps):
            self._found = [[one[names[earlier]]] for one in self._maps]
        return found

    patch.setattr(SpecGroup, "_last_state", last_state)
    return OptimizedSession


@fault("a hit is one alignment too long")
def too_long(_: pytest.MonkeyPatch) -> Opener:
    class Generous(OptimizedSession):
        def __init__(self, configuration: Configuration) -> None:
            super().__init__(configuration)
            true = self.manager

            def get_computed_blocks(request: Request) -> Any:
                found, length = true.get_computed_blocks(request)
                size = true.config.hit_alignment if true.groups else 1
                if not length or length + size >= request.num_tokens:
                    return found, length
                rows = [
                    row + [row[-1]] * (size // group.block_size)
                    for row, group in zip(found.rows, true.groups, strict=True)
                ]
                return BlockIds(found._pool, rows, request, length + size), length + size

            wrapped = _Wrapped(true)
            wrapped.get_computed_blocks = get_computed_blocks  # type: ignore[attr-defined]
            self.manager = wrapped  # type: ignore[assignment]

    return Generous
