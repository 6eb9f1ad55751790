"""`sudo make install` and `sudo make uninstall`, by a person who may sudo, on a small Debian with a running systemd."""

import re
from collections.abc import Iterator

import pytest
from container import CONFIG, HOME, LIBRARY, SETTINGS, Container
from running import Run

EXAMPLE = "/usr/share/doc/ghostroll/config.example.toml"
VERSIONS = "/opt/ghostroll.versions"
# Everything of ours but configuration, photos and the user.
OURS = r"/opt/ghostroll|/usr/local/bin/ghostroll|/(etc|usr)/.*ghostroll.*\.(service|conf|rules)$|/usr/share/doc/ghostroll"


def make(container: Container, *target: str) -> Run:
    """Run make in the source tree by sudo, as alex does."""
    return container.execute("sudo", "make", "-C", HOME, *target, user="alex", timeout=300)


def check_refusal(run: Run, remedy: str) -> None:
    """It ended with one sentence, which names the remedy."""
    assert run.code == 2, run
    said = [line for line in run.err.splitlines() if not re.match(r"make: \*\*\*|ERROR: ", line)]
    assert len(said) == 1, run.err
    assert said[0].startswith("ghostroll: "), run.err
    assert remedy in said[0]


def list_ours(container: Container) -> list[str]:
    """Files of ours on the machine, outside the folders of people and of the library."""
    found = container.run("find", "/etc", "/usr", "/opt", "-name", "*ghostroll*", "-print", "-prune")
    return [name for name in found.splitlines() if re.match(OURS, name)]


def list_tree(container: Container) -> str:
    """The source tree as it is, with owners."""
    return container.run("find", HOME, "-printf", r"%p %u %s %m\n")


def main_pid(container: Container) -> str:
    """The process number of the daemon."""
    pid = container.run("systemctl", "show", "--value", "--property=MainPID", "ghostroll")
    assert pid != "0"
    return pid


def installed_version(container: Container) -> str:
    """The folder of the version that is in force; there is no other one."""
    link = container.run("readlink", "/opt/ghostroll")
    assert container.run("find", VERSIONS, "-mindepth", "1", "-maxdepth", "1") == link
    return link


@pytest.fixture
def library(container: Container) -> Iterator[str]:
    """A library that was in use: a session's photo, whose bytes must still be there at the end."""
    photo = f"{LIBRARY}/2026-01-01_000000-CARD-aaaa/originals/1.jpg"
    container.run("install", "-D", "-o", "ghostroll", "/dev/stdin", photo, text="a photo")
    identity = container.read(f"{LIBRARY}/.ghostroll/library.json")
    assert identity
    yield photo
    assert container.read(photo) == "a photo"
    assert container.read(f"{LIBRARY}/.ghostroll/library.json") == identity


def test_install_on_a_new_machine(bare_container: Container) -> None:
    """One command, and the service runs, also after a reboot; who gave it may use it, others may not; the tree is as it was."""
    machine, before = bare_container, list_tree(bare_container)
    done = make(machine, "install")
    assert done.code == 0, done
    assert list_tree(machine) == before
    assert "added alex to group ghostroll: log out and in again" in done.out
    assert "the service is enabled and runs" in done.out  # the doctor's words

    assert machine.read(CONFIG) == machine.read(f"{HOME}/systemd/config.toml")
    assert machine.read(EXAMPLE) == machine.read(f"{HOME}/config.example.toml")
    assert machine.run("ghostroll", "--version", user="stranger") == machine.run("ghostroll", "--version")
    assert "is fine" in machine.run("ghostroll", "config", "check", user="stranger")
    assert "is fine" in machine.run("ghostroll", "config", "check", "--config", EXAMPLE)
    assert not machine.exists(f"{installed_version(machine)}/bin/pip"), "nothing that can change it later"
    assert machine.run("find", "/opt/ghostroll/", "!", "-user", "root") == ""
    assert machine.run("find", "/opt/ghostroll/lib", "-path", "*/ghostroll/*.pyc") != ""

    for _ in range(2):
        main_pid(machine)
        # Members of the group reach the daemon and its library; that it is there at all is all that others learn.
        machine.run("ls", LIBRARY, user="alex")
        machine.run("test", "-w", "/run/ghostroll/daemon/socket", user="alex")
        assert machine.execute("ls", LIBRARY, user="stranger").code != 0
        assert machine.execute("ls", "/run/ghostroll/daemon", user="stranger").code != 0
        machine.reboot()

    # Two commands want the library for themselves.
    for command in ("verify", "adopt"):
        main_pid(machine)
        assert machine.execute("ghostroll", command, user="ghostroll").code == 7
        machine.run("systemctl", "stop", "ghostroll")
        machine.run("ghostroll", command, user="ghostroll")
        machine.run("systemctl", "start", "ghostroll")


@pytest.mark.usefixtures("library")
def test_install_over_an_older_version(container: Container) -> None:
    """An install that fails or is killed leaves what runs; the next one replaces it wholly, keeps what was edited and sees cards."""
    old, pid, config = installed_version(container), main_pid(container), container.read(CONFIG)
    container.run("touch", f"{old}/lib/left-behind")

    failed = make(container, "install", "PIP_FIND_LINKS=/root")
    check_refusal(failed, "need the network")
    assert installed_version(container) == old

    killed = container.start("sudo", "make", "-C", HOME, "install", user="alex")
    container.wait_until(lambda: len(container.run("ls", VERSIONS).split()) > 1)
    container.run("pkill", "--signal", "KILL", "install.sh")
    killed.communicate(timeout=30)
    assert container.run("readlink", "/opt/ghostroll") == old
    assert main_pid(container) == pid

    # A reader that the rule was not there for yet.
    container.run("rm", "/usr/lib/udev/rules.d/90-ghostroll.rules")
    container.run("udevadm", "control", "--reload")
    card = container.insert(container.format_card("A", {"DCIM/1.jpg": b"photo"}))
    container.settle()
    assert container.mounted() == []

    done = make(container, "install")
    assert done.code == 0, done
    assert f"kept {CONFIG}: it was edited" in done.out
    assert "log out" not in done.out
    assert container.read(CONFIG) == config == SETTINGS
    assert installed_version(container) != old
    assert main_pid(container) != pid
    container.wait_for_mount(card.point())


@pytest.mark.usefixtures("library")
def test_a_configuration_that_the_new_version_refuses(container: Container) -> None:
    """Before anything is touched the configuration is read by the new version, and its problems are shown."""
    old, pid = installed_version(container), main_pid(container)
    container.write(CONFIG, SETTINGS + "nonsense = 1\n")
    refused = make(container, "install")
    assert refused.code == 2
    assert "nonsense" in refused.err
    assert f"this version does not understand {CONFIG}" in refused.err
    assert (installed_version(container), main_pid(container)) == (old, pid)


@pytest.mark.usefixtures("library")
def test_uninstall(container: Container) -> None:
    """What was installed is gone, mounts too; photos, the user and an edited configuration stay; the next install goes on with them."""
    card = container.insert(container.format_card("A", {"DCIM/1.jpg": b"photo"}))
    container.wait_for_mount(card.point())
    done = make(container, "uninstall")
    assert done.code == 0, done
    assert list_ours(container) == []
    assert container.mounted() == []
    assert container.execute("systemctl", "cat", "ghostroll").code != 0
    assert container.execute("pgrep", "--uid", "ghostroll").code == 1
    card.pull()
    card.wait_until_empty()
    assert container.read(CONFIG) == SETTINGS
    assert f"{CONFIG}: it was edited" in done.out
    assert "sudo rm -r /var/lib/ghostroll /etc/ghostroll; sudo userdel ghostroll" in done.out

    container.write(CONFIG, container.read(f"{HOME}/systemd/config.toml"))
    assert make(container, "uninstall").code == 0

    done = make(container, "install")
    assert done.code == 0, done
    main_pid(container)


def test_an_update_leaves_a_service_off(container: Container) -> None:
    """Who has switched the service off, for a user's own, say, finds it switched off after an update."""
    container.run("systemctl", "disable", "--now", "ghostroll")
    done = make(container, "install")
    assert done.code == 0, done
    assert "the service stays switched off: sudo systemctl enable --now ghostroll" in done.out
    assert container.execute("systemctl", "is-enabled", "ghostroll").out == "disabled\n"
    assert container.execute("systemctl", "is-active", "ghostroll").out == "inactive\n"


def test_an_unedited_configuration_is_not_kept(container: Container) -> None:
    """A configuration that is as it was installed goes with the rest."""
    container.write(CONFIG, container.read("/usr/share/doc/ghostroll/config.toml"))
    done = make(container, "uninstall")
    assert done.code == 0, done
    assert not container.exists("/etc/ghostroll")
    assert "edited" not in done.out


def test_install_where_systemd_is_not_running(bare_container: Container) -> None:
    """While an image is made nothing is started; what was left out is said, and the first boot does it."""
    machine = bare_container
    script = f"mount -t tmpfs tmpfs /run && make -C {HOME} install"
    done = machine.execute("unshare", "--mount", "sh", "-c", script, timeout=300)
    assert done.code == 0, done
    assert "systemd is not running here, so nothing was started" in done.out
    assert "sudo usermod --append --groups ghostroll" in done.out
    machine.reboot()
    main_pid(machine)
    assert machine.run("stat", "--format=%U:%G %a", "/run/ghostroll/cards") == "root:ghostroll 750"


def test_refusals(bare_container: Container) -> None:
    """Whoever can't install is told why in one sentence with the remedy, and nothing is changed."""
    machine, before = bare_container, list_ours(bare_container)
    for target in ("install", "uninstall"):
        run = machine.execute("make", "-C", HOME, target, user="alex")
        check_refusal(run, f"sudo make {target}")
    check_refusal(make(machine, "install", "PYTHON=/usr/bin/python9"), "sudo apt install python3")
    machine.write("/usr/local/bin/old", "#!/bin/sh\nexit 1\n")
    machine.run("chmod", "+x", "/usr/local/bin/old")
    check_refusal(make(machine, "install", "PYTHON=/usr/local/bin/old"), "older than 3.11")
    machine.run("sh", "-c", "mv /usr/lib/python3*/ensurepip /root/")
    check_refusal(make(machine, "install"), "sudo apt install python3-venv")
    machine.run("mkdir", "/opt/ghostroll")
    for target in ("install", "uninstall"):
        check_refusal(make(machine, target), "move it away")
    machine.run("rmdir", "/opt/ghostroll")
    with machine.start("flock", "--no-fork", "/opt", "sh", "-c", "echo in; exec sleep 60") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        check_refusal(make(machine, "uninstall"), "try again when it has ended")
        holder.kill()
    assert list_ours(machine) == before
    assert make(machine, "uninstall").code == 0, "where nothing is installed, nothing is to be done"
