"""What the demo decodes: requests that share a few long prefixes, in a pool that is too small for all."""

from dataclasses import dataclass
from random import Random

from kvref.dataplane.transformer.jobs import Habits, Job
from kvref.dataplane.transformer.layers import Kind
from kvref.dataplane.transformer.model import Shape
from kvref.operations import ChunkedGroup, Configuration, FullGroup, MambaGroup, SlidingGroup

BLOCK = 16
DRAFTS = 3
KINDS: tuple[Kind, ...] = (
    FullGroup(BLOCK),
    SlidingGroup(BLOCK, window=40),
    ChunkedGroup(BLOCK, chunk=64),
    MambaGroup(BLOCK, mode="align", speculative_blocks=DRAFTS),
)
LAYERS = (0, 3, 1, 3, 2, 0)
SHAPE = Shape(vocabulary=64, width=64, heads=4, head_size=16, max_tokens=512)
HABITS = Habits(drafts=DRAFTS)
NUM_BLOCKS = 160
STEP_TOKENS = 256
PREFIXES = 3
PREFIX_BLOCKS = (12, 18)
QUESTION_TOKENS = (4, 30)
OUTPUT_TOKENS = (12, 28)


@dataclass(frozen=True)
class Workload:
    """The jobs in order of arrival, and the seed that all else follows from, too."""

    seed: int
    jobs: tuple[Job, ...]

    @property
    def output_tokens(self) -> int:
        """How many tokens are to be decoded."""
        return sum(job.outputs for job in self.jobs)


def shared_prefixes(seed: int, requests: int) -> Workload:
    """Each prompt is one of a few long prefixes, and a question of its own."""
    random = Random(seed)  # noqa: S311 - no secret

    def text(tokens: int) -> tuple[int, ...]:
        return tuple(random.randrange(SHAPE.vocabulary) for _ in range(tokens))

    prefixes = [text(BLOCK * random.randint(*PREFIX_BLOCKS)) for _ in range(PREFIXES)]
    jobs = tuple(
        Job(random.choice(prefixes) + text(random.randint(*QUESTION_TOKENS)), random.randint(*OUTPUT_TOKENS))
        for _ in range(requests)
    )
    return Workload(seed, jobs)


def configuration(*, caching: bool) -> Configuration:
    """The manager's configuration, with prefix caching or without."""
    return Configuration(
        KINDS,
        NUM_BLOCKS,
        max_model_len=SHAPE.max_tokens,
        scheduler_block_size=BLOCK,
        hash_block_size=BLOCK,
        max_num_batched_tokens=STEP_TOKENS,
        enable_caching=caching,
    )
