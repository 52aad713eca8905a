"""The daemon under a real systemd: killed, frozen, reloaded, stopped, on a full disk, with wrong settings."""

import json
import signal
import time

import pytest

from tests.edge.box import no_holes
from tests.system.machine import wait_for
from tests.system.service import CONFIG, FPS, UNIT, gone, next_epoch

pytestmark = pytest.mark.system


def test_after_a_cold_boot_it_judges_by_itself(installed, measured):
    installed.machine.sh(f"systemctl enable {UNIT}")
    installed.machine.power_off()
    with installed.subscriber() as subscriber:
        began_s, began_ns = time.monotonic(), time.time_ns()
        installed.machine.switch_on()
        verdict = subscriber.next()
        measured("cold boot to the first verdict", time.monotonic() - began_s)
    assert verdict["captured_at_ns"] > began_ns
    wait_for(lambda: "1 of 1 cameras deliver" in installed.show("StatusText"))
    assert installed.show("ActiveState") == "active"
    installed.reset()


def test_start_returns_when_it_is_ready_and_verdicts_come(service):
    with service.subscriber() as subscriber:
        verdicts = subscriber.take(2 * FPS)
    assert {verdict["outcome"] for verdict in verdicts} == {"ok", "ng"}
    assert "signature by line-2026" in service.journal()
    root_s = service.machine.sh("find /var/lib/mekiki ! -user mekiki")
    assert root_s == "", "what root installed belongs to the daemon"
    assert service.show("User") == "mekiki"
    assert service.show("NRestarts") == "0"


def test_killed_it_comes_back_with_a_new_epoch_and_its_last_verdicts_are_in_the_journal(service, measured):
    with service.subscriber() as subscriber:
        before = subscriber.take(FPS)
        pid = service.pid()
        killed_s = time.monotonic()
        service.machine.sh(f"kill -KILL {pid}")
        after = next_epoch(subscriber, before[0]["epoch"])
        measured("kill -9 to the first verdict", time.monotonic() - killed_s, 5)
    assert after["epoch"] > before[0]["epoch"]
    assert service.show("NRestarts") == "1"
    assert service.replayed(before[0]["epoch"]) >= len(before)


def test_frozen_it_is_ended_by_the_watchdog_and_started_anew(service, measured):
    with service.subscriber() as subscriber:
        epoch, frozen = subscriber.next()["epoch"], service.pid()
        service.machine.sh(f"kill -STOP {frozen}")
        frozen_s = time.monotonic()
        gone(service.machine, frozen)
        measured("frozen daemon to its end by the watchdog", time.monotonic() - frozen_s, 10)
        next_epoch(subscriber, epoch)
        measured("frozen daemon to the first verdict", time.monotonic() - frozen_s)
    assert "Watchdog timeout" in service.journal()


def test_an_inference_that_hangs_gives_unknown_and_a_new_start(service, measured):
    """The engine's own watch is first (hang_s = 5): every open part gets its verdict before the process leaves."""
    service.machine.sh(f"systemctl stop {UNIT}")
    service.configure(line="hangs")
    service.install_model("hangs")
    with service.subscriber() as subscriber:
        service.start()
        verdicts = [subscriber.next()]
        while verdicts[-1]["outcome"] == "ok":
            hung_s = time.monotonic()
            verdicts.append(subscriber.next())
        measured("hung inference to its unknown", time.monotonic() - hung_s, 10)
        next_epoch(subscriber, verdicts[0]["epoch"])
        measured("hung inference to the first verdict", time.monotonic() - hung_s)
    assert verdicts[-1]["reason"] == "model_error"
    assert no_holes(verdicts)
    assert "has not returned for 5 s" in service.journal()


def test_a_frozen_camera_process_is_replaced_by_the_daemon_which_goes_on(service, measured):
    service.configure(more="read_timeout_s = 1")
    service.machine.sh(f"systemctl restart {UNIT}")
    with service.subscriber() as subscriber:
        camera, verdicts = service.camera_pid(), subscriber.take(FPS)
        service.machine.sh(f"kill -STOP {camera}")
        frozen_s = time.monotonic()
        gone(service.machine, camera)
        verdicts += subscriber.there()
        verdicts += subscriber.take(FPS)
        measured("frozen camera (read_timeout_s = 1) to 20 more verdicts", time.monotonic() - frozen_s, 10)
    assert service.camera_pid() != camera
    assert len({verdict["epoch"] for verdict in verdicts}) == 1
    assert service.show("NRestarts") == "0"


def test_a_reload_takes_a_new_model_and_settings_without_losing_a_verdict(service, measured):
    with service.subscriber() as subscriber:
        verdicts = subscriber.take(FPS)
        new = service.install_model("b")
        service.configure(tables="[evidence]\nok_share = 1.0")
        began_s = time.monotonic()
        service.machine.sh(f"systemctl reload {UNIT}")
        measured("systemctl reload, with a new model", time.monotonic() - began_s)
        assert service.show("ActiveState") == "active"
        while not verdicts[-1]["bundle"].startswith(new):
            verdicts.append(subscriber.next())
        verdicts += subscriber.take(FPS)
    first = verdicts[0]["seq"]
    assert [verdict["seq"] for verdict in verdicts] == list(range(first, first + len(verdicts)))
    assert service.show("NRestarts") == "0"
    wait_for(lambda: list(service.evidence().rglob("*.png")))


def test_a_candidate_judges_in_shadow_inside_the_sandbox_too(service):
    """Its process steps back by calls that the unit's filter must let through."""
    service.machine.sh(f"mekiki-edge model shadow /srv/b.bundle --config {CONFIG}")
    try:
        report = f"mekiki-edge shadow report --json --config {CONFIG}"
        wait_for(lambda: service.machine.try_sh(report).returncode == 0)
        assert json.loads(service.machine.sh(report))
    finally:
        service.machine.sh(f"mekiki-edge model shadow --stop --config {CONFIG}")


def test_a_reload_with_wrong_settings_fails_and_changes_nothing(service):
    pid = service.pid()
    path = service.machine.path(CONFIG)
    path.write_text(path.read_text() + "colour = 1\n")
    assert service.machine.try_sh(f"systemctl reload {UNIT}").returncode != 0
    assert "unknown setting" in service.journal()
    with service.subscriber() as subscriber:
        subscriber.take(5)
    assert service.pid() == pid


def test_a_stop_ends_in_time_and_everything_judged_is_published(service, measured):
    with service.subscriber() as subscriber:
        verdicts = subscriber.take(FPS)
        began_s = time.monotonic()
        service.machine.sh(f"systemctl stop {UNIT}")
        measured("systemctl stop", time.monotonic() - began_s, 15)
        verdicts += subscriber.rest()
    first = verdicts[0]["seq"]
    assert [verdict["seq"] for verdict in verdicts] == list(range(first, first + len(verdicts)))
    assert service.show("Result") == "success"
    assert f"stopped: {signal.SIGTERM.name}" in service.journal()


def test_a_reboot_keeps_the_model_and_the_journal(service):
    new = service.install_model("b")
    with service.subscriber() as subscriber:
        before = subscriber.take(FPS)
        service.machine.sh(f"systemctl enable {UNIT}")
        service.machine.power_off()
        service.machine.boot()
        after = next_epoch(subscriber, before[0]["epoch"])
    assert after["bundle"].startswith(new)
    assert service.replayed(before[0]["epoch"]) >= len(before)


def test_a_full_disk_stops_no_verdict_and_is_over_when_there_is_room(service):
    service.machine.sh(f"systemctl stop {UNIT}")
    service.machine.sh("mv /var/lib/mekiki /var/lib/mekiki.real && mkdir /var/lib/mekiki")
    try:
        service.machine.sh("mount -t tmpfs -o size=24m,mode=0750,uid=mekiki,gid=mekiki tmpfs /var/lib/mekiki")
        service.machine.sh("cp -a /var/lib/mekiki.real/store /var/lib/mekiki/")
        service.start()
        with service.subscriber() as subscriber:
            verdicts = subscriber.take(FPS)
            service.machine.try_sh("cat /dev/zero > /var/lib/mekiki/filler")
            wait_for(lambda: service.metric("mekiki_journal_ok") == 0)
            verdicts += subscriber.there()
            verdicts += subscriber.take(2 * FPS)
            service.machine.sh("rm /var/lib/mekiki/filler")
            wait_for(lambda: service.metric("mekiki_journal_ok") == 1)
            verdicts += subscriber.there()
        first = verdicts[0]["seq"]
        assert [verdict["seq"] for verdict in verdicts] == list(range(first, first + len(verdicts)))
        assert service.show("NRestarts") == "0"
    finally:
        service.machine.sh(f"systemctl stop {UNIT}; umount /var/lib/mekiki; rmdir /var/lib/mekiki")
        service.machine.sh("mv /var/lib/mekiki.real /var/lib/mekiki")


def test_wrong_settings_fail_once_with_a_line_that_says_what(service):
    service.machine.sh(f"systemctl stop {UNIT}")
    since = service.now()
    path = service.machine.path(CONFIG)
    path.write_text(path.read_text().replace("fps =", "fsp ="))
    assert service.machine.try_sh(f"systemctl start {UNIT}").returncode != 0
    time.sleep(3)
    assert (service.show("ActiveState"), service.show("NRestarts")) == ("failed", "0")
    said = [line for line in service.journal(since).splitlines() if line.startswith("mekiki-edge")]
    assert [line for line in said if "camera[0].fsp: unknown setting; did you mean fps?" in line]


def test_a_camera_that_is_not_there_yet_is_waited_for(service):
    service.machine.sh(f"systemctl stop {UNIT}; mv /srv/line /srv/later")
    try:
        assert service.machine.try_sh(f"systemctl start {UNIT}").returncode != 0
        wait_for(lambda: int(service.show("NRestarts")) >= 2)
        assert service.show("ActiveState") == "activating"
    finally:
        service.machine.sh("mv /srv/later /srv/line")
    with service.subscriber() as subscriber:
        subscriber.next()


def test_secrets_are_handed_over_and_no_file_of_theirs_is_readable_for_the_daemon(service):
    sh = service.machine.sh
    sh("rm -rf /etc/mekiki/keys && mekiki-edge keys --out /etc/mekiki/keys --client plc")
    sh("cp -p /etc/mekiki/keys/server.key_secret /etc/mekiki/secrets/")
    sh("chmod 755 /etc/mekiki/keys /etc/mekiki/keys/clients")
    service.configure()
    path = service.machine.path(CONFIG)
    path.write_text(path.read_text().replace("[bus]\n", '[bus]\nkeys = "keys"\n'))
    try:
        sh(f"systemctl restart {UNIT}")
        listen = f"mekiki-edge listen --connect {service.address} --count 2 --timeout 100"
        assert sh(f"{listen} --keys /etc/mekiki/keys/handover/plc").count("\n") == 1
        assert service.machine.try_sh(f"{listen} --heartbeat-timeout 2".replace("100", "3")).returncode != 0
        credentials = sh("ls -A /run/credentials/mekiki-edge.service")
        assert "secret_server.key_secret" in credentials
        for folder in ("keys", "secrets"):
            read = f"setpriv --reuid mekiki cat /etc/mekiki/{folder}/server.key_secret"
            assert service.machine.try_sh(read).returncode != 0
    finally:
        sh("rm -rf /etc/mekiki/keys /etc/mekiki/secrets/*")
