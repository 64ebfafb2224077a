"""What a release's public API asks for, known without that release: for files that are to run there.

`releases` tells the same of the vLLM beside a process, by its signatures.
"""

from dataclasses import dataclass
from typing import Literal

from kvref.errors import UserError

FIRST_OF = {
    "hash_block_size": (0, 12),
    "pcp_world_size": (0, 12),
    "external": (0, 14),
    "mamba_modes": (0, 15),
    "no_eos": (0, 17),
    "new_step": (0, 17),
    "max_num_batched_tokens": (0, 20),
    "must_fit": (0, 21),
    "reserved": (0, 23),
    "scheduler_block_size": (0, 23),
    "retention_variable": (0, 23),
    "in_flight": (0, 26),
    "retention_field": (0, 29),
    "drops_hashes": (0, 32),
}
"""The first release with something of its API."""


@dataclass(frozen=True)
class ReleaseApi:
    """One release of vLLM, by its number."""

    name: str
    number: tuple[int, int]

    @classmethod
    def of(cls, name: str) -> "ReleaseApi":
        """The release of this name. Raises UserError if it is none."""
        match name.split("."):
            case [major, minor, *_] if major.isdigit() and minor.isdigit():
                return cls(name, (int(major), int(minor)))
            case _:
                raise UserError(f"{name!r} is no release of vLLM: give one such as 0.23.0")

    def has(self, what: str) -> bool:
        """Whether the release has it already."""
        return self.number >= FIRST_OF[what]

    @property
    def opening(self) -> dict[str, str]:
        """The manager's arguments, each with the field of a configuration that it is given."""
        counts = "max_in_flight_tokens" if self.has("in_flight") else "max_num_batched_tokens"
        arguments = {
            "scheduler_block_size": "scheduler_block_size",
            "hash_block_size": "hash_block_size",
            counts: "max_num_batched_tokens",
            "use_eagle": "use_eagle",
            "log_stats": "log_stats",
            "enable_kv_cache_events": "enable_kv_cache_events",
            "dcp_world_size": "dcp_world_size",
            "pcp_world_size": "pcp_world_size",
        }
        return {name: field for name, field in arguments.items() if field not in FIRST_OF or self.has(field)}

    @property
    def retention(self) -> Literal["none", "variable", "field"]:
        """How the retention interval is told."""
        if self.has("retention_field"):
            return "field"
        return "variable" if self.has("retention_variable") else "none"
