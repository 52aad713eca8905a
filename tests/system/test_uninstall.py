"""What the installer takes away again. The last file of this folder: nothing is installed after it."""

import pytest

pytestmark = pytest.mark.system
RUN = "sh /root/mekiki.run"


def test_uninstall_leaves_settings_and_data_and_an_install_finds_them_again(machine, service):
    digest = service.install_model("b")
    told = machine.sh("sh /opt/mekiki/current/installer/install.sh uninstall")
    assert "left: /etc/mekiki, /var/lib/mekiki and the user mekiki" in told
    assert machine.sh("ls /opt; systemctl list-unit-files --no-legend 'mekiki*'; ls /usr/local/bin") == ""
    assert "started, and ready" in machine.sh(RUN)
    with service.subscriber() as subscriber:
        assert subscriber.next()["bundle"].startswith(digest)


def test_purge_takes_everything(machine, installed):
    machine.sh(f"{RUN} uninstall --purge")
    assert machine.sh("ls -d /opt/mekiki /etc/mekiki /var/lib/mekiki 2>/dev/null || true") == ""
    assert machine.try_sh("id mekiki").returncode != 0
