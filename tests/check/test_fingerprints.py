"""A set of numbers, in little memory."""

from random import Random

from kvref.check.fingerprints import Fingerprints


def test_a_number_is_new_once() -> None:
    seen = Fingerprints()
    assert seen.add(7)
    assert not seen.add(7)
    assert seen.add(8)
    assert len(seen) == 2


def test_zero_is_a_number_too() -> None:
    seen = Fingerprints()
    assert seen.add(0)
    assert not seen.add(0)


def test_it_agrees_with_a_set_while_it_grows() -> None:
    draw = Random(1)  # noqa: S311 - nothing is secret
    seen, known = Fingerprints(), set[int]()
    for _ in range(3000):
        # Few enough to meet again, with equal low bits, so that places are contended for.
        number = draw.randrange(1, 1000) << 40
        assert seen.add(number) == (number not in known)
        known.add(number)
    assert len(seen) == len(known)


def test_a_number_takes_no_more_than_four_places() -> None:
    seen = Fingerprints()
    for number in range(100_000):
        seen.add(number * 0x9E3779B97F4A7C15 % 2**64)
    assert seen.bytes <= 4 * 8 * len(seen)
