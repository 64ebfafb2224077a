"""Names that a test file imports and kvref has nothing behind."""

from collections.abc import Callable
from typing import Any, NoReturn


def out_of_scope(name: str) -> Callable[..., Any]:
    """Something that can be imported, and says when it is called that kvref does not have it."""

    def refuse(*arguments: object, **options: object) -> NoReturn:
        del arguments, options
        raise NotImplementedError(
            f"{name} plans memory from a model's configuration, which is outside of a KV cache manager: "
            "kvref has no view of it"
        )

    refuse.__name__ = name
    return refuse
