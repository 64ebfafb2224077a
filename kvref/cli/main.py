"""The command's entry point."""

import os
import sys
from typing import NoReturn

from cyclopts import App, CycloptsError

from kvref.cli.common import BAD_INPUT, INTERRUPTED
from kvref.errors import UserError

COMMANDS = {
    "fuzz": "Hold a target against the reference on random cases.",
    "record": "Run a command, and record what its vLLM engines ask of their KV cache managers.",
    "shadow": "Run a command, and hold its vLLM engines' KV cache managers against the reference meanwhile.",
    "replay": "Replay a trace on a target, against the reference.",
    "shrink": "Find the smallest trace that shows what a given one shows on a target.",
    "explain": "Tell a trace step by step: both sides, the pool as it was, and the rule that broke.",
    "reproducer": "Write a trace as a Python file that shows its fault with vLLM alone, as for an issue.",
    "vectors": "Conformance vectors: traces with what must be seen on them.",
    "triage": "Draft an entry for a catalogue of intended differences, from a finding.",
    "bench": "Measure KV cache managers on the same workloads, in one process and in turn.",
    "check": "Visit every small state: all that a legal scheduler can do, on a target and the reference.",
    "demo": "Decode with a tiny hybrid transformer through a manager's block tables, and check every logit.",
    "survey": "Play every release of vLLM at level safe, and write a page of what each does wrong.",
    "scheduler": "vLLM's own scheduler on a CPU, without weights: record it, and replay it.",
    "zoo": "Named bugs of the optimized manager, and what kills them.",
    "targets": "List what can be tested.",
    "schema": "Print a JSON Schema: of trace files, or of the driver protocol.",
}
"""Each is a function in the module of its name, imported when it is asked for."""

app = App(name="kvref", help="The oracle for LLM KV cache managers.")
for _name, _help in COMMANDS.items():
    app.command(f"kvref.cli.{_name}:{_name}", name=_name, help=_help)


def main() -> None:
    """The command's entry point: errors that a person can mend take one line."""
    try:
        result = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (UserError, CycloptsError) as error:
        _refuse(str(error))
    except OSError as failure:
        if failure.filename is None:
            # What standard output still holds would be flushed, and fail, once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _refuse(str(failure))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(result if isinstance(result, int) else 0)


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"kvref: {' '.join(why.split())}\n")
    sys.exit(BAD_INPUT)
