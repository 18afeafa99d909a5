"""Immutability policies, legal holds, encryption scopes and customer-provided keys."""

import base64
import hashlib
import os
from datetime import datetime, timedelta, timezone

from azure.storage.blob import ContainerEncryptionScope, ContentSettings, CustomerProvidedEncryptionKey, ImmutabilityPolicy

from blob_support import check, equal, holds, refused
from blob_wire import Wire


def after(**length):
    # The header has whole seconds.
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(**length)


def policy_of(blob, **options):
    read = blob.get_blob_properties(**options).immutability_policy
    return read.expiry_time, (read.policy_mode or "").lower() or None


@check("immutability: a policy at upload protects the version")
def policy_at_upload(env):
    container = env.container()
    blob = container.get_blob_client("i")
    until = after(days=3)
    first = blob.upload_blob(b"protected", immutability_policy=ImmutabilityPolicy(expiry_time=until, policy_mode="Unlocked"))
    equal(policy_of(blob), (until, "unlocked"))
    refused(409, "BlobImmutableDueToPolicy", blob.set_blob_metadata, {"a": "b"})
    refused(409, "BlobImmutableDueToPolicy", blob.delete_blob)
    # Headers, tags and tier are not protected.
    blob.set_http_headers(ContentSettings(content_type="a/b"))
    blob.set_blob_tags({"a": "b"})
    # An overwrite makes a new version and leaves the protected one as it is.
    second = blob.upload_blob(b"free", overwrite=True)
    equal(policy_of(blob), (None, None))
    equal(policy_of(blob, version_id=first["version_id"]), (until, "unlocked"))
    refused(409, "BlobImmutableDueToPolicy", blob.delete_blob, version_id=first["version_id"])
    equal(blob.download_blob(version_id=first["version_id"]).readall(), b"protected")
    blob.delete_blob()
    blob.delete_blob(version_id=second["version_id"])
    env.advance(4 * 86_400)
    blob.delete_blob(version_id=first["version_id"])
    refused(404, "BlobNotFound", blob.download_blob, version_id=first["version_id"])


@check("immutability: set, extended, locked, deleted")
def policy_changes(env):
    blob = env.container().get_blob_client("i")
    blob.upload_blob(b"x")
    until = after(days=3)
    answer = blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=until, policy_mode="Unlocked"))
    equal((answer["immutability_policy_until_date"], answer["immutability_policy_mode"].lower()), (until, "unlocked"))
    shorter = after(days=2)
    blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=shorter, policy_mode="Unlocked"))
    equal(policy_of(blob), (shorter, "unlocked"))
    blob.delete_immutability_policy()
    equal(policy_of(blob), (None, None))
    blob.set_blob_metadata({"a": "b"})
    blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=until, policy_mode="Locked"))
    refused(409, None, blob.set_immutability_policy, ImmutabilityPolicy(expiry_time=shorter, policy_mode="Locked"))
    refused(409, None, blob.set_immutability_policy, ImmutabilityPolicy(expiry_time=until, policy_mode="Unlocked"))
    refused(409, None, blob.delete_immutability_policy)
    longer = after(days=9)
    blob.set_immutability_policy(ImmutabilityPolicy(expiry_time=longer, policy_mode="Locked"))
    equal(policy_of(blob), (longer, "locked"))
    past = after(days=-1)
    fresh = env.container().get_blob_client("p")
    fresh.upload_blob(b"x")
    refused(400, None, fresh.set_immutability_policy, ImmutabilityPolicy(expiry_time=past, policy_mode="Unlocked"))


@check("legal hold: set at upload and later, protects until it is cleared")
def legal_hold(env):
    blob = env.container().get_blob_client("h")
    first = blob.upload_blob(b"x", legal_hold=True)["version_id"]
    equal(blob.get_blob_properties().has_legal_hold, True)
    refused(409, "BlobImmutableDueToLegalHold", blob.set_blob_metadata, {"a": "b"})
    blob.upload_blob(b"y", overwrite=True)
    equal(blob.get_blob_properties().has_legal_hold, None)
    refused(409, "BlobImmutableDueToLegalHold", blob.delete_blob, version_id=first)
    equal(blob.set_legal_hold(False, version_id=first)["legal_hold"], False)
    blob.delete_blob(version_id=first)
    equal(blob.set_legal_hold(True)["legal_hold"], True)
    refused(409, "BlobImmutableDueToLegalHold", blob.delete_blob)
    refused(409, None, env.service.delete_container, blob.container_name)
    blob.set_legal_hold(False)
    blob.delete_blob()
    equal(blob.exists(), False)


@check("immutability: an expired policy allows to delete and still forbids metadata")
def expired_policy(env):
    blob = env.container().get_blob_client("x")
    blob.upload_blob(b"x", immutability_policy=ImmutabilityPolicy(expiry_time=after(days=1), policy_mode="Locked"))
    refused(409, "BlobImmutableDueToPolicy", blob.delete_blob)
    env.advance(2 * 86_400)
    refused(409, "BlobImmutableDueToPolicy", blob.set_blob_metadata, {"a": "b"})
    equal(blob.get_blob_properties().metadata, {})
    blob.delete_blob()
    equal(blob.exists(), False)


@check("encryption scope: of a blob and of its container")
def encryption_scope(env):
    blob = env.container().get_blob_client("e")
    answer = blob.upload_blob(b"x", encryption_scope="scope1")
    equal(answer["encryption_scope"], "scope1")
    read = blob.get_blob_properties()
    equal((read.encryption_scope, read.server_encrypted), ("scope1", True))
    equal(blob.download_blob().readall(), b"x")
    blob.upload_blob(b"y", overwrite=True)
    equal(blob.get_blob_properties().encryption_scope, None)
    scope = ContainerEncryptionScope(default_encryption_scope="scope2", prevent_encryption_scope_override=True)
    container = env.container(container_encryption_scope=scope)
    read = container.get_container_properties().encryption_scope
    equal((read.default_encryption_scope, read.prevent_encryption_scope_override), ("scope2", True))
    blob = container.get_blob_client("e")
    blob.upload_blob(b"x")
    equal(blob.get_blob_properties().encryption_scope, "scope2")
    equal(next(iter(container.list_blobs())).encryption_scope, "scope2")
    refused(403, "RequestForbiddenByContainerEncryptionPolicy", blob.upload_blob, b"y", overwrite=True, encryption_scope="scope1")
    equal(blob.download_blob().readall(), b"x")


def customer_key():
    key = os.urandom(32)
    return CustomerProvidedEncryptionKey(base64.b64encode(key).decode(), base64.b64encode(hashlib.sha256(key).digest()).decode())


@check("customer-provided key: needed on every read")
def customer_provided_key(env):
    container = env.container()
    blob = container.get_blob_client("k")
    # The SDK takes such keys over HTTPS only, and looks no further than this name.
    blob.scheme = "https"
    key, other = customer_key(), customer_key()
    answer = blob.upload_blob(b"secret", cpk=key, metadata={"m": "1"})
    equal((answer["encryption_key_sha256"], answer["request_server_encrypted"]), (key.key_hash, True))
    equal(blob.download_blob(cpk=key).readall(), b"secret")
    read = blob.get_blob_properties(cpk=key)
    equal((read.encryption_key_sha256, read.metadata), (key.key_hash, {"m": "1"}))
    refused(409, "BlobUsesCustomerSpecifiedEncryption", blob.download_blob)
    refused(409, "BlobUsesCustomerSpecifiedEncryption", blob.get_blob_properties)
    refused(409, "BlobCustomerSpecifiedEncryptionMismatch", blob.download_blob, cpk=other)
    # The SDK's listing leaves the hash out.
    wire = Wire(env.blob_url)
    document = wire.send("GET", f"/{container.container_name}", {"restype": "container", "comp": "list"})[2].decode()
    holds(f"<CustomerProvidedKeySha256>{key.key_hash}</CustomerProvidedKeySha256>" in document, f"no hash in {document}")
    version = blob.get_blob_properties(cpk=key).version_id
    blob.upload_blob(b"plain", overwrite=True)
    equal(blob.download_blob().readall(), b"plain")
    equal(blob.download_blob(version_id=version, cpk=key).readall(), b"secret")
    wrong = CustomerProvidedEncryptionKey(key.key_value, other.key_hash)
    refused(400, None, blob.upload_blob, b"x", overwrite=True, cpk=wrong)
    holds(blob.get_blob_properties().encryption_key_sha256 is None, "the plain blob has a key")
