"""What an engine is given to decode, how it behaves, and what happened."""

from dataclasses import dataclass, field

from torch import Tensor

from kvref.request import Request


@dataclass(frozen=True)
class Habits:
    """How a scheduler behaves: `drafts` a step at most; the last four are chances, from 0 to 1."""

    drafts: int = 0
    lookahead: int = 0
    max_running: int = 8
    arrival: float = 0.5
    short_chunk: float = 0.2
    pause: float = 0.05
    preempt: float = 0.02


@dataclass
class Counts:
    """What happened. Tokens and blocks that were hit are counted when a request is admitted."""

    steps: int = 0
    queried_tokens: int = 0
    hit_tokens: int = 0
    hit_blocks: int = 0
    computed_tokens: int = 0
    output_tokens: int = 0
    evictions: int = 0
    preemptions: int = 0
    accepted_drafts: int = 0
    rejected_drafts: int = 0


@dataclass(frozen=True)
class Job:
    """A prompt, and how many tokens it is to be continued by."""

    prompt: tuple[int, ...]
    outputs: int


@dataclass(eq=False)
class Generation:
    """A job on its way: `rows` are the logits [V] of its output tokens."""

    job: Job
    request: Request
    rows: list[Tensor] = field(default_factory=list)

    @property
    def outputs(self) -> list[int]:
        """The output tokens so far."""
        return self.request.all_token_ids[len(self.job.prompt) :]

    @property
    def is_done(self) -> bool:
        """Whether all output tokens are there."""
        return len(self.rows) == self.job.outputs
