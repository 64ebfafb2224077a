"""Writes a trace as a Python file in vLLM's own classes, which asserts what the reference shows at its end.

It can be pasted into an issue: it builds the manager, makes the calls with literal arguments, and compares
the last one's answer, and the pool behind it.
"""

from collections.abc import Iterator
from string import Template
from textwrap import indent
from typing import Final

from kvref.errors import ConfigurationError, UserError
from kvref.operations import Allocate, ContinueRequest, Lookup, TakeStats, Trace
from kvref.reproducer.expected import changes_state, returned, stats_are
from kvref.reproducer.statements import Statements, tuple_of
from kvref.targets.picture import Opener, Session
from kvref.targets.vllm.release_api import ReleaseApi
from kvref.targets.vllm.reproducer import IMAGE, OPTIONS, imports_of, request_options
from kvref.targets.vllm.reproducer_manager import arguments_of, environment_of, retention_of, spec_of

FIRST: Final = (0, 21)
"""The first release that has all arguments of an allocation that a trace may name, but for `reserved`."""

FILE: Final = Template('''\
"""Shows where vLLM $release's KV cache manager answers wrongly; written by kvref.

It runs where vLLM $release is installed, without a GPU and without a model, by itself or with pytest.
By itself it exits with 1 if the fault shows, with 0 if it does not.
"""

import os

$environment
import torch
$imports
hash_function = get_hash_fn_by_name("$hash_function")
init_none_hash(hash_function)

$image
def ids(blocks):
    """The block ids, by group; None if there are no blocks."""
    return blocks and [[block.block_id for block in group] for group in blocks.blocks]


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
    return Request(
        request_id=name,
        prompt_token_ids=tokens,
        sampling_params=SamplingParams($sampling),
        pooling_params=None,
$extras        block_hasher=$hasher,
    )


def test_finding():
$calls


if __name__ == "__main__":
    test_finding()
    print("It answers as it should: the fault does not show.")
''')


class VllmStatements(Statements):
    """In vLLM's own API."""

    def continued(self, operation: ContinueRequest, variable: str) -> Iterator[str]:
        """What vLLM's scheduler does to a streaming session's request [REQ-7]."""
        kept = operation.computed
        yield f"del {variable}._all_token_ids[{kept}:]"
        yield f"{variable}._output_token_ids.clear()"
        for identifier, offset, length in map(tuple_of, operation.items):
            yield f'{variable}.mm_features.append(image("{identifier}", {offset + kept}, {length}))'
        yield f"{variable}._all_token_ids.extend({list(operation.tokens)})"
        yield f"{variable}.prompt_token_ids = list({variable}._all_token_ids)"
        yield f"{variable}.update_block_hashes()"
        yield f"{variable}.num_prompt_tokens = len({variable}._all_token_ids)"


def exact_reproducer(trace: Trace, opener: Opener, release: str) -> str:
    """The file's text for a release of vLLM; `opener` builds the reference.

    Raises UserError if the release is not understood.
    """
    known = ReleaseApi.of(release)
    _require(trace, known)
    configuration = trace.configuration
    options = request_options(trace)
    return FILE.substitute(
        release=release,
        environment=environment_of(configuration, known),
        imports=imports_of(configuration, options),
        hash_function=configuration.hash_function,
        image=IMAGE if "items" in options else "",
        num_blocks=configuration.num_blocks,
        groups=indent(
            "\n".join(spec_of(at, g, known) for at, g in enumerate(configuration.groups)), " " * 16
        ),
        retention=retention_of(configuration, known),
        arguments=indent(",\n".join(arguments_of(configuration, known)) + ",", " " * 8),
        parameters="".join(f", {name}=None" for name in options),
        sampling="skip_reading_prefix_cache=skip_reading" if "skip_reading" in options else "",
        extras=indent(
            "".join(f"{OPTIONS[name].argument},\n" for name in options if OPTIONS[name].argument), " " * 8
        ),
        hasher=f"get_request_block_hasher({configuration.hash_block_size}, hash_function)"
        if configuration.enable_caching
        else "None",
        calls=indent("\n".join(_calls(trace, opener)), "    "),
    )


def _require(trace: Trace, release: ReleaseApi) -> None:
    """Raises UserError if the release's API is another one."""
    reserves = any(isinstance(o, Allocate) and o.reserved for o in trace.operations)
    if release.number < FIRST or release.has("in_flight") or (reserves and not release.has("reserved")):
        raise UserError(
            f"an exact reproducer for vLLM {release.name} cannot be written: name another release, "
            "such as 0.23.0, or take --level safe"
        )


def _calls(trace: Trace, opener: Opener) -> Iterator[str]:
    try:
        session = opener(trace.configuration)
    except ConfigurationError as refusal:
        yield from _refused("make_manager()", f"a manager that cannot work is built: {refusal}")
        return
    yield "manager = make_manager()"
    if not trace.operations:
        return
    writing = VllmStatements()
    *before, last = trace.operations
    for operation in before:
        session.apply(operation)
        yield from writing.lines(operation)
    observation = session.apply(last)
    *prepared, call = list(writing.lines(last)) or ["pass"]
    yield from ("", *prepared)
    if observation.error is not None:
        yield from _refused(call, f"a caller's mistake goes unnoticed: {observation.error}")
        return
    yield from (call, *returned(last, observation))
    if changes_state(last):
        yield from _pool(session)
    elif isinstance(last, Lookup) and trace.configuration.log_stats:
        yield "stats = manager.make_prefix_cache_stats()"
        yield from stats_are(session.apply(TakeStats()).stats)


def _refused(call: str, otherwise: str) -> Iterator[str]:
    yield from (
        "try:",
        f"    {call}",
        "except Exception:",
        "    return",
        f"raise AssertionError({' '.join(otherwise.split())!r})",
    )


def _pool(session: Session) -> Iterator[str]:
    """What the pool is like behind the call."""
    view = session.view()
    cached = [block for block, key in enumerate(view.keys) if key is not None]
    yield "pool = manager.block_pool"
    yield f"assert [block.block_id for block in pool.free_block_queue.get_all_free_blocks()] == {view.free_queue}"
    yield f"assert [block.ref_cnt for block in pool.blocks[1:]] == {list(view.ref_counts[1:])}"
    yield f"assert [block.block_id for block in pool.blocks if block.block_hash is not None] == {cached}"
