"""How each filesystem is mounted, in one table: nothing here may ever write to a card."""

from dataclasses import dataclass

CAMERA_FILESYSTEMS = frozenset({"vfat", "exfat"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """Options for mount(2), comma-separated. `bare` is the least that may be left of them on EINVAL.

    `{uid}` and `{gid}` stand for those of the user who reads cards. `has_owners`: its files belong to whom
    they like.
    """

    options: str
    bare: str = ""
    has_owners: bool = False


# FAT and exFAT have no owners: everything belongs to the reading user, and to nobody else. The owner's write
# bit stays: a file without it is one that was locked in the camera, and on a read-only mount it allows nothing.
_OWNED = "uid={uid},gid={gid},fmask=0177,dmask=0277"
# Without noload the kernel replays the journal, also on a read-only mount, and that writes (ext4(5)).
_EXT = Recipe("noload", bare="noload", has_owners=True)

RECIPES = {
    "vfat": Recipe(f"utf8=1,shortname=mixed,tz=UTC,{_OWNED}"),
    "exfat": Recipe(f"iocharset=utf8,{_OWNED}"),
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
}

# Which driver mounts it, where that is not the one of its name.
DRIVERS = {"ext2": "ext4", "ext3": "ext4"}


def list_options(filesystem: str, uid: int, gid: int) -> tuple[str, str]:
    """The options to try first and, on EINVAL, after that. Raises KeyError for what can't be mounted."""
    recipe = RECIPES[filesystem]
    return recipe.options.format(uid=uid, gid=gid), recipe.bare.format(uid=uid, gid=gid)
