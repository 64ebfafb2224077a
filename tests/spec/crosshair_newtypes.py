"""A CrossHair plugin: look through `NewType` inside generic types, as in `Sequence[BlockId]`.

CrossHair 0.0.112 looks through it for an argument itself, but asks `issubclass(BlockId, ...)` of an
element's type, which raises TypeError.
"""

import crosshair.dynamic_typing as typing_of_proxies

typing_of_proxies.origin_of = lambda kind, known=typing_of_proxies.origin_of: known(
    getattr(kind, "__supertype__", kind)
)
