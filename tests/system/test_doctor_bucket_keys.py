"""The service and its bucket on an installed machine: keys that systemd hands over, and a sandbox that lets it out."""

import json
import shutil

import pytest
from container import CONFIG, SETTINGS, Container
from stores import find_rclone

KEYS = "[default]\naws_access_key_id = AKIAGHOSTROLLTESTS01\naws_secret_access_key = of-this-machine-alone\n"
PUBLISH = """
[publish]
target = "s3"
[publish.s3]
bucket = "photos"
region = "eu-central-1"
endpoint_url = "http://store.test:9000"
"""
# As the daemon would: in its sandbox, with its user and its credentials.
TRY = """\
import os
from ghostroll.publish.s3.client import make_client, make_session
from ghostroll.publish.s3.place import Place
place = Place("photos", region="eu-central-1", endpoint_url="http://store.test:9000")
client = make_client(make_session(place, os.environ), place)
client.put_object(Bucket="photos", Key="from-the-sandbox", Body=b"x", ContentLength=1)
"""
DROP_IN = """\
[Service]
LoadCredential=aws:/etc/ghostroll/aws
ExecStartPre=/opt/ghostroll/bin/python /etc/ghostroll/try.py
"""


@pytest.fixture
def machine(container: Container) -> Container:
    """A machine with a store of its own, whose service publishes there."""
    shutil.copy(find_rclone(), container.outside("/usr/local/bin/rclone"))
    container.run("install", "-d", "/srv/store/photos")
    container.run("sh", "-c", "echo 127.0.0.1 store.test >> /etc/hosts")
    container.run(
        *("systemd-run", "--unit=store", "rclone", "serve", "s3", "--addr", "127.0.0.1:9000"),
        *("--auth-key", "AKIAGHOSTROLLTESTS01,of-this-machine-alone", "/srv/store"),
    )
    container.write("/etc/ghostroll/aws", KEYS)
    container.run("chmod", "600", "/etc/ghostroll/aws")
    container.write("/etc/ghostroll/try.py", TRY)
    container.write("/etc/systemd/system/ghostroll.service.d/aws.conf", DROP_IN)
    container.write(CONFIG, SETTINGS + PUBLISH)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "restart", "ghostroll")
    return container


def look(machine: Container, user: str | None = None) -> dict[str, dict[str, str]]:
    """What the doctor says of the bucket, by check."""
    run = machine.execute("ghostroll", "doctor", "--json", user=user)
    assert run.code in (0, 3), run.out + run.err
    wanted = {"credentials", "bucket", "parts", "links", "privacy"}
    return {one["check"]: one for one in json.loads(run.out)["checks"] if one["check"] in wanted}


def test_the_keys_that_systemd_hands_over(machine: Container) -> None:
    """The service gets out with its credential; root sees the bucket as the service does, others are told to ask root."""
    assert machine.read("/srv/store/photos/from-the-sandbox") == "x"
    said = look(machine)
    assert {one["level"] for one in said.values()} == {"ok"}
    where = "credentials for the bucket are in /run/credentials/ghostroll.service/aws"
    assert said["credentials"]["what"] == where
    asked = look(machine, user="alex")
    assert (list(asked), asked["bucket"]["remedy"]) == (["bucket"], "sudo ghostroll doctor")
    machine.run("systemctl", "stop", "ghostroll")
    stopped = look(machine)
    assert (list(stopped), stopped["bucket"]["remedy"]) == (
        ["bucket"],
        "sudo systemctl start ghostroll.service",
    )
    machine.run("sh", "-c", "rm -r /etc/systemd/system/ghostroll.service.d && systemctl daemon-reload")
    assert look(machine)["credentials"]["level"] == "finding"
