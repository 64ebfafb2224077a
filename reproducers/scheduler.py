"""What every story here needs: vLLM's own scheduler on a CPU, and a worker that only says it has computed.

The settings are those of a GPU server. Nothing of vLLM is replaced but the platform, which would
refuse them here, and the model, of which the scheduler reads a configuration and no weights.
"""

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, NoReturn

SOUND, FAULT, CANNOT_RUN = 0, 1, 3
"""How a story ends: the exit codes."""

QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "CRITICAL"}
os.environ.update(QUIET, CUDA_VISIBLE_DEVICES="")
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

try:
    import torch
    import vllm
    from vllm import config, platforms
    from vllm.distributed.kv_transfer.kv_connector.v1 import base
    from vllm.model_executor.models import ModelRegistry
    from vllm.platforms.cpu import CpuPlatform
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1 import kv_cache_interface as interface
    from vllm.v1.core import single_type_kv_cache_manager as managers
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.outputs import KVConnectorOutput, ModelRunnerOutput
    from vllm.v1.request import Request
    from vllm.v1.structured_output import StructuredOutputManager
except ImportError as absent:
    print("CANNOT RUN:", absent)
    sys.exit(CANNOT_RUN)

BLOCK = 16
NULL = 0
LONGEST = 1024
HEADS = {"block_size": BLOCK, "num_kv_heads": 1, "head_size": 8, "dtype": torch.float16}


class CannotRunError(Exception):
    """The release has no place for the story."""


class Neutral(CpuPlatform):  # type: ignore[misc]
    """A platform that changes no setting; vLLM's own for a CPU switches off what a GPU server has on."""

    @classmethod
    def check_and_update_config(cls, _settings: Any) -> None: ...


class Model(torch.nn.Module):
    """Stands for a model class, which is looked at and never built."""

    def __init__(self, vllm_config: Any, prefix: str = "") -> None: ...
    def embed_input_ids(self, input_ids: Any) -> Any: ...
    def forward(self, input_ids: Any, positions: Any) -> Any: ...
    def compute_logits(self, hidden_states: Any) -> Any: ...


platforms._current_platform = Neutral()
init_none_hash(sha256)
for name in ("LlamaForCausalLM", "EagleLlamaForCausalLM"):
    ModelRegistry.register_model(name, Model)


def model(layers: int, chunk_size: int | None = None) -> str:
    """Give a folder with the configuration of a tiny model, and no model."""
    folder = tempfile.TemporaryDirectory(prefix="tiny-")
    _kept.append(folder)
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "vocab_size": 512,
        "num_hidden_layers": layers,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    told: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float16",
    }
    told |= shape | heads | {"max_position_embeddings": 2048}
    if chunk_size is not None:
        told["attention_chunk_size"] = chunk_size
    (Path(folder.name) / "config.json").write_text(json.dumps(told))
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


def full() -> Any:
    """Full attention."""
    return interface.FullAttentionSpec(**HEADS)


def window(size: int) -> Any:
    """Attend to the last `size` tokens."""
    return interface.SlidingWindowSpec(sliding_window=size, **HEADS)


def chunk(size: int) -> Any:
    """Attend to the tokens of the current chunk."""
    return interface.ChunkedLocalAttentionSpec(attention_chunk_size=size, **HEADS)


def mamba(drafts: int = 0) -> Any:
    """Keep recurrent states at the ends of blocks."""
    shape = {"shapes": ((4, 4),), "dtypes": (torch.float32,), "mamba_cache_mode": "align"}
    return interface.MambaSpec(block_size=BLOCK, num_speculative_blocks=drafts, **shape)


def build(
    *specs: Any,
    blocks: int = 200,
    budget: int = 512,
    caching: bool = True,
    drafts: int = 0,
    drafter: str = "eagle",
    asynchronous: bool = False,
    loads: bool = False,
    recomputes: bool = False,
    **options: Any,
) -> Any:
    """Build the scheduler of a server whose layers are of these kinds, one KV cache group each.

    The first group is the drafter's, too. With `loads`, what `Remote` promises is loaded, and what is lost
    of that is computed again, if the server `recomputes`.
    """
    states = any(isinstance(spec, interface.MambaSpec) for spec in specs)
    chunks = [spec.attention_chunk_size for spec in specs if hasattr(spec, "attention_chunk_size")]
    chunk_size = next((size for size in chunks if size is not None), None)
    cache = config.CacheConfig(
        block_size=BLOCK, enable_prefix_caching=caching, mamba_cache_mode="align" if states else "none"
    )
    try:
        target = config.ModelConfig(
            model=model(2, chunk_size), skip_tokenizer_init=True, dtype="float16", max_model_len=LONGEST
        )
        parallel = config.ParallelConfig()
        settings = config.VllmConfig(
            model_config=target,
            parallel_config=parallel,
            cache_config=cache,
            speculative_config=_drafting(drafter, drafts, target, parallel) if drafts else None,
            kv_transfer_config=_loading(recomputes=recomputes) if loads else None,
            scheduler_config=config.SchedulerConfig(
                max_num_seqs=8,
                max_num_batched_tokens=budget,
                max_model_len=LONGEST,
                is_encoder_decoder=False,
                async_scheduling=asynchronous,
                disable_hybrid_kv_cache_manager=False,
                **options,
            ),
        )
    except ValueError as refused:  # what pydantic raises, among others
        raise CannotRunError(refused) from refused
    if settings.scheduler_config.async_scheduling != asynchronous:
        raise CannotRunError("asynchronous scheduling is switched off")
    cache.num_gpu_blocks = blocks
    settings.validate_block_size()
    if hasattr(managers, "register_all_kvcache_specs"):  # since 0.23
        managers.register_all_kvcache_specs(settings)
    eagle = bool(drafts) and drafter == "eagle"
    groups = [
        interface.KVCacheGroupSpec([f"layer {index}"], spec, is_eagle_group=eagle and index == 0)
        for index, spec in enumerate(specs)
    ]
    kind = AsyncScheduler if asynchronous else Scheduler
    return kind(
        vllm_config=settings,
        block_size=BLOCK,
        structured_output_manager=StructuredOutputManager(settings),
        kv_cache_config=interface.KVCacheConfig(blocks, [], groups),
    )


def _drafting(method: str, drafts: int, target: Any, parallel: Any) -> Any:
    return config.SpeculativeConfig(
        method=method,
        num_speculative_tokens=drafts,
        target_model_config=target,
        target_parallel_config=parallel,
        **({"model": model(1)} if method == "eagle" else {"prompt_lookup_max": 3}),
    )


def _loading(*, recomputes: bool) -> Any:
    return config.KVTransferConfig(
        kv_connector=Remote.__name__,
        kv_connector_module_path=__name__,
        kv_role="kv_both",
        **({"kv_load_failure_policy": "recompute"} if recomputes else {}),
    )


class Remote(base.KVConnectorBase_V1, base.SupportsHMA):  # type: ignore[misc]
    """A KV connector that has the first tokens of some requests: `promised`, by name."""

    promised: ClassVar[dict[str, int]] = {}
    in_background: ClassVar = False

    def get_num_new_matched_tokens(self, request: Any, computed: int) -> tuple[int, bool]:
        more = self.promised.get(request.request_id, 0) - computed
        return (more, self.in_background) if more > 0 else (0, False)

    def build_connector_meta(self, _plan: Any) -> Any:
        return base.KVConnectorMetadata()

    def request_finished_all_groups(self, _request: Any, _block_ids: Any) -> tuple[bool, None]:
        return False, None

    def _nothing(self, *_: Any, **__: Any) -> None: ...

    update_state_after_alloc = start_load_kv = wait_for_layer_load = save_kv_layer = wait_for_save = _nothing


def request(name: str, tokens: Iterable[int], outputs: int = 100, **options: Any) -> Any:
    """Give a request that samples so many tokens, whatever they are."""
    for option in options:
        if option not in signature(Request).parameters:
            raise CannotRunError(f"requests know no {option!r}")
    params = SamplingParams(max_tokens=outputs, ignore_eos=True)
    params.update_from_generation_config({}, 2)
    hasher = get_request_block_hasher(BLOCK, sha256)
    return Request(name, list(tokens), params, None, block_hasher=hasher, **options)


def reply(plan: Any, sampled: dict[str, list[int]], loaded: Iterable[str] = ()) -> Any:
    """What the worker answers to a step: the tokens it sampled, and whose loads are done."""
    names = list(plan.num_scheduled_tokens)
    received = set(loaded)
    return ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: index for index, name in enumerate(names)},
        sampled_token_ids=[sampled.get(name, []) for name in names],
        kv_connector_output=KVConnectorOutput(finished_recving=received) if received else None,
    )


def planned(scheduler: Any) -> Any:
    """Let the scheduler plan a step in which something may be loaded, which not every release allows."""
    try:
        return scheduler.schedule()
    except AssertionError as refused:
        if Remote.promised:
            raise CannotRunError(f"this is not loaded: {refused}") from refused
        raise


def spans(plan: Any) -> dict[str, range]:
    """Give the positions that a step computes, by request."""
    starts = {new.req_id: new.num_computed_tokens for new in plan.scheduled_new_reqs}
    cached = plan.scheduled_cached_reqs
    starts |= dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
    return {
        name: range(starts[name], starts[name] + count) for name, count in plan.num_scheduled_tokens.items()
    }


def table(scheduler: Any, name: str, group: int = -1) -> list[int]:
    """Give a request's block table, that of the last group unless told."""
    return list(scheduler.kv_cache_manager.get_block_ids(name)[group])


def holders(scheduler: Any, block: int) -> str:
    """Tell which running requests have this block in a table."""
    names = [running.request_id for running in scheduler.running]
    tables = {name: scheduler.kv_cache_manager.get_block_ids(name) for name in names}
    found = [name for name, groups in tables.items() if any(block in group for group in groups)]
    return " and ".join(found) or "nobody yet"


def sampled(scheduler: Any, computed: dict[str, range]) -> dict[str, list[int]]:
    """Sample a 7 for each request whose tokens have all been computed."""
    return {name: [7] for name, span in computed.items() if span.stop >= scheduler.requests[name].num_tokens}


class States:
    """The worker of a recurrent group: how many tokens are behind the state in each block.

    A step starts from the state that the step before left, and leaves its own in the table's entry of
    its last token. Earlier entries are not written again.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.behind: dict[int, int] = {}
        self._to_load = dict(Remote.promised)

    def step(self) -> None:
        """Let the scheduler plan a step, and compute it."""
        plan = planned(self.scheduler)
        computed = spans(plan)
        loaded = [name for name in self._to_load if name in self.scheduler.requests and name not in computed]
        for name in [name for name in self._to_load if name in self.scheduler.requests]:
            self._leave(name, self._to_load.pop(name), "loads")
        for name, span in computed.items():
            self._leave(name, span.stop, f"computes {span.start}..{span.stop - 1}", quiet=len(span) == 1)
        self.scheduler.update_from_output(plan, reply(plan, sampled(self.scheduler, computed), loaded))

    def _leave(self, name: str, tokens: int, why: str, *, quiet: bool = False) -> None:
        block = table(self.scheduler, name)[(tokens - 1) // BLOCK]
        self.behind[block] = tokens
        if not quiet:
            print(f"{name} {why}: the state after {tokens} tokens is in block {block}")

    def resumed_by(self, late: Any) -> Iterator[str]:
        """Admit a request that resumes from a state of another, and tell if it is not the one it needs."""
        name = late.request_id
        self.scheduler.add_request(late)
        start = spans(self.scheduler.schedule())[name].start
        if not start:
            return
        source = table(self.scheduler, name)[(start - 1) // BLOCK]
        behind = self.behind[source]
        print(f"{name} resumes at token {start} from block {source}: the state after {behind} tokens")
        if behind != start:
            yield f"{name} runs on from token {start}, and its state has not seen tokens {behind}..{start - 1}"


def tell(*stories: Callable[[], Iterable[str]]) -> NoReturn:
    """Tell the stories, each of which yields what is read wrongly, and end with what came of it."""
    print("vllm", vllm.__version__)
    ends = {_end(story) for story in stories}
    sys.exit(FAULT if FAULT in ends else max(ends))


def _end(story: Callable[[], Iterable[str]]) -> int:
    print()
    end = SOUND
    try:
        for wrong in story():
            print("WRONG:", wrong)
            end = FAULT
    except CannotRunError as why:
        print("CANNOT RUN:", " ".join(str(why).split()))
        return end or CANNOT_RUN
    if end == SOUND:
        print("sound")
    return end
