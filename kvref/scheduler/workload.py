"""A workload: a server's settings, and what its users do. Everything else follows from a seed."""

from typing import Literal

import msgspec

from kvref.operations import Configuration, FullGroup, Group

BLOCK = 4
"""Tokens a block. Small, so that blocks fill, and recordings stay short."""

Loads = Literal["none", "within the step", "in the background", "either"]
OnFailure = Literal["recompute", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with the scheduler itself, by its id in the index of rules.

    A recording that shows it breaks one of `rules`, or ends with an error of which `raises` is a part.
    """

    id: str
    rules: frozenset[str] = frozenset()
    raises: str | None = None


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are in tokens, steps, requests or blocks; the rest are chances from 0 to 1."""

    name: str
    shows: str
    """What it is there for, as the end of a sentence."""

    groups: tuple[Group, ...] = (FullGroup(BLOCK),)
    asynchronous: bool = False
    policy: Literal["fcfs", "priority"] = "fcfs"
    blocks: int = 96
    budget: int = 48
    """The most tokens a step computes."""
    longest: int = 120
    longest_chunk: int = 0
    """The most tokens of one prompt that a step computes; 0 for no limit."""
    seats: int = 6
    """The most requests that run at a time."""
    caching: bool = True
    drafts: int = 0
    drafter: Literal["eagle", "ngram"] = "eagle"
    accepts: float = 0.5
    """The chance of each draft."""

    steps: int = 50
    requests: int = 14
    arrives: float = 0.6
    prompt: tuple[int, int] = (3, 60)
    outputs: tuple[int, int] = (1, 10)
    shares: float = 0.7
    """The chance that a prompt begins like another."""

    stops: float = 0.0
    """The chance of a sampled token to be one that ends its request."""
    structured: float = 0.0
    """The share of requests with a grammar, which in the end refuses a token."""
    aborts: float = 0.0
    """A step's chance that somebody hangs up."""
    sessions: float = 0.0
    """The share of streaming sessions, which go on with more input."""
    loads: Loads = "none"
    loads_fail: float = 0.0
    on_failure: OnFailure = "recompute"
    sends: float = 0.0
    """The share of requests whose blocks a connector still sends when they have finished."""
    resets: float = 0.0
    """A step's chance that the prefix cache is reset."""
    resets_running: float = 0.0
    """A step's chance of a reset that preempts all that runs."""
    finding: Finding | None = None

    @property
    def connected(self) -> bool:
        """Whether the server has a KV connector."""
        return self.loads != "none" or self.sends > 0

    @property
    def configuration(self) -> Configuration:
        """What the server builds its manager from."""
        return Configuration(
            groups=self.groups,
            num_blocks=self.blocks,
            max_model_len=self.longest,
            scheduler_block_size=BLOCK,
            hash_block_size=BLOCK,
            max_num_batched_tokens=self.budget,
            enable_caching=self.caching,
            use_eagle=self.drafts > 0 and self.drafter == "eagle",
        )
