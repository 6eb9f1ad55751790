"""The gallery of a card whose every name wants to be a program, ingested as by a person, in a real browser."""

import json
from pathlib import Path

import pytest
from browser.looking import (
    ask_page,
    open_tile,
    press,
    read_complaints,
    read_requests,
    text_of,
    tile_names,
    wait_until,
)
from hostile_names import NAMES, fill_card, show
from running import environment, run_command
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

ALL_LOADED = "[...document.querySelectorAll('.tile img')].every((image) => image.naturalWidth > 0)"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """The folder that the card's pictures were published to."""
    run = run_command(
        environment(tmp_path, tmp_path / "library"), "ingest", fill_card(tmp_path / "card"), "--json"
    )
    assert run.code == 3, run.err
    return Path(run.document["session_dir"])


def test_no_name_of_a_card_is_obeyed(browser: Chrome, session: Path) -> None:
    """Every picture is shown under its name and every failure is named, no script runs, and nobody else is asked for anything."""
    browser.get((session / "index.html").as_uri())
    wait_until(browser, ALL_LOADED)
    shown = set(map(show, NAMES))
    assert set(tile_names(browser)) <= shown
    failed = ask_page(
        browser, "[...document.querySelectorAll('#failed bdi')].map((text) => text.textContent)"
    )
    assert {text.rpartition("/")[2] for text in failed[::2]} == shown
    open_tile(browser, 0)
    seen = set()
    for _ in NAMES:
        seen.add(text_of(browser, "#picture-name"))
        press(browser, Keys.ARROW_RIGHT)
    assert seen == shown
    assert ask_page(browser, "window.hurt") is None
    assert read_complaints(browser) == []
    inside = session.as_uri() + "/"
    assert [address for address in read_requests(browser) if not address.startswith((inside, "data:"))] == []
    assert json.loads((session / "gallery.json").read_bytes())["total"] == len(NAMES)
