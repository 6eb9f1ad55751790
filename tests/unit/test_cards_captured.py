"""Cards come and go in every way that a real kernel showed: captured events, also late and lost ones."""

from collections.abc import Iterator

import pytest
from replaying import Event, Model, Watch, describe, find_capture, parse_events, parse_listing

# What happens in each capture, as a station hears it.
STORIES = {
    "usb-vfat.txt": ["arrived sdc1 13", "left sdc1 13"],
    "usb-exfat.txt": ["arrived sdc1 14", "left sdc1 14"],
    "usb-superfloppy.txt": ["arrived sdc 15", "left sdc 15"],
    "reader-media-change.txt": [
        "arrived sda1 16",
        "left sda1 16",
        "arrived sda1 18",
        "left sda1 18",
        "arrived sda 20",
        "left sda 20",
    ],
    "sd-host.txt": ["arrived mmcblk0p1 14", "left mmcblk0p1 14", "arrived mmcblk0p1 15", "left mmcblk0p1 15"],
}


def start(name: str) -> tuple[Model, list[Event]]:
    """A machine as it was when a capture began, and what happened then."""
    events = list(parse_events(find_capture(name)))
    model = Model()
    if name == "reader-media-change.txt":  # the reader stands there, empty
        first = events[0].properties
        standing = {key: first[key] for key in ("DEVPATH", "DEVNAME", "DEVTYPE", "MAJOR", "MINOR")}
        model.add({**standing, "DISKSEQ": "15"})
        model.empty.add(first["DEVPATH"])
    return model, events


def steps_of(events: list[Event]) -> Iterator[list[Event]]:
    """The events of each thing that a person did."""
    for step in dict.fromkeys(event.step for event in events):
        yield [event for event in events if event.step == step]


@pytest.mark.parametrize("name", STORIES)
def test_every_way_in_and_out(name: str) -> None:
    """Looking after every single event, each card arrives once and leaves once, whatever the way."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    for event in events:
        model.apply(event)
        watch.look()
        if event.source == "UDEV":
            model.mount_all()
            watch.look()
    assert watch.told == STORIES[name]


@pytest.mark.parametrize("name", STORIES)
def test_events_that_are_missed_cost_only_time(name: str) -> None:
    """One look at the end of each step tells the same story as a look after each event."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    for step in steps_of(events):
        for event in step:
            model.apply(event)
        model.mount_all()
        watch.look(after=0)
        watch.look()
    assert watch.told == STORIES[name]


@pytest.mark.parametrize("name", STORIES)
def test_nothing_is_told_before_udev_is_done(name: str) -> None:
    """While only the kernel knows of a medium, nobody says a word about it."""
    model, events = start(name)
    watch = Watch(model)
    watch.look()
    inserted = list(steps_of(events))[1 if name == "sd-host.txt" else 0]
    for event in inserted:
        if event.source == "KERNEL":
            model.apply(event)
            watch.look()
    assert model.kernel
    assert watch.told == []


def test_a_card_that_was_there_before() -> None:
    """Cards that are in before the first look arrive with it, without a debounce, in a reader and in a slot."""
    model = Model()
    for properties in parse_listing(find_capture("present-at-boot.txt"))[:4]:
        model.add(properties)
    model.mount_all()
    watch = Watch(model)
    assert describe(watch.look()) == ["arrived sdc1 14", "arrived mmcblk0p1 11"]
