"""From the configuration to the rules that detection sees by."""

from pathlib import Path

from ghostroll.cards.sight import CardRules
from ghostroll.config import Cards, Library, Settings, State
from ghostroll.daemon.rules import make_card_rules


def test_the_defaults_are_those_of_detection() -> None:
    """With nothing configured but the library, everything but the markers is as detection has it by itself."""
    settings = Settings(library=Library(path=Path("/srv/photos")))
    assert make_card_rules(settings) == CardRules(
        library=b"/srv/photos", state=b"/srv/photos/.ghostroll/state.db", markers=settings.cards.markers
    )


def test_every_key_arrives() -> None:
    """Each key of the cards that concerns detection becomes the rule of its name, in seconds and bytes."""
    settings = Settings(
        library=Library(path=Path("/srv/photos")),
        state=State(path=Path("/var/lib/state.db")),
        cards=Cards(
            markers=("DCIM",),
            allow=("EOS", "eos"),
            deny=("MUSIC",),
            readers=("ProGrade_*",),
            filesystems=("vfat", "ext4"),
            mount_roots=("/media/", "/srv//cards"),
            debounce_ms=1500,
            patience_seconds=3,
        ),
    )
    assert make_card_rules(settings) == CardRules(
        library=b"/srv/photos",
        state=b"/var/lib/state.db",
        markers=("DCIM",),
        allow=frozenset({"EOS", "eos"}),
        deny=frozenset({"MUSIC"}),
        readers=("ProGrade_*",),
        filesystems=frozenset({"vfat", "ext4"}),
        mount_roots=(b"/media", b"/srv/cards"),
        debounce=1.5,
        patience=3.0,
    )
