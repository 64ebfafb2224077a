"""What is benchmarked: managers' configurations, and the requests that come to them.

A request is told by its lengths and by the digests of its blocks, drawn from the seed: a manager
never reads tokens. Every request cuts digest objects of its own, as a hasher would make them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from kvref.operations import Configuration, FullGroup, Group, MambaGroup, SlidingGroup

BLOCK = 16
MAMBA_BLOCK = 512
DIGEST_BYTES = 32
WINDOW = 1_024
PROMPT = 8_192
STEP_TOKENS = 2_048
LONGEST = 262_144
SPARE = 1.02
STATES_MORE = 12
POOL_DECODES = 4
SYSTEM_PROMPTS = (8_192, 16_384, 32_768, 65_536, 131_072)
POOLS = {"pool-10k": 10_000, "pool-100k": 100_000, "pool-1M": 1_000_000}


@dataclass(frozen=True)
class Job:
    """A request to come: `prompt` and `output` in tokens, `arrival` in steps of its wave.

    `content` is the digests of all its full blocks, one behind another.
    """

    prompt: int
    output: int
    content: bytes
    arrival: int = 0

    def digests(self) -> list[bytes]:
        """The digest of every full block, as new objects."""
        return [self.content[i : i + DIGEST_BYTES] for i in range(0, len(self.content), DIGEST_BYTES)]


@dataclass(frozen=True)
class Wave:
    """Requests that are driven until all are done; `phase` is what their cold prefill is measured as."""

    jobs: tuple[Job, ...]
    phase: Literal["prefill", "evict"] = "prefill"


@dataclass(frozen=True)
class Workload:
    """A configuration, and waves of requests, one behind another.

    `prefill_first`: no request decodes before all are prefilled, so that all of a wave decode
    together. Without it, decoding and prefilling share a step. `lookahead` is in tokens. `facts` are
    statistics worth telling.
    """

    name: str
    title: str
    configuration: Configuration
    waves: tuple[Wave, ...]
    lookahead: int = 0
    prefill_first: bool = True
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """How much is run. `decodes` is the steps that each request decodes.

    The collector's pass over what a prefill left may fall into the first of them, so they are many.
    """

    requests: int
    pool_requests: int
    sharers: int
    decodes: int
    conversations: int


FULL_SIZE = Size(requests=256, pool_requests=16, sharers=8, decodes=128, conversations=240)
QUICK_SIZE = Size(requests=16, pool_requests=4, sharers=2, decodes=32, conversations=24)


def configured(groups: Sequence[Group], num_blocks: int, *, use_eagle: bool = False) -> Configuration:
    """A manager as an engine has it by default: it caches, keeps statistics, and tells no events."""
    size = max(group.block_size for group in groups)
    return Configuration(
        tuple(groups),
        num_blocks,
        LONGEST,
        size,
        size,
        max_num_batched_tokens=STEP_TOKENS,
        use_eagle=use_eagle,
        log_stats=True,
        enable_kv_cache_events=False,
        hash_function="sha256",
    )


def content_of(rng: Random, tokens: int, block_size: int = BLOCK, shared: bytes = b"") -> bytes:
    """The digests of `tokens` tokens that begin with the blocks of `shared`."""
    return shared + rng.randbytes(tokens // block_size * DIGEST_BYTES - len(shared))


def jobs_of(rng: Random, count: int, output: int, block_size: int) -> tuple[Job, ...]:
    """Prompts of 8 k tokens and a few more each, so that they do not all need a block at once."""
    lengths = [PROMPT + 1 + i % block_size for i in range(count)]
    return tuple(Job(length, output, content_of(rng, length + output, block_size)) for length in lengths)


def again(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The same prompts once more, for one token of output each."""
    return tuple(Job(job.prompt, 1, job.content) for job in jobs)


def blocks_taken(group: Group, tokens: int) -> int:
    """About how many blocks one request takes in all: a state a step and a few more, or a block a block."""
    if isinstance(group, MambaGroup):
        return tokens // STEP_TOKENS + STATES_MORE
    return -(-tokens // group.block_size)


def steady(
    name: str, title: str, groups: Sequence[Group], rng: Random, size: Size, *, lookahead: int = 0
) -> Workload:
    """Cold prompts, the same again, and others that evict them, in a pool that just holds one wave."""
    block = groups[0].block_size
    cold = jobs_of(rng, size.requests, size.decodes + 1, block)
    others = jobs_of(rng, size.requests, 1, block)
    longest = max(job.prompt + job.output + lookahead for job in cold)
    pool = int(size.requests * sum(blocks_taken(group, longest) for group in groups) * SPARE) + 1
    return Workload(
        name,
        title,
        configured(groups, pool, use_eagle=lookahead > 0),
        (Wave(cold), Wave(again(cold)), Wave(others, "evict")),
        lookahead,
    )


def full(rng: Random, size: Size) -> Workload:
    """One full-attention group."""
    return steady("full", "one full-attention group", [FullGroup(BLOCK)], rng, size)


def hybrid(rng: Random, size: Size) -> Workload:
    """One full-attention group and three of sliding windows with an equal spec, as models have them."""
    groups: list[Group] = [FullGroup(BLOCK), *[SlidingGroup(BLOCK, WINDOW)] * 3]
    return steady("hybrid", f"1 full + 3 sliding windows of {WINDOW} tokens", groups, rng, size)


def mamba(rng: Random, size: Size) -> Workload:
    """Full attention and three recurrent groups, whose states are kept where a step ends.

    A block is what a state takes the space of: some hundred tokens, as in models of this kind.
    """
    groups: list[Group] = [FullGroup(MAMBA_BLOCK), *[MambaGroup(MAMBA_BLOCK, mode="align")] * 3]
    title = f"1 full + 3 Mamba groups, states aligned, blocks of {MAMBA_BLOCK} tokens"
    return steady("mamba", title, groups, rng, size)


def eagle(rng: Random, size: Size) -> Workload:
    """Full attention and a sliding window under EAGLE, with three draft tokens."""
    groups: list[Group] = [FullGroup(BLOCK, eagle=True), SlidingGroup(BLOCK, WINDOW)]
    title = f"1 full (draft head) + 1 sliding window of {WINDOW} tokens, EAGLE, 3 draft tokens"
    return steady("eagle", title, groups, rng, size, lookahead=3)


def system_prompts(rng: Random, size: Size) -> Workload:
    """Long system prompts, each shared by several requests with a question of their own."""
    prefixes = [content_of(rng, tokens) for tokens in SYSTEM_PROMPTS]
    waves = []
    for sharers in (1, size.sharers):
        jobs = []
        for tokens, prefix in zip(SYSTEM_PROMPTS, prefixes, strict=True):
            for _ in range(sharers):
                prompt = tokens + rng.randrange(200, 800)
                output = size.decodes + 1
                jobs.append(Job(prompt, output, content_of(rng, prompt + output, shared=prefix)))
        waves.append(Wave(tuple(jobs)))
    blocks = sum(SYSTEM_PROMPTS) // BLOCK + 64 * len(SYSTEM_PROMPTS) * (1 + size.sharers)
    title = "system prompts of 8 k to 128 k tokens, shared; one full-attention group"
    return Workload("system-prompts", title, configured([FullGroup(BLOCK)], blocks), tuple(waves))


def pool_of(name: str) -> Callable[[Random, Size], Workload]:
    """The same few requests in a pool of another size: what a call costs must not depend on it."""

    def build(rng: Random, size: Size) -> Workload:
        cold = jobs_of(rng, size.pool_requests, POOL_DECODES * size.decodes + 1, BLOCK)
        configuration = configured([FullGroup(BLOCK)], POOLS[name])
        title = f"one full-attention group, {POOLS[name]} blocks"
        return Workload(name, title, configuration, (Wave(cold), Wave(again(cold))))

    return build
