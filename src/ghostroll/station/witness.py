"""A memory outside the library of which library was where, so that an empty mount point is not taken for a new one."""

import contextlib
import json
import os
from dataclasses import dataclass

from ghostroll.disk import make_folder, replace_file


@dataclass(frozen=True, slots=True)
class Witness:
    """`file` maps library folders to library ids; None remembers nothing."""

    file: str | None

    def recall(self, library: bytes) -> str | None:
        """The id of the library that was last used at this folder. Raises OSError where the file can't be read.

        A file that is not this user's to read is no memory of theirs.
        """
        with contextlib.suppress(PermissionError):
            return self._load().get(_key(library))
        return None

    def remember(self, library: bytes, library_id: str) -> None:
        """Keep in mind that this library is at this folder; durable on return. Raises OSError."""
        known = self._load()
        if self.file is None or known.get(_key(library)) == library_id:
            return
        known[_key(library)] = library_id
        make_folder(os.path.dirname(self.file))
        replace_file(self.file, json.dumps(known, indent=1).encode("ascii"))

    def _load(self) -> dict[str, str]:
        if self.file is not None:
            with (
                contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError),
                open(self.file, encoding="ascii") as file,
            ):
                known = json.load(file)
                if isinstance(known, dict):
                    return {str(key): str(value) for key, value in known.items()}
        return {}


def _key(library: bytes) -> str:
    return (
        os.fsdecode(os.path.realpath(library)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
