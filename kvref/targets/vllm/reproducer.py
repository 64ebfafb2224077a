"""Writes a trace as a Python file in vLLM's own classes, which shows what is wrong without kvref.

It can be pasted into an issue: it builds the manager, makes the calls with literal arguments, and keeps
a small simulated memory (`reproducer_worker`) that tells which read goes wrong.
"""

from collections.abc import Iterator
from string import Template
from textwrap import indent
from typing import Final, NamedTuple

from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    ContinueRequest,
    CrossGroup,
    MambaGroup,
    NewRequest,
    Trace,
)
from kvref.targets.vllm.release_api import ReleaseApi
from kvref.targets.vllm.reproducer_calls import calls_of
from kvref.targets.vllm.reproducer_manager import (
    SPECS,
    arguments_of,
    environment_of,
    kind_of,
    retention_of,
    spec_of,
    tables_of,
)
from kvref.targets.vllm.reproducer_worker import Part, source


class Option(NamedTuple):
    """What a request may have besides its tokens: how it is told, and what a slot's content owes to it."""

    argument: str
    content: str = ""


OPTIONS: Final = {
    "salt": Option("cache_salt=salt", "request.cache_salt or None"),
    "lora": Option(
        'lora_request=lora and LoRARequest(lora, 7, "path")',
        "request.lora_request and request.lora_request.lora_name",
    ),
    "items": Option(
        "mm_features=[image(*item) for item in items or ()]",
        "tuple((f.identifier, f.mm_position.offset) for f in request.mm_features"
        " if f.mm_position.offset <= position)",
    ),
    "embeds": Option(
        "prompt_embeds=embeds and torch.frombuffer(bytearray(embeds), dtype=torch.float32).reshape(-1, 1)",
        "None if request.prompt_embeds is None else bytes(request.prompt_embeds[: position + 1].numpy())",
    ),
    "skip_reading": Option(""),
}

IMAGE: Final = """
def image(identifier, offset, length):
    return MultiModalFeatureSpec(
        data=None,
        modality="image",
        identifier=identifier,
        mm_position=PlaceholderRange(offset=offset, length=length),
    )

"""

FILE: Final = Template('''\
"""Shows a fault of vLLM $release's KV cache manager; written by kvref.

It runs where vLLM $release is installed, without a GPU and without a model. It calls the manager as a
scheduler does, and notes what a worker would have written behind the block ids that it was given.
It exits with 1 if the fault shows, with 0 if it does not.
"""

import os
import sys
import traceback
from dataclasses import dataclass, field

$environment
import torch
$imports
hash_function = get_hash_fn_by_name("$hash_function")
init_none_hash(hash_function)
requests = []

$image
def make_manager():
    return KVCacheManager(
        KVCacheConfig(
            num_blocks=$num_blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[
$groups
            ],
$retention        ),
$arguments
    )


def make_request(name, tokens$parameters):
    request = Request(
        request_id=name,
        prompt_token_ids=tokens,
        sampling_params=SamplingParams($sampling),
        pooling_params=None,
$extras        block_hasher=$hasher,
    )
    requests.append(request)
    return request


# What a worker does. Groups are those of the manager, in their order.

$tables


def content(request, position):
    """What a token leaves in its slot: it follows from all tokens up to it."""
    return $content

$worker

def main():
    manager = make_manager()
    worker = Worker(manager)

$calls


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        print(f"FAULT: {fault}")
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        print(f"FAULT: a legal call raised {type(error).__name__}: {error}")
        sys.exit(1)
    print("Every read found what it should: the fault does not show.")
''')


def reproducer(trace: Trace, release: str) -> str:
    """The file's text for a release of vLLM. Raises UserError if the release is not understood."""
    known = ReleaseApi.of(release)
    configuration = trace.configuration
    parts = _parts(trace, known)
    options = request_options(trace)
    arguments = [OPTIONS[name].argument for name in options]
    if not known.has("no_eos"):
        arguments.append("eos_token_id=None")
    return FILE.substitute(
        release=release,
        environment=environment_of(configuration, known),
        imports=imports_of(configuration, options),
        image=IMAGE if "items" in options else "",
        hash_function=configuration.hash_function,
        num_blocks=configuration.num_blocks,
        groups=indent(
            "\n".join(spec_of(at, g, known) for at, g in enumerate(configuration.groups)), " " * 16
        ),
        retention=retention_of(configuration, known),
        arguments=indent(",\n".join(arguments_of(configuration, known)) + ",", " " * 8),
        parameters="".join(f", {name}=None" for name in options),
        sampling="skip_reading_prefix_cache=skip_reading" if "skip_reading" in options else "",
        extras=indent("".join(f"{argument},\n" for argument in arguments if argument), " " * 8),
        hasher=f"get_request_block_hasher({configuration.hash_block_size}, hash_function)"
        if configuration.enable_caching
        else "None",
        tables=tables_of(configuration),
        content=_content(options),
        worker=source(parts),
        calls=indent("\n".join(calls_of(trace, known, parts)), "    "),
    )


def _parts(trace: Trace, release: ReleaseApi) -> set[Part]:
    groups = trace.configuration.groups
    parts: set[Part] = {"spans"} if any(not isinstance(g, MambaGroup | CrossGroup) for g in groups) else set()
    if any(isinstance(group, MambaGroup) for group in groups):
        parts.add("states")
    if any(isinstance(group, MambaGroup) and group.mode == "align" for group in groups):
        parts.add("aligned")
    if any(isinstance(group, CrossGroup) for group in groups):
        parts.add("cross")
    if any(isinstance(o, Allocate) and o.external for o in trace.operations):
        parts.add("loads")
    if release.has("in_flight"):
        parts.add("in flight")
    if any(_may_draft(trace)):
        parts.add("drafts")
    return parts


def _may_draft(trace: Trace) -> Iterator[bool]:
    """For each running allocation: whether it reaches behind the tokens that are known."""
    known: dict[str, int] = {}
    for operation in trace.operations:
        match operation:
            case NewRequest(request=name, tokens=tokens):
                known[name] = len(tokens)
            case ContinueRequest(request=name, computed=computed, tokens=tokens):
                known[name] = computed + len(tokens)
            case AppendTokens(request=name, tokens=tokens):
                known[name] += len(tokens)
            case Allocate(request=name, computed=computed, new=new, hit=None):
                yield computed + new > known[name]
            case _:
                pass


def imports_of(configuration: Configuration, options: list[str]) -> str:
    """The import lines of a file that builds this configuration, and requests with these options."""
    names = sorted({SPECS[kind_of(g)] for g in configuration.groups})
    specs = ", ".join(["KVCacheConfig", "KVCacheGroupSpec", *names])
    lines = [
        "from vllm.lora.request import LoRARequest" if "lora" in options else "",
        "from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange"
        if "items" in options
        else "",
        "from vllm.sampling_params import SamplingParams",
        "from vllm.utils.hashing import get_hash_fn_by_name",
        "from vllm.v1.core.kv_cache_manager import KVCacheManager",
        "from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash",
        f"from vllm.v1.kv_cache_interface import {specs}",
        "from vllm.v1.request import Request",
    ]
    return "".join(f"{line}\n" for line in lines if line)


def request_options(trace: Trace) -> list[str]:
    """The arguments that the trace's requests have besides their tokens."""
    prompts = [operation for operation in trace.operations if isinstance(operation, NewRequest)]
    options = [name for name in OPTIONS if any(getattr(prompt, name) for prompt in prompts)]
    if any(isinstance(o, ContinueRequest) and o.items for o in trace.operations) and "items" not in options:
        options.append("items")
    return options


def _content(options: list[str]) -> str:
    tokens = "tuple(request.all_token_ids[: position + 1])"
    rest = [OPTIONS[name].content for name in options if OPTIONS[name].content]
    return tokens if not rest else f"({', '.join([tokens, *rest])})"
