"""How one case's scheduler is set up: what it does at all, from the first step to the last."""

from dataclasses import dataclass

from kvref.fuzz.choices import Choices
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import Configuration


@dataclass(frozen=True, slots=True)
class Habits:
    """One scheduler's."""

    asynchronous: bool = False
    """A step is scheduled while another one runs [PROTO-12]."""
    connector: bool = False
    """Tokens come from elsewhere, too [PROTO-3]."""
    lookahead: int = 0
    """Drafts of a step, and the slots asked for them."""
    varying_lookahead: bool = False
    """Another number of slots with every allocation."""
    extras: bool = False
    """Requests have salts, adapters, images and embeddings."""
    gated: bool = False
    """Some admissions must fit with their whole prompt [ADMIT-1]."""
    reserving: bool = False
    """Some allocations must leave blocks free."""
    chatty: float = 0.0
    """How likely an upheaval follows a step."""


def draw_habits(choices: Choices, configuration: Configuration, weights: Weights = DEFAULT) -> Habits:
    """Random habits for this configuration."""
    return Habits(
        asynchronous=choices.chance(weights.asynchronous),
        connector=choices.chance(weights.connector),
        lookahead=choices.choice(weights.lookaheads),
        varying_lookahead=choices.chance(weights.varying_lookahead),
        # Pickled bytes depend on which strings are one object, which no trace can tell.
        extras=configuration.hash_function != "sha256" and choices.chance(weights.extras),
        gated=choices.chance(weights.gated),
        reserving=choices.chance(weights.reserving),
        chatty=choices.choice(weights.chatter),
    )
