"""Who may try to log in at once: somebody who opens many connections keeps out himself only, and
whoever fails waits alone."""

import contextlib
import signal
import time

import pytest

import wire
from cluster import until
from observing import scrape, with_http
from wire import Wire

CROWD, OTHER = "127.0.0.2", "127.0.0.3"  # whom the connections come from


def refused(weir, reason):
    return scrape(weir).total("pgweir_refused_connections_total", reason=reason)


def gets_in(weir, source):
    with Wire(weir.address, source=source) as client:
        client.login("app", "shop", "app-secret")
        return client.login_error is None and client.value("select 1") == "1"


def crowd(weir, count):
    stack = contextlib.ExitStack()
    for _ in range(count):
        stack.enter_context(Wire(weir.address, source=CROWD))
    return stack


def test_half_open_logins_of_one_address_leave_room_for_others(cluster, pooler):
    weir = pooler(cluster, with_http({"limits": {"max_login_clients": 100,
                                                 "max_login_clients_per_address": 5}}))
    with crowd(weir, 150):
        until(lambda: refused(weir, "address_full") == 145, what="the crowd to be refused")
        assert scrape(weir).total("pgweir_login_clients") == 5
        assert gets_in(weir, OTHER)


def test_an_address_has_room_again_when_its_logins_end(cluster, pooler):
    weir = pooler(cluster, with_http({"limits": {"max_login_clients_per_address": 5}}))
    with crowd(weir, 20):
        until(lambda: refused(weir, "address_full") == 15, what="the crowd to be refused")
    until(lambda: scrape(weir).total("pgweir_login_clients") == 0, what="the crowd gone")
    assert gets_in(weir, CROWD)


def test_whoever_is_logged_in_takes_no_room_from_logins_of_the_same_address(cluster, pooler):
    weir = pooler(cluster, with_http({"limits": {"max_login_clients_per_address": 2}}))
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(Wire(weir.address, source=OTHER))
            client.login("app", "shop", "app-secret")
            assert client.login_error is None


def test_connections_of_one_address_come_no_faster_than_they_may(cluster, pooler):
    weir = pooler(cluster, with_http({"limits": {"login_rate_per_address": 2}}))
    with crowd(weir, 100):
        until(lambda: refused(weir, "too_fast") + scrape(weir).total("pgweir_login_clients") == 100,
              what="the crowd to be judged")
        assert refused(weir, "too_fast") >= 50
        assert gets_in(weir, OTHER)


def test_clients_of_the_unix_socket_are_not_counted_by_address(cluster, pooler, base):
    weir = pooler(cluster, with_http({
        "listen": {"unix_socket_dir": str(base)},
        "limits": {"max_login_clients_per_address": 1, "login_rate_per_address": 1}}))
    path = f"{base}/.s.PGSQL.{weir.port}"
    with contextlib.ExitStack() as stack:
        half_open = [stack.enter_context(Wire(path)) for _ in range(20)]
        for client in half_open:
            client.login("app", "shop", "app-secret")
            assert client.login_error is None


# --- who has failed to log in --------------------------------------------------------------------


def failing(delay="1m", **limits):
    """Whoever guesses wrong waits. Passwords in the clear need no dialogue to be wrong."""
    return with_http({"auth": {"method": "password", "failure_delay": delay},
                      "timeouts": {"client_login": 0}, "workers": {"count": 1},
                      "limits": limits})


def failed(weir, user="app"):
    """A connection that has sent a wrong password, and waits for the answer."""
    client = Wire(weir.address, source=CROWD)
    client.send(wire.startup({"user": user, "database": "shop"})).read_until("R")
    return client.send(wire.message("p", wire.cstr("wrong")))


def answer(client):
    return wire.fields(client.read_until("E")[-1])["C"]


@pytest.mark.parametrize("user", ["app", "nobody"])
def test_who_fails_to_log_in_waits_and_nobody_else_does(cluster, pooler, user):
    weir = pooler(cluster, failing())
    with failed(weir, user) as client:
        assert gets_in(weir, OTHER) and gets_in(weir, CROWD)
        assert client.silent_for(0.01)
        weir.change({"auth": {"failure_delay": 0}})
        assert answer(client) == "28P01"


def test_who_fails_to_log_in_keeps_a_place_until_the_answer(cluster, pooler):
    weir = pooler(cluster, failing(max_login_clients_per_address=2))
    with failed(weir) as one, failed(weir) as two, Wire(weir.address, source=CROWD) as third:
        assert third.drain() == []
        assert gets_in(weir, OTHER)
        weir.change({"auth": {"failure_delay": 0}})
        assert (answer(one), answer(two)) == ("28P01", "28P01")
    until(lambda: scrape(weir).total("pgweir_login_clients") == 0, what="both gone")
    assert gets_in(weir, CROWD)


def test_who_takes_silence_for_the_answer_keeps_the_place_nevertheless(cluster, pooler):
    weir = pooler(cluster, failing(max_login_clients_per_address=1))
    failed(weir).close()
    with Wire(weir.address, source=CROWD) as second:
        assert second.drain() == []
    assert gets_in(weir, OTHER)
    weir.change({"auth": {"failure_delay": 0}})
    until(lambda: scrape(weir).total("pgweir_login_clients") == 0, what="nobody in the login")
    assert gets_in(weir, CROWD)


def test_the_answer_comes_no_sooner_than_configured(cluster, pooler):
    weir = pooler(cluster, failing("500ms"))
    begun = time.monotonic()
    with failed(weir) as client:
        assert answer(client) == "28P01"
    assert time.monotonic() - begun >= 0.5


def test_who_waits_for_the_answer_does_not_hold_up_the_end(cluster, pooler):
    weir = pooler(cluster, {**failing(), "timeouts": {"client_login": 0, "shutdown": "1h"}})
    with failed(weir) as client:
        weir.signal(signal.SIGTERM)
        assert answer(client) == "57P01"
        assert weir.wait() == 0
