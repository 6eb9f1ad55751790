"""Gallery pages in a private bucket of a real store, behind a front that sees and can refuse every request."""

import gzip
import http.client
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from browser.albums import Album
from stores import Store

from ghostroll.model import Gallery, GalleryItem, Publication
from ghostroll.publish.gallery import build_gallery_json, order_items, render_index

PLACE = "sessions/2026-11-22_143015-EOS_DIGITAL-k3f7-Zk3u9vS0m2QxY7bW1cR4tA/"
JPEG = {"ContentType": "image/jpeg", "CacheControl": "private, max-age=604800, immutable"}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}

Refusal = tuple[int, str]  # status and body


class Front:
    """A reverse proxy on 127.0.0.1: it keeps what was asked, and answers itself where it is told to."""

    def __init__(self, store: tuple[str, int]) -> None:
        front = self
        self.asked: list[str] = []  # path and query of every GET
        self.refuse: Callable[[str], Refusal | None] = lambda _: None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                front.asked.append(self.path)
                if refusal := front.refuse(self.path):
                    return self.answer(refusal[0], [("Content-Type", "application/xml")], refusal[1].encode())
                with closing(http.client.HTTPConnection(*store, timeout=30)) as connection:
                    connection.putrequest("GET", self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():  # Host too: it is signed
                        connection.putheader(name, value)
                    connection.endheaders()
                    got = connection.getresponse()
                    return self.answer(got.status, got.getheaders(), got.read())

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in {*_HOP_BY_HOP, "content-length", "date", "server"}:
                        self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serve = {"poll_interval": 0.02}
        self._thread = threading.Thread(target=self._server.serve_forever, name="front", kwargs=serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, part: str) -> int:
        """How many GETs had this in their path."""
        return sum(part in unquote(urlsplit(path).path) for path in self.asked)


@dataclass
class BucketPages:
    """An album published into a bucket, as a station does it: each address signed once and kept."""

    store: Store
    album: Album
    endpoint: str  # as the browser reaches it
    seconds: int = 3600
    originals: bool = False
    archive_bytes: int = 0
    more_query: str = ""  # stands in every address of a picture, where a session token would
    _signed: dict[str, str] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._client = self.store.client()
        self._signer = self.store.at(self.endpoint).client()

    def open_page(self, seconds: int | None = None) -> str:
        """Upload `index.html`; its link."""
        page = render_index(self._gallery(Publication.LIVE, 0), self._make_link("gallery.json", seconds))
        self.put("index.html", page, ContentType="text/html; charset=utf-8", CacheControl="private, no-cache")
        return self._make_link("index.html", seconds)

    def publish(self, state: Publication = Publication.COMPLETE, total: int | None = None) -> None:
        """Upload the renditions that aren't there yet, then `gallery.json`, gzipped."""
        for item in self.album.items:
            self._put_pictures(item)
        self.publish_list(state, total)

    def publish_list(self, state: Publication = Publication.COMPLETE, total: int | None = None) -> None:
        """Upload `gallery.json` alone, gzipped."""
        content = build_gallery_json(self._gallery(state, total or len(self.album.items)))
        headers = {"ContentType": "application/json", "ContentEncoding": "gzip"}
        self.put("gallery.json", gzip.compress(content, mtime=0), CacheControl="private, no-cache", **headers)

    def put_archive(self, content: bytes) -> None:
        """Upload `share.zip`; from the next publishing on it is offered."""
        self.put("share.zip", content, ContentType="application/zip", ContentDisposition="attachment")
        self.archive_bytes = len(content)

    def put(self, name: str, content: bytes, **headers: str) -> None:
        """Upload one object of the session."""
        self._client.put_object(Bucket=self.store.bucket, Key=PLACE + name, Body=content, **headers)

    def renew(self) -> None:
        """Sign every address anew from now on."""
        self._signed.clear()
        self.seconds += 1  # else, within one second, it is the same signature

    def sign(self, key: str) -> str:
        """The presigned address of an object."""
        if key not in self._signed:
            self._signed[key] = self._presign(key, self.seconds) + self.more_query
        return self._signed[key]

    def _make_link(self, name: str, seconds: int | None) -> str:
        return self._presign(PLACE + name, seconds or self.seconds)

    def _presign(self, key: str, seconds: int) -> str:
        which = {"Bucket": self.store.bucket, "Key": key}
        signed: Any = self._signer.generate_presigned_url("get_object", Params=which, ExpiresIn=seconds)
        return str(signed)

    def _gallery(self, state: Publication, total: int) -> Gallery:
        items = order_items(map(self._address, self.album.items))
        archive = self.sign(PLACE + "share.zip") if self.archive_bytes else None
        failed = tuple(self.album.failed)
        return Gallery(self.album.session, state, total, items, failed, archive, self.archive_bytes)

    def _address(self, item: GalleryItem) -> GalleryItem:
        share, thumb = (self.sign(PLACE + unquote(path)) for path in (item.share, item.thumb))
        original = self.sign(_original_key(item)) if self.originals else None
        return replace(item, share=share, thumb=thumb, original=original)

    def _put_pictures(self, item: GalleryItem) -> None:
        for name in {unquote(item.share), unquote(item.thumb)} - self._there:
            self.put(name, (self.album.folder / name).read_bytes(), **JPEG)
            self._there.add(name)
        if self.originals and _original_key(item) not in self._there:
            disposition = f'attachment; filename="{item.name}"'
            self._client.put_object(
                Bucket=self.store.bucket,
                Key=_original_key(item),
                Body=b"the original of " + item.name.encode(),
                ContentType="application/octet-stream",
                ContentDisposition=disposition,
            )
            self._there.add(_original_key(item))


def _original_key(item: GalleryItem) -> str:
    return f"originals/ab/{item.name.encode().hex()}.jpg"
