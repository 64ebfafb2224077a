"""The three cases that the format of keys cannot tell apart are excused, and their near misses are not."""

from dataclasses import replace

import pytest

from invariants import Checker, Step, View
from invariants.history import Identity
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    ContinueRequest,
    FullGroup,
    Item,
    Lookup,
    NewRequest,
    Operation,
)
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness, step_of

CONFIGURATION = Configuration(
    groups=(FullGroup(4),),
    num_blocks=16,
    max_model_len=64,
    scheduler_block_size=4,
    hash_block_size=4,
    enable_kv_cache_events=False,
)
X, OTHER_X, Y, OTHER_Y = Item("x", 4, 1), Item("X", 4, 1), Item("y", 5, 1), Item("Y", 5, 1)


class Life:
    """A reference whose every operation satisfies the invariants."""

    def __init__(self) -> None:
        self.session = ReferenceSession(CONFIGURATION)
        self.witness = Witness(CONFIGURATION)

    def live(self, *operations: Operation) -> None:
        for operation in operations:
            assert self.witness.sees(operation, self.session.apply(operation), self.view) == []

    @property
    def view(self) -> View:
        return self.session.view()

    def identity(self, request: str, index: int) -> Identity:
        identity = self.checker.history.identity(request, 0, index)
        assert identity is not None
        return identity

    @property
    def checker(self) -> Checker:
        return self.witness.checker

    def key(self, request: str, index: int) -> bytes:
        view = self.view
        key = view.keys[view.tables[request][0][index]]
        assert key is not None
        return key

    def ids_with_one_key(self, last: Allocate, index: int, key: bytes) -> list[str]:
        """What is wrong if `last` gives its request's block `index` the key `key`."""
        before = self.witness.last
        step: Step = step_of(last, self.session.apply(last))
        view = self.view
        block = view.tables[last.request][0][index]
        keys = [key if b == block else own for b, own in enumerate(view.keys)]
        listed = {k: [b for b, own in enumerate(keys) if own == k] for k in keys if k is not None}
        corrupt = replace(view, keys=keys, prefix_map=sorted(listed.items(), key=lambda entry: entry[1]))
        return [violation.invariant for violation in self.checker.step(before, step, corrupt)]


def generate(name: str, *items: Item, prompt: int = 6) -> list[Operation]:
    """A request whose second block is completed by sampled tokens; `prompt` 8 completes it at once."""
    tokens = (1, 2, 3, 4, 0, 0, 7, 8)
    return [
        NewRequest(name, tokens[:prompt], items=items),
        *([AppendTokens(name, tokens[prompt:])] if prompt < 8 else []),
    ]


def test_an_earlier_item_of_a_block_completed_by_output_is_excused() -> None:
    life = Life()
    life.live(*generate("a", X, Y), Allocate("a", 0, 8), *generate("b", OTHER_X, Y), Allocate("b", 0, 8))
    assert life.key("a", 1) == life.key("b", 1)
    a, b = life.identity("a", 1), life.identity("b", 1)
    assert a.content != b.content
    assert a.may_share_key(b)
    life.live(AppendTokens("b", (9,)), *generate("c", OTHER_X, Y), AppendTokens("c", (9,)), Lookup("c"))


def test_the_same_tokens_as_prompt_and_as_output_may_have_two_keys() -> None:
    life = Life()
    life.live(*generate("a", X, Y), Allocate("a", 0, 8), *generate("b", X, Y, prompt=8), Allocate("b", 0, 8))
    assert life.key("a", 1) != life.key("b", 1)
    assert life.identity("a", 1).content == life.identity("b", 1).content


def test_an_earlier_item_of_a_prompt_block_is_not_excused() -> None:
    life = Life()
    life.live(*generate("a", X, Y, prompt=8), Allocate("a", 0, 8), *generate("b", OTHER_X, Y, prompt=8))
    assert life.ids_with_one_key(Allocate("b", 0, 8), 1, life.key("a", 1)) == ["key-names-content"]


def test_the_last_item_of_a_block_completed_by_output_is_not_excused() -> None:
    life = Life()
    life.live(*generate("a", X, Y), Allocate("a", 0, 8), *generate("b", X, OTHER_Y))
    assert life.ids_with_one_key(Allocate("b", 0, 8), 1, life.key("a", 1)) == ["key-names-content"]


def test_the_first_block_completed_by_output_is_not_excused() -> None:
    """Before anything is hashed, hashing looks at all items."""
    life = Life()
    for name, item in (("a", Item("x", 0, 1)), ("b", Item("X", 0, 1))):
        life.live(NewRequest(name, (0, 0, 3), items=(item, Item("y", 1, 1))), AppendTokens(name, (4,)))
    life.live(Allocate("a", 0, 4))
    assert life.ids_with_one_key(Allocate("b", 0, 4), 0, life.key("a", 0)) == ["key-names-content"]


def test_a_key_format_that_sees_every_item_is_not_accused() -> None:
    life = Life()
    life.live(*generate("a", X, Y), Allocate("a", 0, 8), *generate("b", OTHER_X, Y))
    assert life.ids_with_one_key(Allocate("b", 0, 8), 1, b"another, sound key") == []


def stream(name: str, prompt: tuple[int, ...], sampled: int, update: tuple[int, ...]) -> list[Operation]:
    """The sampled token is dropped by the update, as it was not computed."""
    return [
        NewRequest(name, prompt),
        Allocate(name, 0, len(prompt)),
        AppendTokens(name, (sampled,)),
        ContinueRequest(name, len(prompt), update),
    ]


def test_a_hash_that_covers_a_token_that_an_update_dropped_is_excused() -> None:
    life = Life()
    life.live(*stream("a", (1, 2, 3), 9, (5, 6)), Allocate("a", 3, 2))
    life.live(NewRequest("b", (1, 2, 3, 9, 9)), Lookup("b"))
    assert life.session.apply(Lookup("b")).tokens == 4
    a, b = life.identity("a", 0), life.identity("b", 0)
    assert a.content != b.content
    assert a.format == b.format


def test_the_right_tokens_may_have_another_key_than_the_stale_one() -> None:
    life = Life()
    life.live(*stream("a", (1, 2, 3), 9, (5, 6)), Allocate("a", 3, 2))
    life.live(NewRequest("b", (1, 2, 3, 5, 6)), Allocate("b", 0, 5))
    assert life.key("a", 0) != life.key("b", 0)


def test_a_token_dropped_from_a_block_that_was_not_hashed_is_not_excused() -> None:
    life = Life()
    life.live(NewRequest("b", (1, 2, 9, 6)), Allocate("b", 0, 4))
    life.live(*stream("a", (1, 2), 9, (5, 6)))
    assert life.ids_with_one_key(Allocate("a", 2, 2), 0, life.key("b", 0)) == ["key-names-content"]


def test_a_token_kept_by_an_update_is_not_excused() -> None:
    life = Life()
    life.live(NewRequest("b", (8, 2, 3, 9)), Allocate("b", 0, 4))
    life.live(*stream("a", (1, 2, 3), 9, (5, 6)))
    assert life.ids_with_one_key(Allocate("a", 3, 2), 0, life.key("b", 0)) == ["key-names-content"]


def test_an_adapter_called_like_a_salt_is_excused_in_the_first_block() -> None:
    life = Life()
    life.live(NewRequest("a", (1, 2, 3, 4, 5, 6, 7, 8, 9), lora="s"), Allocate("a", 0, 9))
    life.live(NewRequest("b", (1, 2, 3, 4, 5, 6, 7, 8, 9), salt="s"), Lookup("b"))
    assert life.session.apply(Lookup("b")).tokens == 4


def test_an_adapter_called_like_a_salt_is_not_excused_in_later_blocks() -> None:
    life = Life()
    life.live(NewRequest("a", (1, 2, 3, 4, 5, 6, 7, 8), lora="s"), Allocate("a", 0, 8))
    life.live(NewRequest("b", (1, 2, 3, 4, 5, 6, 7, 8), salt="s"))
    assert life.ids_with_one_key(Allocate("b", 0, 8), 1, life.key("a", 1)) == ["key-names-content"]


@pytest.mark.parametrize("other", [{"lora": "t"}, {"salt": "t"}, {}])
def test_another_adapter_or_salt_is_not_excused(other: dict[str, str]) -> None:
    life = Life()
    life.live(NewRequest("a", (1, 2, 3, 4), lora="s"), Allocate("a", 0, 4))
    life.live(NewRequest("b", (1, 2, 3, 4), salt=other.get("salt"), lora=other.get("lora")))
    assert life.ids_with_one_key(Allocate("b", 0, 4), 0, life.key("a", 0)) == ["key-names-content"]


def test_embeddings_are_content() -> None:
    life = Life()
    life.live(NewRequest("a", (0, 0, 0, 0), embeds=bytes(16)), Allocate("a", 0, 4))
    life.live(NewRequest("b", (0, 0, 0, 0), embeds=bytes(15) + b"\1"))
    assert life.ids_with_one_key(Allocate("b", 0, 4), 0, life.key("a", 0)) == ["key-names-content"]
