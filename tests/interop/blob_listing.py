"""List Blobs: every include alone and all together, prefixes, delimiters, and pages through great numbers."""

import concurrent.futures
import threading
from datetime import datetime, timedelta, timezone

from azure.storage.blob import BlobPrefix, ImmutabilityPolicy

from blob_support import EVERY_INCLUDE, check, equal, holds
from blob_wire import Wire

VERSIONS = 5_200
PUT_THREADS = 4


def furnished(env):
    """A container with a blob of every sort."""
    container = env.container()
    plain = container.get_blob_client("b-plain")
    plain.upload_blob(b"1", metadata={"k": "v"}, tags={"t": "1"})
    plain.create_snapshot()
    plain.upload_blob(b"22", overwrite=True, metadata={"k": "w"}, tags={"t": "2"})
    copy = container.get_blob_client("c-copy")
    copy.start_copy_from_url(plain.url)
    gone = container.get_blob_client("d-gone")
    gone.upload_blob(b"x")
    gone.delete_blob()
    held = container.get_blob_client("e-held")
    held.upload_blob(b"x")
    held.set_legal_hold(True)
    until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)
    held.set_immutability_policy(ImmutabilityPolicy(expiry_time=until, policy_mode="Unlocked"))
    container.get_blob_client("f-uncommitted").stage_block("a", b"x")
    return container, until


def names(container, *include):
    return [item.name for item in container.list_blobs(include=list(include))]


@check("listing: each include adds what it names and nothing else")
def includes(env):
    container, until = furnished(env)
    plain = {item.name: item for item in container.list_blobs()}
    equal(list(plain), ["b-plain", "c-copy", "e-held"])
    for item in plain.values():
        equal((item.metadata or {}, item.tags, item.snapshot, item.copy.id, item.has_versions_only), ({}, None, None, None, None))
    equal((plain["e-held"].immutability_policy.expiry_time, plain["e-held"].has_legal_hold), (None, None))
    read = {item.name: item for item in container.list_blobs(include=["metadata"])}
    equal((list(read), read["b-plain"].metadata), (list(plain), {"k": "w"}))
    read = {item.name: item for item in container.list_blobs(include=["tags"])}
    equal((list(read), read["b-plain"].tags), (list(plain), {"t": "2"}))
    equal([item.snapshot is not None for item in container.list_blobs(include=["snapshots"])], [True, False, False, False])
    copy = {item.name: item for item in container.list_blobs(include=["copy"])}["c-copy"].copy
    equal((copy.status, copy.progress), ("success", "2/2"))
    holds(copy.id and copy.source.endswith("/b-plain") and copy.completion_time, f"copy is {copy}")
    # Version of the first put, version the snapshot made, current; current; deleted; held.
    equal(names(container, "versions"), ["b-plain"] * 3 + ["c-copy", "d-gone", "e-held"])
    equal(names(container, "deletedwithversions"), ["b-plain", "c-copy", "d-gone", "e-held"])
    equal(names(container, "uncommittedblobs"), ["b-plain", "c-copy", "e-held", "f-uncommitted"])
    held = {item.name: item for item in container.list_blobs(include=["immutabilitypolicy", "legalhold"])}["e-held"]
    equal((held.immutability_policy.expiry_time, held.immutability_policy.policy_mode.lower()), (until, "unlocked"))
    equal(held.has_legal_hold, True)


@check("listing: all includes together")
def all_includes(env):
    container, until = furnished(env)
    container.get_blob_client("c-copy").delete_blob()
    listed = list(container.list_blobs(include=EVERY_INCLUDE))
    equal([item.name for item in listed if item.snapshot], ["b-plain"])
    equal([item.name for item in listed if item.name.startswith("f")], ["f-uncommitted"])
    current = {item.name: item for item in listed if item.is_current_version}
    equal(sorted(current), ["b-plain", "e-held"])
    equal((current["b-plain"].metadata, current["b-plain"].tags), ({"k": "w"}, {"t": "2"}))
    equal(current["e-held"].has_legal_hold, True)
    equal(current["e-held"].immutability_policy.expiry_time, until)
    by_version = {item.version_id for item in listed if item.version_id and not item.snapshot}
    equal(len(by_version), 6)
    paged = [item for page in container.list_blobs(include=EVERY_INCLUDE, results_per_page=1).by_page() for item in page]
    key = lambda item: (item.name, item.version_id, item.snapshot, item.is_current_version, item.metadata)
    equal([key(item) for item in paged], [key(item) for item in listed], "pages of one item")


@check("listing: prefix, start and names")
def prefixes(env):
    container = env.container()
    written = ["a", "a/1", "a/2", "a/b/3", "b", "z z&<>'\"%25+", "ä/ü"]
    for name in written:
        container.upload_blob(name, name.encode())
    equal(names(container), written)
    equal(list(container.list_blob_names()), written)
    equal([item.name for item in container.list_blobs(name_starts_with="a/")], ["a/1", "a/2", "a/b/3"])
    equal(list(container.list_blob_names(name_starts_with="ä")), ["ä/ü"])
    equal(list(container.list_blob_names(name_starts_with="nothing")), [])
    equal([item.name for item in container.list_blobs(start_from="a/2")], written[2:])
    for name in written:
        equal(container.download_blob(name).readall(), name.encode())


@check("listing: a walk by delimiter finds every blob once")
def walk(env):
    container = env.container()
    written = ["root", "x/1", "x/2", "x/y/1", "x/y/2", "x/y/z/1", "w/1", "x.txt"]
    for name in written:
        container.upload_blob(name, b"")

    def descend(prefix, options):
        found = []
        for item in container.walk_blobs(name_starts_with=prefix, delimiter="/", **options):
            found += descend(item.name, options) if isinstance(item, BlobPrefix) else [item.name]
        return found

    for options in ({}, {"results_per_page": 1}, {"results_per_page": 2}):
        equal(sorted(descend("", options)), sorted(written))
    top = [item.name for item in container.walk_blobs(delimiter="/")]
    equal(sorted(top), ["root", "w/", "x.txt", "x/"])
    nested = [item.name for item in container.walk_blobs(name_starts_with="x/y", delimiter="/")]
    equal(nested, ["x/y/"])
    other = [item.name for item in container.walk_blobs(delimiter=".")]
    equal(sorted(other), sorted(["x."] + [name for name in written if name != "x.txt"]))


@check("listing: pages and continuation")
def pages(env):
    container = env.container()
    wire = Wire(env.blob_url)
    written = [f"blob-{number:03d}" for number in range(103)]
    for name in written:
        put(wire, f"/{container.container_name}/{name}", b"")
    for size in (1, 10, 50, 102, 103, 5_000):
        by_page = [[item.name for item in page] for page in container.list_blobs(results_per_page=size).by_page()]
        equal([name for page in by_page for name in page], written)
        holds(all(len(page) == size for page in by_page[:-1]) and by_page[-1], f"pages of {size}: {[len(p) for p in by_page]}")
    first = container.list_blobs(results_per_page=40).by_page()
    next(first)
    # A blob that came behind the marker is seen, one before it is not.
    put(wire, f"/{container.container_name}/blob-050x", b"")
    put(wire, f"/{container.container_name}/blob-000x", b"")
    rest = [item.name for page in container.list_blobs().by_page(first.continuation_token) for item in page]
    equal(rest, [*written[40:51], "blob-050x", *written[51:]])


def put(wire, path, body):
    status, headers, content = wire.send("PUT", path, headers={"x-ms-blob-type": "BlockBlob"}, body=body)
    if status != 201:
        raise AssertionError(f"{path}: {status} {content!r}")
    return headers.get("x-ms-version-id")


@check("listing: more versions of one blob than a page holds")
def many_versions(env):
    container = env.container()
    path = f"/{container.container_name}/many"
    lock, ids = threading.Lock(), []

    def work(share):
        wire = Wire(env.blob_url)
        mine = [put(wire, path, str(number).encode()) for number in range(share)]
        with lock:
            ids.extend(mine)

    container.upload_blob("before", b"")
    container.upload_blob("next", b"")
    with concurrent.futures.ThreadPoolExecutor(PUT_THREADS) as pool:
        list(pool.map(work, [VERSIONS // PUT_THREADS] * PUT_THREADS))
    equal(len(set(ids)), VERSIONS, "version ids")
    by_page = [[item for item in page] for page in container.list_blobs(include=["versions", "metadata"]).by_page()]
    equal([len(page) for page in by_page], [5_000, VERSIONS + 2 - 5_000])
    listed = [item for page in by_page for item in page]
    equal([item.version_id for item in listed if item.name == "many"], sorted(ids), "oldest first")
    equal([item.name for item in listed if item.is_current_version], ["before", "many", "next"])
    equal(len(list(container.list_blobs())), 3)
