"""A trace as a pytest file in our own API: it drives a manager class of the user's choosing."""

from collections.abc import Iterator
from string import Template
from textwrap import indent
from typing import Final

import msgspec

from kvref.errors import ConfigurationError, UserError
from kvref.events import KVCacheEvent
from kvref.operations import (
    Allocate,
    Configuration,
    ContinueRequest,
    Evict,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    TakeStats,
    Trace,
)
from kvref.reproducer.construction import arguments_text, group_text
from kvref.reproducer.expected import changes_state, returned, stats_are
from kvref.reproducer.statements import Statements, made, quoted, tuple_of
from kvref.targets.inprocess import spec_of
from kvref.targets.picture import Opener, Session

REQUEST: Final = {
    "salt": "cache_salt=salt",
    "lora": "lora_request=lora and LoRARequest(lora, 7)",
    "items": "mm_features=[image(*item) for item in items]",
    "embeds": "prompt_embeds=embeds and PromptEmbeds(embeds, 4)",
    "skip_reading": "skip_reading_prefix_cache=skip_reading",
}
NOTHING: Final = {"items": "()", "skip_reading": "False"}

IMAGE: Final = """

def image(identifier, offset, length):
    return MultiModalFeature(identifier, PlaceholderRange(offset, length))
"""

TAKE_ALL: Final = """

def taken_in_turn(manager):
    \"\"\"The blocks that one request after another gets for one token each, until one is refused.\"\"\"
    taken = []
    while len(taken) < $blocks:
        blocks = manager.allocate_slots(make_request(f"late-{len(taken)}", [0]), 1)
        if blocks is None:
            break
        taken.append(ids(blocks))
    return taken
"""

FILE: Final = Template('''\
"""A history and what a right KV cache manager shows at its end; written by kvref.

    pytest $file

The manager under test is $manager: import your own in its place. It needs the API of
`kvref.reference.KVCacheManager`, which is vLLM's.
"""
$raises
$imports


def ids(blocks):
    """The block ids, by group; None if there are no blocks."""
    return blocks and [[block.block_id for block in group] for group in blocks.blocks]


def make_manager():
    return $manager(
        KVCacheConfig(
            num_blocks=$num_blocks,
            kv_cache_groups=(
$groups
            ),
        ),
$arguments
    )
$image

def make_request(name, tokens$parameters):
    return Request(
        name,
        tokens,
$extras
    )
$helper

def test_$name():
$calls
''')


class ApiStatements(Statements):
    """In kvref's own API."""

    def continued(self, operation: ContinueRequest, variable: str) -> Iterator[str]:
        """A streaming session goes on [REQ-7]."""
        items = [f"image{tuple_of(item)}" for item in operation.items]
        more = f", [{', '.join(items)}]" if items else ""
        yield f"{variable}.continue_with({list(operation.tokens)}{more})"


def api_reproducer(trace: Trace, opener: Opener, manager: str, file: str = "test_finding.py") -> str:
    """The file's text. `manager` is `module:Class`; `opener` builds the reference.

    Raises UserError if no class is named, or if the trace cannot be played.
    """
    module, _, name = manager.partition(":")
    if not (module and name.isidentifier()):
        raise UserError(f"--manager {manager} names no class: give one as module:Class")
    calls, errors, takes = _calls(trace, opener)
    configuration = trace.configuration
    options = _options(trace)
    text = FILE.substitute(
        file=file,
        manager=name,
        raises="\nimport pytest\n" if "pytest." in "".join(calls) else "",
        imports="\n".join(sorted(_imports(configuration, options, module, name, errors, calls))),
        num_blocks=configuration.num_blocks,
        groups=indent("\n".join(group_text(at, g) for at, g in enumerate(configuration.groups)), " " * 16),
        arguments=indent("\n".join(arguments_text(configuration)), " " * 8),
        image=IMAGE if "items" in options else "",
        parameters="".join(f", {option}={NOTHING.get(option, 'None')}" for option in options),
        extras=indent("\n".join(_extras(configuration, options)), " " * 8),
        helper=Template(TAKE_ALL).substitute(blocks=configuration.num_blocks) if takes else "",
        name=_name(trace),
        calls=indent("\n".join(calls), "    "),
    )
    return text.replace("\n\n\n\n", "\n\n\n")


def _calls(trace: Trace, opener: Opener) -> tuple[list[str], set[str], bool]:
    """The test's lines, the errors that it names, and whether it takes all blocks in the end."""
    try:
        session = opener(trace.configuration)
    except ConfigurationError as refusal:
        told = f"# {' '.join(str(refusal).split())}"
        return [told, "with pytest.raises(ConfigurationError):", "    make_manager()"], set(), False
    lines = ["manager = make_manager()"]
    if not trace.operations:
        return lines, set(), False
    writing = ApiStatements()
    *before, last = trace.operations
    for operation in before:
        session.apply(operation)
        lines += writing.lines(operation)
    if trace.configuration.enable_kv_cache_events and changes_state(last):
        lines.append("manager.take_events()")
    observation = session.apply(last)
    *prepared, call = list(writing.lines(last)) or [""]
    if observation.error is not None:
        lines += [*prepared, "", f"with pytest.raises({observation.error}):", f"    {call}"]
        return lines, {observation.error}, False
    lines += ["", *prepared, call, *returned(last, observation)]
    takes = False
    if changes_state(last):
        lines += _events(observation.events, trace.configuration)
        lines += _state(session, last)
        probes, takes = _probes(session, trace, writing)
        lines += probes
    elif isinstance(last, Lookup) and trace.configuration.log_stats:
        stats = session.apply(TakeStats()).stats
        lines += ["stats = manager.make_prefix_cache_stats()", *stats_are(stats)]
    return [line for line in lines if line is not None], set(), takes


def _events(events: tuple[KVCacheEvent, ...], configuration: Configuration) -> Iterator[str]:
    if configuration.enable_kv_cache_events:
        yield f"assert manager.take_events() == [{', '.join(map(repr, events))}]"


def _state(session: Session, last: Operation) -> Iterator[str]:
    """Who holds which blocks, and how full the pool is."""
    view = session.view()
    for request, tables in view.tables.items():
        if not (isinstance(last, Allocate) and last.request == request and not any(map(any, tables))):
            yield f"assert ids(manager.get_blocks({quoted(request)})) == {[list(t) for t in tables]}"
    yield f"assert manager.usage == pytest.approx({view.usage})"


def _probes(session: Session, trace: Trace, writing: ApiStatements) -> tuple[list[str], bool]:
    """What later requests get: hits first, then the free blocks in their order."""
    lines: list[str] = []
    configuration = trace.configuration
    lines += writing.lines(NewStep())
    session.apply(NewStep())
    if configuration.enable_caching:
        lines += _hits(session, trace)
        copied = [holders[0] for _, holders in session.view().prefix_map if len(holders) > 1]
        if copied:
            lines += [
                "# A copy takes the place of a block that is evicted.",
                *writing.lines(Evict(tuple(copied))),
            ]
            session.apply(Evict(tuple(copied)))
            lines += _hits(session, trace)
    taken: list[list[list[int]]] = []
    while len(taken) < configuration.num_blocks:
        name = f"late-{len(taken)}"
        session.apply(NewRequest(name, (0,)))
        blocks = session.apply(Allocate(name, 0, 1)).blocks
        if blocks is None:
            break
        taken.append([list(group) for group in blocks])
    return [*lines, f"assert taken_in_turn(manager) == {taken}"], True


def _hits(session: Session, trace: Trace) -> Iterator[str]:
    """How much each prompt hits, if it comes again."""
    for prompt in trace.operations:
        if not isinstance(prompt, NewRequest) or prompt.embeds is not None:
            continue
        again = msgspec.structs.replace(
            prompt, request=f"{prompt.request}-again", tokens=(*prompt.tokens, 0), skip_reading=False
        )
        session.apply(again)
        hit = session.apply(Lookup(again.request))
        yield f"assert manager.get_computed_blocks({made(again)})[1] == {hit.tokens}"


def _imports(
    configuration: Configuration,
    options: list[str],
    module: str,
    name: str,
    errors: set[str],
    calls: list[str],
) -> set[str]:
    specs = sorted({type(spec_of(group)).__name__ for group in configuration.groups})
    requests = ["Request"]
    requests += ["LoRARequest"] if "lora" in options else []
    requests += ["MultiModalFeature", "PlaceholderRange"] if "items" in options else []
    requests += ["PromptEmbeds"] if "embeds" in options else []
    said = "\n".join(calls)
    named = sorted(errors | ({"ConfigurationError"} if "ConfigurationError" in said else set()))
    kinds = [kind for kind in ("AllBlocksCleared", "BlockRemoved", "BlockStored") if f"{kind}(" in said]
    return {
        "from kvref.config import KVCacheConfig" + (", KVCacheGroupSpec" if specs else ""),
        *([f"from kvref.errors import {', '.join(named)}"] if named else []),
        *([f"from kvref.events import {', '.join(kinds)}"] if kinds else []),
        *(["from kvref.hashing import BlockHasher"] if configuration.enable_caching else []),
        *([f"from kvref.kv_cache_spec import {', '.join(specs)}"] if specs else []),
        f"from kvref.request import {', '.join(sorted(requests))}",
        *(["from kvref.targets.inprocess import FLOAT16"] if specs else []),
        f"from {module} import {name}",
    }


def _options(trace: Trace) -> list[str]:
    prompts = [operation for operation in trace.operations if isinstance(operation, NewRequest)]
    continues = any(isinstance(o, ContinueRequest) and o.items for o in trace.operations)
    return [
        option
        for option in REQUEST
        if any(getattr(prompt, option) for prompt in prompts) or (option == "items" and continues)
    ]


def _extras(configuration: Configuration, options: list[str]) -> Iterator[str]:
    if configuration.enable_caching:
        names = f'"{configuration.hash_function}", {configuration.hash_block_size}'
        yield f"block_hasher=BlockHasher.seeded({names}, {quoted(configuration.hash_seed)}),"
    for option in options:
        yield f"{REQUEST[option]},"


def _name(trace: Trace) -> str:
    """What the test is called."""
    if not trace.operations:
        return "construction"
    kind = type(trace.operations[-1]).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).removeprefix("_")
