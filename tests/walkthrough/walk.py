"""Follows "From nothing to a watched mirror" in docs/operations.md word for word, as a newcomer would.

usage: walk.py PROGRAM

Every block of commands runs in its order, in a folder with copies of config/ and deploy/. A comment before a block says more:

    <!-- build -->            how the program is built; PROGRAM stands for it here
    <!-- beside: NAME -->     runs in a terminal of its own until it is stopped, or the end
    <!-- stop: NAME -->       Ctrl-C in that terminal
    <!-- prints: TEXT -->     what the block before must have printed

The ports are replaced by free ones in the commands and in the copied files, and nothing else is. What runs beside is ended by its process
group, also when a command fails.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "operations.md"
SECTION = "## From nothing to a watched mirror"
PORTS = ["8081", "10000", "9464", "9090"]
COPIED = ["config", "deploy"]
SECONDS_MAX = 120
COMMANDS_MIN = 12


def section():
    text = DOCUMENT.read_text(encoding="utf-8")
    start = text.index(f"\n{SECTION}\n")
    end = text.find("\n## ", start + 1)
    return text[start:] if end < 0 else text[start:end]


def steps(text):
    """The section's directives and blocks, in order, as (kind, argument, commands)."""
    directive, block = None, None
    for line in text.splitlines():
        if block is not None:
            if line == "```":
                yield (*(directive or ("here", "")), "\n".join(block))
                directive, block = None, None
            else:
                block.append(line)
        elif line == "```sh":
            block = []
        elif found := re.fullmatch(r"<!-- (build|beside|stop|prints)(?:: (.*))? -->", line):
            kind, argument = found.groups()
            if kind in ("stop", "prints"):
                yield kind, argument, ""
            else:
                directive = (kind, argument or "")
        elif line.startswith(("<!--", "```")):
            sys.exit(f"nobody knows what this means: {line}")
    if block is not None or directive is not None:
        sys.exit("the section ends within a block, or a comment has none")


def free_ports():
    """As many free ports as the section names; all are held until all are known."""
    sockets = []
    try:
        for _ in PORTS:
            held = socket.socket()
            held.bind(("127.0.0.1", 0))
            sockets.append(held)
        return dict(zip(PORTS, (str(held.getsockname()[1]) for held in sockets)))
    finally:
        for held in sockets:
            held.close()


class Walk:
    def __init__(self, folder, program):
        self.folder = folder
        self.ports = free_ports()
        self.beside = {}
        self.printed = ""
        programs = folder / "bin"
        programs.mkdir()
        (programs / "cosmirror").symlink_to(program)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "COSMIRROR_CONFIG": "config/local.toml",
        }
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name)
        for file in folder.rglob("*.*"):
            if file.suffix in (".toml", ".yml", ".yaml") and not file.is_symlink():
                file.write_text(self.with_ports(file.read_text(encoding="utf-8")), encoding="utf-8")

    def with_ports(self, text):
        return re.sub(r"(?<=:)(" + "|".join(PORTS) + r")\b", lambda found: self.ports[found.group()], text)

    def shell(self, commands):
        # Each line must succeed, as a person would stop at the first that does not.
        return ["bash", "-euo", "pipefail", "-c", self.with_ports(commands)]

    def here(self, commands):
        print(f"$ {commands}", flush=True)
        process = subprocess.Popen(
            self.shell(commands), cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            self.printed, _ = process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.printed, _ = process.communicate()
            sys.exit(f"{self.printed}\nthat took longer than {SECONDS_MAX} s")
        print(self.printed, end="", flush=True)
        if process.returncode != 0:
            sys.exit(f"that ended with {process.returncode}")

    def start(self, name, commands):
        print(f"$ {commands}    (beside: {name})", flush=True)
        log = open(self.folder / f"{name}.log", "a", encoding="utf-8")
        with log:
            self.beside[name] = subprocess.Popen(
                self.shell(commands), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )

    def stop(self, name):
        print(f"(Ctrl-C: {name})", flush=True)
        process = self.beside.pop(name)
        if process.poll() is not None:
            sys.exit(f"{name} had ended before, with {process.returncode}:\n{self.log_of(name)}")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=SECONDS_MAX)

    def log_of(self, name):
        return "\n".join((self.folder / f"{name}.log").read_text(encoding="utf-8").splitlines()[-40:])

    def end(self):
        for process in self.beside.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.beside.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main():
    program = pathlib.Path(sys.argv[1]).resolve(strict=True)
    ran = 0
    with tempfile.TemporaryDirectory(prefix="cosmirror-walkthrough-") as folder:
        walk = Walk(pathlib.Path(folder), program)
        finished = False
        try:
            for kind, argument, commands in steps(section()):
                if kind == "here":
                    walk.here(commands)
                elif kind == "beside":
                    walk.start(argument, commands)
                elif kind == "stop":
                    walk.stop(argument)
                elif kind == "prints" and argument not in walk.printed:
                    sys.exit(f"that should have printed: {argument}")
                ran += sum(bool(line.strip()) for line in commands.splitlines()) if kind != "build" else 0
            finished = True
        finally:
            if not finished:
                for name in walk.beside:
                    print(f"--- {name}\n{walk.log_of(name)}", flush=True)
            walk.end()
    print(f"{ran} commands ran")
    if ran < COMMANDS_MIN:
        sys.exit(f"fewer than {COMMANDS_MIN}: the section was not read")


if __name__ == "__main__":
    main()
