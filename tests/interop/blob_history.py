"""Versions, snapshots and soft delete: the table "Overwrite and delete" in all four combinations, and what comes after."""

from blob_support import check, equal, holds, refused

DAY_SECONDS = 86_400
HISTORY = ["snapshots", "versions", "deleted"]


def shape(container, include=tuple(HISTORY), **options):
    """What is listed: name, what the state is, whether it is soft-deleted, and its size, which tells states apart."""
    rows = []
    for item in container.list_blobs(include=list(include), **options):
        if item.snapshot:
            kind = "snapshot"
        elif item.is_current_version or not item.version_id:
            kind = "base"
        else:
            kind = "version"
        rows.append((item.name, kind, bool(item.deleted), item.size))
    return rows


def overwritten_and_deleted(env, versioning, days):
    """Puts one byte, then two; gives the container, the blob, both answers, and what was listed in between."""
    env.storage(versioning=versioning, softDeleteDays=days)
    container = env.container()
    blob = container.get_blob_client("a")
    first = blob.upload_blob(b"1")
    second = blob.upload_blob(b"22", overwrite=True)
    equal(blob.download_blob().readall(), b"22")
    between = sorted(shape(container), key=lambda row: row[3])
    blob.delete_blob()
    refused(404, "BlobNotFound", blob.download_blob)
    refused(404, "BlobNotFound", blob.delete_blob)
    equal(list(container.list_blobs()), [])
    return container, blob, (first, second), between


@check("versioning off, soft delete off: overwritten and deleted states are lost")
def neither(env):
    container, blob, written, between = overwritten_and_deleted(env, False, 0)
    equal([answer["version_id"] for answer in written], [None, None], "version ids")
    equal(between, [("a", "base", False, 2)])
    equal(shape(container), [])
    refused(404, "BlobNotFound", blob.undelete_blob)


@check("versioning off, soft delete on: an overwritten state is a soft-deleted snapshot")
def soft_delete_only(env):
    container, blob, written, between = overwritten_and_deleted(env, False, 7)
    equal([answer["version_id"] for answer in written], [None, None], "version ids")
    equal(between, [("a", "snapshot", True, 1), ("a", "base", False, 2)])
    equal(sorted(shape(container), key=lambda row: row[3]), [("a", "snapshot", True, 1), ("a", "base", True, 2)])
    equal(shape(container, ["snapshots"]), [])
    deleted = {item.size: item for item in container.list_blobs(include=HISTORY)}
    for item in deleted.values():
        holds(item.deleted_time is not None, "no time of deletion")
        holds(item.remaining_retention_days in (6, 7), f"{item.remaining_retention_days} days are left")
    refused(404, "BlobNotFound", blob.download_blob, snapshot=deleted[1].snapshot)
    blob.undelete_blob()
    equal(blob.download_blob().readall(), b"22")
    restored = container.get_blob_client("a", snapshot=deleted[1].snapshot)
    equal(restored.download_blob().readall(), b"1")
    equal(sorted(shape(container), key=lambda row: row[3]), [("a", "snapshot", False, 1), ("a", "base", False, 2)])


@check("versioning on, soft delete off: previous versions stay, a deleted version is lost")
def versions_only(env):
    container, blob, written, between = overwritten_and_deleted(env, True, 0)
    first, second = (answer["version_id"] for answer in written)
    holds(first and second and first < second, f"version ids {first} {second}")
    equal(between, [("a", "version", False, 1), ("a", "base", False, 2)])
    equal(shape(container), [("a", "version", False, 1), ("a", "version", False, 2)])
    equal(blob.download_blob(version_id=first).readall(), b"1")
    equal(blob.download_blob(version_id=second).readall(), b"22")
    blob.delete_blob(version_id=first)
    equal(shape(container), [("a", "version", False, 2)])
    refused(404, "BlobNotFound", blob.download_blob, version_id=first)
    blob.undelete_blob()
    refused(404, "BlobNotFound", blob.download_blob, version_id=first)
    refused(404, "BlobNotFound", blob.download_blob)


@check("versioning on, soft delete on: a deleted version is soft-deleted")
def both(env):
    container, blob, written, between = overwritten_and_deleted(env, True, 7)
    first, second = (answer["version_id"] for answer in written)
    equal(between, [("a", "version", False, 1), ("a", "base", False, 2)])
    equal(shape(container), [("a", "version", False, 1), ("a", "version", False, 2)])
    blob.delete_blob(version_id=first)
    refused(404, "BlobNotFound", blob.download_blob, version_id=first)
    equal(shape(container, ["versions"]), [("a", "version", False, 2)])
    equal(shape(container), [("a", "version", True, 1), ("a", "version", False, 2)])
    item = next(item for item in container.list_blobs(include=HISTORY) if item.deleted)
    equal((item.version_id, item.remaining_retention_days in (6, 7)), (first, True))
    blob.undelete_blob()
    equal(blob.download_blob(version_id=first).readall(), b"1")
    refused(404, "BlobNotFound", blob.download_blob)
    equal(shape(container), [("a", "version", False, 1), ("a", "version", False, 2)])


@check("versions: the ids read from a listing open the bytes that were put")
def version_ids(env):
    container = env.container()
    blob = container.get_blob_client("v")
    wanted = {}
    for number in range(6):
        answer = blob.upload_blob(f"state {number}".encode(), overwrite=True, metadata={"n": str(number)})
        wanted[answer["version_id"]] = (f"state {number}".encode(), {"n": str(number)})
    listed = list(container.list_blobs(include=["versions", "metadata"]))
    equal([item.version_id for item in listed], sorted(wanted), "oldest first")
    equal([item.is_current_version for item in listed], [None] * 5 + [True])
    for item in listed:
        old = container.get_blob_client("v", version_id=item.version_id)
        equal((old.download_blob().readall(), item.metadata), wanted[item.version_id])
        read = old.get_blob_properties()
        equal(
            (read.version_id, read.is_current_version, read.etag.strip('"')),
            (item.version_id, item.is_current_version, item.etag.strip('"')),
        )
    refused(403, "OperationNotAllowedOnRootBlob", blob.delete_blob, version_id=listed[-1].version_id)
    refused(404, "BlobNotFound", blob.download_blob, version_id="2020-01-01T00:00:00.0000000Z")
    refused(400, "InvalidQueryParameterValue", blob.download_blob, version_id="yesterday")


@check("versions: a version is promoted by copy")
def promote(env):
    container = env.container()
    blob = container.get_blob_client("p")
    first = blob.upload_blob(b"wanted", metadata={"m": "1"})["version_id"]
    blob.upload_blob(b"unwanted", overwrite=True)
    copied = blob.start_copy_from_url(f"{blob.url}?versionid={first}")
    equal(copied["copy_status"], "success")
    equal((blob.download_blob().readall(), blob.get_blob_properties().metadata), (b"wanted", {"m": "1"}))
    equal([row[1:] for row in shape(container)], [("version", False, 6), ("version", False, 8), ("base", False, 6)])
    blob.delete_blob()
    again = blob.start_copy_from_url(f"{blob.url}?versionid={first}")
    equal(blob.get_blob_properties().version_id, again["version_id"])
    equal(blob.download_blob().readall(), b"wanted")
    equal(len(shape(container)), 4)
    equal([row[1] for row in shape(container)].count("base"), 1)


@check("versions: a blob without a current version is listed as such")
def versions_only_listed(env):
    container = env.container()
    for name in ("gone", "here"):
        container.upload_blob(name, b"x")
        container.upload_blob(name, b"yy", overwrite=True)
    container.delete_blob("gone")
    equal([item.name for item in container.list_blobs()], ["here"])
    listed = list(container.list_blobs(include=["deletedwithversions"]))
    equal([(item.name, bool(item.has_versions_only)) for item in listed], [("gone", True), ("here", False)])
    equal([row[:2] for row in shape(container, ["versions"])], [("gone", "version")] * 2 + [("here", "version"), ("here", "base")])


@check("snapshots: taken, read, listed, deleted")
def snapshots(env):
    env.storage(versioning=False, softDeleteDays=0)
    container = env.container()
    blob = container.get_blob_client("s")
    blob.upload_blob(b"first", metadata={"m": "1"})
    plain = blob.create_snapshot()
    named = blob.create_snapshot(metadata={"m": "snap"})
    blob.upload_blob(b"second", overwrite=True)
    one, two = (container.get_blob_client("s", snapshot=taken["snapshot"]) for taken in (plain, named))
    equal((one.download_blob().readall(), one.get_blob_properties().metadata), (b"first", {"m": "1"}))
    equal((two.download_blob().readall(), two.get_blob_properties().metadata), (b"first", {"m": "snap"}))
    equal(one.get_blob_properties().snapshot, plain["snapshot"])
    listed = [item.snapshot for item in container.list_blobs(include=["snapshots"])]
    equal(listed, [plain["snapshot"], named["snapshot"], None])
    equal(len(list(container.list_blobs())), 1)
    refused(409, "SnapshotsPresent", blob.delete_blob)
    one.delete_blob()
    refused(404, "BlobNotFound", one.download_blob)
    blob.delete_blob(delete_snapshots="only")
    equal(shape(container), [("s", "base", False, 6)])
    blob.create_snapshot()
    blob.delete_blob(delete_snapshots="include")
    equal(shape(container), [])


@check("snapshots: with versioning on, one also makes a version")
def snapshots_and_versions(env):
    container = env.container()
    blob = container.get_blob_client("s")
    first = blob.upload_blob(b"x")["version_id"]
    taken = blob.create_snapshot()
    holds(taken["version_id"] > first, f"{taken['version_id']} after {first}")
    equal(blob.get_blob_properties().version_id, taken["version_id"])
    equal(sorted(row[1] for row in shape(container)), ["base", "snapshot", "version"])


@check("soft delete: a deleted snapshot comes back with undelete")
def snapshot_undeleted(env):
    env.storage(versioning=False, softDeleteDays=3)
    container = env.container()
    blob = container.get_blob_client("s")
    blob.upload_blob(b"x")
    taken = blob.create_snapshot()["snapshot"]
    blob.delete_blob(delete_snapshots="include")
    equal([row[1:3] for row in shape(container)], [("snapshot", True), ("base", True)])
    blob.undelete_blob()
    equal(container.get_blob_client("s", snapshot=taken).download_blob().readall(), b"x")
    equal([row[1:3] for row in shape(container)], [("snapshot", False), ("base", False)])
    # What is not deleted is not touched.
    blob.undelete_blob()
    equal(len(shape(container)), 2)


@check("soft delete: past its retention a state is gone")
def retention(env):
    env.storage(versioning=True, softDeleteDays=2)
    container = env.container()
    blob = container.get_blob_client("r")
    first = blob.upload_blob(b"1")["version_id"]
    blob.upload_blob(b"22", overwrite=True)
    blob.delete_blob(version_id=first)
    deleted = next(item for item in container.list_blobs(include=HISTORY) if item.deleted)
    env.advance(DAY_SECONDS)
    left = next(item for item in container.list_blobs(include=HISTORY) if item.deleted).remaining_retention_days
    equal(deleted.remaining_retention_days - left, 1, "days gone")
    env.advance(DAY_SECONDS + 60)
    equal(shape(container), [("r", "base", False, 2)])
    blob.undelete_blob()
    refused(404, "BlobNotFound", blob.download_blob, version_id=first)
    equal(blob.download_blob().readall(), b"22")
    # Previous versions know no retention.
    blob.delete_blob()
    env.advance(1_000 * DAY_SECONDS)
    equal(shape(container), [("r", "version", False, 2)])


@check("soft delete: switched on and off between writes")
def switched(env):
    env.storage(versioning=False, softDeleteDays=0)
    container = env.container()
    blob = container.get_blob_client("w")
    blob.upload_blob(b"1")
    env.storage(versioning=True)
    # The state from before becomes a version when it is overwritten.
    second = blob.upload_blob(b"22", overwrite=True)["version_id"]
    holds(second is not None, "no version id")
    equal([row[1:] for row in shape(container)], [("version", False, 1), ("base", False, 2)])
    env.storage(versioning=False)
    third = blob.upload_blob(b"333", overwrite=True)["version_id"]
    equal(third, None, "version id with versioning off")
    equal(blob.download_blob(version_id=second).readall(), b"22")
    equal(blob.download_blob().readall(), b"333")


@check("hierarchical namespace: no versions, snapshots work")
def hierarchical(env):
    env.storage(hierarchicalNamespace=True, versioning=True, softDeleteDays=0)
    equal(env.service.get_account_information()["is_hns_enabled"], True)
    blob = env.container().get_blob_client("folder/h")
    equal(blob.upload_blob(b"x")["version_id"], None)
    taken = blob.create_snapshot()["snapshot"]
    blob.upload_blob(b"yy", overwrite=True)
    equal(blob.download_blob(snapshot=taken).readall(), b"x")
