"""Signs of life from a thread."""

import threading
import time

from stylegan_jax.runtime.progress import Heartbeat


def test_a_heartbeat_lasts_as_long_as_the_work():
    beats = []
    with Heartbeat(lambda: beats.append(threading.current_thread().name), 0.01):
        while len(beats) < 3:
            time.sleep(0.001)
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count and set(beats) == {'heartbeat'}


def test_short_work_has_none():
    beats = []
    with Heartbeat(lambda: beats.append(0), 60):
        pass
    assert not beats
