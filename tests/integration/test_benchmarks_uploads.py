"""The benchmarks of the bucket run and say something plausible; how fast anything is, no test decides."""

import subprocess
import sys
from pathlib import Path

import pytest
from figures import BENCHMARKS, figures_of, run_benchmark
from running import need_tools
from stores import find_rclone

MOST_MEGABYTES = 3  # of two photos of one megapixel, their four renditions and a gallery
LINES = ("no delay", "40 ms, 50 Mbit/s", "40 ms, 1 Gbit/s")


def test_uploads_are_measured_beside_others(tmp_path: Path) -> None:
    """Over every line ghostroll, a bare loop and rclone send the same files, and each has its speed and its cost."""
    find_rclone()
    document = run_benchmark("uploads.py", tmp_path, rounds=1, files=20, threads=1)
    figures = figures_of(document)
    for line in LINES:
        for other in ("a bare boto3 loop", "rclone copy", "rclone copy, tuned"):
            speed = figures[f"{line}, 1 at once: files a second, beside {other}"]
            assert speed["ratio"] == pytest.approx(speed["value"] / speed["floor"], rel=0.01)
            assert min(speed["value"], speed["floor"]) > 0
            assert f"{line}, 1 at once: CPU a file, beside {other}" in figures
    assert figures["CPU seconds of ghostroll with nothing to send"]["value"] > 0
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_first_picture_is_seen_in_a_browser(tmp_path: Path) -> None:
    """A card is ingested into a bucket while Chromium polls its gallery: the link is out before a picture is visible."""
    need_tools(chromium="chromium", chromedriver="chromium-driver")
    find_rclone()
    document = run_benchmark("first_picture.py", tmp_path, photos=2, megapixels=1, megabits=50, rounds=1)
    figures = figures_of(document)
    link = figures["ingest: seconds until the link is out"]["value"]
    assert 0 < link < figures["ingest: seconds until the first picture is visible"]["value"]
    for run in ("ingest", "with originals", "publish"):
        link, last = (
            figures[f"{run}: seconds until {what}"]["value"]
            for what in ("the link is out", "the last picture is in the bucket")
        )
        assert 0 < link < last
        # Not above the line's rate in any moment can't be asked: what was held up is carried all at once.
        line = figures[f"{run}: the line, from the link to the last picture"]
        assert 0 <= line["value"] * (last - link) / 8 < MOST_MEGABYTES
        steady = figures[f"{run}: the line, from the first picture to the last"]
        assert line["floor"] == steady["floor"] == 50
        assert steady["value"] >= 0
        assert 0 <= figures[f"{run}: moments with less than 95 % of the line in use"]["value"] <= 100
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["photos-1mp"]


@pytest.mark.parametrize("name", ["uploads.py", "first_picture.py"])
def test_no_rounds_at_all_are_refused(name: str) -> None:
    """A number that makes no sense is a wrong use, said in a sentence."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, "--rounds=0"], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2
    assert "must be more than 0" in done.stderr
    assert "Traceback" not in done.stderr
