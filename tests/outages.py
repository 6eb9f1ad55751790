"""What may be wrong between a station and its bucket, each as it can be switched on and off, in front of a real store."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clouds import check_gallery, count_stored, find_original_key, find_page, read_gallery
from commanding import Person, make_person
from mischief import (
    ACCESS_DENIED,
    CLOCK_SKEWED,
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    INVALID_KEY_ID,
    QUOTA_EXCEEDED,
    SLOW_DOWN,
    Mischief,
    Refusal,
    open_mischief,
)
from running import need_tools
from stores import Store
from wires import Wire, open_wire

from ghostroll.model import Cause

OUT_OF_STORAGE = Refusal(507, "InsufficientStorage", "There is no space left.")
_SECRETS = ("X-Amz-", "Signature=", "Credential=")
_NO_NETWORK = ("unshare", "--net")
# Names are looked up in a file of the test's own, and asked of nobody: port 53 of this machine refuses.
_OWN_NAMES = """
mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"
"""


@dataclass
class Scene:
    """Somebody whose bucket is behind a wire and a proxy; `store` reaches it directly, `keys` are the credentials."""

    person: Person
    store: Store
    wire: Wire
    proxy: Mischief
    keys: Path

    @property
    def hosts(self) -> Path:
        """Where names are looked up, after `name_host`."""
        return self.person.home / "hosts"

    def give_keys(self, secret: str | None = None) -> None:
        """The right credentials, or the right name with another secret."""
        environ = self.store.environ
        lines = [
            "[default]",
            f"aws_access_key_id = {environ['AWS_ACCESS_KEY_ID']}",
            f"aws_secret_access_key = {secret or environ['AWS_SECRET_ACCESS_KEY']}",
        ]
        self.keys.write_text("\n".join(lines) + "\n")

    def name_host(self) -> tuple[str, ...]:
        """The store gets a name, which nobody knows yet; what a command is started by so that it may get known."""
        need_tools(unshare="util-linux", mount="mount")
        self.hosts.write_text("127.0.0.1 localhost\n")
        resolver = self.person.home / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        endpoint = f"http://store.invalid:{self.wire.port}"
        self.person.env["GHOSTROLL_PUBLISH__S3__ENDPOINT_URL"] = endpoint
        self.person.env["NO_PROXY"] = self.person.env["no_proxy"] = "store.invalid"
        own = ("--map-root-user",) if os.geteuid() else ()
        return (
            *("unshare", "--mount", *own, "sh", "-c", _OWN_NAMES, "sh"),
            *(str(self.hosts), str(resolver)),
        )

    def check_copied(self) -> None:
        """Every file of the card is in the library, byte for byte."""
        library = {
            path.read_bytes() for path in self.person.library.glob("*/originals/**/*") if path.is_file()
        }
        assert {path.read_bytes() for path in self.person.card.rglob("*") if path.is_file()} == library

    def check_whole(self, *, once: bool = True) -> None:
        """Everything is in the bucket; every picture and original came there `once`."""
        if self.hosts.exists():  # nobody else knows the name in its addresses
            assert read_gallery(self.store)["state"] == "complete"
        else:
            check_gallery(self.store, self.person.find_session())
        page = find_page(self.store)
        keys = set(self.store.list_keys())
        originals = {find_original_key(path) for path in self.person.card.rglob("*") if path.is_file()}
        parts = {f"{page}/{name}" for name in ("index.html", "gallery.json", "share.zip")}
        pictures = {key for key in keys if "/share/" in key or "/thumbs/" in key}
        assert keys == originals | parts | pictures
        if once:
            assert {count_stored(self.proxy, key) for key in originals | pictures} == {1}

    def tell_format(self) -> str:
        """What is said of the originals in the end: rclone's checksums prove nothing."""
        return "not confirmed by checksum" if self.store.name == "rclone" else "safe to format"

    def check_secrets(self, *texts: str) -> None:
        """No key, no link and no signature stands in what was said."""
        environ = self.store.environ
        for secret in (environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], *_SECRETS):
            for text in texts:
                assert secret not in text


@contextlib.contextmanager
def open_scene(place: Path, store: Store, **more: str) -> Iterator[Scene]:
    """Somebody with a card of five files, whose originals go to the bucket too; nothing is wrong yet."""
    place.mkdir(exist_ok=True)
    with open_mischief(store.address) as proxy, open_wire(_address(proxy.endpoint)) as wire:
        person = make_person(place)
        keys = place / "credentials"
        person.env |= store.at(wire.endpoint).settings
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del person.env[name]
        person.env |= {
            "AWS_SHARED_CREDENTIALS_FILE": str(keys),
            "GHOSTROLL_PUBLISH__ORIGINALS": "all",
            "GHOSTROLL_RENDER__WORKERS": "1",
            **more,
        }
        scene = Scene(person, store, wire, proxy, keys)
        scene.give_keys()
        yield scene


def _address(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.removeprefix("http://").split(":")
    return host, int(port)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong. `begin` returns what commands are started by; `says` is how a person hears of it."""

    name: str
    cause: Cause
    says: str
    remedy: str
    begin: Callable[[Scene], tuple[str, ...]]
    end: Callable[[Scene], None]
    store: str = "moto"

    def __str__(self) -> str:
        return self.name


_GOES_ON = "by themselves"


def _wired(name: str, says: str, strike: Callable[[Wire], None]) -> Trouble:
    def begin(scene: Scene) -> tuple[str, ...]:
        strike(scene.wire)
        return ()

    return Trouble(name, Cause.NETWORK_DOWN, says, _GOES_ON, begin, lambda scene: scene.wire.mend())


def _answered(name: str, cause: Cause, says: str, remedy: str, refusal: Refusal) -> Trouble:
    def begin(scene: Scene) -> tuple[str, ...]:
        scene.proxy.refuse(refusal)
        return ()

    return Trouble(name, cause, says, remedy, begin, lambda scene: scene.proxy.relent())


def _lose_keys(scene: Scene) -> tuple[str, ...]:
    scene.keys.write_text("")
    return ()


def _mix_up_keys(scene: Scene) -> tuple[str, ...]:
    scene.give_keys("another-secret-than-the-store-knows-0000")
    return ()


def _lose_bucket(scene: Scene) -> tuple[str, ...]:
    scene.store.client().delete_bucket(Bucket=scene.store.bucket)
    return ()


def _make_bucket(scene: Scene) -> None:
    scene.store.client().create_bucket(
        Bucket=scene.store.bucket, CreateBucketConfiguration={"LocationConstraint": scene.store.region}
    )


def _learn_name(scene: Scene) -> None:
    with scene.hosts.open("a") as hosts:
        hosts.write("127.0.0.1 store.invalid\n")


REFUSED = _wired("refused", "refuses connections", lambda wire: wire.refuse())
VANISHED = _wired("vanished", "does not answer in time", lambda wire: wire.vanish())
STALLED = _wired("stalled", "does not answer in time", lambda wire: wire.stall_after(0, "down"))
STALLED_BODY = _wired("stalled-body", "does not answer in time", lambda wire: wire.stall_after(3000))
NO_NAME = Trouble(  # moto takes a name for a bucket's
    "no-name",
    Cause.NETWORK_DOWN,
    "can't be resolved",
    _GOES_ON,
    lambda scene: scene.name_host(),
    _learn_name,
    "rclone",
)
NETWORK = (
    REFUSED,
    _wired("reset", "was cut", lambda wire: wire.reset_after(3000)),
    _wired("closed", "was cut", lambda wire: wire.close_after(3000)),
    _answered("broken", Cause.NETWORK_DOWN, "a fault of its own (InternalError)", _GOES_ON, INTERNAL_ERROR),
    _answered("slow-down", Cause.NETWORK_DOWN, "asks for fewer requests", _GOES_ON, SLOW_DOWN),
    NO_NAME,
)
REFUSALS = (
    _answered("expired", Cause.TARGET, "have expired", "give working ones in", EXPIRED_TOKEN),
    _answered("wrong-key", Cause.TARGET, "are wrong (InvalidAccessKeyId)", "give working ones in", INVALID_KEY_ID),
    Trouble(
        "wrong-secret", Cause.TARGET, "are wrong (SignatureDoesNotMatch)", "give working ones in",
        _mix_up_keys, lambda scene: scene.give_keys(), "rclone",
    ),
    Trouble(
        "no-keys", Cause.TARGET, "There are no credentials", "give working ones in",
        _lose_keys, lambda scene: scene.give_keys(),
    ),
    Trouble("no-bucket", Cause.TARGET, "There is no bucket", "make it, or correct", _lose_bucket, _make_bucket),
    _answered("denied", Cause.TARGET, "may not be written to", "permissions in docs/s3.md", ACCESS_DENIED),
    _answered("clock", Cause.CLOCK_UNSET, "The clock of this machine is wrong", "timedatectl", CLOCK_SKEWED),
    _answered("quota", Cause.TARGET, "its quota is used up", "make room or raise the quota", QUOTA_EXCEEDED),
    _answered("storage", Cause.TARGET, "its quota is used up", "make room or raise the quota", OUT_OF_STORAGE),
)  # fmt: skip


def cut_off(scene: Scene) -> tuple[str, ...]:
    """What a command is started by so that it has no network at all; nothing routes from it to the store."""
    del scene
    need_tools(unshare="util-linux")
    return (*_NO_NETWORK, *(("--map-root-user",) if os.geteuid() else ()))


NO_NETWORK = Trouble(
    "no-network", Cause.NETWORK_DOWN, "There is no network", _GOES_ON, cut_off, lambda _: None
)


def open_for(
    trouble: Trouble, place: Path, stores: Callable[[str], Store]
) -> contextlib.AbstractContextManager[Scene]:
    """A scene at the store that a trouble needs, in a bucket of its own."""
    return open_scene(place, stores(trouble.store))
