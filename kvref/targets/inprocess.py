"""What managers in this process share: they are built from the API types that a user would build."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar, cast

from invariants.view import View
from kvref.config import KVCacheConfig, KVCacheGroupSpec
from kvref.errors import CallerError, UserError
from kvref.events import KVCacheEvent
from kvref.hashing import BlockHasher, get_hash_function
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowMLASpec,
    SlidingWindowSpec,
)
from kvref.operations import (
    EMBEDDING_BYTES,
    Allocate,
    AppendTokens,
    ChunkedGroup,
    Configuration,
    ContinueRequest,
    CrossGroup,
    FullGroup,
    Group,
    Item,
    MambaGroup,
    MLAGroup,
    NewRequest,
    Observation,
    Operation,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
    Stats,
    StepEnds,
    Trace,
)
from kvref.request import (
    LoRARequest,
    MultiModalFeature,
    PlaceholderRange,
    PromptEmbeds,
    Request,
)
from kvref.targets.base import CaseResult, picture_case, run_case
from kvref.targets.capabilities import everything
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Opener, Picture
from kvref.targets.session import ApiSession
from spec.units import RequestId, Tokens

LORA_ID = 7

P = ParamSpec("P")
T = TypeVar("T")

State = tuple[
    list[int],
    list[bytes | None],
    list[int],
    list[tuple[bytes, list[int]]],
    dict[str, list[list[int]]],
    dict[str, list[int]],
    list[int],
    list[bytes],
    float,
    Stats | None,
]
"""The fields of a view, in order."""

OUTSIDE = (NewRequest, AppendTokens, ContinueRequest, StepEnds)
"""What happens outside of a manager, which is asked for its events alone."""


@dataclass(frozen=True)
class Float16:
    """Half precision, without a tensor library."""

    itemsize: int = 2


FLOAT16 = Float16()


DEFAULTS: dict[str, object] = {
    "enable_caching": True,
    "use_eagle": False,
    "log_stats": False,
    "enable_kv_cache_events": False,
    "dcp_world_size": 1,
    "pcp_world_size": 1,
}
"""What a caller leaves out means this; what is not here, None."""


def spec_of(group: Group) -> KVCacheSpec:  # noqa: PLR0911 - one line a kind
    """The API's spec for a group of a trace."""
    size, heads = group.block_size, group.heads
    match group:
        case FullGroup():
            return FullAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)
        case MLAGroup():
            return MLAAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)
        case SinkGroup(sink=sink):
            return SinkFullAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sink_len=sink)
        case SlidingGroup(window=window):
            return SlidingWindowSpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sliding_window=window
            )
        case SlidingMLAGroup(window=window):
            return SlidingWindowMLASpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, sliding_window=window
            )
        case ChunkedGroup(chunk=chunk):
            return ChunkedLocalAttentionSpec(
                size, num_kv_heads=heads, head_size=8, dtype=FLOAT16, attention_chunk_size=chunk
            )
        case MambaGroup(mode=mode, speculative_blocks=speculative):
            return MambaSpec(
                size,
                ((heads, 8),),
                (FLOAT16,),
                mamba_cache_mode=mode,
                num_speculative_blocks=speculative,
            )
        case CrossGroup():
            return CrossAttentionSpec(size, num_kv_heads=heads, head_size=8, dtype=FLOAT16)


def manager_of(manager_class: Callable[..., Any], configuration: Configuration) -> Any:
    """A manager of this class, as the configuration says. Raises ConfigurationError if it is refused."""
    groups = tuple(
        KVCacheGroupSpec((f"layer.{i}",), spec_of(group), group.eagle)
        for i, group in enumerate(configuration.groups)
    )
    given = {
        "max_num_batched_tokens": configuration.max_num_batched_tokens,
        "enable_caching": configuration.enable_caching,
        "use_eagle": configuration.use_eagle,
        "log_stats": configuration.log_stats,
        "enable_kv_cache_events": configuration.enable_kv_cache_events,
        "dcp_world_size": configuration.dcp_world_size,
        "pcp_world_size": configuration.pcp_world_size,
        "retention_interval": configuration.retention_interval,
    }
    return manager_class(
        KVCacheConfig(configuration.num_blocks, groups),
        max_model_len=configuration.max_model_len,
        scheduler_block_size=configuration.scheduler_block_size,
        hash_block_size=configuration.hash_block_size,
        **{name: value for name, value in given.items() if value != DEFAULTS.get(name)},
    )


_cbor_hash = lru_cache(maxsize=1 << 13)(get_hash_function("sha256_cbor"))
"""Both sides of a comparison hash the same blocks. Pickled bytes also depend on which strings are one object [Q-20]."""


def hasher_of(configuration: Configuration) -> BlockHasher | None:
    """What hashes a request's blocks; None with caching off."""
    if not configuration.enable_caching:
        return None
    name, size = configuration.hash_function, Tokens(configuration.hash_block_size)
    function = _cbor_hash if name == "sha256_cbor" else get_hash_function(name)
    return BlockHasher(function, size, function(configuration.hash_seed))


def request_of(operation: NewRequest, hasher: BlockHasher | None) -> Request:
    """The API's request object."""
    embeds = operation.embeds
    return Request(
        RequestId(operation.request),
        operation.tokens,
        block_hasher=hasher,
        lora_request=LoRARequest(operation.lora, LORA_ID) if operation.lora else None,
        mm_features=_features(operation.items),
        cache_salt=operation.salt,
        prompt_embeds=None if embeds is None else PromptEmbeds(embeds, EMBEDDING_BYTES),
        skip_reading_prefix_cache=operation.skip_reading,
    )


def continue_request(request: Request, operation: ContinueRequest) -> None:
    """Give a streaming session its next input [REQ-7]."""
    request.continue_with(operation.tokens, _features(operation.items))


class Latest(Generic[P, T]):
    """The latest result of a pure function: it stands for as long as the arguments stay equal."""

    def __init__(self, function: Callable[P, T]) -> None:
        self._function = function
        self._given: tuple[object, ...] | None = None
        self._result: T

    def __call__(self, *given: P.args, **named: P.kwargs) -> T:
        """The result."""
        if given != self._given or named:
            self._result = self._function(*given, **named)
            self._given = given
        return self._result


class InProcessSession(ApiSession):
    """A manager in this process and the requests that its caller keeps.

    A subclass says which manager, and copies its state. Most operations change little or nothing of it: the
    views before and after share what stayed equal, and are one where all did.
    """

    manager_class: ClassVar[Callable[..., Any]]

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(manager_of(type(self).manager_class, configuration))
        self._hasher = hasher_of(configuration)
        self._state: State | None = None
        self._view: View
        self._was_asked = True

    @abstractmethod
    def state(self) -> State:
        """Copies of all that is shown of the manager [OBS-2 to OBS-5, OBS-7, OBS-8]."""

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation [OBS-1]."""
        if not isinstance(operation, OUTSIDE):
            self._was_asked = True
        return super().apply(operation)

    def view(self) -> View:
        """The manager's state: that of the last view while nothing was asked of the manager."""
        if self._was_asked:
            last, state = self._state, self.state()
            if state != last:
                if last is not None:
                    pairs = zip(last, state, strict=True)
                    state = cast("State", tuple([old if old == new else new for old, new in pairs]))
                self._state, self._view = state, View(*state)
            self._was_asked = False
        return self._view

    def new_request(self, operation: NewRequest) -> Request:
        """The API's request object."""
        return request_of(operation, self._hasher)

    def continue_request(self, request: Request, operation: ContinueRequest) -> None:
        """Give a streaming session its next input [REQ-7]."""
        continue_request(request, operation)

    def allocate(self, request: Any, found: Any, operation: Allocate) -> Any:
        """As callers do: what is left at its default is left out [ALLOC-1]."""
        given = {
            "num_new_computed_tokens": operation.hit,
            "new_computed_blocks": found,
            "num_lookahead_tokens": operation.lookahead,
            "num_external_computed_tokens": operation.external,
            "delay_cache_blocks": operation.delay,
            "num_encoder_tokens": operation.encoder,
            "full_sequence_must_fit": operation.must_fit,
            "reserved_blocks": operation.reserved,
        }
        return self.manager.allocate_slots(
            request, operation.new, **{name: value for name, value in given.items() if value}
        )

    def meaning(self, error: Exception) -> str | None:
        """The class's own name, for a caller's mistake."""
        return type(error).__name__ if isinstance(error, CallerError) else None

    def drain_events(self) -> list[KVCacheEvent]:
        """The events since the last call."""
        events: list[KVCacheEvent] = self.manager.take_events()
        return events


class InProcessTarget:
    """A manager in this process, as a target."""

    catalogue: Catalogue = ()
    cpu_seconds = 0.0

    def __init__(self, name: str, opener: Opener) -> None:
        self.name = name
        self.opener = opener
        self.capabilities = everything(name)

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """Run whole cases for their digests."""
        return [run_case(self.opener, trace) for trace in traces]

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation."""
        return picture_case(self.opener, trace)

    def close(self) -> None:
        """Nothing to let go of."""


def refuse_release(name: str, release: str | None, python: Path | None) -> None:
    """Raises UserError if more than the name is given: there is one release, and it runs here."""
    if release is not None or python is not None:
        raise UserError(f"{name} runs in this interpreter and has no release: use --target {name}")


def _features(items: Sequence[Item]) -> list[MultiModalFeature]:
    return [MultiModalFeature(item.identifier, PlaceholderRange(item.offset, item.length)) for item in items]
