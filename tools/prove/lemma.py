"""A smaller statement than a contract or an equivalence: CrossHair follows it over all paths, within small bounds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lemma:
    """`holds` is the statement, with bounds as preconditions; `about` are the functions that a mistake may be in."""

    holds: Callable[..., bool]
    about: tuple[Callable[..., object], ...]


LEMMAS = ("tools.prove.lemmas", "tools.prove.content_lemmas", "tools.prove.plain_invariants")
"""The modules that list them, as `LEMMAS`."""
