"""Names of objects in the bucket, and the headers they are served with: pure."""

import gzip
import re
from dataclasses import dataclass
from urllib.parse import quote

from ghostroll.model import Sha256

_WEEK = 7 * 24 * 3600  # seconds: what a presigned address lives at most
_YEAR = 365 * 24 * 3600
_EXT_CHARACTERS = 8
_NAME_CHARACTERS = 150
_NOT_EXT = re.compile("[^a-z0-9]+")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
# What a quoted-string of RFC 9110 holds without an escape that some browser reads wrongly (RFC 6266, appendix D).
_NOT_PLAIN = re.compile(r"[^ !#$&-\[\]^-~]|%")
_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 5987 attr-char beside letters and digits

# Registered types (IANA) where there is one; for RAW files the names that libraries agree on.
_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "jpe": "image/jpeg", "png": "image/png", "webp": "image/webp",
    "tif": "image/tiff", "tiff": "image/tiff", "heic": "image/heic", "heif": "image/heif", "hif": "image/heif",
    "avif": "image/avif", "gif": "image/gif", "dng": "image/x-adobe-dng", "cr2": "image/x-canon-cr2",
    "cr3": "image/x-canon-cr3", "crw": "image/x-canon-crw", "nef": "image/x-nikon-nef", "nrw": "image/x-nikon-nrw",
    "arw": "image/x-sony-arw", "sr2": "image/x-sony-sr2", "srf": "image/x-sony-srf", "raf": "image/x-fuji-raf",
    "orf": "image/x-olympus-orf", "rw2": "image/x-panasonic-rw2", "pef": "image/x-pentax-pef",
    "srw": "image/x-samsung-srw", "3fr": "image/x-hasselblad-3fr", "iiq": "image/x-phaseone-iiq",
    "mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "avi": "video/x-msvideo", "mts": "video/mp2t",
    "m2ts": "video/mp2t", "mxf": "application/mxf", "wav": "audio/wav", "mp3": "audio/mpeg", "xmp": "application/rdf+xml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Headers:
    """What a browser is told about an object. None leaves a header out."""

    content_type: str
    cache_control: str
    content_disposition: str | None = None
    content_encoding: str | None = None


def page_folder(prefix: str, session: str, token: str) -> str:
    """The folder of one session's gallery, `<prefix>/sessions/<session>-<token>`, without a slash at its end."""
    return _join(prefix, "sessions", f"{session}-{token}")


def page_key(folder: str, name: str) -> str:
    """A part of a gallery: `index.html`, `gallery.json`, `share/NAME`, `thumbs/NAME`, `share.zip`."""
    return f"{folder}/{name}"


def original_key(prefix: str, sha256: Sha256, name: bytes | str) -> str:
    """`<prefix>/originals/<ab>/<sha256>.<ext>`: one content has one key, whoever stores it.

    The extension is the camera's, in lower case, [a-z0-9], 8 characters at most; none where there is none.
    """
    digest = sha256.hex()
    ext = _extension(name)
    return _join(prefix, "originals", digest[:2], f"{digest}.{ext}" if ext else digest)


def rendition_headers(*, public: bool) -> Headers:
    """Of a share or thumb picture: its name tells its content, so that a browser never asks for it again."""
    return Headers("image/jpeg", f"{_scope(public=public)}, max-age={_WEEK}, immutable")


def page_headers(*, public: bool) -> Headers:
    """Of `index.html`, packed by `pack_text`: asked for again each time."""
    return Headers("text/html; charset=utf-8", f"{_scope(public=public)}, no-cache", content_encoding="gzip")


def gallery_headers(*, public: bool) -> Headers:
    """Of `gallery.json`, packed by `pack_text`; a poll mostly ends in 304."""
    return Headers("application/json", f"{_scope(public=public)}, no-cache", content_encoding="gzip")


def pack_text(content: bytes) -> bytes:
    """`gallery.json` or `index.html` gzipped; the same content gives the same bytes, so that an unchanged one keeps its ETag."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def original_headers(name: bytes | str, *, public: bool) -> Headers:
    """Of an original: a download under the name that the camera gave it."""
    return Headers(
        _TYPES.get(_extension(name), "application/octet-stream"),
        f"{_scope(public=public)}, max-age={_YEAR}, immutable",
        attachment(name),
    )


def archive_headers(name: str, *, public: bool) -> Headers:
    """Of `share.zip`, which is made anew when more pictures come: a download under `name`."""
    return Headers("application/zip", f"{_scope(public=public)}, no-cache", attachment(name))


def attachment(name: bytes | str) -> str:
    """A Content-Disposition that stores a download under this name (RFC 6266, with RFC 5987 beyond ASCII).

    Hostile names lose their folders, controls and quotes; what is not UTF-8 becomes U+FFFD. ASCII only.
    """
    text = (
        name.decode("utf-8", "replace")
        if isinstance(name, bytes)
        else name.encode("utf-8", "replace").decode()
    )
    text = _CONTROLS.sub("", re.split(r"[/\\]", text)[-1]).strip(" .")[-_NAME_CHARACTERS:] or "download"
    plain = _NOT_PLAIN.sub("_", text)
    if plain == text:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(text, safe=_ATTR_CHARS)}"


def _extension(name: bytes | str) -> str:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    stem, dot, ext = text.replace("\\", "/").rpartition("/")[2].rpartition(".")
    return _NOT_EXT.sub("", ext.lower())[:_EXT_CHARACTERS] if dot and stem else ""


def _scope(*, public: bool) -> str:
    return "public" if public else "private"


def _join(*parts: str) -> str:
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
