"""Signed requests to a blob endpoint with the standard library alone, for what no SDK sends and for great numbers of them."""

import base64
import hashlib
import hmac
import http.client
import urllib.parse
from email.utils import formatdate

# The public account of Microsoft's emulators.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
REST_VERSION = "2026-04-06"


class Wire:
    """One connection for one thread."""

    def __init__(self, blob_url, key=KEY):
        parts = urllib.parse.urlsplit(blob_url)
        self.host, self.port, self.root = parts.hostname, parts.port, parts.path.rstrip("/")
        self.key = base64.b64decode(key)
        self.connection = http.client.HTTPConnection(self.host, self.port, timeout=60)

    def target(self, path, query):
        target = self.root + urllib.parse.quote(path)
        return target + ("?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote) if query else "")

    def send(self, method, path, query=(), headers=None, body=b"", signed=True, date=None):
        """Sends one request; gives status, headers in lower case, and body."""
        query = dict(query)
        headers = {"x-ms-version": REST_VERSION, "x-ms-date": date or formatdate(usegmt=True)} | (headers or {})
        headers = {name: value for name, value in headers.items() if value is not None}
        if body or method == "PUT":
            headers["Content-Length"] = str(len(body))
        if signed:
            text = string_to_sign(method, self.root + urllib.parse.quote(path), query, headers)
            signature = base64.b64encode(hmac.digest(self.key, text.encode(), hashlib.sha256)).decode()
            headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        try:
            self.connection.request(method, self.target(path, query), body or None, headers)
            answer = self.connection.getresponse()
        except (http.client.HTTPException, OSError):
            # A server may have closed an idle connection.
            self.connection.close()
            self.connection.request(method, self.target(path, query), body or None, headers)
            answer = self.connection.getresponse()
        content = answer.read()
        return answer.status, {lower(name): value for name, value in answer.getheaders()}, content


METADATA = "x-ms-meta-"


def lower(name):
    """A header's name in lower case, but for the name of metadata, whose case may matter."""
    small = name.lower()
    return METADATA + name[len(METADATA) :] if small.startswith(METADATA) else small


SIGNED = [
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
]  # fmt: skip


def string_to_sign(method, path, query, headers):
    """The text of "Authorize with Shared Key" in the Azure Storage REST reference."""
    lower = {name.lower(): str(value).strip() for name, value in headers.items()}
    lines = [method]
    for name in SIGNED:
        value = lower.get(name, "")
        if name == "content-length" and value == "0" or name == "date" and "x-ms-date" in lower:
            value = ""
        lines.append(value)
    lines += [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")]
    lines.append(f"/{ACCOUNT}{path}")
    lines += [f"{name.lower()}:{query[name]}" for name in sorted(query, key=str.lower)]
    return "\n".join(lines)
