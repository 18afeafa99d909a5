"""The requests that azurite.py sends to both servers, in order: services, containers and block blobs. azurite_more.py has the rest.

A text may contain `{name}`: what an earlier answer of the same server had in a header, kept with `keep`; `{marker}` is the last listing's. Metadata names are in lower
case but for one request, which is there to see their case.
"""

import base64
from dataclasses import dataclass, field

PAST, FUTURE = "Fri, 01 Jan 2021 00:00:00 GMT", "Sat, 01 Jan 2101 00:00:00 GMT"
LEASE, LEASE_OTHER = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


@dataclass
class Request:
    name: str
    method: str
    path: str
    query: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    keep: dict = field(default_factory=dict)
    # "key", "none", "wrong", or a shared access signature's parameters, which azurite_more.py signs.
    sign: object = "key"


def request(name, method, path, query="", headers=None, body=b"", **rest):
    """A request; its query is written as in a URL, without escapes."""
    pairs = dict(pair.partition("=")[::2] for pair in query.split("&")) if query else {}
    body = body.encode() if isinstance(body, str) else body
    return Request(name, method, path, pairs, headers or {}, body, **rest)


def put(name, path, body=b"", headers=None, query="", **rest):
    return request(name, "PUT", path, query, {"x-ms-blob-type": "BlockBlob"} | (headers or {}), body, **rest)


def block_id(text):
    return base64.b64encode(text.encode()).decode()


def block_list(*pairs):
    items = "".join(f"<{kind}>{block_id(text)}</{kind}>" for kind, text in pairs)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{items}</BlockList>'


ACL = (
    '<?xml version="1.0" encoding="utf-8"?><SignedIdentifiers><SignedIdentifier><Id>reader</Id><AccessPolicy>'
    "<Start>2021-01-01T00:00:00.0000000Z</Start><Expiry>2101-01-01T00:00:00.0000000Z</Expiry><Permission>rl</Permission>"
    "</AccessPolicy></SignedIdentifier></SignedIdentifiers>"
)
PROPERTIES = (
    '<?xml version="1.0" encoding="utf-8"?><StorageServiceProperties><Logging><Version>1.0</Version><Delete>true</Delete>'
    "<Read>true</Read><Write>false</Write><RetentionPolicy><Enabled>true</Enabled><Days>3</Days></RetentionPolicy></Logging>"
    "<HourMetrics><Version>1.0</Version><Enabled>true</Enabled><IncludeAPIs>true</IncludeAPIs><RetentionPolicy><Enabled>true</Enabled>"
    "<Days>4</Days></RetentionPolicy></HourMetrics><MinuteMetrics><Version>1.0</Version><Enabled>false</Enabled><RetentionPolicy>"
    "<Enabled>false</Enabled></RetentionPolicy></MinuteMetrics><Cors><CorsRule><AllowedOrigins>http://localhost</AllowedOrigins>"
    "<AllowedMethods>GET,PUT</AllowedMethods><MaxAgeInSeconds>5</MaxAgeInSeconds><ExposedHeaders>etag</ExposedHeaders>"
    "<AllowedHeaders>x-ms-date</AllowedHeaders></CorsRule></Cors></StorageServiceProperties>"
)
NO_CORS = '<?xml version="1.0" encoding="utf-8"?><StorageServiceProperties><Cors/></StorageServiceProperties>'
KEY_INFO = "<KeyInfo><Start>2026-01-01T00:00:00Z</Start><Expiry>2026-01-02T00:00:00Z</Expiry></KeyInfo>"
TAGS = '<?xml version="1.0" encoding="utf-8"?><Tags><TagSet><Tag><Key>state</Key><Value>raw</Value></Tag></TagSet></Tags>'
BOTH_SUMS = ("x-ms-range-get-content-md5", "x-ms-range-get-content-crc64")
CONTENT = {
    "x-ms-blob-content-type": "application/json",
    "x-ms-blob-content-encoding": "identity",
    "x-ms-blob-content-language": "de",
    "x-ms-blob-content-disposition": "inline",
    "x-ms-blob-cache-control": "no-store",
    "x-ms-meta-one": "1",
    "x-ms-meta-two": "zwei = 2",
}

# One request, one line.
# fmt: off

SERVICE = [
    request("service: account information", "GET", "/", "restype=account&comp=properties"),
    request("service: account information, head", "HEAD", "/", "restype=account&comp=properties"),
    request("service: properties", "GET", "/", "restype=service&comp=properties"),
    request("service: set properties", "PUT", "/", "restype=service&comp=properties", body=PROPERTIES),
    request("service: properties as set", "GET", "/", "restype=service&comp=properties"),
    request("service: set properties, cors alone", "PUT", "/", "restype=service&comp=properties", body=NO_CORS),
    request("service: properties, cors cleared", "GET", "/", "restype=service&comp=properties"),
    request("service: set properties, no xml", "PUT", "/", "restype=service&comp=properties", body="no xml"),
    request("service: statistics", "GET", "/", "restype=service&comp=stats"),
    request("service: user delegation key", "POST", "/", "restype=service&comp=userdelegationkey", body=KEY_INFO),
    request("service: unknown comp", "GET", "/", "comp=nothing"),
    request("service: list, none there", "GET", "/", "comp=list"),
]

CONTAINERS = [
    request("container: create", "PUT", "/first", "restype=container", {"x-ms-meta-a": "b"}),
    request("container: create again", "PUT", "/first", "restype=container"),
    request("container: create another", "PUT", "/second", "restype=container"),
    # What only one of the two takes goes there, so that it does not show in every listing.
    request("container: create for odd things", "PUT", "/odd", "restype=container"),
    request("container: create with upper case", "PUT", "/Upper", "restype=container"),
    request("container: create with two hyphens", "PUT", "/a--b", "restype=container"),
    request("container: create with a short name", "PUT", "/ab", "restype=container"),
    request("container: create with a long name", "PUT", "/" + "a" * 64, "restype=container"),
    request("container: create with bad metadata", "PUT", "/third", "restype=container", {"x-ms-meta-a-b": "x"}),
    request("container: create public", "PUT", "/public", "restype=container", {"x-ms-blob-public-access": "blob"}),
    request("container: delete public", "DELETE", "/public", "restype=container"),
    request("container: properties", "GET", "/first", "restype=container", keep={"container": "etag"}),
    request("container: properties, head", "HEAD", "/first", "restype=container"),
    request("container: properties of none", "GET", "/none", "restype=container"),
    request("container: properties of none, head", "HEAD", "/none", "restype=container"),
    request("container: metadata", "GET", "/first", "restype=container&comp=metadata"),
    request("container: set metadata", "PUT", "/first", "restype=container&comp=metadata", {"x-ms-meta-c": "d"}),
    request("container: metadata as set", "HEAD", "/first", "restype=container&comp=metadata"),
    request("container: set metadata, modified since then", "PUT", "/first", "restype=container&comp=metadata", {"If-Modified-Since": FUTURE}),
    request("container: set metadata, modified since before", "PUT", "/first", "restype=container&comp=metadata", {"If-Modified-Since": PAST}),
    request("container: acl", "GET", "/first", "restype=container&comp=acl"),
    request("container: set acl", "PUT", "/first", "restype=container&comp=acl", body=ACL),
    request("container: acl as set", "GET", "/first", "restype=container&comp=acl"),
    request("container: set acl, no xml", "PUT", "/first", "restype=container&comp=acl", body="no xml"),
    request("container: set acl, none", "PUT", "/first", "restype=container&comp=acl"),
    request("container: acl of none", "GET", "/none", "restype=container&comp=acl"),
    request("container: account information", "GET", "/first", "restype=account&comp=properties"),
    request("container: account information, head", "HEAD", "/first", "restype=account&comp=properties"),
    request("container: unknown comp", "GET", "/first", "restype=container&comp=nothing"),
    request("service: list", "GET", "/", "comp=list"),
    request("service: list with prefix and metadata", "GET", "/", "comp=list&prefix=f&include=metadata"),
    request("service: list by one", "GET", "/", "comp=list&maxresults=1"),
    request("service: list, the next", "GET", "/", "comp=list&maxresults=1&marker={marker}"),
    request("service: list, empty include", "GET", "/", "comp=list&include=&prefix=f"),
    request("service: list, bad include", "GET", "/", "comp=list&include=nothing"),
    request("service: list, bad maxresults", "GET", "/", "comp=list&maxresults=0"),
    request("container: delete, unmodified since before", "DELETE", "/second", "restype=container", {"If-Unmodified-Since": PAST}),
    request("container: delete", "DELETE", "/second", "restype=container"),
    request("container: delete again", "DELETE", "/second", "restype=container"),
]

PUTS = [
    put("put", "/first/a", "0123456789", CONTENT, keep={"a": "etag", "a-modified": "last-modified"}),
    put("put over", "/first/b", "one"),
    put("put over again", "/first/b", "two", keep={"b": "etag", "b-modified": "last-modified"}),
    put("put empty", "/first/empty"),
    put("put with plain content headers", "/first/plain", "x", {"Content-Type": "text/x-own", "Content-Language": "en", "Cache-Control": "private"}),
    put("put with md5", "/first/md5", "x", {"Content-MD5": "ndTkYSaMgDT1yFZOFVxnpg=="}),
    put("put with wrong md5", "/first/md5", "x", {"Content-MD5": "CY9rzUYh03PK3k6DJie09g=="}),
    put("put with wrong blob md5", "/first/md5", "x", {"x-ms-blob-content-md5": "CY9rzUYh03PK3k6DJie09g=="}),
    put("put with tags", "/first/tagged", "x", {"x-ms-tags": "state=raw&n=1"}, keep={"tagged": "etag"}),
    put("put with tier", "/first/cool", "x", {"x-ms-access-tier": "Cool"}),
    put("put with unknown tier", "/first/cold", "x", {"x-ms-access-tier": "Lukewarm"}),
    put("put with metadata in mixed case", "/first/case", "x", {"x-ms-meta-CamelCase": "Value"}),
    put("put with bad metadata", "/first/bad", "x", {"x-ms-meta-1a": "x"}),
    put("put with much metadata", "/odd/bad", "x", {"x-ms-meta-a": "x" * 8_200}),
    put("put with crc64", "/odd/crc", "x", {"x-ms-content-crc64": "seRUZAJnvS0="}),
    put("put with wrong crc64", "/odd/crc", "x", {"x-ms-content-crc64": "AAAAAAAAAAA="}),
    put("put into none", "/none/a", "x"),
    request("put without type", "PUT", "/first/bad", body="x"),
    put("put of unknown type", "/first/bad", "x", {"x-ms-blob-type": "BlockBlub"}),
    put("put, name of odd characters", "/first/dir/ä ö+&%?#'.json", "x"),
    put("put below", "/first/dir/sub/x", "x"),
    put("put with a long name", "/odd/" + "n" * 1_025, "x"),
    put("put if match", "/first/b", "3", {"If-Match": "{b}"}, keep={"b": "etag", "b-modified": "last-modified"}),
    put("put if match other", "/first/b", "4", {"If-Match": '"0x8D0000000000000"'}),
    put("put if match any", "/first/b", "5", {"If-Match": "*"}, keep={"b": "etag", "b-modified": "last-modified"}),
    put("put if none match any", "/first/b", "6", {"If-None-Match": "*"}),
    put("put if none match", "/first/b", "7", {"If-None-Match": "{b}"}),
    put("put if none match any, new", "/first/new", "8", {"If-None-Match": "*"}),
    put("put if match, none there", "/first/newer", "9", {"If-Match": "{b}"}),
    put("put if modified since then", "/first/b", "10", {"If-Modified-Since": FUTURE}),
    put("put if unmodified since before", "/first/b", "11", {"If-Unmodified-Since": PAST}),
    put("put if tags", "/first/tagged", "y", {"x-ms-if-tags": "\"state\"='raw'", "x-ms-tags": "state=raw&n=1"}),
    put("put if tags, others", "/first/tagged", "z", {"x-ms-if-tags": "\"state\"='done'"}),
    put("put with a bad date of condition", "/odd/b", "12", {"If-Modified-Since": "yesterday"}),
    put("put with query of no meaning", "/first/b", "13", query="timeout=20", keep={"b": "etag", "b-modified": "last-modified"}),
]

READS = [
    request("get", "GET", "/first/a"),
    request("get empty", "GET", "/first/empty"),
    request("get odd name", "GET", "/first/dir/ä ö+&%?#'.json"),
    request("get plain content headers", "GET", "/first/plain"),
    request("get mixed case metadata", "GET", "/first/case"),
    request("get of none", "GET", "/first/none"),
    request("get of no container", "GET", "/none/a"),
    request("get a range", "GET", "/first/a", headers={"Range": "bytes=2-5"}),
    request("get the rest", "GET", "/first/a", headers={"x-ms-range": "bytes=7-"}),
    request("get over the end", "GET", "/first/a", headers={"x-ms-range": "bytes=7-100"}),
    request("get behind the end", "GET", "/first/a", headers={"x-ms-range": "bytes=10-20"}),
    request("get a range of nothing", "GET", "/first/empty", headers={"x-ms-range": "bytes=0-"}),
    request("get a suffix", "GET", "/first/a", headers={"Range": "bytes=-3"}),
    request("get a range backwards", "GET", "/first/a", headers={"x-ms-range": "bytes=5-2"}),
    request("get a range with md5", "GET", "/first/a", headers={"x-ms-range": "bytes=2-5", "x-ms-range-get-content-md5": "true"}),
    request("get if match", "GET", "/first/a", headers={"If-Match": "{a}"}),
    request("get if match other", "GET", "/first/a", headers={"If-Match": '"0x8D0000000000000"'}),
    request("get if none match", "GET", "/first/a", headers={"If-None-Match": "{a}"}),
    request("get if none match other", "GET", "/first/a", headers={"If-None-Match": '"0x8D0000000000000"'}),
    request("get if modified since then", "GET", "/first/a", headers={"If-Modified-Since": FUTURE}),
    request("get if modified since its time", "GET", "/first/a", headers={"If-Modified-Since": "{a-modified}"}),
    request("get if modified since before", "GET", "/first/a", headers={"If-Modified-Since": PAST}),
    request("get if unmodified since before", "GET", "/first/a", headers={"If-Unmodified-Since": PAST}),
    request("get if unmodified since its time", "GET", "/first/a", headers={"If-Unmodified-Since": "{a-modified}"}),
    request("get if tags", "GET", "/first/tagged", headers={"x-ms-if-tags": "\"state\"='raw' AND \"n\"='1'"}),
    request("get if tags, others", "GET", "/first/tagged", headers={"x-ms-if-tags": "\"state\"<>'raw'"}),
    request("get if tags, no expression", "GET", "/first/tagged", headers={"x-ms-if-tags": "state is raw"}),
    request("get, bad snapshot", "GET", "/first/a", "snapshot=yesterday"),
    request("get, snapshot of none", "GET", "/first/a", "snapshot=2021-01-01T00:00:00.0000000Z"),
    request("head", "HEAD", "/first/a"),
    request("head empty", "HEAD", "/first/empty"),
    request("head with tier and tags", "HEAD", "/first/tagged"),
    request("head of cool", "HEAD", "/first/cool"),
    request("head of none", "HEAD", "/first/none"),
    request("head if match other", "HEAD", "/first/a", headers={"If-Match": '"0x8D0000000000000"'}),
    request("head if none match", "HEAD", "/first/a", headers={"If-None-Match": "{a}"}),
    request("head if modified since then", "HEAD", "/first/a", headers={"If-Modified-Since": FUTURE}),
    request("get metadata", "GET", "/first/a", "comp=metadata"),
    request("head metadata", "HEAD", "/first/a", "comp=metadata"),
    request("get, unknown comp", "GET", "/first/a", "comp=nothing"),
    request("blob: account information", "GET", "/first/a", "restype=account&comp=properties"),
    request("blob: account information, head", "HEAD", "/first/a", "restype=account&comp=properties"),
    request("get of both checksums", "GET", "/first/a", headers={"x-ms-range": "bytes=0-1", **dict.fromkeys(BOTH_SUMS, "true")}),
    request("post to a blob", "POST", "/first/a"),
]

BLOCKS = [
    request("block: put", "PUT", "/first/blocks", f"comp=block&blockid={block_id('1')}", body="one"),
    request("block: put another", "PUT", "/first/blocks", f"comp=block&blockid={block_id('2')}", body="two"),
    request("block: put with md5", "PUT", "/first/blocks", f"comp=block&blockid={block_id('3')}", {"Content-MD5": "ndTkYSaMgDT1yFZOFVxnpg=="}, "x"),
    request("block: put with wrong md5", "PUT", "/first/blocks", f"comp=block&blockid={block_id('4')}", {"Content-MD5": "CY9rzUYh03PK3k6DJie09g=="}, "y"),
    request("block: put with another length of id", "PUT", "/first/blocks", f"comp=block&blockid={block_id('12')}", body="x"),
    request("block: put, id not base64", "PUT", "/first/blocks", "comp=block&blockid=*", body="x"),
    request("block: put without id", "PUT", "/first/blocks", "comp=block", body="x"),
    request("block: put empty", "PUT", "/first/blocks", f"comp=block&blockid={block_id('5')}"),
    request("block: list uncommitted", "GET", "/first/blocks", "comp=blocklist&blocklisttype=all"),
    request("block: get what is not committed", "GET", "/first/blocks"),
    request("block: commit", "PUT", "/first/blocks", "comp=blocklist", CONTENT, block_list(("Latest", "2"), ("Uncommitted", "1"))),
    request("block: get", "GET", "/first/blocks"),
    request("block: list", "GET", "/first/blocks", "comp=blocklist&blocklisttype=all"),
    request("block: list of committed", "GET", "/first/blocks", "comp=blocklist"),
    request("block: list of unknown kind", "GET", "/first/blocks", "comp=blocklist&blocklisttype=some"),
    request("block: list of none", "GET", "/first/none", "comp=blocklist&blocklisttype=all"),
    request("block: commit again", "PUT", "/first/blocks", "comp=blocklist", body=block_list(("Committed", "1"), ("Latest", "2"), ("Latest", "1"))),
    request("block: get again", "GET", "/first/blocks"),
    request("block: commit unknown", "PUT", "/first/blocks", "comp=blocklist", body=block_list(("Latest", "9"))),
    request("block: commit no xml", "PUT", "/first/blocks", "comp=blocklist", body="no xml"),
    request("block: commit nothing", "PUT", "/first/nothing", "comp=blocklist", body=block_list()),
    request("block: commit if none match any", "PUT", "/first/blocks", "comp=blocklist", {"If-None-Match": "*"}, block_list(("Latest", "1"))),
    request("block: commit if match other", "PUT", "/first/blocks", "comp=blocklist", {"If-Match": '"0x8D0000000000000"'}, block_list(("Latest", "1"))),
    request("block: list, which a put has not", "GET", "/first/a", "comp=blocklist&blocklisttype=all"),
]
