"""What an implementation can be asked: which configurations it can be built from, and which operations.

Known before anything is built, so that nothing is asked that a release does not have.
"""

from dataclasses import dataclass
from typing import get_args

from kvref.operations import (
    Allocate,
    Configuration,
    ContinueRequest,
    Group,
    MambaGroup,
    NewRequest,
    Operation,
    Trace,
)

ADMISSION = {
    "external": "external tokens",
    "delay": "delayed caching",
    "encoder": "encoder tokens",
    "must_fit": "admission gate (full_sequence_must_fit)",
    "reserved": "reserved blocks",
}
"""The arguments of an `Allocate` that a release may lack, in words."""

REQUESTS = {
    "salt": "cache salts",
    "lora": "adapters",
    "items": "multimodal items",
    "embeds": "prompt embeddings",
    "skip_reading": "requests that skip reading the cache",
}
"""The fields of a `NewRequest` that a manager may lack, in words."""


def kind_of(group: Group) -> str:
    """The tag of the group's kind, as traces write it."""
    return str(type(group).__struct_config__.tag)


@dataclass(frozen=True)
class Capabilities:
    """What one release offers.

    `groups` are tags of group kinds, `operations` names of operations, `arguments` fields of `Allocate`,
    `requests` fields of `NewRequest`. `block_sizes` tells whether groups may differ in block size, and
    from the hash block size; `names_mistakes` whether a caller's mistake is told by its name.
    """

    release: str
    groups: frozenset[str]
    mamba_modes: frozenset[str]
    operations: frozenset[str]
    arguments: frozenset[str]
    block_sizes: bool
    eagle_groups: bool
    decode_context_parallel: bool
    prefill_context_parallel: bool
    retention: bool
    is_sound: bool = False
    """Whether it claims to keep all invariants: they are checked, too, if it shows its state."""
    shows_state: bool = True
    requests: frozenset[str] = frozenset(REQUESTS)
    several_groups: bool = True
    caching_off: bool = True
    eagle: bool = True
    names_mistakes: bool = True

    @property
    def is_everything(self) -> bool:
        """Whether it lacks nothing, and so need not be asked of each operation."""
        return self == everything(self.release)

    def lacks(self, operation: Operation) -> str | None:
        """Why the operation cannot be asked, None if it can."""
        name = type(operation).__name__
        if name not in self.operations:
            return f"{self.release} has no {name}"
        if isinstance(operation, Allocate):
            for argument, words in ADMISSION.items():
                if getattr(operation, argument) and argument not in self.arguments:
                    return f"{self.release} has no {words}"
        if isinstance(operation, NewRequest | ContinueRequest):
            for field, words in REQUESTS.items():
                if getattr(operation, field, None) and field not in self.requests:
                    return f"{self.release} has no {words}"
        return None

    def lacks_for(self, trace: Trace) -> str | None:
        """Why the trace cannot be asked, None if it can."""
        lacking = (self.lacks(operation) for operation in trace.operations)
        return self.refuses(trace.configuration) or next((reason for reason in lacking if reason), None)

    def refuses(self, configuration: Configuration) -> str | None:
        """Why the configuration cannot be asked for, None if it can: then the constructor decides."""
        lacking = self._lacking(configuration)
        return None if lacking is None else f"{self.release} has no {lacking}"

    def _lacking(self, configuration: Configuration) -> str | None:  # noqa: C901, PLR0911 - a list
        scale = configuration.dcp_world_size * configuration.pcp_world_size
        for group in configuration.groups:
            kind = kind_of(group)
            if kind not in self.groups:
                return f"{kind} groups"
            if isinstance(group, MambaGroup) and group.mode not in self.mamba_modes:
                return f"{group.mode} mode of mamba groups"
            if group.eagle and not self.eagle_groups:
                return "EAGLE marks on groups"
            if not self.block_sizes and group.block_size * scale != configuration.hash_block_size:
                return "block sizes other than one for all groups and hashes"
        if len(configuration.groups) != 1 and not self.several_groups:
            return "number of groups but one"
        if not configuration.enable_caching and not self.caching_off:
            return "way to do without a prefix cache"
        if configuration.use_eagle and not self.eagle:
            return "EAGLE"
        if configuration.dcp_world_size > 1 and not self.decode_context_parallel:
            return "decode context parallelism"
        if configuration.pcp_world_size > 1 and not self.prefill_context_parallel:
            return "prefill context parallelism"
        if configuration.retention_interval is not None and not self.retention:
            return "retention interval"
        return None


def everything(release: str) -> Capabilities:
    """What an implementation offers that lacks nothing."""
    return Capabilities(
        release,
        groups=frozenset(kind.__struct_config__.tag for kind in get_args(Group)),
        mamba_modes=frozenset(("none", "all", "align")),
        operations=frozenset(kind.__name__ for kind in get_args(Operation)),
        arguments=frozenset(ADMISSION),
        block_sizes=True,
        eagle_groups=True,
        decode_context_parallel=True,
        prefill_context_parallel=True,
        retention=True,
        is_sound=True,
    )
