"""A manager that never ends is told, and ends: the loops of its copy count their rounds.

Rounds, not seconds: so it is the same on every machine. On the largest pools and requests of a case an
operation takes some thousands of them.
"""

import ast
from typing import Final, TypeVar

MOST: Final = 100_000
"""So many rounds may all loops of one operation take together."""

_COUNT: Final = "_count_a_round_of_a_loop"
"""What a counting module calls in each round; none has this name itself."""

_Loop = TypeVar("_Loop", ast.For, ast.While)


class DoesNotEndError(Exception):
    """An operation goes round and round."""


class Patience:
    """How many rounds are left to the operation that is performed: one for all copies in a process."""

    def __init__(self) -> None:
        self._left = MOST

    def begin(self) -> None:
        """Another operation begins."""
        self._left = MOST

    def count(self) -> None:
        """A round begins. Raises DoesNotEndError."""
        self._left -= 1
        if self._left < 0:
            raise DoesNotEndError(f"more than {MOST:,} rounds of loops in one operation")


PATIENCE: Final = Patience()


def count_a_round() -> None:
    """What the loops of copies call. Raises DoesNotEndError."""
    PATIENCE.count()


def counting(source: str) -> ast.Module:
    """The source, with loops that count their rounds. Raises SyntaxError."""
    module: ast.Module = _Counting().visit(ast.parse(source))
    name = ast.alias(count_a_round.__name__, _COUNT)
    module.body.insert(0, ast.ImportFrom(__name__, [name], 0))
    return ast.fix_missing_locations(module)


class _Counting(ast.NodeTransformer):
    def visit_While(self, node: ast.While) -> ast.While:
        return self._counted(node)

    def visit_For(self, node: ast.For) -> ast.For:
        return self._counted(node)

    def _counted(self, node: _Loop) -> _Loop:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(ast.Call(ast.Name(_COUNT, ast.Load()), [], [])))
        return node
