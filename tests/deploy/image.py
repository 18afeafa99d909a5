#!/usr/bin/env python3
"""Builds the container image of a static program and uses it as an operator would, against an emulator outside of it.

usage: image.py STATIC_PROGRAM EMULATOR_PROGRAM

Needs root, buildah, binutils, file, openssl, strace and systemd-analyze. buildah's chroot isolation needs no registry, no daemon and no namespaces: the image's
processes see the image's files and the host's network. It cannot make the root read-only; the user of the image cannot write to it, and
what lies in it is compared before and after. Everything is kept in a temporary folder.
"""

import ctypes
import errno
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USER = 65532
IMAGE = "localhost/cosmirror:test"
DOCUMENTS = 300
NAME = "mirror.image.test"
# An address of its own, so that a resolver of this machine is not in the way.
RESOLVER = "127.0.63.53"
PATIENCE_SECONDS = 120
SIZE_MIB_MAX = 60


class Failed(Exception):
    """What must hold does not."""


def expect(condition, what) -> None:
    if not condition:
        raise Failed(what)


def run(*command, check=True, **more) -> subprocess.CompletedProcess:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    expect(not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}")
    return done


def eventually(what, look):
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise Failed(f"{what}: not within {PATIENCE_SECONDS} s")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, body=None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as answer:
        return answer.read().decode()


class Image:
    """The image, and a container of it with its files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.container = ""

    def buildah(self, *arguments, **more) -> subprocess.CompletedProcess:
        return run(*self.command(*arguments), **more)

    def command(self, *arguments) -> list:
        store = ["--root", self.folder / "store", "--runroot", self.folder / "state", "--storage-driver", "vfs"]
        return [str(word) for word in ["buildah", *store, *arguments]]

    def build(self, program: Path) -> None:
        context = self.folder / "context"
        run(ROOT / "deploy/image-context.sh", context, program)
        started = time.monotonic()
        file = ROOT / "deploy/Dockerfile.prebuilt"
        # Only this format has health checks; an image in OCI's own loses it.
        self.buildah("bud", "--isolation", "chroot", "--format", "docker", "-f", file, "-t", IMAGE, context)
        print(f"built in {time.monotonic() - started:.1f} s")
        names = ["--dns", RESOLVER, "--dns-search", "image.test", "--add-host", f"hosts.{NAME}:127.0.0.1"]
        self.container = self.buildah("from", "--pull-never", *names, IMAGE).stdout.strip()

    def words(self, *command, mounts=()) -> list:
        volumes = [word for outside, inside in mounts for word in ("--volume", f"{outside}:{inside}:ro")]
        return self.command("run", "--isolation", "chroot", "--cap-drop", "all", *volumes, self.container, "--", *command)

    def run(self, *command, mounts=(), check=True) -> subprocess.CompletedProcess:
        # What buildah says of an exit code stands behind what the program says.
        return run(*self.words("/cosmirror", *command, mounts=mounts), check=check, timeout=PATIENCE_SECONDS)

    def files(self) -> dict:
        root = Path(self.buildah("mount", self.container).stdout.strip())
        found = {}
        for path in sorted(root.rglob("*")):
            about = path.lstat()
            name = "/" + str(path.relative_to(root))
            # The runtime puts its own files there at each start.
            if not name.startswith(("/dev", "/proc", "/sys", "/run", "/etc/hosts", "/etc/resolv.conf")):
                size = about.st_size if path.is_file() else 0
                found[name] = (oct(about.st_mode), about.st_uid, size, about.st_mtime_ns if path.is_file() else 0)
        return found


def is_static(program: Path) -> None:
    kind = run("file", "--brief", program).stdout
    expect("static" in kind, f"not a static program: {kind}")
    expect("NEEDED" not in run("readelf", "--dynamic", program).stdout, "it needs shared libraries")
    expect("INTERP" not in run("readelf", "--program-headers", program).stdout, "it needs a dynamic loader")
    symbols = run("nm", program).stdout
    for library, mark in {"aws-lc": "aws_lc_", "jemalloc": "_rjem_"}.items():
        count = symbols.count(mark)
        print(f"{library}: {count} symbols inside")
        expect(count > 0, f"{library} is not in the program")
    expect("cosmirror_emulator" not in symbols, "the emulator is in the shipped program")


def says_what_it_should(image: Image, program: Path) -> None:
    inspected = json.loads(image.buildah("inspect", "--type", "image", IMAGE).stdout)
    config = inspected["Docker"]["config"]
    expect(config["User"] == f"{USER}:{USER}", f"runs as {config['User']}")
    expect(config["Entrypoint"] == ["/cosmirror"] and config["Cmd"] == ["run"], "starts something else")
    expect(config["Healthcheck"]["Test"] == ["CMD", "/cosmirror", "health"], "has another health check")
    expect(list(config["Volumes"]) == ["/tmp"], "has other volumes")
    labels = config["Labels"]
    for name in ("title", "description", "licenses", "version", "revision"):
        expect(f"org.opencontainers.image.{name}" in labels, f"has no label {name}")
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    expect(labels["org.opencontainers.image.version"] == version, "has the label of another version")
    expect(image.run("--version").stdout.strip() == f"cosmirror {version}", "is another version")
    files = image.files()
    expect(sorted(name for name, about in files.items() if about[2]) == ["/cosmirror", "/etc/ssl/certs/ca-certificates.crt"], files)
    expect(all(about[1] == 0 for about in files.values()), f"its user owns files: {files}")
    expect(files["/tmp"][0].endswith("1777"), f"/tmp is {files['/tmp']}")
    mib = sum(about[2] for about in files.values()) / 2**20
    print(f"size: {mib:.1f} MiB, of which the program {program.stat().st_size / 2**20:.1f} MiB")
    expect(mib < SIZE_MIB_MAX, f"it is larger than {SIZE_MIB_MAX} MiB")


def stages_agree() -> None:
    """What follows the last FROM is the same in both files, but for where it is copied from."""

    def final(name):
        text = (ROOT / "deploy" / name).read_text().rpartition("\nFROM scratch\n")[2]
        return re.sub(r"^COPY (--from=build /image|\.)/ /$", "COPY", text, flags=re.MULTILINE)

    expect(final("Dockerfile") == final("Dockerfile.prebuilt") != "", "Dockerfile and Dockerfile.prebuilt make different images")
    channel = re.search(r'channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text())[1]
    expect(f"ARG RUST_VERSION={channel}\n" in (ROOT / "deploy/Dockerfile").read_text(), "Dockerfile builds with another Rust")


def configuration(folder: Path, emulator: dict, admin: int) -> Path:
    path = folder / "cosmirror.toml"
    # By name and not by address: a static program must resolve names without any library or file of the system.
    path.write_text(
        f"""[source]
endpoint = "{emulator["cosmos"].replace("127.0.0.1", "localhost")}"
auth = "emulator"
poll_interval = "50ms"
poll_interval_idle_max = "200ms"
staleness_margin = "0s"
[[containers]]
database = "shop"
container = "orders"
[leases]
database = "shop"
[target]
endpoint = "{emulator["blob"].replace("127.0.0.1", "localhost")}"
auth = "emulator"
[admin]
listen = "127.0.0.1:{admin}"
"""
    )
    path.chmod(0o644)
    return path


def pid_of(program: str, ancestor: int):
    """The process of that name below another one."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, rest = re.match(r"\d+ \((.*)\) \S (.*)", stat, re.DOTALL).groups()
        parents[int(entry.name)] = (int(rest.split()[0]), name)
    for pid, (parent, name) in parents.items():
        while name == program and parent in parents:
            if parent == ancestor:
                return pid
            parent = parents[parent][0]
    return None


def status_of(pid: int) -> dict:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def mirrors(image: Image, folder: Path, program: Path, emulator: dict) -> None:
    admin = free_port()
    mounts = [(configuration(folder, emulator, admin), "/etc/cosmirror/cosmirror.toml")]
    cosmos = emulator["cosmos"].rstrip("/")
    seed = {"database": "shop", "container": "orders", "partitionKey": "/pk", "count": DOCUMENTS, "bytes": 500, "keys": 20, "partitions": 2}
    fetch(f"{cosmos}/_emulator/seed", json.dumps(seed).encode())
    dead = image.run("health", mounts=mounts, check=False)
    expect(dead.returncode == 1 and "nothing answers" in dead.stderr, f"health of nothing: {dead}")
    before = image.files()
    with open(folder / "log", "w") as log:
        daemon = subprocess.Popen(image.words("/cosmirror", "run", mounts=mounts), stdout=log, stderr=log)
        try:
            while_it_runs(image, folder, daemon.pid, admin, mounts)
            pid = pid_of("cosmirror", daemon.pid)
            os.kill(pid, signal.SIGTERM)
            expect(daemon.wait(timeout=PATIENCE_SECONDS) == 0, "SIGTERM did not end it with 0")
        except BaseException:
            print((folder / "log").read_text(), file=sys.stderr)
            raise
        finally:
            if daemon.poll() is None:
                pid = pid_of("cosmirror", daemon.pid)
                os.kill(pid or daemon.pid, signal.SIGKILL)
                daemon.wait()
    expect(image.files() == before, "something was written to the image's root")
    keeps_to_the_unit(folder, program, mounts)
    print(f"{DOCUMENTS} documents mirrored and compared; nothing was written to the root")


def while_it_runs(image: Image, folder: Path, ancestor: int, admin: int, mounts: list) -> None:
    pid = eventually("the daemon runs", lambda: pid_of("cosmirror", ancestor))
    eventually("it is ready", lambda: image.run("health", mounts=mounts, check=False).returncode == 0)
    status = status_of(pid)
    expect(set(status["Uid"]) == {str(USER)} and set(status["Gid"]) == {str(USER)}, f"runs as {status['Uid']} {status['Gid']}")
    expect(int(status["CapEff"][0], 16) == 0, f"has the capabilities {status['CapEff']}")

    def all_written():
        text = fetch(f"http://127.0.0.1:{admin}/metrics")
        found = re.search(r"^cosmirror_versions_written_total\{.*\} (\d+)$", text, re.MULTILINE)
        return found and int(found[1]) >= DOCUMENTS

    eventually("every document is mirrored", all_written)
    # It sorts on disk, so /tmp can be written.
    verified = json.loads(image.run("-o", "json", "verify", "--mode", "full", mounts=mounts).stdout)
    text = json.dumps(verified)
    expect(f'"equal": {DOCUMENTS}' in text, f"verify: {text}")
    versions = json.loads(image.run("-o", "json", "history", "d0", "--pk", "p0", mounts=mounts).stdout)["versions"]
    expect(len(versions) == 1, f"history: {versions}")
    names_are_resolved(image, folder, admin)
    certificates_are_checked(image, folder)


def answer_names(server: socket.socket) -> None:
    """A name server that knows one name."""
    known = b"".join(bytes([len(label)]) + label.encode() for label in NAME.split(".")) + b"\0"
    while True:
        try:
            query, sender = server.recvfrom(512)
        except OSError:
            return
        question = query[12 : 12 + len(known) + 4]
        is_known = question[: len(known)].lower() == known
        is_a = is_known and struct.unpack("!H", question[len(known) : len(known) + 2])[0] == 1
        end = query.index(b"\0", 12) + 5
        # The same answer to every kind of question: only addresses of version 4 exist.
        header = query[:2] + struct.pack("!HHHHH", 0x8180 if is_known else 0x8183, 1, int(is_a), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1]) if is_a else b""
        server.sendto(header + query[12:end] + record, sender)


def names_are_resolved(image: Image, folder: Path, admin: int) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((RESOLVER, 53))
    threading.Thread(target=answer_names, args=(server,), daemon=True).start()
    mounts = [(folder / "cosmirror.toml", "/etc/cosmirror/cosmirror.toml")]
    for name, kind in {NAME: "by DNS", "mirror": "by DNS and search list", "localhost": "local", f"hosts.{NAME}": "by /etc/hosts"}.items():
        asked = image.run("health", "--url", f"http://{name}:{admin}/readyz", mounts=mounts, check=False)
        expect(asked.returncode == 0, f"the name {name} ({kind}) was not resolved: {asked.stderr}")
        print(f"resolved {kind}: {name}")
    unknown = image.run("health", "--url", f"http://unknown.image.test:{admin}/readyz", mounts=mounts, check=False)
    expect(unknown.returncode == 1, f"an unknown name: {unknown}")
    server.close()


class Ready(BaseHTTPRequestHandler):
    """Answers as a ready daemon does."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def certificates_are_checked(image: Image, folder: Path) -> None:
    def openssl(*words):
        run("openssl", *words, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=localhost")
    (folder / "san").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "san", "-out", "host.pem")
    (folder / "ca.pem").chmod(0o644)
    server = HTTPServer(("127.0.0.1", 0), Ready)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}/readyz"
    mounts = [(folder / "cosmirror.toml", "/etc/cosmirror/cosmirror.toml")]
    stranger = image.run("health", "--url", url, mounts=mounts, check=False)
    expect(stranger.returncode == 1 and "UnknownIssuer" in stranger.stderr, f"a certificate of nobody: {stranger}")
    known = image.run("health", "--url", url, mounts=[*mounts, (folder / "ca.pem", "/etc/ssl/certs/ca-certificates.crt")], check=False)
    expect(known.returncode == 0, f"a certificate of a mounted authority: {known.stderr}")
    server.shutdown()
    print("certificates are checked against the image's roots")


def confine_itself() -> None:
    """In the child, before it becomes the program: no memory that is writable and executable, as the unit has it (PR_SET_MDWE)."""
    if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) != 0 and ctypes.get_errno() != errno.EINVAL:
        raise OSError(ctypes.get_errno(), "prctl")


def allowed_calls() -> set:
    """The system calls that the unit allows, by the groups of this machine's systemd."""
    groups, calls = {}, None
    for line in run("systemd-analyze", "syscall-filter", "--no-pager").stdout.splitlines():
        word = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
        if word.startswith("@") and not line.startswith(" "):
            calls = groups.setdefault(word, set())
        elif word and not word.startswith("#") and calls is not None:
            calls.add(word)

    def members(name):
        return {call for word in groups[name] for call in (members(word) if word.startswith("@") else {word})}

    allowed = set()
    unit = (ROOT / "deploy/systemd/cosmirror.service").read_text()
    for sign, words in re.findall(r"^SystemCallFilter=(~?)(.*)$", unit, re.MULTILINE):
        named = {call for word in words.split() for call in members(word)}
        allowed = allowed - named if sign else allowed | named
    return allowed


def keeps_to_the_unit(folder: Path, program: Path, mounts: list) -> None:
    """What systemd would kill it for, it does not do."""
    trace = folder / "trace"
    for command in (["run", "--once"], ["verify", "--mode", "full"]):
        words = ["strace", "-f", "-qq", "-o", trace, "--output-append-mode", program, "-c", mounts[0][0], *command]
        run(*words, preexec_fn=confine_itself, timeout=PATIENCE_SECONDS)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    expect(len(used) > 30, f"only {used}")
    expect(used <= allowed_calls(), f"the unit forbids {sorted(used - allowed_calls())}")
    print(f"{len(used)} kinds of system calls, all within the unit's filter; no writable executable memory")


def start_emulator(program: str) -> tuple:
    words = [program, "-o", "json", "emulator", "--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    program = Path(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="cosmirror-image-"))
    # The image's user reads the mounted files.
    folder.chmod(0o755)
    image, emulator = Image(folder), None
    try:
        stages_agree()
        is_static(program)
        image.build(program)
        says_what_it_should(image, program)
        emulator, endpoints = start_emulator(sys.argv[2])
        mirrors(image, folder, program, endpoints)
    except Failed as failure:
        print(f"image: {failure}", file=sys.stderr)
        return 1
    finally:
        if emulator:
            emulator.terminate()
            emulator.wait()
        if image.container:
            image.buildah("umount", image.container, check=False)
            image.buildah("rm", "--all", check=False)
        shutil.rmtree(folder, ignore_errors=True)
    print("the image works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
