"""The daemon as a desktop user's own service: it takes what the desktop mounts."""

from container import Container
from running import Run

UNIT = "ghostroll.service"
SETTINGS = """
[library]
path = "/home/alex/Pictures/ghostroll"
keep_free_mib = 1
allow_weak_filesystem = true

[cards]
filesystems = ["ext4"]
"""


def manage(container: Container, *command: str) -> Run:
    """Tell alex's own manager of services something."""
    session = ("env", "XDG_RUNTIME_DIR=/run/user/1000")
    return container.execute(*session, "systemctl", "--user", *command, user="alex")


def test_a_users_own_service(container: Container) -> None:
    """As the unit's head says it is switched on; then a card that the desktop has mounted is secured for its user, and nothing is mounted by root."""
    container.run("systemctl", "disable", "--now", "ghostroll")
    container.run("ln", "-s", "/dev/null", "/etc/udev/rules.d/90-ghostroll.rules")
    container.run("udevadm", "control", "--reload")
    container.write("/home/alex/.config/ghostroll/config.toml", SETTINGS)
    container.run("chown", "-R", "alex:", "/home/alex/.config")
    container.run("loginctl", "enable-linger", "alex")  # as if alex were logged in
    container.wait_until(lambda: container.exists("/run/user/1000/systemd/private"))
    started = manage(container, "enable", "--now", "ghostroll")
    assert started.code == 0, started

    card = container.insert(container.format_card("EOS", {"DCIM/100/1.MOV": b"a film"}))
    container.run("mkdir", "-p", "/media/alex/EOS")
    container.run("mount", "-o", "ro,noload", card.node, "/media/alex/EOS")
    container.wait_for_line("safe to remove", "user@1000.service", _SYSTEMD_USER_UNIT=UNIT)
    kept = container.run("find", "/home/alex/Pictures/ghostroll", "-name", "1.MOV")
    assert container.run("cat", kept, user="alex") == "a film"
    assert container.mounted() == []

    stopped = manage(container, "stop", "ghostroll")
    assert stopped.code == 0, stopped
    result = manage(container, "show", "--value", "--property=Result", "ghostroll")
    assert result.out == "success\n"
