"""A session's records: whatever number of rows is read at once, they say the same."""

import json
import subprocess
from pathlib import Path

import pytest
from crash_card import make_crash_card
from promises import hash_tree

from ghostroll.cli.opening import open_station
from ghostroll.config import Library as LibrarySettings
from ghostroll.config import Settings
from ghostroll.model import Publication
from ghostroll.station import review
from ghostroll.station.witness import Witness


@pytest.mark.parametrize("page", [1, 2])
def test_records_read_a_few_rows_at_a_time(
    page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifest and checksums hold every file, in the same order, where a card is many pages of rows."""
    card = make_crash_card(tmp_path)
    settings = Settings(library=LibrarySettings(path=tmp_path / "library", keep_free_mib=1))
    with open_station(settings, "test", quiet=True, witness=Witness(None)) as station:
        station.start()
        slot = station.admit(bytes(card))

        def is_complete() -> bool:
            job = station.get_job(slot.job)
            return job is not None and job.publication is Publication.COMPLETE

        assert station.wait(is_complete, 60), "it never was complete"
        job = station.get_job(slot.job)
        assert job is not None
        (folder,) = settings.library.path.glob("2*")
        whole = {name: (folder / name).read_bytes() for name in ("manifest.json", "SHA256SUMS")}
        monkeypatch.setattr(review, "_PAGE", page)
        review.write_records(station.wiring, job.session_id)
        for name, content in whole.items():
            assert (folder / name).read_bytes() == content
    (told,) = json.loads(whole["manifest.json"])["jobs"]
    assert {source["path"].encode() for source in told["sources"]} == hash_tree(card).keys()
    assert any("picture" in source for source in told["sources"])
    assert len(whole["SHA256SUMS"].splitlines()) == len(set(hash_tree(card).values())) > 2
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
