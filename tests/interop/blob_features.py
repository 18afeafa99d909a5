"""Copies, tags, tiers, leases, service properties and account information."""

import hashlib
import os
from datetime import datetime, timedelta, timezone

from azure.core import MatchConditions
from azure.storage.blob import (
    BlobAnalyticsLogging, BlobBlock, BlobLeaseClient, BlobSasPermissions, CorsRule, Metrics, RetentionPolicy, StandardBlobTier,
    StaticWebsite, generate_blob_sas,
)  # fmt: skip

from blob_support import check, equal, holds, refused
from blob_wire import ACCOUNT, KEY


def signed(blob, **options):
    """The URL of a blob with a signature to read it, as copies from another authority need it."""
    signature = generate_blob_sas(
        ACCOUNT, blob.container_name, blob.blob_name, account_key=KEY, permission=BlobSasPermissions(read=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1), **options,
    )  # fmt: skip
    return f"{blob.url}?{signature}"


@check("copy: within the account, with metadata, properties and state")
def copy(env):
    container = env.container()
    source = container.get_blob_client("source ä")
    data = os.urandom(5_000)
    source.upload_blob(data, metadata={"from": "source"}, tags={"t": "1"})
    target = env.container().get_blob_client("target")
    answer = target.start_copy_from_url(source.url)
    equal(answer["copy_status"], "success")
    read = target.get_blob_properties()
    equal((read.etag, read.version_id), (answer["etag"], answer["version_id"]))
    equal((read.copy.id, read.copy.status, read.copy.progress), (answer["copy_id"], "success", "5000/5000"))
    holds(read.copy.source.split("?")[0] == source.url, f"{read.copy.source} is not {source.url}")
    holds(abs((read.copy.completion_time - read.last_modified).total_seconds()) <= 1, "completed at another time")
    equal((target.download_blob().readall(), read.metadata, read.tag_count), (data, {"from": "source"}, None))
    target.start_copy_from_url(source.url, metadata={"own": "1"}, tags={"x": "y"})
    equal((target.get_blob_properties().metadata, target.get_blob_tags()), ({"own": "1"}, {"x": "y"}))
    # A write forgets that there was a copy.
    target.upload_blob(b"x", overwrite=True)
    equal(target.get_blob_properties().copy.id, None)
    refused(404, None, target.start_copy_from_url, container.get_blob_client("none").url)
    snapshot = source.create_snapshot()["snapshot"]
    source.upload_blob(b"changed", overwrite=True)
    target.start_copy_from_url(f"{source.url}?snapshot={snapshot}")
    equal(target.download_blob().readall(), data)


@check("copy: conditions on source and target")
def copy_conditions(env):
    container = env.container()
    source, target = container.get_blob_client("source"), container.get_blob_client("target")
    etag = source.upload_blob(b"s")["etag"]
    modified = source.get_blob_properties().last_modified
    equal_only, other_only = MatchConditions.IfNotModified, MatchConditions.IfModified
    refused(412, "SourceConditionNotMet", target.start_copy_from_url, source.url, source_etag='"0x1"', source_match_condition=equal_only)
    refused(412, "SourceConditionNotMet", target.start_copy_from_url, source.url, source_etag=etag, source_match_condition=other_only)
    refused(412, "SourceConditionNotMet", target.start_copy_from_url, source.url, source_if_unmodified_since=modified - timedelta(hours=1))
    refused(412, "SourceConditionNotMet", target.start_copy_from_url, source.url, source_if_modified_since=modified)
    equal(target.exists(), False)
    target.start_copy_from_url(source.url, source_etag=etag, source_match_condition=equal_only)
    refused(409, "BlobAlreadyExists", target.start_copy_from_url, source.url, match_condition=MatchConditions.IfMissing)
    refused(412, "TargetConditionNotMet", target.start_copy_from_url, source.url, etag='"0x1"', match_condition=equal_only)


@check("copy: done at once, from a URL, and block by block")
def copy_from_url(env):
    container = env.container()
    source = container.get_blob_client("source")
    data = os.urandom(3_000)
    old = source.upload_blob(data, metadata={"m": "1"})["version_id"]
    source.upload_blob(b"newer", overwrite=True, metadata={"m": "2"})
    target = container.get_blob_client("sync")
    answer = target.start_copy_from_url(signed(source), requires_sync=True)
    equal((answer["copy_status"], target.download_blob().readall()), ("success", b"newer"))
    equal(target.get_blob_properties().metadata, {"m": "2"})
    target = container.get_blob_client("put-from-url")
    answer = target.upload_blob_from_url(signed(source, version_id=old) + f"&versionid={old}", metadata={"own": "3"})
    equal((target.download_blob().readall(), target.get_blob_properties().metadata), (data, {"own": "3"}))
    equal(target.get_blob_properties().etag, answer["etag"])
    refused(409, "BlobAlreadyExists", target.upload_blob_from_url, signed(source))
    target.upload_blob_from_url(signed(source), overwrite=True)
    equal(target.download_blob().readall(), b"newer")
    target = container.get_blob_client("blocks-from-url")
    url = signed(source, version_id=old) + f"&versionid={old}"
    for number in range(3):
        target.stage_block_from_url(f"{number}", url, source_offset=number * 1_000, source_length=1_000)
    target.commit_block_list([BlobBlock(f"{number}") for number in range(3)])
    equal(target.download_blob().readall(), data)
    wrong = bytearray(hashlib.md5(b"other").digest())
    refused(400, "Md5Mismatch", target.stage_block_from_url, "4", url, source_content_md5=wrong)


@check("copy: there is none to abort")
def abort_copy(env):
    container = env.container()
    source, target = container.get_blob_client("source"), container.get_blob_client("target")
    source.upload_blob(b"x")
    answer = target.start_copy_from_url(source.url)
    refused(409, "NoPendingCopyOperation", target.abort_copy, answer["copy_id"])


@check("tags: set, read, counted, replaced")
def tags(env):
    container = env.container()
    blob = container.get_blob_client("t")
    first = blob.upload_blob(b"x", tags={"state": "raw", "a b": "c/d:e=f+g-h._"})
    equal(blob.get_blob_tags(), {"state": "raw", "a b": "c/d:e=f+g-h._"})
    before = blob.get_blob_properties()
    equal(before.tag_count, 2)
    blob.set_blob_tags({"state": "done"})
    after = blob.get_blob_properties()
    equal((blob.get_blob_tags(), after.tag_count), ({"state": "done"}, 1))
    # Tags make no version and change no ETag.
    equal((after.etag, after.version_id, after.last_modified), (before.etag, before.version_id, before.last_modified))
    equal(next(iter(container.list_blobs(include=["tags"]))).tags, {"state": "done"})
    second = blob.upload_blob(b"y", overwrite=True)
    equal((blob.get_blob_tags(), blob.get_blob_properties().tag_count), ({}, None))
    equal(blob.get_blob_tags(version_id=first["version_id"]), {"state": "done"})
    blob.set_blob_tags({"old": "1"}, version_id=first["version_id"])
    equal(blob.get_blob_tags(version_id=first["version_id"]), {"old": "1"})
    equal(blob.get_blob_tags(version_id=second["version_id"]), {})
    ten = {f"k{number}": str(number) for number in range(10)}
    blob.set_blob_tags(ten)
    equal(blob.get_blob_tags(), ten)
    blob.set_blob_tags()
    equal(blob.get_blob_tags(), {})


@check("tags: limits")
def tag_limits(env):
    blob = env.container().get_blob_client("t")
    blob.upload_blob(b"x", tags={"k": "v"})
    refused(400, None, blob.set_blob_tags, {f"k{number}": "x" for number in range(11)})
    refused(400, None, blob.set_blob_tags, {"k" * 129: "x"})
    refused(400, None, blob.set_blob_tags, {"k": "x" * 257})
    refused(400, None, blob.set_blob_tags, {"k": "question?"})
    refused(400, None, blob.upload_blob, b"x", overwrite=True, tags={"k": "star*"})
    equal(blob.get_blob_tags(), {"k": "v"})
    blob.set_blob_tags({"k" * 128: "x" * 256})
    equal(blob.get_blob_tags(), {"k" * 128: "x" * 256})
    refused(404, "BlobNotFound", env.container().get_blob_client("none").get_blob_tags)


@check("tags: blobs are found by them")
def find_tags(env):
    container = env.container()
    mark = container.container_name.replace("-", "")
    for number in range(12):
        container.upload_blob(f"b{number:02d}", b"", tags={"mark": mark, "n": f"{number:02d}"})
    every = [f"b{number:02d}" for number in range(12)]
    found = env.service.find_blobs_by_tags(f"\"mark\"='{mark}'")
    rows = [(item.container_name, item.name, item.tags) for item in found]
    equal(rows, [(container.container_name, name, {"mark": mark}) for name in every])
    query = f"\"mark\"='{mark}' AND \"n\">='03' AND \"n\"<'06'"
    equal([item.name for item in env.service.find_blobs_by_tags(query)], every[3:6])
    equal([item.name for item in container.find_blobs_by_tags("\"n\">'09'")], every[10:])
    equal([item.name for item in env.container().find_blobs_by_tags("\"n\">'09'")], [])
    pages = [[item.name for item in page] for page in env.service.find_blobs_by_tags(f"\"mark\"='{mark}'", results_per_page=5).by_page()]
    equal(pages, [every[:5], every[5:10], every[10:]])
    inside = f"@container='{container.container_name}' AND \"n\"='01'"
    equal([item.name for item in env.service.find_blobs_by_tags(inside)], ["b01"])


@check("tiers: set, shown, listed, archived")
def tiers(env):
    container = env.container()
    blob = container.get_blob_client("t")
    written = blob.upload_blob(b"x", standard_blob_tier=StandardBlobTier.COOL)
    equal((blob.get_blob_properties().blob_tier, blob.get_blob_properties().blob_tier_inferred), ("Cool", None))
    blob.set_standard_blob_tier("Hot")
    read = blob.get_blob_properties()
    equal((read.blob_tier, read.version_id), ("Hot", written["version_id"]))
    holds(read.blob_tier_change_time is not None, "no time of the change")
    equal(next(iter(container.list_blobs())).blob_tier, "Hot")
    blob.set_standard_blob_tier("Archive")
    refused(409, "BlobArchived", blob.download_blob)
    equal(blob.get_blob_properties().blob_tier, "Archive")
    refused(400, None, blob.set_standard_blob_tier, "Lukewarm")


@check("leases: on a blob")
def blob_lease(env):
    blob = env.container().get_blob_client("l")
    blob.upload_blob(b"x")
    lease = blob.acquire_lease(lease_duration=15)
    properties = blob.get_blob_properties().lease
    equal((properties.status, properties.state, properties.duration), ("locked", "leased", "fixed"))
    refused(409, "LeaseAlreadyPresent", blob.acquire_lease)
    refused(412, "LeaseIdMissing", blob.upload_blob, b"y", overwrite=True)
    refused(412, "LeaseIdMissing", blob.delete_blob)
    refused(412, "LeaseIdMissing", blob.set_blob_metadata, {"a": "b"})
    other = "00000000-0000-4000-8000-000000000001"
    refused(412, "LeaseIdMismatchWithBlobOperation", blob.upload_blob, b"y", overwrite=True, lease=other)
    equal(blob.download_blob().readall(), b"x")
    equal(blob.download_blob(lease=lease).readall(), b"x")
    blob.upload_blob(b"y", overwrite=True, lease=lease)
    lease.renew()
    old = lease.id
    lease.change(other)
    equal(lease.id, other)
    refused(409, "LeaseIdMismatchWithLeaseOperation", BlobLeaseClient(blob, old).renew)
    lease.release()
    equal(blob.get_blob_properties().lease.state, "available")
    blob.upload_blob(b"z", overwrite=True)
    again = blob.acquire_lease()
    equal(blob.get_blob_properties().lease.duration, "infinite")
    equal(again.break_lease(lease_break_period=0), 0)
    equal(blob.get_blob_properties().lease.state, "broken")
    blob.delete_blob()


@check("leases: expire by the clock")
def lease_expires(env):
    blob = env.container().get_blob_client("l")
    blob.upload_blob(b"x")
    blob.acquire_lease(lease_duration=20)
    env.advance(21)
    equal(blob.get_blob_properties().lease.state, "expired")
    blob.upload_blob(b"y", overwrite=True)
    equal(blob.download_blob().readall(), b"y")


@check("leases: on a container")
def container_lease(env):
    container = env.container()
    lease = container.acquire_lease()
    equal(container.get_container_properties().lease.state, "leased")
    refused(412, "LeaseIdMissing", container.delete_container)
    container.upload_blob("free", b"x")
    lease.release()
    container.delete_container()
    equal(container.exists(), False)


@check("service properties: what is set is read, and soft delete follows")
def service_properties(env):
    before = env.service.get_service_properties()
    equal((before["delete_retention_policy"].enabled, before["delete_retention_policy"].days), (True, 7))
    logging = BlobAnalyticsLogging(read=True, write=True, delete=False, retention_policy=RetentionPolicy(True, 5))
    metrics = Metrics(enabled=True, include_apis=True, retention_policy=RetentionPolicy(True, 4))
    cors = [
        CorsRule(["https://example.com"], ["GET", "PUT"], allowed_headers=["x-ms-meta-*"], exposed_headers=["etag"], max_age_in_seconds=60)
    ]
    website = StaticWebsite(enabled=True, index_document="index.html", error_document404_path="404.html")
    env.service.set_service_properties(
        analytics_logging=logging, hour_metrics=metrics, minute_metrics=Metrics(enabled=False), cors=cors,
        delete_retention_policy=RetentionPolicy(True, 3), static_website=website, target_version="2021-12-02",
    )  # fmt: skip
    read = env.service.get_service_properties()
    equal((read["analytics_logging"].read, read["analytics_logging"].delete), (True, False))
    equal((read["hour_metrics"].include_apis, read["hour_metrics"].retention_policy.days), (True, 4))
    equal(read["minute_metrics"].enabled, False)
    rule = read["cors"][0]
    equal((rule.allowed_origins, rule.allowed_methods, rule.max_age_in_seconds), ("https://example.com", "GET,PUT", 60))
    equal((read["static_website"].enabled, read["static_website"].index_document), (True, "index.html"))
    equal((read["target_version"], read["delete_retention_policy"].days), ("2021-12-02", 3))
    equal(env.control("GET", "storage")["softDeleteDays"], 3)
    env.service.set_service_properties(delete_retention_policy=RetentionPolicy(False))
    read = env.service.get_service_properties()
    equal((read["delete_retention_policy"].enabled, len(read["cors"]), read["static_website"].enabled), (False, 1, True))
    blob = env.container().get_blob_client("d")
    version = blob.upload_blob(b"x")["version_id"]
    blob.delete_blob()
    blob.delete_blob(version_id=version)
    blob_again = list(env.service.get_container_client(blob.container_name).list_blobs(include=["deleted", "versions"]))
    equal(blob_again, [])
    env.service.set_service_properties(
        analytics_logging=BlobAnalyticsLogging(), hour_metrics=Metrics(), minute_metrics=Metrics(), cors=[],
        delete_retention_policy=RetentionPolicy(True, 7), static_website=StaticWebsite(),
    )  # fmt: skip


@check("account information")
def account_information(env):
    for read in (env.service, env.container(), env.container().get_blob_client("none")):
        answer = read.get_account_information()
        equal((answer["sku_name"], answer["account_kind"], answer["is_hns_enabled"]), ("Standard_LRS", "StorageV2", False))
