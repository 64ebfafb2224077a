"""Taps: what is called instead of an engine's methods, calls them as they were called, and notes what came of it.

A note is a tuple: what will tell of it, and what that is given. This is the plain form; `native_taps.c` has the
same functions, for an interpreter that `make compile` was run in, and notes are alike.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Final

Queue = deque
"""Notes, in order."""

BARE, NAMED, OF_REQUEST = range(3)
"""What follows in a call's note.

`BARE`: what is kept of its result. `NAMED`: this, its arguments, and those by name. `OF_REQUEST`, whose first
argument is a request: what is kept, how many tokens the request has, its attribute `extra`, arguments, those by name.
"""

AS_IS, WHETHER, LENGTH, ROWS, HIT, FOUND, NOTHING = range(7)
"""What is kept of a result.

All of it; whether it is not None; how long it is; the lists of its `blocks`, copied since they may be the manager's own; of blocks
and a hit, the hit, or the hit and the lists; nothing.
"""

# A property of the request, or a copy, would cost more.
_tokens_of = attrgetter("_all_token_ids")

_KEPT: Final[dict[int, Callable[[Any], Any]]] = {
    AS_IS: lambda result: result,
    WHETHER: lambda result: result is not None,
    LENGTH: len,
    ROWS: lambda result: tuple(map(tuple, result.blocks)),
    HIT: lambda result: result[1],
    FOUND: lambda result: (result[1], *map(tuple, result[0].blocks)),
    NOTHING: lambda _: None,
}


Method = Callable[..., Any]
Told = Callable[[Exception], object]


class Paced:
    """A method with a tap, behind which `due` is called from the `until`-th call on. Both counts may be set."""

    def __init__(self, method: Method, due: Callable[[], object]) -> None:
        self._method = method
        self._due = due
        self.calls = 0
        self.until = 1

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the method."""
        result = self._method(*arguments, **named)
        self.calls += 1
        if self.calls >= self.until:
            self._due()
        return result


def around(
    queue: "deque[Any]",
    method: Method,
    tell: Method,
    failed: Told,
    gave_up: Told,
    shape: int,
    keeps: int,
    extra: str | None = None,
    even_if_raised: bool = False,
) -> Method:
    """A method with a tap, that `tell` is to tell of.

    `failed` is called with what the method has raised, behind a note as if it had returned None if it is
    noted `even_if_raised`; `gave_up` with a defect of ours. Neither changes what the caller sees.
    """
    say = _saying(queue, tell, shape, _KEPT[keeps], extra)

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            result = method(*arguments, **named)
        except Exception as error:
            try:
                if even_if_raised:
                    say(None, arguments, named)
                failed(error)
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                gave_up(defect)
            raise
        try:
            say(result, arguments, named)
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            gave_up(defect)
        return result

    return call


def _saying(
    queue: "deque[Any]", tell: Method, shape: int, kept: Method, extra: str | None
) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], None]:
    """Notes a result and the arguments."""
    note, extra_of = queue.append, attrgetter(extra) if extra is not None else _KEPT[NOTHING]

    def say_bare(result: Any, _: object, __: object) -> None:
        note((tell, kept(result)))

    def say_named(result: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        note((tell, kept(result), arguments, named))

    def say_of_request(result: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        request = arguments[0] if arguments else named["request"]
        length = len(request._all_token_ids)  # noqa: SLF001 - as above
        note((tell, kept(result), length, extra_of(request), arguments, named))

    return {BARE: say_bare, NAMED: say_named, OF_REQUEST: say_of_request}[shape]


def paced(
    queue: "deque[Any]", method: Method, tell: Method, failed: Told, gave_up: Told, due: Callable[[], object]
) -> Paced:
    """A method without arguments, with a tap that keeps nothing of its result, and `due` behind it."""
    return Paced(around(queue, method, tell, failed, gave_up, BARE, NOTHING), due)


def saying(queue: "deque[Any]", note: tuple[Any, ...]) -> Callable[[], None]:
    """Notes always the same."""
    return partial(queue.append, note)


def saying_lengths(
    queue: "deque[Any]", tell: Method, gave_up: Told
) -> Callable[[Mapping[str, Any], Iterable[str]], None]:
    """Notes of which of the requests are there, and how many tokens each has: requests first, then lengths."""
    note = queue.append

    def say(requests: Mapping[str, Any], names: Iterable[str]) -> None:
        try:
            there = [request for request in map(requests.get, names) if request is not None]
            note((tell, *there, *map(len, map(_tokens_of, there))))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            gave_up(defect)

    return say
