"""Small schedules: a few requests with shared prefixes, in a pool that is too small for them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from kvref.dataplane.transformer import dense
from kvref.dataplane.transformer.drafter import Drafter, lookup_drafter
from kvref.dataplane.transformer.engine import Engine
from kvref.dataplane.transformer.jobs import Counts, Generation, Habits, Job
from kvref.dataplane.transformer.layers import Kind
from kvref.dataplane.transformer.model import Model, Shape, random_model
from kvref.dataplane.transformer.paged import PagedModel
from kvref.dataplane.transformer.verify import Comparison, compare
from kvref.operations import ChunkedGroup, Configuration, FullGroup, MambaGroup, SlidingGroup
from kvref.reference import KVCacheManager
from kvref.targets.inprocess import manager_of

SHAPE = Shape(vocabulary=48, width=24, heads=2, head_size=12, max_tokens=96)
DRAFTS = 3
FULL = FullGroup(4)
SLIDING = SlidingGroup(4, window=6)
CHUNKED = ChunkedGroup(4, chunk=8)
MAMBA = MambaGroup(4, mode="align", speculative_blocks=DRAFTS)
HYBRID = (FULL, SLIDING, CHUNKED, MAMBA)


@dataclass(frozen=True)
class Setting:
    """All that a schedule follows from; a layer a group if `layers` does not say."""

    kinds: tuple[Kind, ...]
    seed: int
    layers: tuple[int, ...] = ()
    drafts: int = DRAFTS
    lookahead: int = 0
    caching: bool = True
    num_blocks: int = 0
    requests: int = 8
    arrival: float = 0.5

    @property
    def configuration(self) -> Configuration:
        sizes = {kind.block_size for kind in self.kinds}
        return Configuration(
            self.kinds,
            self.num_blocks or 1 + sum(80 // kind.block_size for kind in self.kinds),
            max_model_len=SHAPE.max_tokens,
            scheduler_block_size=max(sizes),
            hash_block_size=min(sizes),
            max_num_batched_tokens=40,
            enable_caching=self.caching,
        )

    @property
    def model(self) -> Model:
        return random_model(self.kinds, self.layers or tuple(range(len(self.kinds))), SHAPE, self.seed)

    def jobs(self) -> list[Job]:
        random = Random(self.seed)  # noqa: S311 - no secret

        def text(tokens: int) -> tuple[int, ...]:
            return tuple(random.randrange(SHAPE.vocabulary) for _ in range(tokens))

        prefixes = [text(24) for _ in range(2)]
        return [
            Job(
                random.choice(prefixes)[: random.choice((8, 16, 24))] + text(random.randint(1, 12)),
                random.randint(3, 16),
            )
            for _ in range(self.requests)
        ]

    def engine(self, manager: Any, drafter: Drafter | None = None) -> Engine:
        random = Random(self.seed)  # noqa: S311 - no secret
        return Engine(
            manager,
            self.configuration,
            PagedModel(self.model, self.configuration.num_blocks),
            drafter or lookup_drafter(random, SHAPE.vocabulary),
            Habits(drafts=self.drafts, lookahead=self.lookahead, arrival=self.arrival),
            random,
        )


def against_dense(model: Model, generations: list[Generation]) -> Comparison:
    return compare(
        [(one.outputs, torch.stack(one.rows)) for one in generations],
        [dense.decode(model, one.job.prompt, one.job.outputs) for one in generations],
    )


def decode(setting: Setting, manager_class: Callable[..., Any] = KVCacheManager) -> tuple[Comparison, Counts]:
    """Run the setting on a manager of this class, and hold it against the model without a cache."""
    engine = setting.engine(manager_of(manager_class, setting.configuration))
    generations = engine.run(setting.jobs())
    return against_dense(setting.model, generations), engine.counts
