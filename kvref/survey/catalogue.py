"""The findings that are known: how each is recognised in a shrunk trace, and what is to be said of it.

A trace that was shrunk has nothing that its finding does not need, so that a recogniser may go by what
is there. Ids are those of the rule index. All traces are legal for `kvref.protocol`: a manager may be asked
so. Whether vLLM's own scheduler does ask so was not tried here, as it was for the stories in `reproducers/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kvref.compare import Difference
from kvref.operations import (
    Allocate,
    ChunkedGroup,
    CrossGroup,
    MambaGroup,
    NewRequest,
    NewStep,
    SlidingGroup,
    SlidingMLAGroup,
    Trace,
)
from kvref.replay import read_trace

TRACES = Path(__file__).parent / "traces"

Recognise = Callable[[Trace, Difference], bool]


class Harm(Enum):
    """What follows from a finding."""

    WRONG_READ = "wrong read"
    RAISES = "raises"
    STUCK = "never ends"


@dataclass(frozen=True)
class Known:
    """One finding.

    `recognises` looks at a shrunk trace, which has nothing that the finding does not need, and at the
    first thing that is wrong. `when` says what it takes.
    """

    id: str
    title: str
    harm: Harm
    when: str
    upstream: str
    recognises: Recognise

    @property
    def trace(self) -> Trace:
        """The smallest trace that shows it."""
        return read_trace(TRACES / f"{self.id}.json")


def which(known: Sequence[Known], trace: Trace, wrong: Difference) -> Known | None:
    """The finding that a shrunk trace shows, None if it is a new one."""
    return next((one for one in known if one.recognises(trace, wrong)), None)


WINDOWED = (SlidingGroup, SlidingMLAGroup)
REFUSED_LATE = "a configuration that the constructor takes; the first lookup raises"


def _has(trace: Trace, *kinds: type) -> bool:
    return any(isinstance(group, kinds) for group in trace.configuration.groups)


def _eagle(trace: Trace) -> bool:
    configuration = trace.configuration
    return configuration.use_eagle or any(group.eagle for group in configuration.groups)


def _admissions(trace: Trace) -> list[Allocate]:
    return [operation for operation in trace.operations if isinstance(operation, Allocate)]


def _loads(trace: Trace) -> bool:
    return any(operation.external for operation in _admissions(trace))


def _raises(text: str) -> Recognise:
    return lambda _, wrong: wrong.what == "error" and text in wrong.actual


def _runs_out(trace: Trace, wrong: Difference) -> bool:
    return wrong.what == "error" and "free blocks from the pool" in wrong.actual and bool(trace.operations)


def _reads(wrong: Difference, *kinds: str) -> bool:
    return " reads " in wrong.what and any(f"({kind})" in wrong.what for kind in kinds)


def _same_step(trace: Trace, wrong: Difference) -> bool:
    """The reader was admitted in the very step in which another computed the state."""
    last = max((at for at, one in enumerate(trace.operations) if isinstance(one, NewStep)), default=0)
    together = [one for one in trace.operations[last:] if isinstance(one, Allocate)]
    return _reads(wrong, "mamba") and not _eagle(trace) and len(together) > 1


def _images(trace: Trace, wrong: Difference) -> bool:
    items = [one.items for one in trace.operations if isinstance(one, NewRequest) and one.items]
    return " reads " in wrong.what and len(items) > 1


def _ragged(trace: Trace, wrong: Difference) -> bool:
    groups = [group for group in trace.configuration.groups if isinstance(group, ChunkedGroup)]
    return _reads(wrong, "chunked") and any(group.chunk % group.block_size for group in groups)


def _state_raises(trace: Trace, wrong: Difference) -> bool:
    return (
        _eagle(trace) and _has(trace, MambaGroup) and _reads(wrong, "full", "mla", "sliding", "sliding_mla")
    )


def _window_cut(trace: Trace, wrong: Difference) -> bool:
    windows = _eagle(trace) and _has(trace, *WINDOWED) and not _has(trace, MambaGroup)
    return windows and _reads(wrong, "sliding", "sliding_mla") and "no block" in wrong.what


def _takes_anothers(trace: Trace, wrong: Difference) -> bool:
    several = len(trace.configuration.groups) > 1
    return several and _loads(trace) and " reads " in wrong.what and "another group" in wrong.actual


def _caches_badly(trace: Trace, wrong: Difference) -> bool:
    """An assertion of vLLM's where full blocks are cached, whose name the driver of 0.23.0 chose."""
    return _has(trace, *WINDOWED, ChunkedGroup) and _raises("UnhashedTokensError")(trace, wrong)


def _caches_nulls(trace: Trace, wrong: Difference) -> bool:
    raises = _caches_badly(trace, wrong) and not trace.configuration.enable_kv_cache_events
    hit = _reads(wrong, "sliding", "sliding_mla", "chunked") and "no block" in wrong.what
    return raises or (hit and not _eagle(trace) and not _ragged(trace, wrong))


def _aligned(trace: Trace) -> bool:
    return any(isinstance(g, MambaGroup) and g.mode == "align" for g in trace.configuration.groups)


KNOWN: tuple[Known, ...] = (
    Known(
        "Q-1",
        "a recurrent group under EAGLE raises the hit above what the other groups hold: blocks that were never"
        " computed count as computed",
        Harm.WRONG_READ,
        "EAGLE or MTP on a hybrid model with prefix caching",
        "issue #43559, PRs #45614, #46281",
        _state_raises,
    ),
    Known(
        "Q-3",
        "external blocks of one group are taken from a later group's hits",
        Harm.WRONG_READ,
        "a connector's tokens on a hybrid model, pool nearly full",
        "",
        _takes_anothers,
    ),
    Known(
        "Q-7",
        "a chunk that is not a multiple of the block size hits tokens of the current chunk",
        Harm.WRONG_READ,
        "any such chunk",
        "",
        _ragged,
    ),
    Known(
        "Q-60",
        "a recurrent state is hit in the step that computes it",
        Harm.WRONG_READ,
        "two prompts with a common prefix in one step",
        "PR #29387",
        _same_step,
    ),
    Known(
        "Q-61",
        "a key leaves out where in its block an image begins",
        Harm.WRONG_READ,
        "two prompts with one image behind texts of different length",
        "PR #11646 left the offset out",
        _images,
    ),
    Known(
        "Q-63",
        "a sliding window under EAGLE, finer than the alignment, hits a length whose window it lacks",
        Harm.WRONG_READ,
        "EAGLE with a draft model of sliding windows and several block sizes",
        "issue #51771 is near",
        _window_cut,
    ),
    Known(
        "Q-4",
        "the block of an external recurrent state is not counted: the pool runs out in the middle of a call",
        Harm.RAISES,
        "a connector's tokens with aligned states, pool nearly full; from 0.20 to 0.22 its scheduler refuses that",
        "vllm-ascend #11049",
        lambda trace, wrong: _runs_out(trace, wrong) and _aligned(trace) and _loads(trace),
    ),
    Known(
        "Q-65",
        "a negative need of a cross-attention group hides another group's need",
        Harm.RAISES,
        "an encoder-decoder model, pool nearly full",
        "",
        lambda trace, wrong: _runs_out(trace, wrong) and _has(trace, CrossGroup),
    ),
    Known(
        "Q-64",
        "with KV events, caching a block raises where the block before it is null",
        Harm.RAISES,
        "windows or chunks with KV events",
        "PR #30544",
        lambda trace, wrong: _caches_badly(trace, wrong) and trace.configuration.enable_kv_cache_events,
    ),
    Known(
        "Q-66",
        "null entries are cached: the null block gets a key, and is hit; the next such entry raises",
        Harm.WRONG_READ,
        "windows or chunks with prefix caching",
        "",
        _caches_nulls,
    ),
    Known(
        "Q-67",
        "a rejection that goes back behind the end of a block raises in an aligned recurrent group",
        Harm.RAISES,
        "speculative decoding on a hybrid model",
        "",
        _raises("num_required_blocks"),
    ),
    Known(
        "Q-68",
        "the admission gate leaves out the old running state of a prefill in several steps: a prompt does not fit,"
        " even alone, and is admitted again for ever",
        Harm.STUCK,
        "a prompt nearly as large as the pool",
        "issue #52520",
        lambda trace, wrong: (
            "admitted whole, alone" in wrong.what
            and _aligned(trace)
            and not _has(trace, *WINDOWED, ChunkedGroup)
        ),
    ),
    Known(
        "Q-17",
        "the admission gate lets in a prompt that does not fit, even alone",
        Harm.STUCK,
        "windows or chunks with hits; the request is preempted and admitted again",
        "",
        lambda trace, wrong: "admitted whole, alone" in wrong.what and _has(trace, *WINDOWED, ChunkedGroup),
    ),
    Known(
        "Q-23",
        f"cross attention with prefix caching: {REFUSED_LATE}",
        Harm.RAISES,
        "never from vLLM: its configuration turns caching off for encoder-decoder models",
        "",
        _raises("CrossAttentionManager does not support caching"),
    ),
    Known(
        "Q-49",
        f"chunked local attention with EAGLE, or finer than the alignment: {REFUSED_LATE}",
        Harm.RAISES,
        "with EAGLE never from vLLM: its configuration turns the hybrid manager off",
        "",
        lambda trace, wrong: (
            _raises("eagle + chunked local attention")(trace, wrong)
            or _raises("not compatible with chunked local attention")(trace, wrong)
        ),
    ),
    Known(
        "Q-53",
        f"context parallelism over a lone group other than full attention: {REFUSED_LATE}",
        Harm.RAISES,
        "decode context parallelism on such a model",
        "",
        _raises("DCP not support"),
    ),
    Known(
        "Q-62",
        "a sliding window under EAGLE, finer than the alignment, raises at its first hit",
        Harm.RAISES,
        "EAGLE with windows and several block sizes",
        "",
        _raises("aligned_length is not compatible with eagle"),
    ),
)
