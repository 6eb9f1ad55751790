"""Healing: a damaged or missing original comes back from the bucket, if that has the very bytes."""

import sqlite3
from collections.abc import Callable

from ghostroll.errors import ClockUnset, GhostrollError, Stopped, TargetRefused, TargetUnreachable, UsageError
from ghostroll.faults import crash_point
from ghostroll.library.healing import heal_file
from ghostroll.model import Asset
from ghostroll.state import assets
from ghostroll.state import pictures as picture_rows
from ghostroll.station.copy import forget_picture, want_renders
from ghostroll.station.galleries import want_original
from ghostroll.station.review import write_records
from ghostroll.station.wiring import Wiring

_NO_BUCKET = (
    'there is no bucket to heal from, because publish.target is "folder": put the card in again, and what is'
    " damaged or missing is copied anew"
)


class Healing:
    """Heals one file after the other, until the bucket can't be used: then nobody waits for it again."""

    def __init__(self, wiring: Wiring, check: Callable[[int], None]) -> None:
        """Raises UsageError where there is no bucket."""
        if wiring.cloud is None:
            raise UsageError(_NO_BUCKET)
        self._wiring, self._cloud, self._check = wiring, wiring.cloud, check
        self.trouble: GhostrollError | None = None

    def heal(self, asset: Asset) -> str | None:
        """Bring an asset's bytes back; None where that is done, else why not.

        On return they are in place, durable and recorded, or nothing has changed. Raises Stopped.
        """
        if self.trouble is not None:
            return str(self.trouble)
        wiring, cloud = self._wiring, self._cloud

        def fetch(sink: Callable[[memoryview], None]) -> None:
            key = cloud.name_original(asset)
            cloud.bucket.fetch(key, asset.size, sink, check=lambda: self._check(0))

        try:
            with wiring.library.enter() as root:
                heal_file(
                    root,
                    wiring.folders,
                    asset,
                    fetch,
                    now=wiring.now_seconds(),
                    keep_free=wiring.settings.library.keep_free_mib << 20,
                    check=self._check,
                )
        except (TargetUnreachable, TargetRefused, ClockUnset) as error:
            self.trouble = error
            return str(error)
        except Stopped:
            raise
        except GhostrollError as error:
            return str(error)
        with wiring.database.write() as db:
            self._record(db, asset)
        crash_point("heal.recorded")
        write_records(wiring, asset.session_id)
        return None

    def _record(self, db: sqlite3.Connection, asset: Asset) -> None:
        """It is believed again; what could not be made or sent of it is wanted again."""
        assets.set_verified(db, asset.id, self._wiring.now_seconds())
        for source in assets.list_stored_as(db, asset.id):
            if picture_rows.has_failed_picture(db, source.id):
                forget_picture(db, source)
                want_renders(db, source)
            want_original(self._wiring, db, source)
