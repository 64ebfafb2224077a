"""A CrossHair plugin: look through `NewType` inside generic types, as in `Sequence[BlockId]`.

CrossHair 0.0.112 looks through it for an argument itself, but asks `issubclass(BlockId, ...)` of an
element's type, which raises TypeError.
"""

from collections.abc import Callable
from typing import Any

import crosshair.dynamic_typing as proxies


def origin_behind_newtypes(kind: Any, origin: Callable[[Any], Any] = proxies.origin_of) -> Any:
    return origin(getattr(kind, "__supertype__", kind))


proxies.origin_of = origin_behind_newtypes  # type: ignore[assignment]
