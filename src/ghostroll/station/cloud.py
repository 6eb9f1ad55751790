"""The bucket of a station: what belongs in it, under which keys, and by which addresses it is seen."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ghostroll.config import Settings
from ghostroll.config.settings import Originals, PublishOnly, PublishTarget
from ghostroll.library.layout import show_path
from ghostroll.model import Asset, Kind, Source
from ghostroll.publish.gallery import relative_url
from ghostroll.publish.s3.keys import original_key, page_folder, page_key
from ghostroll.publish.s3.place import Place
from ghostroll.state.galleries import PlacedGallery, Signed

if TYPE_CHECKING:
    from ghostroll.publish.s3.bucket import Bucket

_KINDS = {
    Originals.NONE: frozenset[Kind](),
    Originals.RAW: frozenset({Kind.RAW}),
    Originals.ALL: frozenset(Kind),
}


@dataclass(frozen=True, slots=True)
class Aim:
    """Which bucket a configuration means, and which originals it wants there: known without opening it."""

    place: str
    original_kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Link:
    """What leads people to a gallery. `expires` is None where it never ends; `is_assumed`: it may end before."""

    address: str
    expires: datetime | None
    is_assumed: bool = False


class Cloud:
    """One bucket and the rules of the configuration for it."""

    def __init__(self, settings: Settings, bucket: "Bucket") -> None:
        self.bucket = bucket
        publish = settings.publish
        self.place = bucket.place.identity
        self.is_automatic = publish.auto
        self.original_kinds = _KINDS[publish.originals]
        self.aim = Aim(self.place, self.original_kinds)
        self.keep_days = publish.keep_days
        self._only_protected = publish.only is PublishOnly.PROTECTED
        self.viewer_originals = publish.viewer_originals
        self.most_threads = bucket.place.most_threads
        self.is_public = bucket.place.is_public
        self._prefix = publish.s3.prefix

    def shows(self, source: Source) -> bool:
        """Whether people may see a source's picture."""
        return source.protected or not self._only_protected

    def name_folder(self, session: str, token: str) -> str:
        """Where a session's gallery goes. `token` is what nobody can guess."""
        return page_folder(self._prefix, session, token)

    def name_key(self, gallery: PlacedGallery, name: str) -> str:
        """The key of a part of a gallery's page."""
        if gallery.folder is None:
            raise AssertionError("a folder's gallery has no keys")
        return page_key(gallery.folder, name)

    def name_original(self, asset: Asset) -> str:
        """The key of an original, the same whichever of its sources is meant."""
        return original_key(self._prefix, asset.sha256, asset.path)

    def sign_at(self, now: int) -> Signed:
        """A signature of this unix second, living as long as the credentials allow."""
        return Signed(now, max(1, int(self.bucket.tell_lifetime().total_seconds())))

    def tell_link(self, gallery: PlacedGallery, signed: Signed) -> Link:
        """The link to a gallery's page, signed so."""
        key = self.name_key(gallery, "index.html")
        if self.is_public:
            return Link(self.bucket.address(key), None)
        end = datetime.fromtimestamp(signed.end, UTC)
        return Link(self._sign(key, signed), end, self.bucket.lifetime_is_assumed)

    def tell_json_address(self, gallery: PlacedGallery, link: Signed) -> str:
        """The address of gallery.json for the page: it lives as long as the link to the page."""
        if self.is_public:
            return "gallery.json"
        return self._sign(self.name_key(gallery, "gallery.json"), link)

    def tell_address(self, gallery: PlacedGallery, signed: Signed, name: str) -> str:
        """The address of a part of a gallery, for its viewers."""
        if self.is_public:
            return relative_url(name)
        return self._sign(self.name_key(gallery, name), signed)

    def tell_original(self, asset: Asset, path: bytes, signed: Signed) -> str:
        """The address of an original, for viewers that may have it."""
        key = self.name_original(asset)
        if self.is_public:
            return self.bucket.address(key)
        name = show_path(os.path.basename(path))
        return self.bucket.sign(key, at=_moment(signed), seconds=signed.seconds, filename=name)

    def _sign(self, key: str, signed: Signed) -> str:
        return self.bucket.sign(key, at=_moment(signed), seconds=signed.seconds)


def _moment(signed: Signed) -> datetime:
    return datetime.fromtimestamp(signed.at, UTC)


def find_aim(settings: Settings) -> Aim | None:
    """The bucket that the configuration names, if it names one, for who only reads what is known of it."""
    if settings.publish.target is not PublishTarget.S3:
        return None
    return Aim(_find_place(settings).identity, _KINDS[settings.publish.originals])


def open_cloud(settings: Settings) -> Cloud | None:
    """The bucket that the configuration names, if it names one. Nothing is asked of it yet."""
    if settings.publish.target is not PublishTarget.S3:
        return None
    from ghostroll.publish.s3.bucket import Bucket  # noqa: PLC0415  # TLS and the rest, only where there is one

    return Cloud(settings, Bucket(_find_place(settings), now=lambda: datetime.now(UTC)))


def _find_place(settings: Settings) -> Place:
    s3 = settings.publish.s3
    return Place(
        bucket=s3.bucket,
        prefix=s3.prefix,
        region=s3.region,
        endpoint_url=s3.endpoint_url,
        base_url=s3.base_url,
        addressing=s3.addressing,
        bandwidth_mbit=s3.bandwidth_mbit,
        threads=s3.threads,
    )
