"""More requests for azurite.py: changes, snapshots, copies, tags, leases, listings, signatures, other types of blob, deletes."""

from azurite_requests import BLOCKS, CONTAINERS, FUTURE, LEASE, LEASE_OTHER, PAST, PUTS, READS, SERVICE, TAGS, block_id, put, request

# One request, one line.
# fmt: off

CHANGES = [
    request("metadata: set", "PUT", "/first/b", "comp=metadata", {"x-ms-meta-k": "v"}, keep={"b": "etag"}),
    request("metadata: as set", "HEAD", "/first/b"),
    request("metadata: clear", "PUT", "/first/b", "comp=metadata", keep={"b": "etag"}),
    request("metadata: bad name", "PUT", "/first/b", "comp=metadata", {"x-ms-meta-a-b": "v"}),
    request("metadata: of none", "PUT", "/first/none", "comp=metadata", {"x-ms-meta-k": "v"}),
    request("metadata: if match other", "PUT", "/first/b", "comp=metadata", {"If-Match": '"0x8D0000000000000"'}),
    request("metadata: if none match", "PUT", "/first/b", "comp=metadata", {"If-None-Match": "{b}"}),
    request("metadata: if modified since then", "PUT", "/first/b", "comp=metadata", {"If-Modified-Since": FUTURE}),
    request("metadata: if unmodified since before", "PUT", "/first/b", "comp=metadata", {"If-Unmodified-Since": PAST}),
    request("properties: set", "PUT", "/first/b", "comp=properties", {"x-ms-blob-content-type": "a/b", "x-ms-blob-cache-control": "no-cache"}),
    request("properties: as set", "HEAD", "/first/b"),
    request("properties: clear", "PUT", "/first/b", "comp=properties"),
    request("properties: as cleared", "HEAD", "/first/b"),
    request("properties: of none", "PUT", "/first/none", "comp=properties"),
    request("properties: if match other", "PUT", "/first/b", "comp=properties", {"If-Match": '"0x8D0000000000000"'}),
    request("tier: set", "PUT", "/first/b", "comp=tier", {"x-ms-access-tier": "Cool"}),
    request("tier: as set", "HEAD", "/first/b"),
    request("tier: unknown", "PUT", "/first/b", "comp=tier", {"x-ms-access-tier": "Lukewarm"}),
    request("tier: missing", "PUT", "/first/b", "comp=tier"),
    request("tier: of none", "PUT", "/first/none", "comp=tier", {"x-ms-access-tier": "Cool"}),
    put("tier: put to archive", "/first/archived", "x"),
    request("tier: archive", "PUT", "/first/archived", "comp=tier", {"x-ms-access-tier": "Archive"}),
    request("tier: get archived", "GET", "/first/archived"),
    request("tier: rehydrate", "PUT", "/first/archived", "comp=tier", {"x-ms-access-tier": "Hot"}),
    request("tier: head of rehydrating", "HEAD", "/first/archived"),
    request("tags: get", "GET", "/first/tagged", "comp=tags"),
    request("tags: get none", "GET", "/first/a", "comp=tags"),
    request("tags: set", "PUT", "/first/a", "comp=tags", body=TAGS),
    request("tags: as set", "GET", "/first/a", "comp=tags"),
    request("tags: set, no xml", "PUT", "/first/a", "comp=tags", body="no xml"),
    request("tags: set twice the same", "PUT", "/first/a", "comp=tags", body=TAGS.replace("</TagSet>", TAGS[TAGS.index("<Tag>") : TAGS.index("</TagSet>")] + "</TagSet>")),
    request("tags: set once more", "PUT", "/first/a", "comp=tags", body=TAGS),
    request("tags: of none", "GET", "/first/none", "comp=tags"),
    request("tags: if tags, others", "GET", "/first/tagged", "comp=tags", {"x-ms-if-tags": "\"state\"='done'"}),
    request("tags: find", "GET", "/", "comp=blobs"),
    request("tags: find in a container", "GET", "/first", "restype=container&comp=blobs"),
]

SNAPSHOTS = [
    request("snapshot: take", "PUT", "/first/a", "comp=snapshot", keep={"snapshot": "x-ms-snapshot"}),
    request("snapshot: take with metadata", "PUT", "/first/a", "comp=snapshot", {"x-ms-meta-s": "t"}, keep={"snapshot-2": "x-ms-snapshot"}),
    request("snapshot: of none", "PUT", "/first/none", "comp=snapshot"),
    request("snapshot: if match other", "PUT", "/first/a", "comp=snapshot", {"If-Match": '"0x8D0000000000000"'}),
    request("snapshot: get", "GET", "/first/a", "snapshot={snapshot}"),
    request("snapshot: head", "HEAD", "/first/a", "snapshot={snapshot-2}"),
    request("snapshot: delete the blob", "DELETE", "/first/a"),
    request("snapshot: delete one", "DELETE", "/first/a", "snapshot={snapshot-2}"),
    request("snapshot: delete it again", "DELETE", "/first/a", "snapshot={snapshot-2}"),
    request("snapshot: delete with bad choice", "DELETE", "/first/a", headers={"x-ms-delete-snapshots": "some"}),
    request("snapshot: delete one with choice", "DELETE", "/first/a", "snapshot={snapshot}", {"x-ms-delete-snapshots": "include"}),
]

COPIES = [
    request("copy", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a"}, keep={"copy": "x-ms-copy-id"}),
    request("copy: head", "HEAD", "/first/copied"),
    request("copy: get", "GET", "/first/copied"),
    request("copy: with metadata and tags", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-meta-own": "1", "x-ms-tags": "a=b"}),
    request("copy: head with metadata", "HEAD", "/first/copied"),
    request("copy: of a snapshot", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a?snapshot={snapshot}"}),
    request("copy: of none", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/none"}),
    request("copy: of no url", "PUT", "/first/copied", headers={"x-ms-copy-source": "nonsense"}),
    request("copy: into none", "PUT", "/none/copied", headers={"x-ms-copy-source": "{endpoint}/first/a"}),
    request("copy: if none match any", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "If-None-Match": "*"}),
    request("copy: source if match other", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-source-if-match": '"0x1"'}),
    request("copy: source if none match", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-source-if-none-match": "{a}"}),
    request("copy: source if modified since then", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-source-if-modified-since": FUTURE}),
    request("copy: source if unmodified since before", "PUT", "/first/copied", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-source-if-unmodified-since": PAST}),
    request("copy: at once", "PUT", "/first/at-once", headers={"x-ms-copy-source": "{source}", "x-ms-requires-sync": "true"}),
    request("copy: at once, unsigned", "PUT", "/odd/at-once", headers={"x-ms-copy-source": "{endpoint}/first/a", "x-ms-requires-sync": "true"}),
    request("copy: head of at once", "HEAD", "/first/at-once"),
    request("copy: abort", "PUT", "/first/copied", "comp=copy&copyid={copy}", {"x-ms-copy-action": "abort"}),
    request("copy: abort without action", "PUT", "/first/copied", "comp=copy&copyid={copy}"),
    request("copy: block from url", "PUT", "/odd/from-url", f"comp=block&blockid={block_id('1')}", {"x-ms-copy-source": "{source}", "x-ms-source-range": "bytes=2-4"}),
    request("copy: block from url, unsigned", "PUT", "/odd/from-url", f"comp=block&blockid={block_id('1')}", {"x-ms-copy-source": "{endpoint}/first/a"}),
    request("copy: blocks from url", "GET", "/odd/from-url", "comp=blocklist&blocklisttype=all"),
    put("copy: put from url", "/odd/put-from-url", headers={"x-ms-copy-source": "{source}"}),
]


def lease(name, path, action, restype="", **headers):
    fields = {"x-ms-lease-action": action} | {f"x-ms-{key.replace('_', '-')}": value for key, value in headers.items()}
    return request(name, "PUT", path, restype + "comp=lease", fields)


CONTAINER = "restype=container&"
LEASES = [
    lease("lease: acquire", "/first/b", "acquire", lease_duration="60", proposed_lease_id=LEASE),
    request("lease: head", "HEAD", "/first/b"),
    lease("lease: acquire again", "/first/b", "acquire", lease_duration="60"),
    lease("lease: acquire for too short", "/first/a", "acquire", lease_duration="5"),
    lease("lease: unknown action", "/first/b", "grab"),
    put("lease: put without", "/first/b", "x"),
    put("lease: put with another", "/first/b", "x", {"x-ms-lease-id": LEASE_OTHER}),
    put("lease: put with it", "/first/b", "x", {"x-ms-lease-id": LEASE}),
    request("lease: get without", "GET", "/first/b"),
    request("lease: get with another", "GET", "/first/b", headers={"x-ms-lease-id": LEASE_OTHER}),
    request("lease: get with it, where none is", "GET", "/first/empty", headers={"x-ms-lease-id": LEASE}),
    request("lease: metadata without", "PUT", "/first/b", "comp=metadata"),
    request("lease: delete without", "DELETE", "/first/b"),
    lease("lease: renew", "/first/b", "renew", lease_id=LEASE),
    lease("lease: renew another", "/first/b", "renew", lease_id=LEASE_OTHER),
    lease("lease: change", "/first/b", "change", lease_id=LEASE, proposed_lease_id=LEASE_OTHER),
    lease("lease: release the old one", "/first/b", "release", lease_id=LEASE),
    lease("lease: break", "/first/b", "break", lease_break_period="30"),
    request("lease: head while breaking", "HEAD", "/first/b"),
    lease("lease: break at once", "/first/b", "break", lease_break_period="0"),
    request("lease: head when broken", "HEAD", "/first/b"),
    lease("lease: renew when broken", "/first/b", "renew", lease_id=LEASE_OTHER),
    lease("lease: release", "/first/b", "release", lease_id=LEASE_OTHER),
    lease("lease: break none", "/first/b", "break"),
    lease("lease: of none", "/first/none", "acquire", lease_duration="-1"),
    lease("lease: acquire a container", "/first", "acquire", CONTAINER, lease_duration="-1", proposed_lease_id=LEASE),
    request("lease: container properties", "HEAD", "/first", "restype=container"),
    request("lease: delete a leased container", "DELETE", "/first", "restype=container"),
    lease("lease: renew a container", "/first", "renew", CONTAINER, lease_id=LEASE),
    lease("lease: change a container", "/first", "change", CONTAINER, lease_id=LEASE, proposed_lease_id=LEASE_OTHER),
    lease("lease: break a container", "/first", "break", CONTAINER, lease_break_period="0"),
    lease("lease: release a container", "/first", "release", CONTAINER, lease_id=LEASE_OTHER),
]

LIST = "restype=container&comp=list"
LISTS = [
    request("list", "GET", "/first", LIST),
    request("list: metadata", "GET", "/first", LIST + "&include=metadata&prefix=a"),
    request("list: metadata in mixed case", "GET", "/first", LIST + "&include=metadata&prefix=case"),
    request("list: snapshots", "GET", "/first", LIST + "&include=snapshots&prefix=a"),
    request("list: tags", "GET", "/first", LIST + "&include=tags&prefix=ta"),
    request("list: copy", "GET", "/first", LIST + "&include=copy&prefix=cop"),
    request("list: uncommitted", "GET", "/first", LIST + "&include=uncommittedblobs&prefix=fr"),
    request("list: several", "GET", "/first", LIST + "&include=snapshots,metadata,copy,tags,uncommittedblobs&prefix=a"),
    request("list: empty include", "GET", "/first", LIST + "&include=&prefix=a"),
    request("list: bad include", "GET", "/first", LIST + "&include=nothing"),
    request("list: by delimiter", "GET", "/first", LIST + "&delimiter=/"),
    request("list: below", "GET", "/first", LIST + "&delimiter=/&prefix=dir/"),
    request("list: by two", "GET", "/first", LIST + "&maxresults=2&prefix=a"),
    request("list: by two, the next", "GET", "/first", LIST + "&maxresults=2&prefix=a&marker={marker}"),
    request("list: by two and delimiter", "GET", "/first", LIST + "&maxresults=2&delimiter=/&prefix=d"),
    request("list: maxresults none", "GET", "/first", LIST + "&maxresults=0"),
    request("list: maxresults no number", "GET", "/first", LIST + "&maxresults=many"),
    request("list: maxresults great", "GET", "/first", LIST + "&maxresults=6000&prefix=a"),
    request("list: nothing there", "GET", "/first", LIST + "&prefix=zzz"),
    request("list: of none", "GET", "/none", LIST),
]

READ = {"sp": "r", "ss": "b", "srt": "o", "se": "2100-01-01T00:00:00Z"}
SIGNATURES = [
    request("auth: none", "GET", "/first/a", sign="none"),
    request("auth: none, list", "GET", "/first", LIST, sign="none"),
    request("auth: wrong key", "GET", "/first/a", sign="wrong"),
    request("auth: unknown scheme", "GET", "/first/a", headers={"Authorization": "Secret a:b"}, sign="none"),
    request("auth: version of no date", "GET", "/first/a", headers={"x-ms-version": "nonsense"}),
    request("auth: date of long ago", "GET", "/first/a", headers={"x-ms-date": PAST}),
    request("auth: account signature", "GET", "/first/a", sign=READ),
    request("auth: account signature, put", "PUT", "/odd/x", headers={"x-ms-blob-type": "BlockBlob"}, body="x", sign=READ),
    request("auth: account signature, list", "GET", "/first", LIST, sign=READ),
    request("auth: account signature, expired", "GET", "/first/a", sign=READ | {"se": "2021-01-01T00:00:00Z"}),
    request("auth: account signature, not yet", "GET", "/first/a", sign=READ | {"st": "2099-01-01T00:00:00Z"}),
    request("auth: account signature, other address", "GET", "/first/a", sign=READ | {"sip": "10.1.2.3"}),
    request("auth: account signature, https", "GET", "/first/a", sign=READ | {"spr": "https"}),
    request("auth: account signature, other service", "GET", "/first/a", sign=READ | {"ss": "q"}),
    request("auth: account signature, changed", "GET", "/first/a", sign=READ | {"sig": "AAAA"}),
    request("auth: container signature", "GET", "/first/a", sign={"sr": "c", "sp": "rl", "se": READ["se"]}),
    request("auth: container signature, list", "GET", "/first", LIST + "&prefix=ta", sign={"sr": "c", "sp": "rl", "se": READ["se"]}),
    request("auth: container signature, delete", "DELETE", "/first/a", sign={"sr": "c", "sp": "rl", "se": READ["se"]}),
    request("auth: blob signature", "GET", "/first/a", sign={"sr": "b", "sp": "r", "se": READ["se"]}),
    request("auth: blob signature, headers", "GET", "/first/a", sign={"sr": "b", "sp": "r", "se": READ["se"], "rsct": "text/own"}),
    request("auth: blob signature, list", "GET", "/first", LIST, sign={"sr": "b", "sp": "rl", "se": READ["se"]}),
    request("auth: blob signature, create alone, new", "PUT", "/first/s-new", headers={"x-ms-blob-type": "BlockBlob"}, sign={"sr": "b", "sp": "c", "se": READ["se"]}),
    request("auth: blob signature, create alone, over", "PUT", "/first/s-new", headers={"x-ms-blob-type": "BlockBlob"}, sign={"sr": "b", "sp": "c", "se": READ["se"]}),
]

OTHERS = [
    request("append blob: create", "PUT", "/odd/append", headers={"x-ms-blob-type": "AppendBlob"}),
    request("append blob: append", "PUT", "/odd/append", "comp=appendblock", body="x"),
    request("append blob: seal", "PUT", "/odd/append", "comp=seal"),
    request("page blob: create", "PUT", "/odd/page", headers={"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": "512"}),
    request("page blob: write", "PUT", "/odd/page", "comp=page", {"x-ms-page-write": "update", "x-ms-range": "bytes=0-511"}, b"x" * 512),
    request("page blob: clear", "PUT", "/odd/page", "comp=page", {"x-ms-page-write": "clear", "x-ms-range": "bytes=0-511"}),
    request("page blob: ranges", "GET", "/odd/page", "comp=pagelist"),
    request("page blob: resize", "PUT", "/odd/page", "comp=properties", {"x-ms-blob-content-length": "1024"}),
    request("append blob: append from url", "PUT", "/odd/append", "comp=appendblock", {"x-ms-copy-source": "{endpoint}/first/a"}),
    request("page blob: sequence number", "PUT", "/odd/page", "comp=properties", {"x-ms-sequence-number-action": "increment"}),
    request("page blob: incremental copy", "PUT", "/odd/page", "comp=incrementalcopy", {"x-ms-copy-source": "{endpoint}/first/a"}),
    put("lacking in Azurite: encryption scope", "/odd/scope", "x", {"x-ms-encryption-scope": "scope"}),
    put("lacking in Azurite: immutability policy", "/odd/policy", "x", {"x-ms-immutability-policy-until-date": FUTURE, "x-ms-immutability-policy-mode": "Unlocked"}),
    put("lacking in Azurite: legal hold", "/odd/hold", "x", {"x-ms-legal-hold": "true"}),
    request("lacking in Azurite: set legal hold", "PUT", "/odd/crc", "comp=legalhold", {"x-ms-legal-hold": "true"}),
    request("lacking in Azurite: list versions", "GET", "/odd", LIST + "&include=versions&prefix=crc"),
    request("query contents", "POST", "/first/a", "comp=query", body="<QueryRequest/>"),
    request("expiry", "PUT", "/first/a", "comp=expiry", {"x-ms-expiry-option": "NeverExpire"}),
    request("restore container", "PUT", "/second", "restype=container&comp=undelete"),
    request("batch", "POST", "/", "comp=batch", {"Content-Type": "multipart/mixed; boundary=b"}, "--b--\r\n"),
    request("batch in a container", "POST", "/first", "restype=container&comp=batch", {"Content-Type": "multipart/mixed; boundary=b"}, "--b--\r\n"),
    request("preflight without a rule", "OPTIONS", "/first/a", headers={"Origin": "http://localhost", "Access-Control-Request-Method": "GET"}, sign="none"),
]

DELETES = [
    request("delete if match other", "DELETE", "/first/plain", headers={"If-Match": '"0x8D0000000000000"'}),
    put("delete: put another", "/odd/plain", "x"),
    request("delete if none match any", "DELETE", "/odd/plain", headers={"If-None-Match": "*"}),
    request("delete if modified since then", "DELETE", "/first/plain", headers={"If-Modified-Since": FUTURE}),
    request("delete if unmodified since before", "DELETE", "/first/plain", headers={"If-Unmodified-Since": PAST}),
    request("delete if tags, others", "DELETE", "/first/tagged", headers={"x-ms-if-tags": "\"state\"='done'"}),
    request("delete", "DELETE", "/first/plain"),
    request("delete again", "DELETE", "/first/plain"),
    request("delete of none in none", "DELETE", "/none/plain"),
    request("delete snapshots only", "DELETE", "/first/a", headers={"x-ms-delete-snapshots": "only"}),
    request("delete with snapshots", "DELETE", "/first/a", headers={"x-ms-delete-snapshots": "include"}),
    request("undelete, nothing kept", "PUT", "/first/a", "comp=undelete"),
    request("container: delete with blobs", "DELETE", "/first", "restype=container"),
    request("container: blob of a deleted one", "GET", "/first/b"),
]

REQUESTS = [*SERVICE, *CONTAINERS, *PUTS, *READS, *BLOCKS, *CHANGES, *SNAPSHOTS, *COPIES, *LEASES, *LISTS, *SIGNATURES, *OTHERS, *DELETES]
for each in REQUESTS:
    # `where` has an equals sign and quotes of its own, which the short form of a query cannot have.
    if each.name in ("tags: find", "tags: find in a container"):
        each.query["where"] = "\"state\"='raw'"
