import threading

import pytest
import zmq

from edge.bus import Bus
from models.errors import ConfigError, MekikiError
from models.verdict import Stages, Verdict
from tests.edge.box import Subscriber, free_port, no_holes


def verdict(seq: int, camera: str = "top") -> Verdict:
    return Verdict(
        epoch="e",
        camera=camera,
        seq=seq,
        outcome="ok",
        reason=None,
        score=0.1,
        threshold=0.5,
        bundle=None,
        device="CPU",
        precision="f32",
        captured_at_ns=1,
        captured_ns=1,
        stages=Stages(queue_s=0, infer_s=0, decode_s=0, total_s=0),
    )


@pytest.fixture
def address() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


def never() -> bool:
    return False


def test_a_message_is_the_camera_and_the_verdict_as_json(address):
    bus = Bus(address)
    with Subscriber(address) as subscriber:
        assert bus.wait_for_subscriber(5, never)
        assert bus.publish(verdict(3, "größe"))
        assert Verdict.model_validate(subscriber.next()) == verdict(3, "größe")
    bus.close()


def test_all_that_was_published_arrives_though_the_bus_closes_at_once(address):
    bus = Bus(address)
    with Subscriber(address) as subscriber:
        assert bus.wait_for_subscriber(5, never)
        assert all(bus.publish(verdict(seq)) for seq in range(5000))
        bus.close()
        assert no_holes(verdicts := subscriber.rest())
        assert len(verdicts) == 5000


def test_it_does_not_wait_longer_than_told_nor_past_a_stop(address):
    bus = Bus(address)
    assert not bus.wait_for_subscriber(0.1, never)
    assert not bus.wait_for_subscriber(600, lambda: True)
    bus.close()


def test_without_a_subscriber_publishing_is_no_loss(address):
    bus = Bus(address)
    assert all(bus.publish(verdict(seq)) for seq in range(100))
    bus.close()


def test_a_subscriber_that_does_not_read_is_reported_and_does_not_stop_the_line(address):
    bus, context = Bus(address, high_water=10), zmq.Context()
    slow = context.socket(zmq.SUB)
    slow.setsockopt(zmq.RCVHWM, 1)
    slow.setsockopt(zmq.RCVBUF, 4096)
    slow.setsockopt(zmq.SUBSCRIBE, b"")
    slow.connect(address)
    assert bus.wait_for_subscriber(5, never)
    sent = [bus.publish(verdict(seq)) for seq in range(50_000)]
    assert False in sent
    context.destroy(linger=0)
    bus.close()


def test_a_close_is_bounded_though_nobody_reads(address):
    bus, context = Bus(address), zmq.Context()
    deaf = context.socket(zmq.SUB)
    deaf.setsockopt(zmq.RCVHWM, 1)
    deaf.setsockopt(zmq.SUBSCRIBE, b"")
    deaf.connect(address)
    assert bus.wait_for_subscriber(5, never)
    for seq in range(30_000):
        bus.publish(verdict(seq))
    closing = threading.Thread(target=bus.close)
    closing.start()
    closing.join(4)
    assert not closing.is_alive()
    context.destroy(linger=0)


def test_a_busy_port_is_named_with_what_to_do(address):
    first = Bus(address)
    with pytest.raises(MekikiError, match=f"bus {address}: port already in use; stop what holds it"):
        Bus(address)
    first.close()
    Bus(address).close()


def test_an_address_that_cannot_be_bound_is_a_wrong_setting():
    with pytest.raises(ConfigError, match=r"correct \[bus\] bind"):
        Bus("tcp://203.0.113.9:5555")


def test_subscribers_that_come_and_go_do_not_pile_up(address):
    bus = Bus(address)
    for _ in range(20):
        with Subscriber(address):
            assert bus.wait_for_subscriber(5, never)
    bus.publish(verdict(0))
    bus.publish(verdict(1))
    with pytest.raises(zmq.Again):
        bus._socket.recv(zmq.NOBLOCK)
    bus.close()
