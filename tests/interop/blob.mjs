// The emulator's blob endpoint, held to @azure/storage-blob: node blob.mjs COSMOS_URL BLOB_URL
//
// Everything is written through the SDK, read back through it and compared. The last line counts; exit 1 on any failure.

// The modules register their checks when they are read.
import "./blob_basics.mjs";
import "./blob_history.mjs";
import "./blob_features.mjs";
import "./blob_access.mjs";
import { Env, run } from "./blob_support.mjs";

// What must have run, so that a check lost on the way fails.
const NAMES = [
  "containers: create, read, metadata, conditions, delete",
  "containers: listing",
  "containers: access policies",
  "upload: one put, overwritten, conditional",
  "upload: blocks, in parallel, from a stream, and staged",
  "download: ranges and checksums",
  "properties and metadata: set, replaced, limited",
  "conditions: put",
  "conditions: get",
  "conditions: head",
  "conditions: metadata",
  "conditions: properties",
  "conditions: snapshot",
  "conditions: delete",
  "versioning off, soft delete off: overwrite, delete, undelete",
  "versioning off, soft delete on: overwrite, delete, undelete",
  "versioning on, soft delete off: overwrite, delete, undelete",
  "versioning on, soft delete on: overwrite, delete, undelete",
  "soft delete: past its retention a state is gone",
  "versions: promoted by copy",
  "snapshots: taken, read, listed, deleted",
  "listing: each include and all together",
  "listing: walk by delimiter, pages, names",
  "listing: more versions of one blob than a page holds",
  "copy: within the account, conditions, abort",
  "copy: at once, from a URL, block by block",
  "tags: set, read, listed, found, limited",
  "tiers: set, shown, archived",
  "leases: on a blob and a container",
  "immutability: policy and legal hold",
  "encryption scope",
  "customer-provided key",
  "service properties and account information",
  "signature: of the account",
  "signature: of a container, a blob and a version",
  "signature: through a stored access policy, until it is revoked",
  "keys: a wrong one and none are refused",
  "errors and faults",
  "what the emulator lacks is refused by name",
];

if (process.argv.length !== 4) {
  console.error("usage: blob.mjs COSMOS_URL BLOB_URL");
  process.exit(2);
}
process.exit((await run(new Env(process.argv[2], process.argv[3]), NAMES)) ? 1 : 0);
