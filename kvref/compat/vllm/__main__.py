"""Runs a Python program on kvref: `python -m kvref.compat.vllm --manager reference -- pytest FILE`."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from cyclopts import App, CycloptsError

from kvref.compat.vllm.backing import managers
from kvref.compat.vllm.modules import install
from kvref.errors import UserError

app = App(name="python -m kvref.compat.vllm", help=__doc__)


@app.default
def run(*command: str, manager: str = "reference") -> None:
    """Run a program in a process where vLLM's module names lead to a kvref manager.

    Parameters
    ----------
    command
        Behind `--`: a module that Python can run, such as pytest, or a file, and its arguments. pytest
        is given `--noconftest`, since vLLM's conftest.py asks for all of vLLM.
    manager
        Which manager stands behind the names.
    """
    if not command:
        raise UserError(f"give a program, such as `-- pytest FILE`, for one of {', '.join(managers())}")
    program, *arguments = command
    install(manager)
    if program == "pytest":
        arguments.insert(0, "--noconftest")
    sys.argv = [program, *arguments]
    if Path(program).suffix == ".py":
        if not Path(program).exists():
            raise UserError(f"there is no file {program}")
        runpy.run_path(program, run_name="__main__")
        return
    if find_spec(program) is None:
        raise UserError(f"there is no module {program} here: install it in {sys.executable}")
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def main() -> None:
    """The command's entry point: errors that a person can mend take one line."""
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
    except (UserError, CycloptsError) as error:
        sys.stderr.write(f"kvref.compat.vllm: {' '.join(str(error).split())}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
