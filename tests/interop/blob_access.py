"""Shared access signatures, wrong keys, error documents, faults, and what the emulator declares to lack."""

import base64
import xml.etree.ElementTree
from datetime import datetime, timedelta, timezone

from azure.core.credentials import AzureSasCredential
from azure.storage.blob import (
    AccessPolicy, AccountSasPermissions, BlobClient, BlobSasPermissions, BlobServiceClient, ContainerClient, ContainerSasPermissions, ResourceTypes,
    generate_account_sas, generate_blob_sas, generate_container_sas,
)  # fmt: skip

from blob_support import check, equal, holds, refused
from blob_wire import ACCOUNT, KEY, Wire


def soon():
    return datetime.now(timezone.utc) + timedelta(hours=1)


def with_signature(env, signature):
    return BlobServiceClient(env.blob_url, credential=AzureSasCredential(signature), retry_total=0)


@check("signature: of the account")
def account_sas(env):
    container = env.container()
    container.upload_blob("a", b"x")
    every = generate_account_sas(
        ACCOUNT, KEY, ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True, delete_previous_version=True, tag=True), soon(),
    )  # fmt: skip
    service = with_signature(env, every)
    blob = service.get_blob_client(container.container_name, "b")
    version = blob.upload_blob(b"first", tags={"a": "b"})["version_id"]
    blob.upload_blob(b"second", overwrite=True)
    blob.delete_blob(version_id=version)
    equal(blob.download_blob().readall(), b"second")
    holds(container.container_name in [item.name for item in service.list_containers()], "the container is not listed")
    equal([item.name for item in service.get_container_client(container.container_name).list_blobs()], ["a", "b"])
    blob.delete_blob()
    made = service.create_container(container.container_name + "-made")
    made.delete_container()


@check("signature: of the account, refused for what it does not grant")
def account_sas_refused(env):
    container = env.container()
    container.upload_blob("a", b"x")
    name = container.container_name

    def service(types, permission, **options):
        return with_signature(env, generate_account_sas(ACCOUNT, KEY, types, permission, options.pop("expiry", soon()), **options))

    objects, read = ResourceTypes(object=True), AccountSasPermissions(read=True)
    reader = service(objects, read)
    equal(reader.get_blob_client(name, "a").download_blob().readall(), b"x")
    refused(403, "AuthorizationPermissionMismatch", reader.get_blob_client(name, "a").upload_blob, b"y", overwrite=True)
    refused(403, "AuthorizationPermissionMismatch", reader.get_blob_client(name, "a").delete_blob)
    refused(403, "AuthorizationResourceTypeMismatch", lambda: list(reader.get_container_client(name).list_blobs()))
    creator = service(objects, AccountSasPermissions(create=True)).get_blob_client(name, "new")
    creator.upload_blob(b"1")
    refused(403, "UnauthorizedBlobOverwrite", creator.upload_blob, b"2", overwrite=True)
    equal(container.download_blob("new").readall(), b"1")
    past = datetime.now(timezone.utc) - timedelta(hours=1)
    refused(403, "AuthenticationFailed", service(objects, read, expiry=past).get_blob_client(name, "a").download_blob)
    refused(
        403,
        "AuthenticationFailed",
        service(objects, read, start=soon(), expiry=soon() + timedelta(hours=1)).get_blob_client(name, "a").download_blob,
    )
    refused(403, "AuthorizationSourceIPMismatch", service(objects, read, ip="10.1.2.3").get_blob_client(name, "a").download_blob)
    refused(403, "AuthorizationProtocolMismatch", service(objects, read, protocol="https").get_blob_client(name, "a").download_blob)
    wrong = generate_account_sas(ACCOUNT, base64.b64encode(b"x" * 64).decode(), objects, read, soon())
    refused(403, "AuthenticationFailed", with_signature(env, wrong).get_blob_client(name, "a").download_blob)


@check("signature: of a container")
def container_sas(env):
    container = env.container()
    container.upload_blob("a", b"x", tags={"k": "v"})
    other = env.container()
    other.upload_blob("a", b"secret")

    def signature(**grants):
        return generate_container_sas(ACCOUNT, container.container_name, KEY, permission=ContainerSasPermissions(**grants), expiry=soon())

    reader = ContainerClient.from_container_url(container.url, AzureSasCredential(signature(read=True, list=True)), retry_total=0)
    equal([item.name for item in reader.list_blobs()], ["a"])
    equal(reader.download_blob("a").readall(), b"x")
    refused(403, "AuthorizationPermissionMismatch", reader.upload_blob, "b", b"y")
    refused(403, None, reader.delete_container)
    refused(403, "AuthorizationPermissionMismatch", reader.get_blob_client("a").get_blob_tags)
    stranger = ContainerClient.from_container_url(other.url, AzureSasCredential(signature(read=True)), retry_total=0)
    refused(403, "AuthenticationFailed", stranger.download_blob, "a")
    lister = ContainerClient.from_container_url(container.url, AzureSasCredential(signature(list=True)), retry_total=0)
    equal([item.name for item in lister.list_blobs()], ["a"])
    refused(403, "AuthorizationPermissionMismatch", lister.download_blob, "a")
    writer = ContainerClient.from_container_url(
        container.url, AzureSasCredential(signature(write=True, tag=True, create=True)), retry_total=0
    )
    version = writer.upload_blob("b", b"y", tags={"a": "b"})
    equal(writer.get_blob_client("b").get_blob_tags(), {"a": "b"})
    refused(403, "AuthorizationPermissionMismatch", writer.delete_blob, "b")
    refused(403, "AuthorizationPermissionMismatch", writer.get_blob_client("b").delete_blob)
    holds(version.blob_name == "b", "another blob was written")


@check("signature: of a blob, a snapshot and a version")
def blob_sas(env):
    container = env.container()
    blob = container.get_blob_client("folder/ä b.json")
    first = blob.upload_blob(b"first")["version_id"]
    snapshot = blob.create_snapshot()["snapshot"]
    blob.upload_blob(b"second", overwrite=True)
    container.upload_blob("other", b"x")

    def client(name="folder/ä b.json", permission=BlobSasPermissions(read=True), **options):
        signature = generate_blob_sas(
            ACCOUNT, container.container_name, "folder/ä b.json", account_key=KEY, permission=permission, expiry=soon(), **options
        )
        url = container.get_blob_client(name).url
        return BlobClient.from_blob_url(url, AzureSasCredential(signature), retry_total=0)

    equal(client().download_blob().readall(), b"second")
    equal(client().get_blob_properties().size, 6)
    equal(client().download_blob(version_id=first).readall(), b"first")
    refused(403, "AuthenticationFailed", client("other").download_blob)
    refused(403, "AuthorizationPermissionMismatch", client().upload_blob, b"y", overwrite=True)
    refused(403, "AuthorizationPermissionMismatch", client(permission=BlobSasPermissions(write=True)).download_blob)
    client(permission=BlobSasPermissions(write=True)).upload_blob(b"third", overwrite=True)
    equal(client(version_id=first).download_blob(version_id=first).readall(), b"first")
    refused(403, None, client(version_id=first).download_blob)
    equal(client(snapshot=snapshot).download_blob(snapshot=snapshot).readall(), b"first")
    refused(403, None, client(snapshot=snapshot).download_blob)
    answered = client(content_type="text/x-own", cache_control="no-cache").get_blob_properties().content_settings
    equal((answered.content_type, answered.cache_control), ("text/x-own", "no-cache"))
    refused(403, "AuthorizationPermissionMismatch", client(permission=BlobSasPermissions(delete=True)).delete_blob, version_id=first)
    client(permission=BlobSasPermissions(delete_previous_version=True)).delete_blob(version_id=first)
    client(permission=BlobSasPermissions(delete=True)).delete_blob(delete_snapshots="include")
    equal(blob.exists(), False)


@check("signature: through a stored access policy, until it is revoked")
def stored_policy(env):
    container = env.container()
    container.upload_blob("a", b"x")
    container.set_container_access_policy({"reader": AccessPolicy(ContainerSasPermissions(read=True, list=True), soon())})
    signature = generate_container_sas(ACCOUNT, container.container_name, KEY, policy_id="reader")
    client = ContainerClient.from_container_url(container.url, AzureSasCredential(signature), retry_total=0)
    equal(client.download_blob("a").readall(), b"x")
    equal([item.name for item in client.list_blobs()], ["a"])
    refused(403, "AuthorizationPermissionMismatch", client.upload_blob, "b", b"y")
    container.set_container_access_policy(
        {"reader": AccessPolicy(ContainerSasPermissions(read=True), datetime.now(timezone.utc) - timedelta(hours=1))}
    )
    refused(403, "AuthenticationFailed", client.download_blob, "a")
    container.set_container_access_policy({})
    refused(403, "AuthenticationFailed", client.download_blob, "a")


@check("keys: a wrong one and none are refused")
def wrong_key(env):
    container = env.container()
    container.upload_blob("a", b"x")
    wrong = base64.b64encode(b"wrong" * 12 + b"1234").decode()
    client = env.client({"account_name": ACCOUNT, "account_key": wrong})
    refused(403, "AuthenticationFailed", client.get_blob_client(container.container_name, "a").download_blob)
    refused(403, "AuthenticationFailed", lambda: list(client.list_containers()))
    refused(403, "AuthenticationFailed", client.create_container, "never")
    anonymous = BlobServiceClient(env.blob_url, retry_total=0).get_blob_client(container.container_name, "a")
    refused(401, "NoAuthenticationInformation", anonymous.download_blob)
    equal(env.service.get_container_client("never").exists(), False)


@check("errors: status, code in header and XML, request id")
def error_documents(env):
    container = env.container()
    wire = Wire(env.blob_url)
    name = container.container_name
    container.upload_blob("a", b"0123")
    cases = [
        ("GET", f"/{name}/none", {}, {}, 404, "BlobNotFound"),
        ("GET", "/no-such-container/a", {}, {}, 404, "ContainerNotFound"),
        ("PUT", f"/{name}", {"restype": "container"}, {}, 409, "ContainerAlreadyExists"),
        ("PUT", f"/{name}/a", {}, {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}, 409, "BlobAlreadyExists"),
        ("PUT", f"/{name}/a", {}, {}, 400, "MissingRequiredHeader"),
        ("PUT", f"/{name}/a", {}, {"x-ms-blob-type": "BlockBlub"}, 400, "InvalidHeaderValue"),
        ("GET", f"/{name}/a", {}, {"x-ms-range": "bytes=9-"}, 416, "InvalidRange"),
        ("GET", f"/{name}", {"restype": "container", "comp": "list", "maxresults": "0"}, {}, 400, "OutOfRangeQueryParameterValue"),
        ("GET", f"/{name}", {"restype": "container", "comp": "list", "include": "everything"}, {}, 400, "InvalidQueryParameterValue"),
        ("GET", f"/{name}/a", {"comp": "nothing"}, {}, 400, "InvalidQueryParameterValue"),
        ("PUT", f"/{name}/a", {"comp": "blocklist"}, {}, 400, "InvalidXmlDocument"),
        ("PUT", f"/{name}/a", {"comp": "metadata"}, {"x-ms-meta-a-b": "x"}, 400, "InvalidMetadata"),
    ]
    for method, path, query, headers, status, code in cases:
        body = b"not xml" if query.get("comp") == "blocklist" else b""
        answer = wire.send(method, path, query, {"x-ms-client-request-id": "own-id", **headers}, body)
        what = f"{method} {path} {query} {headers}"
        equal((answer[0], answer[1].get("x-ms-error-code")), (status, code), what)
        document = xml.etree.ElementTree.fromstring(answer[2].decode("utf-8-sig"))
        equal((document.tag, document.findtext("Code")), ("Error", code), what)
        # A parser that knows no numeric references must find the lines too.
        holds(b"&#" not in answer[2], f"{what}: {answer[2]!r}")
        holds(f"RequestId:{answer[1]['x-ms-request-id']}" in document.findtext("Message"), f"{what}: no request id in the message")
        equal((answer[1]["x-ms-client-request-id"], answer[1]["content-type"]), ("own-id", "application/xml"), what)
    status, headers, content = wire.send("HEAD", f"/{name}/none")
    equal((status, headers.get("x-ms-error-code"), content), (404, "BlobNotFound", b""))
    version = wire.send("GET", f"/{name}/a")[1]["x-ms-version-id"]
    status, headers, content = wire.send("GET", f"/{name}/a", {"versionid": version}, {"If-None-Match": headers.get("etag", "*")})
    equal((status, content), (304, b""))


@check("faults: the SDK retries what it is told to")
def faults(env):
    container = env.container()
    container.upload_blob("a", b"x")
    rule = {"service": "blob", "operation": "get", "status": 503, "action": "status", "count": 2}
    env.control("POST", "faults", {"rules": [rule]})
    refused(503, None, container.download_blob, "a")
    patient = env.client(retry_total=3, initial_backoff=0, increment_base=0, random_jitter_range=0)
    equal(patient.get_blob_client(container.container_name, "a").download_blob().readall(), b"x")


@check("faults: a put whose answer is lost was done")
def lost_answer(env):
    container = env.container()
    rule = {"service": "blob", "operation": "put", "action": "respond-then-reset", "count": 1}
    env.control("POST", "faults", {"rules": [rule]})
    patient = env.client(retry_total=3, initial_backoff=0, increment_base=0, random_jitter_range=0)
    # The SDK sends it again, and the second time the blob is there.
    refused(409, "BlobAlreadyExists", patient.get_blob_client(container.container_name, "a").upload_blob, b"once")
    equal(container.download_blob("a").readall(), b"once")
    equal(len(list(container.list_blobs(include=["versions"]))), 1)


LACKING = [
    ("GET", "/", {"restype": "service", "comp": "stats"}, {}),
    ("POST", "/", {"restype": "service", "comp": "userdelegationkey"}, {}),
    ("POST", "/", {"comp": "batch"}, {}),
    ("PUT", "/{container}", {"restype": "container", "comp": "undelete"}, {}),
    ("PUT", "/{container}/a", {}, {"x-ms-blob-type": "AppendBlob"}),
    ("PUT", "/{container}/a", {}, {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}),
    ("PUT", "/{container}/a", {"comp": "appendblock"}, {}),
    ("PUT", "/{container}/a", {"comp": "page"}, {}),
    ("POST", "/{container}/a", {"comp": "query"}, {}),
    ("PUT", "/{container}/a", {"comp": "expiry"}, {}),
    ("DELETE", "/{container}/a", {"deletetype": "permanent", "snapshot": "2026-01-01T00:00:00.0000000Z"}, {}),
]


@check("what the emulator lacks is refused by name")
def lacking(env):
    container = env.container()
    container.upload_blob("a", b"x")
    wire = Wire(env.blob_url)
    for method, path, query, headers in LACKING:
        status, answer, content = wire.send(method, path.format(container=container.container_name), query, headers)
        equal((status, answer.get("x-ms-error-code")), (501, "NotImplemented"), f"{method} {path} {query} {headers}")
        holds(b"does not implement" in content, f"{method} {path} {query}: {content!r}")
