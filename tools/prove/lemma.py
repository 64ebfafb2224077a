"""A smaller statement than a contract or an equivalence: CrossHair follows it over all paths, within small bounds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lemma:
    """`holds` is the statement, with bounds as preconditions; `about` are the functions that a mistake may be in."""

    holds: Callable[..., bool]
    about: tuple[Callable[..., object], ...]


LEMMAS = tuple(
    f"tools.prove.{name}"
    for name in (
        "lemmas",
        "content_lemmas",
        "plain_invariants",
        "plain_hits",
        "plain_tables",
        "plain_content",
        "plain_effects",
    )
)
"""The modules that list them, as `LEMMAS`."""
