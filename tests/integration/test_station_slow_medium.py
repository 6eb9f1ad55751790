"""A medium that takes long to sync: nobody waits for one sync after the other where both can go on at once."""

import os
import threading
from pathlib import Path

import pytest
from commanding import make_person
from promises import check_finished

from ghostroll.cli.opening import open_station
from ghostroll.config import Library, Render, Settings
from ghostroll.station.witness import Witness

PATIENCE = 10.0  # seconds until a sync has waited in vain


def test_both_files_of_a_picture_are_synced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sync of one begins while that of the other goes on, picture after picture."""
    person = make_person(tmp_path)
    together = threading.Barrier(2)
    sync, met = os.fdatasync, []

    def meet(descriptor: int) -> None:
        folder = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).partition("-")[0]
        if folder in ("share", "thumbs"):
            together.wait(PATIENCE)
            met.append(folder)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", meet)
    settings = Settings(library=Library(path=person.library, keep_free_mib=1), render=Render(workers=1))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        station.start()
        station.admit(os.fsencode(person.card))
        assert station.wait(station.is_quiet, 6 * PATIENCE)
    assert sorted(met) == ["share"] * 3 + ["thumbs"] * 3
    check_finished(person.library, person.card)
