"""How requests come in: an arrival, a lookup, and the allocation that takes its hit [PROTO-2, PROTO-3]."""

from kvref.fuzz.caller import Caller
from kvref.fuzz.running import draw_share, whole_states
from kvref.fuzz.serving import Serving
from kvref.operations import Allocate, CrossGroup, GetBlocks, Lookup
from kvref.protocol import Book


def arrive(caller: Caller) -> str:
    """A request arrives; its name."""
    operation = caller.prompts.draw(caller.choices)
    if caller.avoids(operation):
        operation = caller.prompts.plain(operation)
    name = operation.request
    caller.answers[name] = caller.choices.choice(caller.weights.answers)
    caller.do(operation)
    caller.live.append(name)
    return name


def admit(caller: Caller, book: Book) -> bool:
    """Look up, and allocate at once. False if nothing more should be admitted in this step."""
    if caller.budget <= 0:
        return False
    lookup = Lookup(book.name, book.preemptions)
    if caller.avoids(lookup):
        return True
    operation = draw_admission(caller, book, caller.do(lookup).tokens or 0)
    if operation is None or caller.avoids(operation):
        return True
    return take_in(caller, operation) or caller.choices.chance(0.2)


def take_in(caller: Caller, operation: Allocate) -> bool:
    """Ask for an admission; whether it was granted. Then the worker is told of the table."""
    if caller.do(operation).blocks is None:
        return False
    caller.budget -= operation.new
    caller.untold = operation.request
    caller.told = caller.do(GetBlocks(operation.request)).blocks or ()
    caller.untold = None
    return True


def draw_admission(serving: Serving, book: Book, hit: int) -> Allocate | None:
    """What is asked for a request with this hit, None if its states forbid any step now."""
    choices = serving.choices
    rest = book.tokens - hit
    external, loads = _draw_external(serving, hit, rest)
    new = 0
    if not loads:
        new = min(rest - external, serving.budget)
        if new <= 0:
            external = _loadable(serving, hit, max(0, rest - 1), rest)
            new = 1
        if choices.chance(serving.weights.cut_prompt):
            new = draw_share(serving, hit + external, new)
        new = whole_states(serving, book, hit + external, new)
        if new <= 0:
            return None
    encoder = any(isinstance(g, CrossGroup) for g in serving.configuration.groups)
    return Allocate(
        book.name,
        book.computed,
        new,
        hit=hit,
        lookahead=0 if loads else serving.draw_lookahead(),
        external=external,
        delay=loads,
        encoder=choices.integer(1, 3 * serving.block) if encoder else 0,
        must_fit=serving.habits.gated and choices.chance(serving.weights.gate),
        reserved=serving.draw_reserved(),
    )


def _draw_external(serving: Serving, hit: int, rest: int) -> tuple[int, bool]:
    """How many tokens a connector brings, and whether they arrive later [PROTO-3]."""
    choices, weights = serving.choices, serving.weights
    if not (serving.habits.connector and rest > 0 and choices.chance(weights.external)):
        return 0, False
    external = choices.choice((rest, rest // serving.block * serving.block, choices.integer(0, rest)))
    loads = external > 0 and choices.chance(weights.loads_later)
    external = _loadable(serving, hit, external, rest)
    return external, loads and external > 0


def _loadable(serving: Serving, hit: int, wanted: int, rest: int) -> int:
    return serving.care.external(hit, wanted, rest) if serving.care else wanted
