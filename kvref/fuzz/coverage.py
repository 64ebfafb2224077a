"""How often each kind and feature took part in a hit, an eviction and a refusal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from invariants.view import View
from kvref.operations import (
    Allocate,
    Configuration,
    ContinueRequest,
    Group,
    Lookup,
    MambaGroup,
    NewRequest,
    Observation,
    Operation,
)
from spec.content import group_of
from spec.units import BlockKey

EVENTS = ("hit", "eviction", "refusal")

UNREACHABLE = {
    ("sink", "hit"): "Q-6",
    ("sink", "eviction"): "Q-6",
    ("sink", "refusal"): "Q-6",
    ("cross", "hit"): "CROSS-3",
    ("cross", "eviction"): "CROSS-3",
    ("caching off", "hit"): "COORD-3",
    ("caching off", "eviction"): "CFG-2",
    ("skips reading", "hit"): "HIT-8",
}
"""Cells that a comparison with vLLM 0.23.0 cannot fill, and the rule that says why."""

ROWS = (
    "full",
    "mla",
    "sink",
    "sliding",
    "sliding_mla",
    "chunked",
    "mamba none",
    "mamba all",
    "mamba align",
    "cross",
    "one group",
    "several groups",
    "several block sizes",
    "EAGLE",
    "retention 0",
    "retention k",
    "context parallel",
    "speculative blocks",
    "caching off",
    "events off",
    "preempted",
    "streaming",
    "salt",
    "LoRA",
    "multimodal",
    "embeddings",
    "skips reading",
    "external",
    "async load",
    "lookahead",
    "admission gate",
    "reserved blocks",
)

KINDS = ROWS[: ROWS.index("one group")]
FEATURES = ROWS[ROWS.index("one group") :]

REACHABLE = [(row, event) for row in ROWS for event in EVENTS if (row, event) not in UNREACHABLE]
"""Cells that a campaign should fill."""


@dataclass
class Coverage:
    """Counts by (kind or feature, event), and by (kind, feature, event) what both had a part in."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, other: "Coverage") -> None:
        """Add another's counts."""
        self.counts.update(other.counts)
        self.cells.update(other.cells)

    def gaps(self) -> list[tuple[str, str]]:
        """The cells that could have been filled, and are empty."""
        return [cell for cell in REACHABLE if not self.counts[cell]]


class Watch:
    """Counts what happens in one case."""

    def __init__(self, configuration: Configuration) -> None:
        self.coverage = Coverage()
        self.met: set[str] = set()
        """The kinds and features that the case has had so far."""
        self._groups = [_kind(group) for group in configuration.groups]
        self._kinds = set(self._groups)
        self._features = set(_features(configuration))
        self.met |= self._kinds | self._features
        self._requests: dict[str, set[str]] = {}

    def see(
        self, operation: Operation, observation: Observation, before: View | None, after: View | None
    ) -> None:
        """Count one operation that was performed, and what it did to the state, where that can be seen."""
        match operation:
            case NewRequest(request=name):
                self._requests[name] = set(_request_features(operation))
                self.met |= self._requests[name]
            case ContinueRequest(request=name):
                self._requests[name].add("streaming")
                self.met.add("streaming")
            case Lookup(request=name, preemptions=preemptions):
                if preemptions:
                    self._requests[name].add("preempted")
                    self.met.add("preempted")
                if observation.tokens:
                    self._count("hit", self._kinds, self._features | self._requests[name])
            case Allocate(request=name):
                asked = set(_allocation_features(operation))
                features = self._features | self._requests[name] | asked
                self.met |= asked
                if operation.hit:
                    self._count("hit", self._kinds, asked, again=True)
                if observation.blocks is None:
                    self._count("refusal", self._kinds, features)
                lost = _evicted_groups(before, after) if before and after else set()
                if lost:
                    self._count("eviction", {self._groups[group] for group in lost}, features)

    def _count(self, event: str, kinds: set[str], features: set[str], *, again: bool = False) -> None:
        """Count an event, or `again` one whose kinds were counted with it before."""
        names = features if again else kinds | features
        self.coverage.counts.update((name, event) for name in names)
        self.coverage.cells.update((kind, feature, event) for kind in kinds for feature in features)


def features_of(configuration: Configuration) -> set[str]:
    """The kinds and features that a configuration has."""
    return {*map(_kind, configuration.groups), *_features(configuration)}


def _evicted_groups(before: View, after: View) -> set[int]:
    """The groups whose content was lost to make room."""
    if before.keys is after.keys:
        return set()
    pairs = zip(before.keys, after.keys, strict=True)
    return {group_of(BlockKey(old)) for old, new in pairs if old is not None and old != new}


def _kind(group: Group) -> str:
    name = str(group.__struct_config__.tag)
    return f"{name} {group.mode}" if isinstance(group, MambaGroup) else name


def _features(configuration: Configuration) -> Iterable[str]:
    groups = configuration.groups
    yield "one group" if len(groups) == 1 else "several groups"
    if len({group.block_size for group in groups}) > 1:
        yield "several block sizes"
    if configuration.use_eagle or any(group.eagle for group in groups):
        yield "EAGLE"
    if configuration.retention_interval is not None:
        yield "retention k" if configuration.retention_interval else "retention 0"
    if configuration.dcp_world_size * configuration.pcp_world_size > 1:
        yield "context parallel"
    if any(isinstance(group, MambaGroup) and group.speculative_blocks for group in groups):
        yield "speculative blocks"
    if not configuration.enable_caching:
        yield "caching off"
    if not configuration.enable_kv_cache_events:
        yield "events off"


def _request_features(request: NewRequest) -> Iterable[str]:
    present = {
        "salt": request.salt,
        "LoRA": request.lora,
        "multimodal": request.items,
        "embeddings": request.embeds,
        "skips reading": request.skip_reading,
    }
    return (name for name, value in present.items() if value)


def _allocation_features(operation: Allocate) -> Iterable[str]:
    present = {
        "external": operation.external and not operation.delay,
        "async load": operation.delay,
        "lookahead": operation.lookahead,
        "admission gate": operation.must_fit,
        "reserved blocks": operation.reserved,
    }
    return (name for name, value in present.items() if value)
