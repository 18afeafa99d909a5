"""Containers, uploads, downloads, properties and metadata."""

import hashlib
import os
import uuid
from datetime import datetime, timedelta, timezone

from azure.storage.blob import AccessPolicy, BlobBlock, ContainerSasPermissions, ContentSettings

from blob_support import check, equal, holds, refused

CONTENT_SETTINGS = {
    "content_type": "application/json",
    "content_encoding": "identity",
    "content_language": "de-CH",
    "content_disposition": 'attachment; filename="a.json"',
    "cache_control": "no-store, max-age=0",
}


def settings_of(properties):
    return {name: getattr(properties.content_settings, name) for name in CONTENT_SETTINGS}


@check("containers: create, exists, read, delete")
def containers(env):
    client = env.service.get_container_client("lifecycle-" + uuid.uuid4().hex)
    equal(client.exists(), False)
    created = client.create_container(metadata={"team": "blue"})
    refused(409, "ContainerAlreadyExists", client.create_container)
    read = client.get_container_properties()
    equal(read.etag, created["etag"], "etag")
    equal(read.last_modified, created["last_modified"], "last modified")
    equal(read.metadata, {"team": "blue"})
    equal((read.lease.status, read.lease.state), ("unlocked", "available"))
    equal(read.public_access, None)
    client.delete_container()
    equal(client.exists(), False)
    refused(404, "ContainerNotFound", client.get_container_properties)
    refused(404, "ContainerNotFound", client.delete_container)
    refused(404, "ContainerNotFound", client.upload_blob, "a", b"x")


@check("containers: names are checked")
def container_names(env):
    for name in ("Upper", "two--hyphens", "-first", "last-", "under_score"):
        refused(400, "InvalidResourceName", env.service.get_container_client(name).create_container)
    for name in ("ab", "a" * 64):
        refused(400, "OutOfRangeInput", env.service.get_container_client(name).create_container)


@check("containers: metadata and its conditions")
def container_metadata(env):
    client = env.container(metadata={"one": "1"})
    before = client.get_container_properties()
    written = client.set_container_metadata({"two": "2", "three": "3"})
    after = client.get_container_properties()
    equal(after.metadata, {"two": "2", "three": "3"})
    equal(after.etag, written["etag"])
    holds(after.etag != before.etag, "the etag did not change")
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    refused(412, "ConditionNotMet", client.set_container_metadata, {"x": "y"}, if_modified_since=later)
    equal(client.get_container_properties().metadata, {"two": "2", "three": "3"})
    client.set_container_metadata()
    equal(client.get_container_properties().metadata, {})
    refused(412, "ConditionNotMet", client.delete_container, if_modified_since=later)
    earlier = datetime.now(timezone.utc) - timedelta(hours=1)
    refused(412, "ConditionNotMet", client.delete_container, if_unmodified_since=earlier)


@check("containers: listing with prefix, metadata and pages")
def container_list(env):
    prefix = "list-" + uuid.uuid4().hex[:12] + "-"
    names = [f"{prefix}{number}" for number in range(7)]
    for name in names:
        env.service.create_container(name, metadata={"name": name.replace("-", "_")})
    equal([item.name for item in env.service.list_containers(name_starts_with=prefix)], names)
    listed = list(env.service.list_containers(name_starts_with=prefix, include_metadata=True))
    equal([item.metadata for item in listed], [{"name": name.replace("-", "_")} for name in names])
    for item in listed:
        equal(item.etag.strip('"'), env.service.get_container_client(item.name).get_container_properties().etag.strip('"'))
    pages = [list(page) for page in env.service.list_containers(name_starts_with=prefix, results_per_page=3).by_page()]
    equal([len(page) for page in pages], [3, 3, 1])
    equal([item.name for page in pages for item in page], names)
    first = env.service.list_containers(name_starts_with=prefix, results_per_page=2).by_page()
    next(first)
    rest = env.service.list_containers(name_starts_with=prefix).by_page(first.continuation_token)
    equal([item.name for page in rest for item in page], names[2:])


@check("containers: access policies are kept")
def container_acl(env):
    client = env.container()
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    policy = AccessPolicy(ContainerSasPermissions(read=True, list=True), expiry=start + timedelta(days=900), start=start)
    equal(client.get_container_access_policy()["signed_identifiers"], [])
    client.set_container_access_policy({"reader": policy, "empty": None})
    read = client.get_container_access_policy()
    equal(read["public_access"], None)
    by_id = {entry.id: entry.access_policy for entry in read["signed_identifiers"]}
    equal(sorted(by_id), ["empty", "reader"])
    equal(by_id["reader"].permission, "rl")
    equal(by_id["reader"].start[:19], "2026-01-02T03:04:05")
    equal(by_id["reader"].expiry[:19], "2028-06-20T03:04:05")
    client.set_container_access_policy({})
    equal(client.get_container_access_policy()["signed_identifiers"], [])
    six = [{"id": str(number), "policy": policy} for number in range(6)]
    # The SDK refuses a sixth by itself.
    try:
        client.set_container_access_policy({entry["id"]: entry["policy"] for entry in six})
    except ValueError:
        return
    raise AssertionError("six policies were taken")


@check("upload: one put, then overwritten")
def upload_single(env):
    client = env.container().get_blob_client("folder/ä ö&?#%20+.json")
    data = os.urandom(10_000)
    written = client.upload_blob(data, metadata={"op": "create"}, content_settings=ContentSettings(**CONTENT_SETTINGS))
    equal(bytes(written["content_md5"]), hashlib.md5(data).digest(), "md5 of the answer")
    refused(409, "BlobAlreadyExists", client.upload_blob, b"other")
    read = client.download_blob()
    equal(read.readall(), data)
    properties = client.get_blob_properties()
    equal((properties.etag, properties.last_modified), (written["etag"], written["last_modified"]))
    equal(properties.version_id, written["version_id"])
    equal((properties.size, properties.blob_type, properties.metadata), (10_000, "BlockBlob", {"op": "create"}))
    equal(settings_of(properties), CONTENT_SETTINGS)
    equal(bytes(properties.content_settings.content_md5), hashlib.md5(data).digest())
    again = client.upload_blob(b"second", overwrite=True)
    holds(again["etag"] != written["etag"] and again["version_id"] != written["version_id"], "the overwrite has the same id")
    properties = client.get_blob_properties()
    equal((client.download_blob().readall(), properties.metadata), (b"second", {}))
    equal(properties.content_settings.content_type, "application/octet-stream")
    equal(properties.content_settings.cache_control, None)


@check("upload: several blocks in parallel, read in chunks")
def upload_blocks(env):
    small = dict(max_single_put_size=16_384, max_block_size=16_384, max_single_get_size=20_000, max_chunk_get_size=10_001)
    service = env.client(**small)
    container = env.container()
    client = service.get_blob_client(container.container_name, "blocks")
    data = os.urandom(300_007)
    written = client.upload_blob(data, max_concurrency=4, metadata={"parts": "many"}, length=len(data))
    committed, uncommitted = client.get_block_list("all")
    equal((sum(block.size for block in committed), len(uncommitted)), (len(data), 0))
    equal(len(committed), 19)
    equal(client.download_blob(max_concurrency=4).readall(), data)
    equal(b"".join(client.download_blob().chunks()), data)
    properties = client.get_blob_properties()
    equal((properties.etag, properties.metadata), (written["etag"], {"parts": "many"}))
    refused(409, "BlobAlreadyExists", client.upload_blob, data)
    client.upload_blob(data[:100_000], overwrite=True)
    equal(client.download_blob().readall(), data[:100_000])


@check("upload: staged blocks, committed and reused")
def staged_blocks(env):
    client = env.container().get_blob_client("staged")
    for name in ("a", "b", "c"):
        client.stage_block(name, name.encode() * 10)
    committed, uncommitted = client.get_block_list("all")
    equal((len(committed), [block.id for block in uncommitted]), (0, ["a", "b", "c"]))
    equal(client.exists(), False)
    client.commit_block_list([BlobBlock("c"), BlobBlock("a")], metadata={"k": "v"})
    equal(client.download_blob().readall(), b"c" * 10 + b"a" * 10)
    committed, uncommitted = client.get_block_list("all")
    equal(([block.id for block in committed], uncommitted), (["c", "a"], []))
    client.stage_block("d", b"dd")
    client.commit_block_list([BlobBlock("a"), BlobBlock("d"), BlobBlock("a")])
    equal(client.download_blob().readall(), b"a" * 10 + b"dd" + b"a" * 10)
    equal(client.get_blob_properties().metadata, {})
    refused(400, "InvalidBlockList", client.commit_block_list, [BlobBlock("zzz")])
    refused(400, "InvalidBlobOrBlock", lambda: [client.stage_block("e", b"x"), client.stage_block("longer", b"x")])


@check("upload: a large blob with the SDK's own sizes")
def upload_large(env):
    client = env.container().get_blob_client("large")
    data = os.urandom(1 << 20) * 36
    client.upload_blob(data)
    # More than the first read of the SDK takes.
    equal(hashlib.sha256(client.download_blob(max_concurrency=2).readall()).digest(), hashlib.sha256(data).digest())


@check("upload: checksums are verified")
def checksums(env):
    client = env.container().get_blob_client("sums")
    data = os.urandom(100_000)
    client.upload_blob(data, validate_content=True)
    equal(client.download_blob(validate_content=True).readall(), data)
    client.stage_block("a", data, validate_content=True)
    # The SDK checks nothing of its own here, so a wrong sum must be found by the service.
    wrong = ContentSettings(content_md5=bytearray(hashlib.md5(b"other").digest()))
    error = refused(400, "Md5Mismatch", client.upload_blob, data, overwrite=True, content_settings=wrong)
    holds("MD5" in error.message, "the message does not name the checksum")


@check("download: ranges")
def ranges(env):
    client = env.container().get_blob_client("ranges")
    data = bytes(range(256)) * 4
    client.upload_blob(data)
    equal(client.download_blob(offset=10, length=20).readall(), data[10:30])
    equal(client.download_blob(offset=1000).readall(), data[1000:])
    equal(client.download_blob(offset=1000, length=500).readall(), data[1000:])
    equal(client.download_blob(offset=0, length=1).readall(), data[:1])
    refused(416, "InvalidRange", client.download_blob, offset=1024, length=1)
    stream = client.download_blob(offset=5, length=5)
    equal((stream.size, stream.properties.size), (5, 5))
    equal(stream.properties.content_range, "bytes 5-9/1024")
    empty = env.container().get_blob_client("empty")
    empty.upload_blob(b"")
    equal(empty.download_blob().readall(), b"")
    equal(empty.get_blob_properties().size, 0)


@check("properties: set, replaced and read")
def properties(env):
    client = env.container().get_blob_client("p")
    written = client.upload_blob(b"{}", metadata={"keep": "me"})
    changed = client.set_http_headers(ContentSettings(**CONTENT_SETTINGS))
    read = client.get_blob_properties()
    equal(settings_of(read), CONTENT_SETTINGS)
    equal((read.etag, read.metadata), (changed["etag"], {"keep": "me"}))
    holds(read.etag != written["etag"], "the etag did not change")
    equal(read.version_id, written["version_id"], "properties make no version")
    holds(read.creation_time <= read.last_modified, "modified before it was created")
    holds(read.server_encrypted, "not encrypted")
    equal((read.is_current_version, read.blob_tier, read.blob_tier_inferred), (True, "Hot", True))
    equal((read.lease.status, read.lease.state, read.copy.id, read.tag_count), ("unlocked", "available", None, None))
    # A header that is left out is cleared.
    client.set_http_headers(ContentSettings(content_type="text/plain"))
    read = client.get_blob_properties()
    equal((read.content_settings.content_type, read.content_settings.cache_control), ("text/plain", None))
    refused(404, "BlobNotFound", env.container().get_blob_client("none").set_http_headers, ContentSettings())


@check("metadata: set, replaced, versioned")
def metadata(env):
    client = env.container().get_blob_client("m")
    first = client.upload_blob(b"body", metadata={"one": "1", "two": "zwei = drei; vier"})
    equal(client.get_blob_properties().metadata, {"one": "1", "two": "zwei = drei; vier"})
    second = client.set_blob_metadata({"three": "3"})
    read = client.get_blob_properties()
    equal((read.metadata, read.etag, read.version_id), ({"three": "3"}, second["etag"], second["version_id"]))
    equal(client.download_blob().readall(), b"body")
    equal(client.download_blob(version_id=first["version_id"]).properties.metadata, {"one": "1", "two": "zwei = drei; vier"})
    client.set_blob_metadata()
    equal(client.get_blob_properties().metadata, {})


@check("metadata: names and sizes are limited")
def metadata_limits(env):
    client = env.container().get_blob_client("m")
    client.upload_blob(b"")
    for name in ("1st", "a-b", "a.b"):
        refused(400, "InvalidMetadata", client.set_blob_metadata, {name: "x"})
    client.set_blob_metadata({"a": "x" * 8_000, "_b1": "y" * 100})
    equal(len(client.get_blob_properties().metadata["a"]), 8_000)
    refused(400, "MetadataTooLarge", client.set_blob_metadata, {"a": "x" * 8_000, "b": "y" * 200})
    equal(sorted(client.get_blob_properties().metadata), ["_b1", "a"])


@check("metadata: names keep their case and are compared without it")
def metadata_case(env):
    client = env.container().get_blob_client("m")
    client.upload_blob(b"", metadata={"CamelCase": "Value", "lower": "UPPER"})
    read = client.get_blob_properties().metadata
    equal({name.lower(): value for name, value in read.items()}, {"camelcase": "Value", "lower": "UPPER"})
    client.set_blob_metadata({"CAMELCASE": "other"})
    read = client.get_blob_properties().metadata
    equal({name.lower(): value for name, value in read.items()}, {"camelcase": "other"})
