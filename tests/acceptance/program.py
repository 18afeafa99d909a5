"""The program under test: its commands, and the servers it can be."""

import json
import re
import subprocess
import tempfile
import threading
from pathlib import Path

from . import wire

COMMAND_SECONDS_MAX = 300
STOP_SECONDS_MAX = 10


class Product:
    """The program under test, with one configuration."""

    def __init__(self, program: str, directory: Path, cosmos_url: str, blob_url: str, sources: list):
        self.program = program
        self.blob_container = "mirror"
        self.file = directory / "cosmirror.toml"
        names = [source.split("/") for source in sources]
        containers = "".join(
            f'[[containers]]\ndatabase = "{database}"\ncontainer = "{name}"\n\n' for database, name in names
        )
        self.file.write_text(
            f'[source]\nendpoint = "{cosmos_url}"\nauth = "emulator"\npoll_interval = "50ms"\n'
            f'poll_interval_idle_max = "100ms"\nstaleness_margin = "0s"\n\n{containers}'
            f'[leases]\ndatabase = "{names[0][0]}"\n\n[target]\nendpoint = "{blob_url}"\nauth = "emulator"\n'
            f'container = "{self.blob_container}"\n\n[admin]\nlisten = "127.0.0.1:0"\n',
            encoding="utf-8",
        )

    def run(self, *arguments: str) -> bytes:
        """Runs one command; gives its standard output."""
        command = [self.program, "-c", str(self.file), *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS_MAX)
        if done.returncode != 0:
            log = done.stderr.decode(errors="replace")[-2_000:]
            raise wire.Refused(f"{' '.join(command)}: exit code {done.returncode}\n{log}")
        return done.stdout

    def restore(self, instant: str, *sources: str) -> dict:
        """Restores everything as of an instant; gives the report."""
        chosen = [argument for source in sources for argument in ("--source", source)]
        command = ["restore", "--all", "--at", instant, "--delete-extra", "--yes", "-o", "json", *chosen]
        return json.loads(self.run(*command))


class Process:
    """A server that ends with the block."""

    def __init__(self, command: list, environment: dict):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=environment
        )

    def wait_for(self, pattern: re.Pattern) -> str:
        """Reads the output up to a line that matches; gives its first group."""
        for line in self.process.stdout:
            if match := pattern.search(line.decode()):
                return match[1]
        self.log.seek(0)
        raise wire.Refused(f"{self.process.args[:2]} ended: {self.log.read().decode(errors='replace')[-2_000:]}")

    def drain(self):
        """Reads on, so that the process never waits for a full pipe."""
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def running(self) -> bool:
        return self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
