from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

@final
class Queue:
    def append(self, note: tuple[Any, ...], /) -> None: ...
    def popleft(self) -> tuple[Any, ...]: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...

@final
class Tap:
    calls: int
    until: int
    def __call__(self, *arguments: Any, **named: Any) -> Any: ...

def around(
    queue: Queue,
    method: Callable[..., Any],
    tell: Callable[..., Any],
    failed: Callable[[Exception], object],
    gave_up: Callable[[Exception], object],
    shape: int,
    keeps: int,
    extra: str | None = None,
    even_if_raised: bool = False,
) -> Callable[..., Any]: ...
def paced(
    queue: Queue,
    method: Callable[..., Any],
    tell: Callable[..., Any],
    failed: Callable[[Exception], object],
    gave_up: Callable[[Exception], object],
    due: Callable[[], object],
    /,
) -> Tap: ...
def saying(queue: Queue, note: tuple[Any, ...], /) -> Callable[[], None]: ...
def saying_lengths(
    queue: Queue, tell: Callable[..., Any], gave_up: Callable[[Exception], object], /
) -> Callable[[Mapping[str, Any], Iterable[str]], None]: ...
