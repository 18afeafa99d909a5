"""The emulator's blob endpoint, held to azure-storage-blob: python blob.py COSMOS_URL BLOB_URL

Everything is written through the SDK, read back through it and compared. The last line counts; exit 1 on any failure.
"""

import sys

# The modules register their checks when they are read.
import blob_access  # noqa: F401
import blob_basics  # noqa: F401
import blob_conditions  # noqa: F401
import blob_features  # noqa: F401
import blob_history  # noqa: F401
import blob_listing  # noqa: F401
import blob_protection  # noqa: F401
from blob_support import Env, run

# What must have run, so that a check lost on the way fails.
NAMES = [
    "signature: of the account",
    "signature: of the account, refused for what it does not grant",
    "signature: of a container",
    "signature: of a blob, a snapshot and a version",
    "signature: through a stored access policy, until it is revoked",
    "keys: a wrong one and none are refused",
    "errors: status, code in header and XML, request id",
    "faults: the SDK retries what it is told to",
    "faults: a put whose answer is lost was done",
    "what the emulator lacks is refused by name",
    "containers: create, exists, read, delete",
    "containers: names are checked",
    "containers: metadata and its conditions",
    "containers: listing with prefix, metadata and pages",
    "containers: access policies are kept",
    "upload: one put, then overwritten",
    "upload: several blocks in parallel, read in chunks",
    "upload: staged blocks, committed and reused",
    "upload: a large blob with the SDK's own sizes",
    "upload: checksums are verified",
    "download: ranges",
    "properties: set, replaced and read",
    "metadata: set, replaced, versioned",
    "metadata: names and sizes are limited",
    "metadata: names keep their case and are compared without it",
    "conditions: put",
    "conditions: put block list",
    "conditions: metadata",
    "conditions: properties",
    "conditions: snapshot",
    "conditions: delete",
    "conditions: get",
    "conditions: head",
    "conditions: tags, on every operation",
    "conditions: a blob that does not exist",
    "conditions: several at once",
    "conditions: of many writers at once each is counted",
    "copy: within the account, with metadata, properties and state",
    "copy: conditions on source and target",
    "copy: done at once, from a URL, and block by block",
    "copy: there is none to abort",
    "tags: set, read, counted, replaced",
    "tags: limits",
    "tags: blobs are found by them",
    "tiers: set, shown, listed, archived",
    "leases: on a blob",
    "leases: expire by the clock",
    "leases: on a container",
    "service properties: what is set is read, and soft delete follows",
    "account information",
    "versioning off, soft delete off: overwritten and deleted states are lost",
    "versioning off, soft delete on: an overwritten state is a soft-deleted snapshot",
    "versioning on, soft delete off: previous versions stay, a deleted version is lost",
    "versioning on, soft delete on: a deleted version is soft-deleted",
    "versions: the ids read from a listing open the bytes that were put",
    "versions: a version is promoted by copy",
    "versions: a blob without a current version is listed as such",
    "snapshots: taken, read, listed, deleted",
    "snapshots: with versioning on, one also makes a version",
    "soft delete: a deleted snapshot comes back with undelete",
    "soft delete: past its retention a state is gone",
    "soft delete: switched on and off between writes",
    "hierarchical namespace: no versions, snapshots work",
    "listing: each include adds what it names and nothing else",
    "listing: all includes together",
    "listing: prefix, start and names",
    "listing: a walk by delimiter finds every blob once",
    "listing: pages and continuation",
    "listing: more versions of one blob than a page holds",
    "immutability: a policy at upload protects the version",
    "immutability: set, extended, locked, deleted",
    "immutability: an expired policy allows to delete and still forbids metadata",
    "legal hold: set at upload and later, protects until it is cleared",
    "encryption scope: of a blob and of its container",
    "customer-provided key: needed on every read",
]


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: blob.py COSMOS_URL BLOB_URL")
    passed, failed = run(Env(sys.argv[1], sys.argv[2]), NAMES)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
