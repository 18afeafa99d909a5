"""Real documents: how they are loaded, and how they are changed."""

import collections
import json
import random
import re
from pathlib import Path

from . import wire

REPLACED, REPLACED_OFTEN, DELETED, RECREATED, CREATED = 300, 40, 120, 40, 200


class Corpus:
    """One file of documents and the container it goes to, as `database/container`."""

    def __init__(self, container: str, file: Path, name: str, id_field: str, key_field: str, escaped: int):
        """`name` is the array's in the file; every `escaped`th document is written in ASCII, none if it is 0."""
        self.container = container
        self.prefix = f"{self.container}/documents/"
        self.key_field = key_field
        # What was loaded: (partition key, id) → the document's text as it is in the file, with an id in front.
        self.loaded = {}
        for at, text in enumerate(wire.elements(file.read_text(encoding="utf-8"), name)):
            document = json.loads(text)
            if escaped and at % escaped == 0:
                text = json.dumps(document)
            id = document[id_field]
            self.loaded[document[key_field], id] = f'{{"id":{json.dumps(id)},{text[1:]}'.encode()
        # Every version that this script wrote, by etag, as the service answered it.
        self.written = {}
        self.replaced = set()
        # The content of every version in the mirror, by its blob's name and its own.
        self.read = {}

    def oddest(self) -> list:
        """The documents with the most, and the rarest, characters beyond ASCII first."""

        def oddness(document: tuple) -> tuple:
            rare = {char for char in json.loads(self.loaded[document])["name"] if ord(char) > 127}
            return len(rare), max(map(ord, rare), default=0), document

        return sorted(self.loaded, key=oddness, reverse=True)

    def live(self, cosmos: wire.Cosmos) -> dict:
        """What the container holds: (partition key, id) → the document's bytes."""
        parsed = [(json.loads(text), text) for text in cosmos.documents(self.container)]
        return {(document[self.key_field], document["id"]): text for document, text in parsed}

    def keep(self, document: bytes):
        self.written[json.loads(document)["_etag"]] = document

    def create(self, cosmos: wire.Cosmos, key: str, body: bytes):
        self.keep(cosmos.create(self.container, key, body))


def load(cosmos: wire.Cosmos, corpus: Corpus):
    """Creates the container and its documents."""
    cosmos.create_container(*corpus.container.split("/"), f"/{corpus.key_field}")
    wire.each(lambda entry: corpus.create(cosmos, entry[0][0], entry[1]), corpus.loaded.items())


def change(cosmos: wire.Cosmos, corpus: Corpus) -> collections.Counter:
    """Replaces, deletes, recreates and creates some hundreds of documents, half of them the oddest ones."""
    odd = corpus.oddest()
    count = REPLACED + DELETED + RECREATED
    chosen = odd[: count // 2]
    chosen += random.Random(639).sample(sorted(corpus.loaded.keys() - set(chosen)), count - len(chosen))
    random.Random(3166).shuffle(chosen)
    done = collections.Counter()

    def changed(document: tuple, step: int) -> bytes:
        value = json.loads(corpus.loaded[document])
        value["name"] = value["name"][::-1]
        return json.dumps(value | {"step": step}, ensure_ascii=False).encode()

    def alter(numbered: tuple):
        at, (key, id) = numbered
        if at < REPLACED:
            corpus.replaced.add((key, id))
            for step in range(3 if at < REPLACED_OFTEN else 1):
                corpus.keep(cosmos.replace(corpus.container, key, id, changed((key, id), step)))
                done["replaced"] += 1
            return
        cosmos.delete(corpus.container, key, id)
        done["deleted"] += 1
        if at >= REPLACED + DELETED:
            corpus.create(cosmos, key, corpus.loaded[key, id])
            done["created"] += 1

    def add(document: tuple):
        # Names become ids and partition keys: text from all over the world in every place where a path or a header has it.
        value = json.loads(corpus.loaded[document])
        id = re.sub(r"[/\\?#]", "", value["name"]) + " " + document[1]
        value |= {"id": id, corpus.key_field: value["name"]}
        corpus.create(cosmos, value["name"], json.dumps(value, ensure_ascii=False, indent=1).encode())
        done["created"] += 1

    wire.each(alter, enumerate(chosen))
    wire.each(add, odd[:CREATED])
    return done
