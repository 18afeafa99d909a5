"""Conditions on every operation that takes them: ETags, times and tags."""

import concurrent.futures
from datetime import timedelta

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError
from azure.storage.blob import BlobBlock, ContentSettings

from blob_support import check, equal, refused

IF_MATCH, IF_NONE_MATCH = MatchConditions.IfNotModified, MatchConditions.IfModified
OTHER_ETAG = '"0x8DEADBEEFDEADBE"'


def conditions(etag, modified):
    """Condition, whether it holds, and whether its failure is "not modified" for a read."""
    hour = timedelta(hours=1)
    return [
        ("if-match, equal", {"etag": etag, "match_condition": IF_MATCH}, True, False),
        ("if-match, other", {"etag": OTHER_ETAG, "match_condition": IF_MATCH}, False, False),
        ("if-match, any", {"match_condition": MatchConditions.IfPresent}, True, False),
        ("if-none-match, other", {"etag": OTHER_ETAG, "match_condition": IF_NONE_MATCH}, True, False),
        ("if-none-match, equal", {"etag": etag, "match_condition": IF_NONE_MATCH}, False, True),
        ("if-modified-since, earlier", {"if_modified_since": modified - hour}, True, False),
        ("if-modified-since, the same", {"if_modified_since": modified}, False, True),
        ("if-unmodified-since, the same", {"if_unmodified_since": modified}, True, False),
        ("if-unmodified-since, earlier", {"if_unmodified_since": modified - hour}, False, False),
    ]


def tag_conditions():
    return [
        ("\"stage\"='raw'", True),
        ("\"stage\"='done'", False),
        ("\"stage\"<>'done'", True),
        ("\"stage\">='raw' AND \"stage\"<'s'", True),
        ("\"count\">'2'", False),
        ("\"stage\"='done' OR \"count\"='10'", True),
        ("\"absent\"='x'", False),
    ]


OPERATIONS = {
    "put": lambda blob, **c: blob.upload_blob(b"new", overwrite=True, **c),
    "put block list": lambda blob, **c: blob.commit_block_list([BlobBlock("a")], **c),
    "metadata": lambda blob, **c: blob.set_blob_metadata({"a": "b"}, **c),
    "properties": lambda blob, **c: blob.set_http_headers(ContentSettings(content_type="a/b"), **c),
    "snapshot": lambda blob, **c: blob.create_snapshot(**c),
    "delete": lambda blob, **c: blob.delete_blob(delete_snapshots="include", **c),
    "get": lambda blob, **c: blob.download_blob(**c).readall(),
    "head": lambda blob, **c: blob.get_blob_properties(**c),
}


def prepared(container, number, operation, **options):
    """A blob of its own, so that no case sees what another did."""
    blob = container.get_blob_client(f"{operation}-{number}")
    blob.upload_blob(b"old", overwrite=True, **options)
    if operation == "put block list":
        blob.stage_block("a", b"x")
    return blob


def walk(env, operation):
    container = env.container()
    act = OPERATIONS[operation]
    for number in range(9):
        blob = prepared(container, number, operation)
        before = blob.get_blob_properties()
        name, arguments, met, not_modified = conditions(before.etag, before.last_modified)[number]
        if met:
            act(blob, **arguments)
            continue
        reading = operation in ("get", "head")
        try:
            refused(304 if reading and not_modified else 412, "ConditionNotMet", act, blob, **arguments)
        except AssertionError as error:
            raise AssertionError(f"{operation}, {name}: {error}") from error
        after = blob.get_blob_properties()
        equal((after.etag, after.version_id), (before.etag, before.version_id), f"{operation}, {name}: state")


def register(operation):
    @check(f"conditions: {operation}")
    def conditions_of(env):
        walk(env, operation)


for each in OPERATIONS:
    register(each)


@check("conditions: tags, on every operation")
def if_tags(env):
    container = env.container()
    for operation, act in OPERATIONS.items():
        for number, (expression, met) in enumerate(tag_conditions()):
            blob = prepared(container, f"tags-{number}", operation, tags={"stage": "raw", "count": "10"})
            try:
                if met:
                    act(blob, if_tags_match_condition=expression)
                else:
                    refused(412, "ConditionNotMet", act, blob, if_tags_match_condition=expression)
            except Exception as error:
                raise AssertionError(f"{operation}, {expression}: {error}") from error
    blob = prepared(container, "bad", "put", tags={"stage": "raw"})
    refused(400, None, blob.set_blob_metadata, {}, if_tags_match_condition="\"stage\" LIKE 'r'")


@check("conditions: a blob that does not exist")
def absent(env):
    container = env.container()
    blob = container.get_blob_client("absent")
    refused(412, "ConditionNotMet", blob.upload_blob, b"x", overwrite=True, etag=OTHER_ETAG, match_condition=IF_MATCH)
    refused(412, "ConditionNotMet", blob.upload_blob, b"x", overwrite=True, match_condition=MatchConditions.IfPresent)
    refused(404, "BlobNotFound", blob.download_blob, etag=OTHER_ETAG, match_condition=IF_MATCH)
    refused(404, "BlobNotFound", blob.get_blob_properties, etag=OTHER_ETAG, match_condition=IF_NONE_MATCH)
    refused(404, "BlobNotFound", blob.delete_blob, etag=OTHER_ETAG, match_condition=IF_MATCH)
    blob.upload_blob(b"x", overwrite=True, etag=OTHER_ETAG, match_condition=IF_NONE_MATCH)
    refused(409, "BlobAlreadyExists", blob.upload_blob, b"y", match_condition=MatchConditions.IfMissing)
    equal(blob.download_blob().readall(), b"x")
    blob.delete_blob()
    # A deleted blob does not exist, whatever versions it has.
    blob.upload_blob(b"z", match_condition=MatchConditions.IfMissing)
    equal(blob.download_blob().readall(), b"z")


@check("conditions: several at once")
def several(env):
    blob = env.container().get_blob_client("several")
    blob.upload_blob(b"x", tags={"a": "1"})
    now = blob.get_blob_properties()
    hour = timedelta(hours=1)
    match = {"etag": now.etag, "match_condition": IF_MATCH}
    refused(412, "ConditionNotMet", blob.get_blob_properties, if_unmodified_since=now.last_modified - hour, **match)
    blob.get_blob_properties(if_modified_since=now.last_modified - hour, if_unmodified_since=now.last_modified, **match)
    refused(412, "ConditionNotMet", blob.delete_blob, if_tags_match_condition="\"a\"='2'", **match)
    blob.delete_blob(if_tags_match_condition="\"a\"='1'", if_unmodified_since=now.last_modified, **match)


@check("conditions: of many writers at once each is counted")
def many_writers(env):
    container = env.container()
    container.upload_blob("counter", b"0")
    writers, additions = 4, 8

    def add(_):
        blob = env.client().get_blob_client(container.container_name, "counter")
        done = 0
        while done < additions:
            read = blob.download_blob()
            value = int(read.readall()) + 1
            try:
                blob.upload_blob(str(value), overwrite=True, etag=read.properties.etag, match_condition=IF_MATCH)
                done += 1
            except ResourceModifiedError:
                pass

    with concurrent.futures.ThreadPoolExecutor(writers) as pool:
        list(pool.map(add, range(writers)))
    equal(container.download_blob("counter").readall(), str(writers * additions).encode())
    equal(len(list(container.list_blobs(include=["versions"]))), writers * additions + 1)
