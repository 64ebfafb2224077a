"""Numbers for contents: equal exactly where `spec.content` calls the content equal."""

from hypothesis import given
from hypothesis import strategies as st

from kvref.dataplane.content import FOREIGN, NOTHING, Contents
from kvref.operations import Item, NewRequest
from spec.content import Extras, chain
from spec.units import Tokens

TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=8)
NAMES = st.sampled_from((None, "s", "t"))


@given(TEXTS, TEXTS, NAMES, NAMES, NAMES, NAMES)
def test_contents_are_equal_where_the_chains_of_the_spec_are(
    mine: list[int], theirs: list[int], my_salt: str, your_salt: str, my_lora: str, your_lora: str
) -> None:
    contents = Contents()
    numbers = contents.of_prompt(NewRequest("a", tuple(mine), salt=my_salt, lora=my_lora))
    others = contents.of_prompt(NewRequest("b", tuple(theirs), salt=your_salt, lora=your_lora))

    def chains(tokens: list[int], salt: str | None, lora: str | None) -> list[object]:
        extras = [Extras(adapter=lora, salt=salt if at == 0 else None) for at in range(len(tokens))]
        return list(chain(tokens, Tokens(1), extras))

    mine_chains, their_chains = chains(mine, my_salt, my_lora), chains(theirs, your_salt, your_lora)
    for at in range(min(len(mine), len(theirs))):
        assert (numbers[at] == others[at]) == (mine_chains[at] == their_chains[at])


def test_an_image_is_known_by_what_it_is_and_where_it_starts() -> None:
    contents = Contents()

    def first(*items: Item) -> int:
        return contents.of_prompt(NewRequest("a", (1, 1), items=items))[0]

    assert first(Item("x", 0, 2)) == first(Item("x", 0, 1))
    assert len({first(), first(Item("x", 0, 2)), first(Item("y", 0, 2))}) == 3


def test_an_embedding_is_no_token() -> None:
    contents = Contents()
    plain = contents.of_prompt(NewRequest("a", (0, 0)))
    embedded = contents.of_prompt(NewRequest("b", (0, 0), embeds=bytes(8)))
    assert not set(plain) & set(embedded)


def test_useless_content_equals_nothing_else() -> None:
    contents = Contents()
    numbers = [contents.useless(), contents.useless(), *contents.of_prompt(NewRequest("a", (1, 2)))]
    assert len(set(numbers)) == 4
    assert not {NOTHING, FOREIGN} & set(numbers)
