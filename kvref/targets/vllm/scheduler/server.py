"""Builds vLLM's scheduler as a GPU server would, from a configuration of a tiny model and nothing else."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from vllm import config, platforms
from vllm.model_executor.models import ModelRegistry
from vllm.platforms.cpu import CpuPlatform
from vllm.v1.core import single_type_kv_cache_manager as managers
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec
from vllm.v1.structured_output import StructuredOutputManager

from kvref.operations import ChunkedGroup, MambaGroup
from kvref.scheduler.workload import BLOCK, Workload
from kvref.targets.vllm.scheduler import connector
from kvref.targets.vllm.session import spec_of

LONGEST_POSITION = 2048


class Neutral(CpuPlatform):  # type: ignore[misc]
    """A platform that changes no setting; vLLM's own for a CPU switches off what a GPU server has on."""

    @classmethod
    def check_and_update_config(cls, _settings: Any) -> None:
        """Leave the settings alone."""


class Model(torch.nn.Module):
    """Stands for a model class, which is looked at and never built."""

    def __init__(self, vllm_config: Any, prefix: str = "") -> None: ...
    def embed_input_ids(self, input_ids: Any) -> Any: ...  # noqa: D102
    def forward(self, input_ids: Any, positions: Any) -> Any: ...  # noqa: D102
    def compute_logits(self, hidden_states: Any) -> Any: ...  # noqa: D102


def prepare() -> None:
    """Let vLLM take this process for one that serves the tiny model. Once a process."""
    platforms._current_platform = Neutral()  # noqa: SLF001 - it has no other place to be told
    for name in ("LlamaForCausalLM", "EagleLlamaForCausalLM"):
        ModelRegistry.register_model(name, Model)


@contextmanager
def scheduler_for(workload: Workload) -> Iterator[Any]:
    """The scheduler of a server with this workload's settings."""
    with schedulers_for(workload) as build:
        yield build()


@contextmanager
def schedulers_for(workload: Workload) -> Iterator[Callable[[], Any]]:
    """Builds schedulers of a server with this workload's settings, which take longer to be worked out."""
    with tempfile.TemporaryDirectory(prefix="kvref-model-") as folder, ExitStack() as opened:
        settings = _settings(workload, Path(folder))

        def build() -> Any:
            scheduler = _build(workload, settings)
            opened.callback(scheduler.shutdown)
            return scheduler

        yield build


def _settings(workload: Workload, folder: Path) -> Any:
    groups = workload.groups
    states = [group for group in groups if isinstance(group, MambaGroup)]
    chunks = [group.chunk for group in groups if isinstance(group, ChunkedGroup)]
    cache = config.CacheConfig(
        block_size=BLOCK,
        enable_prefix_caching=workload.caching,
        mamba_cache_mode=states[0].mode if states else "none",
    )
    target = config.ModelConfig(
        model=_model(folder / "target", 2, chunks[0] if chunks else None),
        skip_tokenizer_init=True,
        dtype="float16",
        max_model_len=workload.longest,
    )
    parallel = config.ParallelConfig()
    settings = config.VllmConfig(
        model_config=target,
        parallel_config=parallel,
        cache_config=cache,
        speculative_config=_drafting(workload, folder, target, parallel) if workload.drafts else None,
        kv_transfer_config=_transfer(workload) if workload.connected else None,
        kv_events_config=config.KVEventsConfig(enable_kv_cache_events=True, publisher="null"),
        scheduler_config=config.SchedulerConfig(
            max_num_seqs=workload.seats,
            max_num_batched_tokens=workload.budget,
            max_model_len=workload.longest,
            long_prefill_token_threshold=workload.longest_chunk,
            is_encoder_decoder=False,
            async_scheduling=workload.asynchronous,
            disable_hybrid_kv_cache_manager=False,
            policy=workload.policy,
        ),
    )
    if settings.scheduler_config.async_scheduling != workload.asynchronous:
        raise ValueError("asynchronous scheduling was switched")
    cache.num_gpu_blocks = workload.blocks
    settings.validate_block_size()
    managers.register_all_kvcache_specs(settings)
    return settings


def _build(workload: Workload, settings: Any) -> Any:
    specs = [
        KVCacheGroupSpec([f"layer.{i}"], spec_of(group), **({"is_eagle_group": True} if group.eagle else {}))
        for i, group in enumerate(workload.groups)
    ]
    kind = AsyncScheduler if workload.asynchronous else Scheduler
    return kind(
        vllm_config=settings,
        block_size=BLOCK,
        structured_output_manager=StructuredOutputManager(settings),
        kv_cache_config=KVCacheConfig(workload.blocks, [], specs),
        log_stats=True,
    )


def _model(folder: Path, layers: int, chunk: int | None = None) -> str:
    """Write the configuration of a tiny model, and no model."""
    told: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float16",
        "hidden_size": 64, "intermediate_size": 64, "vocab_size": 512, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": LONGEST_POSITION,
    }  # fmt: skip
    if chunk is not None:
        told["attention_chunk_size"] = chunk
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    return str(folder)


def _drafting(workload: Workload, folder: Path, target: Any, parallel: Any) -> Any:
    own = (
        {"model": _model(folder / "drafter", 1)} if workload.drafter == "eagle" else {"prompt_lookup_max": 3}
    )
    return config.SpeculativeConfig(
        method=workload.drafter,
        num_speculative_tokens=workload.drafts,
        target_model_config=target,
        target_parallel_config=parallel,
        **own,
    )


def _transfer(workload: Workload) -> Any:
    return config.KVTransferConfig(
        kv_connector=connector.Remote.__name__,
        kv_connector_module_path=connector.__name__,
        kv_role="kv_both",
        kv_load_failure_policy=workload.on_failure,
    )
