from random import Random

import pytest

from kvref.fuzz.choices import Seeded


def bits_of(seed: str, width: int, below: int) -> list[int]:
    """What a seed's bits say: the first hundred numbers of this width that are below a bound."""
    generator = Random(seed)  # noqa: S311 - not for secrets
    drawn = (generator.getrandbits(width) for _ in range(1000))
    return [number for number in drawn if number < below][:100]


def test_a_number_is_the_first_draw_of_its_width_that_fits() -> None:
    choices = Seeded("a seed")
    assert [choices.integer(10, 14) for _ in range(100)] == [10 + n for n in bits_of("a seed", 3, 5)]
    assert Seeded("a seed").integers(100, 10, 14) == tuple(10 + n for n in bits_of("a seed", 3, 5))
    assert [Seeded("a seed").choice("abcde")] == ["abcde"[bits_of("a seed", 3, 5)[0]]]


def test_equal_seeds_choose_alike_and_others_do_not() -> None:
    def drawn(seed: str) -> list[object]:
        choices = Seeded(seed)
        return [
            *(choices.integer(0, 1000) for _ in range(5)),
            choices.sample("abcdefgh", 4),
            choices.byte(),
            *(choices.chance(0.5) for _ in range(20)),
        ]

    assert drawn("1") == drawn("1") != drawn("2")


def test_both_ends_are_drawn_and_nothing_beyond() -> None:
    choices = Seeded("ends")
    assert {choices.integer(3, 6) for _ in range(200)} == {3, 4, 5, 6}
    assert choices.integer(7, 7) == 7
    assert set(choices.integers(200, 0, 1)) == {0, 1}
    assert choices.integers(0, 0, 1) == ()


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (1.0, 1000, 1000), (0.2, 150, 250)])
def test_a_chance_comes_as_often_as_it_is_likely(probability: float, least: int, most: int) -> None:
    choices = Seeded("chance")
    assert least <= sum(choices.chance(probability) for _ in range(1000)) <= most


def test_options_come_as_often_as_their_weights_say() -> None:
    choices = Seeded("weights")
    drawn = [choices.weighted("abc", (6, 0, 2)) for _ in range(1000)]
    assert drawn.count("b") == 0
    assert 180 <= drawn.count("c") <= 320


def test_a_sample_has_no_place_twice() -> None:
    choices = Seeded("sample")
    assert all(len(set(choices.sample("abcd", 3))) == 3 for _ in range(100))
    assert sorted(choices.sample("abcd", 4)) == list("abcd")
