#!/usr/bin/env python3
"""Holds the Bicep templates to what can be told without Bicep, of which no package registry has the compiler.

Brackets and quotes are balanced, every symbol that is used is declared and every declared one is used, modules get the parameters that they
ask for, the daemon's roles contain no deletion of blobs, the container's variables are settings of the program, and its probes have answers.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BICEP = ROOT / "deploy/bicep"
TOKEN = re.compile(
    r"(?P<comment>//[^\n]*)|(?P<text>'(?:\\.|\$\{(?:[^'{}]|\{[^{}]*\}|'[^'\n]*')*\}|[^'\\\n])*')|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<open>[\[({])|(?P<close>[\])}])|(?P<line>\n)|(?P<space>[ \t]+)|(?P<sign>=>|==|!=|>=|<=|&&|\|\||::|[-+*/%!<>=?:.,@|])"
)
PAIRS = {"[": "]", "(": ")", "{": "}"}
KEYWORDS = {"param", "var", "resource", "module", "output", "type", "targetScope", "existing", "if", "for", "in", "using", "true", "false", "null"}
TYPES = {"string", "int", "bool", "array", "object"}
FUNCTIONS = set(
    "resourceGroup subscriptionResourceId guid uniqueString take toLower replace empty concat flatten map range length json listKeys"
    " description minLength maxLength minValue maxValue allowed batchSize secure".split()
)
NO_DELETION = ("delete", "Delete", "*", "superUser", "Owner")


class Fault(Exception):
    """The file cannot be read."""


def main() -> int:
    files = sorted(BICEP.rglob("*.bicep")) + sorted(BICEP.glob("*.bicepparam"))
    faults = []
    for path in files:
        try:
            faults += [f"{path.relative_to(BICEP)}: {fault}" for fault in faults_of(path)]
        except Fault as fault:
            faults.append(f"{path.relative_to(BICEP)}: {fault}")
    faults += faults_of_roles() + faults_of_order() + faults_of_history() + faults_of_app()
    for fault in faults:
        print(f"bicep: {fault}")
    print(f"bicep: {len(files)} files, {len(faults)} faults; not compiled")
    return 1 if faults or len(files) < 4 else 0


def tokens_of(text: str) -> list:
    """(kind, text, line, depth) of everything that is no space or comment."""
    tokens, at, line, stack = [], 0, 1, []
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Fault(f"line {line}: {text[at:at + 20]!r} is nothing of Bicep")
        kind, word = match.lastgroup, match[0]
        if kind == "open":
            stack.append(word)
        if kind not in ("space", "comment"):
            tokens.append((kind, word, line, len(stack)))
        if kind == "close" and (not stack or PAIRS[stack.pop()] != word):
            raise Fault(f"line {line}: {word} closes nothing")
        line += word.count("\n")
        at = match.end()
    if stack:
        raise Fault(f"{stack[-1]} is not closed")
    return tokens


def interpolated(tokens: list) -> list:
    """The tokens of expressions within texts."""
    inner = []
    for kind, word, line, _ in tokens:
        if kind == "text":
            for expression in re.findall(r"\$\{((?:[^'{}]|\{[^{}]*\}|'[^'\n]*')*)\}", word):
                inner += [(k, w, line, 99) for k, w, _, _ in tokens_of(expression)]
    return inner


def declared_by(tokens: list) -> dict:
    """Name → what declares it, for what stands at the beginning of a line outside of all brackets."""
    declared = {}
    for before, (kind, word, line, depth), after in zip([("line", "\n", 0, 0), *tokens], tokens, [*tokens[1:], ("line", "\n", 0, 0)]):
        if before[0] == "line" and depth == 0 and word in ("param", "var", "resource", "module", "type", "output"):
            if word != "output" and after[1] in declared:
                raise Fault(f"line {line}: {after[1]} is declared twice")
            if word != "output":
                declared[after[1]] = word
    return declared


def faults_of(path: Path) -> list:
    text = path.read_text()
    tokens = tokens_of(text)
    if path.suffix == ".bicepparam":
        return faults_of_parameters(tokens)
    declared, faults, used = declared_by(tokens), [], set()
    local = set(re.findall(r"\bfor (\w+) in\b", text)) | set(re.findall(r"\b(\w+) =>", text))
    everything = tokens + interpolated(tokens)
    for before, (kind, word, line, _), after in zip([None, *everything], everything, [*everything[1:], None]):
        if kind != "name" or word in KEYWORDS or (before and before[1] in (".", "::")):
            continue
        if before and before[1] in declared.values() and before[0] == "name":
            continue
        # A key of an object, an output's name, a type.
        if before and before[1] == "output":
            continue
        if after and after[1] == ":" and (before is None or before[0] in ("line", "open")):
            continue
        if after and after[1] == "(" and before and before[1] == "." and word:
            continue
        if word in declared or word in local:
            used.add(word)
        elif word not in TYPES and word not in FUNCTIONS:
            faults.append(f"line {line}: {word} is not declared")
    # What is only there to be made is not named again.
    faults += [f"{kind} {name} is not used" for name, kind in declared.items() if kind in ("param", "var", "type") and name not in used]
    return faults + faults_of_modules(path, text)


def faults_of_modules(path: Path, text: str) -> list:
    faults = []
    for name, file, body in re.findall(r"^module (\w+) '([^']+)' = \{\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL):
        target = path.parent / file
        if not target.is_file():
            faults.append(f"the module {file} is not there")
            continue
        given = set(re.findall(r"^    (\w+):", body.partition("params: {\n")[2], re.MULTILINE))
        asked = dict(re.findall(r"^param (\w+) ([^\n]*)$", target.read_text(), re.MULTILINE))
        faults += [f"the module {name} gets {one}, which it does not ask for" for one in sorted(given - set(asked))]
        faults += [f"the module {name} does not get {one}" for one, rest in asked.items() if one not in given and "=" not in rest]
        outputs = set(re.findall(r"^output (\w+) ", target.read_text(), re.MULTILINE))
        wanted = set(re.findall(rf"\b{name}\.outputs\.(\w+)", text))
        faults += [f"the module {name} has no output {one}" for one in sorted(wanted - outputs)]
    for kind, version in re.findall(r"'(Microsoft\.[\w./]+)@([^']*)'", text):
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", version):
            faults.append(f"{kind} has the version {version}")
    return faults


def faults_of_parameters(tokens: list) -> list:
    given = set(declared_by(tokens))
    main = (BICEP / "main.bicep").read_text()
    asked = dict(re.findall(r"^param (\w+) ([^\n]*)$", main, re.MULTILINE))
    faults = [f"{one} is no parameter" for one in sorted(given - set(asked))]
    return faults + [f"{one} must be given" for one, rest in asked.items() if one not in given and "=" not in rest]


def actions_of(text: str, role: str) -> list:
    body = re.search(rf"^resource {role} .*?^\}}$", text, re.MULTILINE | re.DOTALL)
    if not body:
        raise Fault(f"there is no role {role}")
    return re.findall(r"'(Microsoft\.(?:Storage|DocumentDB)/[\w/*]+)'", body[0].partition("permissions: [")[2])


def faults_of_roles() -> list:
    storage, cosmos = ((BICEP / "modules" / name).read_text() for name in ("storage.bicep", "cosmos.bicep"))
    faults = []
    for text, role in ((storage, "writer"), (cosmos, "metadataReader"), (cosmos, "sourceReader")):
        actions = actions_of(text, role)
        if not actions:
            faults.append(f"the role {role} can do nothing")
        faults += [f"the role {role} can do {action}" for action in actions if any(word in action for word in NO_DELETION)]
    faults += [f"who follows the source can write to it: {a}" for a in actions_of(cosmos, "sourceReader") if re.search("create|replace|upsert|write", a)]
    # No built-in role is assigned but the one that pulls an image.
    for path in sorted(BICEP.rglob("*.bicep")):
        for role in re.findall(r"'([0-9a-f]{8}-[0-9a-f-]{27})'", path.read_text()):
            if role != "7f951dda-4ed3-4680-a7ca-43fe172d538d":
                faults.append(f"{path.name} assigns the built-in role {role}")
    for setting in ("isVersioningEnabled: true", "allowPermanentDelete: false", "allowSharedKeyAccess: false", "allowBlobPublicAccess: false"):
        if setting not in storage:
            faults.append(f"the storage account lacks {setting}")
    return faults


def faults_of_order() -> list:
    """An account changes its roles one at a time, so of any two changes one waits for the other, with a restorer and without."""
    text = (BICEP / "modules/cosmos.bicep").read_text()
    changes = re.findall(r"^((?:@\w+\([^\n]*\)\n)?)resource (\w+) '[^']*/sqlRole\w+@[^']*' = ([^\n]*)\n(.*?)^\}\]?$", text, re.MULTILINE | re.DOTALL)
    bodies = {name: body for _, name, _, body in changes}
    faults = [f"the assignments {name} are made at the same time" for before, name, head, _ in changes if head.startswith("[") and before != "@batchSize(1)\n"]
    optional = {name for _, name, head, _ in changes if "if (" in head}
    for there in (set(bodies), set(bodies) - optional):
        behind = {name: {other for other in there - {name} if re.search(rf"\b{other}\b", bodies[name])} for name in there}
        for _ in there:
            behind = {name: found.union(*(behind[other] for other in found)) for name, found in behind.items()}
        faults += [f"{one} and {other} may be made at the same time" for one in there for other in there if one < other and other not in behind[one] and one not in behind[other]]
    return faults if len(changes) == 10 else [*faults, f"{len(changes)} changes of roles were found"]


def faults_of_history() -> list:
    """No rule deletes versions, and rules are deployed also when they are switched off."""
    storage = (BICEP / "modules/storage.bicep").read_text()
    rules = re.search(r"^resource \w+ '[^']*/managementPolicies@[^']*' = ([^\n]*)\n(.*?)^\}$", storage, re.MULTILINE | re.DOTALL)
    if not rules:
        return ["the account's rules are not deployed"]
    faults = ["the account's rules stay when they are switched off"] if rules[1] != "{" else []
    return faults + [f"a rule deletes: {line.strip()}" for line in rules[2].splitlines() if re.match(r"\s*'?delete", line)]


def faults_of_app() -> list:
    app = (BICEP / "modules/app.bicep").read_text()
    known, section = set(), ""
    for line in (ROOT / "config/cosmirror.toml").read_text().splitlines():
        heading = re.match(r"\[+(\w+)\]+$", line)
        section = heading[1] if heading else section
        setting = re.match(r"(?:# )?(\w+) = ", line)
        if setting:
            known.add(f"{section}.{setting[1]}".upper())
    heartbeat = re.search(r'^heartbeat_url_env = "(\w+)"', (ROOT / "config/cosmirror.toml").read_text(), re.MULTILINE)[1]
    watched = f"name: '{heartbeat}'" in app and "external: true" not in app
    faults = [] if watched else ["nobody hears of the app, or everybody reaches it"]
    variables = re.findall(r"name: 'COSMIRROR__([\w${}]+)'", app)
    for variable in variables:
        setting = re.sub(r"^CONTAINERS__\$\{i\}__", "CONTAINERS__", variable).replace("__", ".", 1)
        if setting not in known:
            faults.append(f"the app sets {variable}, which is no setting")
    admin = (ROOT / "src/admin.rs").read_text()
    paths = re.findall(r"path: '(/\w+)'", app)
    faults += [f"nothing answers the probe {path}" for path in paths if path not in admin]
    if len(paths) != 3 or not variables:
        faults.append("the app lacks probes or settings")
    drain = int(re.search(r"^const DRAIN_DEADLINE: Duration = Duration::from_secs\((\d+)\);$", (ROOT / "src/run.rs").read_text(), re.MULTILINE)[1])
    if int(re.search(r"terminationGracePeriodSeconds: (\d+)", app)[1]) < drain + 5:
        faults.append("the app has no time for draining")
    return faults


if __name__ == "__main__":
    sys.exit(main())
