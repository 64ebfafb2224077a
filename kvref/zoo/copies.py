"""Copies of a package whose sources were changed, side by side with the package itself.

A patch of text can change what no subclass reaches, and reads as the difference that it is. The
copy's modules import one another under the copy's name, and everything else as it is.
"""

import ast
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = "kvref.zoo.copy_of_"


@cache
def sources_of(package: str) -> dict[str, tuple[Path, str]]:
    """By module, the files of a package that is not compiled, and what is in them; the package itself is ''."""
    folder = Path(str(import_module(package).__file__)).parent
    files = sorted(folder.glob("*.py"))
    return {"" if file.stem == "__init__" else file.stem: (file, file.read_text("utf-8")) for file in files}


@cache
def _compiled(source: str, file: str, parse: Callable[[str], ast.Module]) -> CodeType:
    return compile(parse(source), file, "exec", dont_inherit=True)


class _Copies(MetaPathFinder, Loader):
    """Finds the modules of all copies that were made."""

    def __init__(self) -> None:
        self._code: dict[str, CodeType] = {}

    def add(self, name: str, code: CodeType) -> None:
        self._code[name] = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, if it belongs to a copy."""
        del path, target
        if fullname not in self._code:
            return None
        return spec_from_loader(fullname, self, is_package="." not in fullname.removeprefix(ROOT))

    def create_module(self, spec: ModuleSpec) -> None:
        """As usual."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's own code."""
        exec(self._code[module.__name__], module.__dict__)  # noqa: S102 - our own sources, changed


_COPIES = _Copies()


def copy_of(
    package: str, name: str, changed: Mapping[str, str], parse: Callable[[str], ast.Module] = ast.parse
) -> ModuleType:
    """A copy of the package called `name` in which the modules of `changed` have these sources, as parsed.

    A copy of that name that there was is forgotten. Raises what importing raises, SyntaxError included.
    """
    if _COPIES not in sys.meta_path:
        sys.meta_path.append(_COPIES)
    root = ROOT + name
    for known in [one for one in sys.modules if one == root or one.startswith(f"{root}.")]:
        del sys.modules[known]
    for module, (file, source) in sources_of(package).items():
        own = changed.get(module, source).replace(f"from {package}", f"from {root}")
        _COPIES.add(f"{root}.{module}" if module else root, _compiled(own, str(file), parse))
    return import_module(root)
