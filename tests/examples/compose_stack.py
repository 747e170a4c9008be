"""The services of a compose file, started on this machine without Docker: their commands, with their environment."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "examples" / "compose"
FILE = FOLDER / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")


class ComposeStack:
    """Starts the services of the example that are built from the clone; the servers under them are there already.

    Args:
        directory: for logs, and what the services write.
        variables: what ``.env`` would have.
        places: what stands for the addresses of other services: the text in the file, and the one to use here.
        more: variables that Docker's ports and health checks make unnecessary there.
    """

    def __init__(
        self, directory: Path, variables: Mapping[str, str], places: Mapping[str, str], more: Mapping[str, str]
    ) -> None:
        self.services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
        self._directory = directory
        self._variables, self._places, self._more = variables, places, more
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """Give a service's environment, as it is here."""
        given = self.services[name]["environment"].items()
        return {variable: self._here(str(value)) for variable, value in given} | dict(self._more)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service."""
        command = shlex.split(self.services[name]["command"])
        # What the image has on its path is in this environment's.
        program = Path(sys.executable).with_name(command[0])
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(program), *command[1:]],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": str(FOLDER), **self.environment(name)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def describe(self) -> str:
        """The ends of all logs, for the report of a failure."""
        return "\n".join(f"{name}:\n{self.log(name).read_text()[-3000:]}" for name in self._processes)

    def close(self) -> None:
        """Stop all services, as Docker does: with SIGTERM, the youngest first."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            process.wait(60)

    def _here(self, value: str) -> str:
        value = _VARIABLE.sub(lambda found: self._variables[found[1]], value)
        for there, here in self._places.items():
            value = value.replace(there, here)
        return value
