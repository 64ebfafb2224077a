"""Drafts for speculative decoding: cheap guesses, some of which are right."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

Drafter = Callable[[Sequence[int], int], list[int]]
"""(all tokens so far, how many drafts) -> the drafts."""

RECENT = 8


def lookup_drafter(random: Random, vocabulary: int) -> Drafter:
    """Guess what followed each token the last time that any text had it; by chance where none had."""
    followers: dict[int, int] = {}

    def draft(tokens: Sequence[int], count: int) -> list[int]:
        followers.update(pairwise(tokens[-RECENT:]))
        guesses = [tokens[-1]]
        for _ in range(count):
            guesses.append(followers.get(guesses[-1], random.randrange(vocabulary)))
        return guesses[1:]

    return draft
