"""Signals to stop: noted the first time, obeyed the second, and somebody else's afterwards."""
import os
import signal

import pytest

from stylegan_jax.interruption import Interruption


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_is_noted(number, code):
    with Interruption() as interruption:
        assert interruption.signal is None
        signal.raise_signal(number)
        assert interruption.signal == number and interruption.exit_code == code


def test_second_signal_ends_the_process(monkeypatch):
    codes = []
    monkeypatch.setattr(os, '_exit', codes.append)
    with Interruption():
        signal.raise_signal(signal.SIGTERM)
        assert codes == []
        signal.raise_signal(signal.SIGINT)
        assert codes == [130]


def test_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), Interruption():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
