"""A machine without a network: answers venv, pip and python as they do."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

CPU_TORCH = ["torch", "sympy"]


class FakeMachine:
    """`broken` maps a word of a command to what it says; `wheel` is what pip downloads."""

    def __init__(self, torch: list[str] = CPU_TORCH) -> None:
        self.commands: list[list[str]] = []
        self.extras: list[Mapping[str, str]] = []
        self.broken: dict[str, str] = {}
        self.mended_after = 10**9
        self.torch = torch
        self.wheel = b""

    def __call__(self, command: Sequence[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(command))
        self.extras.append(extra)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        if "--dest" in command:
            (Path(command[command.index("--dest") + 1]) / "vllm-1-py3-none-any.whl").write_bytes(self.wheel)
        for word, said in self.broken.items():
            if any(word in argument for argument in command) and self.mended_after:
                self.mended_after -= 1
                return subprocess.CompletedProcess(command, 1, "", said)
        report = {"install": [{"metadata": {"name": name}} for name in self.torch]}
        return subprocess.CompletedProcess(command, 0, json.dumps(report), "")

    def count(self, word: str) -> int:
        """How many commands have the word in an argument behind their interpreter, which may lie in a .venv."""
        return sum(any(word in argument for argument in command[1:]) for command in self.commands)
