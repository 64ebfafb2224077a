"""A multi-turn chat service: conversations in the shape of published production traces.

Such traces show log-normal lengths with long tails (prompts of some thousand tokens, outputs of
some hundred), few turns a conversation, arrivals in bursts, a few system prompts that most
conversations begin with, and 50 to 60 % of all prompt blocks seen before (Mooncake's traces, FAST
2025; "KVCache Cache in the Wild", ATC 2025). The draws here have that shape; no recorded data is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from random import Random
from statistics import mean, quantiles

from kvref.bench.workloads import (
    BLOCK,
    DIGEST_BYTES,
    Job,
    Size,
    Wave,
    Workload,
    configured,
    content_of,
)
from kvref.operations import FullGroup

SYSTEM_PROMPTS = 6
TURNS_MEAN = 2.2
MOST_TURNS = 10
STEPS_BETWEEN = 4.0
BURSTINESS = 4.0
THINK_STEPS = 120.0
POOL_SHARE = 0.4


@dataclass(frozen=True)
class Length:
    """Log-normal lengths in tokens: `median`, the deviation of the logarithm, and the limits."""

    median: float
    sigma: float
    least: int
    most: int

    def draw(self, rng: Random) -> int:
        """One length."""
        return min(max(round(rng.lognormvariate(log(self.median), self.sigma)), self.least), self.most)


SYSTEM = Length(1_500, 0.5, 200, 8_000)
FIRST = Length(2_800, 1.2, 16, 60_000)
FOLLOWING = Length(600, 1.3, 8, 16_000)
OUTPUT = Length(130, 0.9, 2, 1_000)


@dataclass(frozen=True)
class Conversation:
    """Its turns as (arrival in steps, prompt tokens, output tokens), and the digests of all of it."""

    turns: tuple[tuple[int, int, int], ...]
    content: bytes

    def jobs(self) -> list[Job]:
        """A request a turn: its prompt is everything that was said before."""
        return [
            Job(prompt, output, self.content[: (prompt + output) // BLOCK * DIGEST_BYTES], arrival)
            for arrival, prompt, output in self.turns
        ]


def conversation(rng: Random, arrival: int, prefix: tuple[int, bytes]) -> Conversation:
    """One conversation that begins with the system prompt of `prefix`: its tokens and digests."""
    tokens, shared = prefix
    count = min(1 + int(rng.expovariate(1 / (TURNS_MEAN - 0.5))), MOST_TURNS)
    turns: list[tuple[int, int, int]] = []
    for turn in range(count):
        prompt = tokens + (FOLLOWING if turn else FIRST).draw(rng)
        output = OUTPUT.draw(rng)
        turns.append((arrival, prompt, output))
        tokens = prompt + output
        arrival += output + round(rng.expovariate(1 / THINK_STEPS))
    return Conversation(tuple(turns), content_of(rng, tokens, shared=shared))


def conversations(rng: Random, count: int) -> list[Conversation]:
    """Conversations that arrive in bursts; the k-th system prompt is drawn with weight 1/k."""
    lengths = [SYSTEM.draw(rng) for _ in range(SYSTEM_PROMPTS)]
    prefixes = [(length, content_of(rng, length)) for length in lengths]
    weights = [1 / (rank + 1) for rank in range(SYSTEM_PROMPTS)]
    now, drawn = 0.0, []
    for _ in range(count):
        now += rng.gammavariate(1 / BURSTINESS, STEPS_BETWEEN * BURSTINESS)
        (prefix,) = rng.choices(prefixes, weights)
        drawn.append(conversation(rng, round(now), prefix))
    return drawn


def multi_turn(rng: Random, size: Size) -> Workload:
    """The conversations' requests by arrival, in a pool that holds a part of what they say."""
    talks = conversations(rng, size.conversations)
    jobs = sorted((job for talk in talks for job in talk.jobs()), key=lambda job: job.arrival)
    largest = max(len(job.content) // DIGEST_BYTES for job in jobs)
    pool = max(int(POOL_SHARE * distinct_blocks(jobs)), 2 * largest) + 2
    configuration = configured([FullGroup(BLOCK)], pool)
    title = f"{len(jobs)} requests of {len(talks)} conversations; one full-attention group, {pool} blocks"
    facts = {"turns_mean": len(jobs) / len(talks)} | statistics(jobs)
    return Workload(
        "multi-turn", title, configuration, (Wave(tuple(jobs)),), prefill_first=False, facts=facts
    )


def distinct_blocks(jobs: Sequence[Job]) -> int:
    """How many different full blocks the requests have."""
    return len({digest for job in jobs for digest in job.digests()})


def statistics(jobs: Sequence[Job]) -> dict[str, float]:
    """What the trace is like: counts, lengths in tokens, and which part of it was seen before.

    `shared_fraction`: the prompt blocks that an earlier request had, which is the hit rate of an
    endless cache.
    """
    seen: set[bytes] = set()
    shared = total = 0
    for job in jobs:
        digests = job.digests()
        prompt = digests[: job.prompt // BLOCK]
        total += len(prompt)
        shared += next((i for i, digest in enumerate(prompt) if digest not in seen), len(prompt))
        seen.update(digests)
    told: dict[str, float] = {"requests": len(jobs), "shared_fraction": shared / total}
    for what, lengths in (("prompt", [j.prompt for j in jobs]), ("output", [j.output for j in jobs])):
        cuts = quantiles(lengths, n=100, method="inclusive")
        told |= {f"{what}_mean": mean(lengths)}
        told |= {f"{what}_p{p}": cuts[p - 1] for p in (10, 50, 90, 99)}
    gaps = [after.arrival - before.arrival for before, after in pairwise(jobs)]
    told["steps_between_arrivals"] = mean(gaps)
    return told
