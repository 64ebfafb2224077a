"""Cases that aim at what random choice seldom reaches.

Two of four cases have an aim: a kind, a feature and an event that are to meet. Their weights are set for
it, and their configuration is drawn until it has the kind and the feature. Aims are chosen by how many a
campaign needs of each until all have met often: a table that was learned once, and is part of the source.
So a case follows from its number, whoever runs it and whatever was run before.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from kvref.fuzz.choices import Choices
from kvref.fuzz.coverage import FEATURES, features_of
from kvref.fuzz.histogram import Cell
from kvref.fuzz.weights import DEFAULT, KINDS, Weights
from kvref.operations import Configuration

GUIDED = (1, 2)
"""The cases with an aim, of four consecutive ones: a careful one and another."""

FAVOUR = 24.0
"""The weight of the kind that is aimed at; those of all kinds by default add up to as much."""

OF_REQUESTS = FEATURES[FEATURES.index("preempted") :]
"""Features that no configuration has."""

EXTRAS: dict[str, Any] = {"extras": 1.0, "pickled": 0.0}

FEATURE_WEIGHTS: dict[str, dict[str, Any]] = {
    "one group": {"group_counts": (1,), "group_count_weights": (1,)},
    "several groups": {"group_counts": (2, 3, 4), "group_count_weights": (6, 3, 2)},
    "several block sizes": {
        "group_counts": (2, 3, 4),
        "group_count_weights": (6, 3, 2),
        "size_factor_weights": (1, 1, 1),
    },
    "EAGLE": {"eagle": 1.0},
    "retention 0": {"retention": 1.0},
    "retention k": {"retention": 1.0},
    "context parallel": {"group_counts": (1,), "group_count_weights": (1,), "context_parallel": 1.0},
    "speculative blocks": {"speculative_blocks": (1, 2, 3)},
    "caching off": {"caching": 0.0},
    "events off": {"events": 0.0},
    "preempted": {"preempts": 0.2},
    # A session finds itself again, once it was preempted.
    "streaming": {
        **EXTRAS,
        "embeds": 0.0,
        "continues": 1.0,
        "asynchronous": 0.0,
        "aborts": 0.0,
        "answers": (1, 1, 2),
        "preempts": 0.4,
    },
    "salt": EXTRAS,
    "LoRA": EXTRAS,
    "multimodal": EXTRAS,
    "embeddings": {**EXTRAS, "embeds": 0.6, "shared_extras": 0.9},
    "skips reading": {"skip_reading": 0.4},
    "external": {"connector": 1.0, "external": 0.9, "loads_later": 0.0},
    "async load": {"connector": 1.0, "external": 0.9, "loads_later": 1.0},
    "lookahead": {"lookaheads": (1, 2, 4)},
    "admission gate": {"gated": 1.0},
    "reserved blocks": {"reserving": 1.0},
}

EVENT_WEIGHTS: dict[str, dict[str, Any]] = {
    "hit": {
        "block_sizes": (1, 2, 2, 4),
        "pools": (1.2, 2.0, 4.0),
        "extras": 0.0,
        "shared_prefix": 0.95,
        "shared_extras": 0.9,
    },
    "eviction": {"pools": (0.3, 0.5, 0.8)},
    "refusal": {"pools": (0.3, 0.5)},
}

BUSY: dict[str, Any] = {
    "chatter": (0.0,),
    "answers": (1, 1, 4),
    "arrivals": (1, 1, 2),
    "cut": 0.05,
    "cut_prompt": 0.1,
}
"""Many requests come and go: each event is one of an admission."""


class Aim(msgspec.Struct, frozen=True, array_like=True):
    """A cell of the histogram, and of how many aims in the table it is one."""

    kind: str
    feature: str
    event: str
    times: int

    @property
    def cell(self) -> Cell:
        """What is to meet."""
        return Cell(self.kind, self.feature, self.event)


@cache
def _table() -> tuple[list[Cell], list[int]]:
    aims = msgspec.json.decode((files("kvref.fuzz") / "aims.json").read_bytes(), type=list[Aim])
    return [aim.cell for aim in aims], [aim.times for aim in aims]


def draw_aim(choices: Choices, number: int) -> Cell | None:
    """The aim of the case of this number, None if it has none."""
    return choices.weighted(*_table()) if number % 4 in GUIDED else None


def weights_for(aim: Cell | None) -> Weights:
    """The weights of a case with this aim."""
    if aim is None:
        return DEFAULT
    kind, _, mode = aim.kind.partition(" ")
    changes: dict[str, Any] = {"unusual": 0.0, **BUSY}
    if kind == "cross":
        changes |= {"caching": 0.0, "cross": 1.0}
    else:
        usual = zip(KINDS, DEFAULT.kind_weights, strict=True)
        changes["kind_weights"] = tuple(FAVOUR if name == kind else weight for name, weight in usual)
    if mode:
        changes["mamba_modes"] = (mode,)
    changes |= EVENT_WEIGHTS[aim.event] | FEATURE_WEIGHTS[aim.feature]
    if aim.feature == "context parallel":
        # Blocks are two or four times as wide, and a pool holds as much more.
        changes["pools"] = tuple(share / 3 for share in changes["pools"])
    return replace(DEFAULT, **changes)


def fits(aim: Cell | None, configuration: Configuration) -> bool:
    """Whether the aim can be met in this configuration."""
    if aim is None:
        return True
    features = features_of(configuration)
    return aim.kind in features and (aim.feature in OF_REQUESTS or aim.feature in features)
