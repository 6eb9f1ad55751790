"""Does the top of a volume look like a camera's? Pure, by the names of its folders."""

from collections.abc import Collection

from ghostroll.cards.sight import Listing, Refusal, Why

_SHOWN = 3  # folders that are named in a sentence
_MANY = 5  # folders of somebody's own, from which on it is no card
# What cameras, phones and operating systems make at the top of a card, besides the markers.
_HARMLESS = frozenset({
    "misc", "avf_info", "canonmsc", "eosmisc", "nikon", "sony", "leica", "pentax", "olympus", "ricoh", "fujifilm",
    "gopro", "dji", "android", "lost.dir", "mp_root", "avchd", "bpav", "xdroot", "m4root", "clips", "general",
    "userdata", "take", "sub", "clip", "edit", "$recycle.bin", "system volume information",
})  # fmt: skip
# Two of these: an operating system lives there.
_SYSTEM = frozenset({
    "bin", "boot", "etc", "home", "lib", "proc", "root", "sbin", "usr", "var", "windows", "users", "applications",
    "program files", "programdata",
})  # fmt: skip
# Two of these: somebody's own files. Phones have them too, beside a folder `Android`.
_HOME = frozenset({
    "desktop", "documents", "downloads", "music", "videos", "movies", "dropbox", "onedrive",
    ".cache", ".config", ".local", ".ssh", ".mozilla",
})  # fmt: skip
# One of these is enough: what backup programs make, and nobody else. So is any name that begins with "backup".
_BACKUP = frozenset({"windowsimagebackup", "filehistory", "timeshift", "backintime"})


def judge_listing(listing: Listing, markers: Collection[str], *, allowed: bool) -> Refusal | None:
    """Why a volume with these folders is not a card; None where it is one.

    A backup disk that holds a DCIM folder is none: a library of ours, what a backup program or an operating
    system leaves, somebody's own files, `lost+found` beside folders that no camera makes, or five such folders
    that outnumber the camera's. `allowed` takes everything but a library.
    """
    if listing.library:
        return Refusal(Why.COMPUTER, "it is a library of ghostroll")
    if allowed:
        return None
    known = frozenset(marker.casefold() for marker in markers)
    names = {_show(folder).casefold(): _show(folder) for folder in listing.folders}
    if not known & names.keys():
        return Refusal(Why.NOT_CAMERA, f"no camera folder such as {next(iter(markers))} on it")
    telling = _find_computer(names, known)
    if not telling:
        return None
    more = " …" if len(telling) > _SHOWN else ""
    return Refusal(
        Why.COMPUTER,
        f"a backup disk? It holds a camera folder, but also {', '.join(telling[:_SHOWN])}{more}:"
        " if it is a card, add its label or UUID to cards.allow",
    )


def _find_computer(names: dict[str, str], markers: frozenset[str]) -> list[str]:
    """The folders that give a computer's disk away; none on a card."""
    phone = "android" in names
    backups = _BACKUP | {name for name in names if name.startswith("backup")}
    for folders, enough in ((backups, 1), (_SYSTEM, 2), (_HOME, 2)):
        found = sorted(names[name] for name in names.keys() & folders)
        if len(found) >= enough and not (phone and folders is _HOME):
            return found
    cameras = names.keys() & (markers | _HARMLESS)
    own = sorted(
        shown for name, shown in names.items() if name not in cameras and not name.startswith((".", "found."))
    )
    if "lost+found" in names and own != ["lost+found"]:
        return own
    return own if not phone and len(own) >= _MANY and len(own) > len(cameras) else []


def _show(name: bytes) -> str:
    """A folder's name for a sentence: hostile, so cut, and without anything that steers a terminal."""
    text = name.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)[:40]
