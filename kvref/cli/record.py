"""`kvref record`: a command whose vLLM engines are recorded."""

from pathlib import Path

from kvref.cli.common import require_positive, tell
from kvref.cli.running import Word, run
from kvref.errors import UserError
from kvref.record.entries import Content
from kvref.record.settings import Settings, recordings_at


def record(
    *command: Word,
    out: Path = Path("trace.kvr"),
    tokens: Content = "hash",
    calls_only: bool = False,
    snapshots: int | None = None,
    megabytes: float | None = None,
    parts: int = 1,
) -> int:
    """Run a command, and record what its vLLM engines ask of their KV cache managers.

    Where this package is installed beside vLLM, KVREF_RECORD=trace.kvr in the environment does the same.

    Parameters
    ----------
    command
        The command, behind `--`: for example `-- vllm serve MODEL`.
    out
        The file to write. It is never written over: a second engine's is called trace-2.kvr.
    tokens
        What is told of prompts and outputs: `keep` their token ids; `hash` for numbers that are equal where
        blocks with all before them are equal, which any manager answers alike; `none` for their length alone,
        which cannot be replayed.
    calls_only
        Leave out which blocks calls returned: hit lengths and refusals are kept.
    snapshots
        Note the whole state at the beginning of every so many steps.
    megabytes
        How large the file may get; recording ends there, and the command goes on.
    parts
        Go on in a new file instead, and keep the newest so many: trace.kvr, trace.kvr.1 before it, and so on.
        Each can be replayed alone.
    """
    for value, name in ((snapshots, "--snapshots"), (megabytes, "--megabytes"), (parts, "--parts")):
        require_positive(value, name)
    settings = Settings(out.absolute(), tokens, not calls_only, snapshots, megabytes, parts).checked()
    before = set(recordings_at(out))
    code = run(command, settings.variables())
    made = [path for path in recordings_at(out) if path not in before]
    for path in made:
        tell(f"recorded   {path}: kvref replay {path}")
    if not made:
        raise UserError(
            "nothing was recorded: the command has started no vLLM engine, or says in its log why it could not"
        )
    return code
