"""/metrics, /healthz and /readyz, as a scraper and a balancer meet them, in front of a PostgreSQL:
held against the console, pg_stat_activity and docs/metrics.md, also while a primary is away."""

import contextlib
import signal
import socket
import threading
import time

import psycopg
import pytest

import watching
import wire
from cluster import ROLES, until
from failover_scene import PATIENT
from observing import Page, ask, documented, http_address, scrape, with_http

CONNECTIONS = 64  # that the endpoint has open at once


# --- a page that others can read ----------------------------------------------------------------


def test_the_page_is_as_the_format_and_the_manual_have_it(cluster, database, pooler):
    weir = pooler(cluster, with_http(), [database])
    with weir.connect(database=database) as client:
        client.execute("SELECT 1")
        answer = ask(weir, "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    page, manual = Page(answer.body), documented()
    for family in page.families:
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name in manual, f"{name} is not in docs/metrics.md"
        kind, labels = manual[name]
        assert family.type == kind and family.documentation
        assert all(s.labels.keys() <= labels for s in family.samples), name
    seen = [(s.name, *sorted(s.labels.items())) for s in page.samples]
    assert len(seen) == len(set(seen))
    lines = answer.body.splitlines()
    assert all(lines[i - 1].startswith("# HELP") for i, line in enumerate(lines)
               if line.startswith("# TYPE"))
    # Without a cluster, a place to look users up, a certificate and a peer everything is there but
    # what is of those.
    absent = {name for name, (_, labels) in manual.items()
              if labels & {"cluster", "place", "file", "peer"}}
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == set(manual) - absent


def test_names_of_any_bytes_do_not_break_the_page(cluster, pooler, databases):
    name = 'we"ird\\ \n{},= 漢'
    with cluster.connect("postgres") as boss:
        boss.execute(psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE model").format(
            psycopg.sql.Identifier(name)))
    try:
        weir = pooler(cluster, with_http(), ["*"])
        with weir.wire("app", name) as client:
            assert client.values("SELECT 7") == [["7"]]
            shown = name.replace("\n", "\\x0a")
            assert scrape(weir).by("state", "pgweir_pool_clients", database=shown,
                                   user="app") == {"active": 0, "idle": 1, "waiting": 0}
        # No database is called so, but its clients wait for one.
        with weir.wire() as client:
            client.login("app", b"bytes \xff\xc0\xaf \x01", ROLES["app"][1])
            assert "bytes \\xff\\xc0\\xaf \\x01" in {
                s.labels.get("database") for s in scrape(weir).samples}
        weir.finish()
    finally:
        cluster.execute('DROP DATABASE "' + name.replace('"', '""') + '" WITH (FORCE)')


# --- figures that agree with what else can be seen ----------------------------------------------


def test_pools_are_as_the_console_and_postgresql_have_them(cluster, database, pooler):
    weir = pooler(cluster, with_http({"pool": {"size": 3}}), [database])
    with contextlib.ExitStack() as stack:
        def client():
            return stack.enter_context(weir.wire("app", database))
        busy, idle, waiting = [client() for _ in range(3)], [client() for _ in range(2)], client()
        for one in idle:
            one.values("SELECT 1")
        for one in busy:
            one.values("BEGIN")
        waiting.send(wire.query("SELECT 1"))
        watching.waiting(weir, database)
        page, row = scrape(weir), weir.pool(database)
        clients = page.by("state", "pgweir_pool_clients", database=database, user="app")
        servers = page.by("state", "pgweir_pool_servers", database=database, user="app")
        assert clients == {"active": 3, "idle": 2, "waiting": 1}
        assert clients["active"] + clients["idle"] == row["cl_active"]
        assert clients["waiting"] == row["cl_waiting"]
        assert servers["active"] == row["sv_active"] == 3
        assert sum(servers.values()) == cluster.backends(database) == weir.permits(database)
        shorter = page.total("pgweir_pool_longest_wait_seconds", database=database, user="app")
        longer = weir.pool(database)
        assert 0 < shorter <= longer["maxwait"] + longer["maxwait_us"] / 1e6


def test_traffic_is_as_the_console_and_the_clients_have_it(cluster, database, pooler):
    weir = pooler(cluster, with_http(), [database])
    clients = [weir.wire("app", database) for _ in range(2)]
    for client in clients:
        client.values("BEGIN")
        client.values("SELECT pg_sleep(0.1)")
        client.values("COMMIT")
        client.values("SELECT 1")
        client.close()
    weir.database = database
    watching.settled(weir, cluster)
    page = scrape(weir)
    (stats,) = [row for row in weir.show("STATS") if row["database"] == database]

    def value(name):
        return page.total(f"pgweir_{name}", database=database)

    assert value("transactions_total") == stats["total_xact_count"] == 4
    assert value("queries_total") == stats["total_query_count"] == 8
    assert value("client_logins_total") == stats["total_client_login_count"] == 2
    assert value("received_bytes_total") == stats["total_received"] > 0
    assert value("sent_bytes_total") == stats["total_sent"] > 0
    assert value("server_assignments_total") == stats["total_server_assignment_count"]
    for name, column in (("query_seconds_total", "total_query_time"),
                         ("transaction_seconds_total", "total_xact_time"),
                         ("client_wait_seconds_total", "total_wait_time")):
        assert value(name) == pytest.approx(float(stats[column]) / 1e6, abs=1e-6)
    assert value("query_seconds_total") >= 0.2


def test_the_process_is_as_the_system_and_the_configuration_have_it(cluster, pooler):
    weir = pooler(cluster, with_http({"limits": {"max_clients": 77, "max_login_clients": 33}}))
    with weir.wire("app"), weir.wire() as undecided:
        undecided.sock.sendall(wire.startup({"user": "app", "database": "shop"}))
        until(lambda: scrape(weir).total("pgweir_login_clients") == 1, what="a login under way")
        page = scrape(weir)
        assert page.total("pgweir_clients") == 2
    assert page.total("pgweir_max_clients") == 77
    assert page.total("pgweir_max_login_clients") == 33
    assert page.total("pgweir_workers") == 2
    assert page.total("process_cpu_seconds_total") <= weir.cpu_seconds() + 0.1
    assert page.total("process_resident_memory_bytes") == pytest.approx(
        weir.rss_kib() * 1024, rel=0.5)
    assert page.total("process_start_time_seconds") <= time.time()
    (version,) = page.all("pgweir_build_info")
    assert "pgweir " + dict(version)["version"] == weir.show("VERSION")[0]["version"]
    memory = {row["name"]: row for row in weir.show("MEM")}
    assert page.by("kind", "pgweir_memory_bytes").keys() <= memory.keys()


def test_counters_never_fall_while_clients_come_and_go(cluster, database, pooler):
    weir = pooler(cluster, with_http(), [database])
    quit_now = threading.Event()

    def come_and_go():
        while not quit_now.is_set():
            with weir.connect(database=database) as client:
                client.execute("SELECT 1")

    crowd = [threading.Thread(target=come_and_go) for _ in range(3)]
    for one in crowd:
        one.start()
    try:
        before = {}
        while before.get(("pgweir_transactions_total", (("database", database),)), 0) < 50:
            page = scrape(weir)
            counters = {(s.name, tuple(sorted(s.labels.items()))): s.value
                        for family in page.families if family.type == "counter"
                        for s in family.samples}
            fallen = {k for k, v in before.items() if counters.get(k, 0) < v}
            assert not fallen
            before = counters
    finally:
        quit_now.set()
        for one in crowd:
            one.join()


# --- whoever asks what it should not ------------------------------------------------------------


def raw(weir, *pieces):
    """What is answered to these bytes, until the connection ends."""
    with socket.create_connection(http_address(weir), timeout=30) as peer:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                peer.sendall(piece)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := peer.recv(65536):
                answer += piece
        return answer


@pytest.mark.parametrize(("request_bytes", "status"), [
    (b"GET / HTTP/1.1\r\n\r\n", b"404"),
    (b"GET /metrics/ HTTP/1.1\r\n\r\n", b"404"),
    (b"GET //metrics HTTP/1.1\r\n\r\n", b"404"),
    (b"GET /../metrics HTTP/1.1\r\n\r\n", b"404"),
    (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", b"404"),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"405"),
    (b"DELETE /readyz HTTP/1.1\r\n\r\n", b"405"),
    (b"GET /readyz?cluster=%4 HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /readyz?cluster=a&b=c HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /readyz?cluster=nobody HTTP/1.1\r\n\r\n", b"404"),
    (b"hello\r\n\r\n", b"400"),
    (wire.startup({"user": "app"}), b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"400"),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000, b"431"),
    (b"GET /" + b"x" * 20_000, b"431"),
], ids=["root", "slash behind", "slash before", "dots", "proxy", "post", "delete", "half an escape",
        "two parameters", "no such cluster", "words", "postgresql", "tls", "long header",
        "long path"])
def test_a_bad_request_is_refused_and_the_next_one_answered(cluster, pooler, request_bytes, status):
    weir = pooler(cluster, with_http())
    first_line = raw(weir, request_bytes).split(b"\r\n")[0]
    assert first_line.split()[1:2] == [status], first_line
    assert ask(weir, "/healthz").status == 200


def test_what_asks_for_the_head_gets_no_body(cluster, pooler):
    weir = pooler(cluster, with_http())
    head = ask(weir, "/metrics", "HEAD")
    assert (head.status, head.body) == (200, "")
    assert int(head.headers["Content-Length"]) > 1000


def test_a_refused_method_says_which_are_not(cluster, pooler):
    assert ask(pooler(cluster, with_http()), "/metrics", "PUT").headers["Allow"] == "GET, HEAD"


# --- whoever is slow, and everybody at once -----------------------------------------------------


def test_connections_that_ask_nothing_keep_no_client_of_postgresql_waiting(cluster, database,
                                                                         pooler):
    weir = pooler(cluster, with_http(), [database])
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            idle = stack.enter_context(socket.create_connection(http_address(weir), timeout=30))
            idle.sendall(b"GET /metr")
        # One more is closed at once, without a word.
        assert raw(weir, b"GET /healthz HTTP/1.1\r\n\r\n") == b""
        with weir.connect(database=database) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
    until(lambda: raw(weir, b"GET /healthz HTTP/1.1\r\n\r\n").endswith(b"ok\n"),
          what="an answer once they have gone")


def test_an_answer_that_nobody_reads_delays_no_other(cluster, pooler):
    weir = pooler(cluster, with_http())
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            deaf = socket.socket()
            stack.enter_context(deaf)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(http_address(weir))
            deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        for _ in range(10):
            scrape(weir)


def test_a_request_that_comes_byte_by_byte_is_answered(cluster, pooler):
    weir = pooler(cluster, with_http())
    request = b"GET /healthz HTTP/1.0\r\nUser-Agent: slow\r\n\r\n"
    answer = raw(weir, *(bytes([byte]) for byte in request))
    assert answer.endswith(b"\r\n\r\nok\n")


@pytest.mark.tsan
def test_many_scrapers_at_once_all_get_whole_pages(cluster, database, pooler):
    weir = pooler(cluster, with_http(), [database])
    failures = []

    def scrape_on():
        try:
            for _ in range(10):
                assert scrape(weir).total("pgweir_workers") == 2
        except Exception as error:  # pylint: disable=broad-exception-caught
            failures.append(error)

    crowd = [threading.Thread(target=scrape_on) for _ in range(16)]
    with weir.connect(database=database) as client:
        for one in crowd:
            one.start()
        while any(one.is_alive() for one in crowd):
            client.execute("SELECT 1")
        for one in crowd:
            one.join()
    assert not failures, failures[0]


# --- health and readiness -----------------------------------------------------------------------


def test_pgweir_is_ready_without_asking_a_plain_postgresql(own_cluster, pooler):
    weir = pooler(own_cluster, with_http())
    assert ask(weir, "/readyz")[:2] == (200, "ready\n")
    own_cluster.stop()
    assert ask(weir, "/healthz")[:2] == (200, "ok\n")
    assert ask(weir, "/readyz").status == 200


def test_pgweir_that_was_told_to_stop_lives_and_is_not_ready(cluster, database, pooler):
    weir = pooler(cluster, with_http({"timeouts": {"shutdown": "30s"}}), [database])
    with weir.wire("app", database) as client:
        client.values("BEGIN")
        weir.signal(signal.SIGTERM)
        until(lambda: ask(weir, "/readyz").status == 503, what="being not ready")
        assert "draining" in ask(weir, "/readyz").body
        assert ask(weir, "/healthz").status == 200
        client.values("COMMIT")
    assert weir.wait() == 0


# --- a primary that is lost and comes back ------------------------------------------------------


def one_node(cluster, state_dir, **settings):
    """A cluster of one node in place of a plain database."""
    return with_http({
        "process": {"state_dir": str(state_dir)},
        "cluster": {"main": {
            "node": [{"name": "solo", "host": cluster.host, "port": cluster.port}],
            "monitor": {"user": "boss", "password": ROLES["boss"][1], "database": "postgres"},
            "check_interval": "100ms", **PATIENT, **settings}},
        "database": {"shop": {"cluster": "main", "host": None, "port": None}}})


@pytest.fixture
def solo(own_cluster, pooler, tmp_path):
    """solo(...) puts pgweir in front of a cluster of one node; (its PostgreSQL, pgweir)."""
    def start(**settings):
        weir = pooler(own_cluster, one_node(own_cluster, tmp_path, **settings))
        until(lambda: ask(weir, "/readyz").status == 200, what="readiness")
        return own_cluster, weir
    return start


def mode(page):
    """What becomes of writes."""
    (now,) = [m for m, value in page.by("mode", "pgweir_cluster_writes", cluster="main").items()
              if value]
    return now


def test_a_primary_that_is_lost_and_back_is_seen_and_its_hold_is_measured(solo):
    postgresql, weir = solo(hold_timeout="120s")
    with weir.wire("app") as client:
        client.sock.settimeout(90)
        client.values("SELECT 1")
        page = scrape(weir)
        assert (mode(page), page.total("pgweir_no_primary_seconds")) == ("serve", 0)
        assert page.total("pgweir_primary_lease_seconds") > 0
        assert page.total("pgweir_hold_seconds_count") == 0

        postgresql.stop(signal.SIGQUIT)
        until(lambda: mode(scrape(weir)) == "hold", what="a hold")
        client.send(wire.query("SELECT 2"))
        until(lambda: scrape(weir).total("pgweir_held_clients") == 1, what="a held client")
        page = scrape(weir)
        assert page.total("pgweir_no_primary_seconds") > 0
        assert page.total("pgweir_primary_lease_seconds") == 0
        until(lambda: scrape(weir).total("pgweir_node_state", node="solo", state="down") == 1,
              what="a node that is down")
        ready = ask(weir, "/readyz")
        assert ready.status == 200 and "clients wait for one" in ready.body
        (row,) = weir.show("CLUSTERS")
        assert row["held_clients"] == 1 and row["unserved_ms"] > 0

        postgresql.start()
        assert wire.rows(client.read_ready(1)) == [["2"]]
        page = scrape(weir)
        (row,) = weir.show("CLUSTERS")
        assert (mode(page), page.total("pgweir_no_primary_seconds")) == ("serve", 0)
        assert row["unserved_ms"] == page.total("pgweir_held_clients") == 0
        assert page.total("pgweir_hold_seconds_count") == 1
        assert page.total("pgweir_hold_seconds_sum") > 0
        assert page.by("le", "pgweir_hold_seconds_bucket", cluster="main")["+Inf"] == 1
        assert page.total("pgweir_failover_total") == page.total("pgweir_failover_seconds_count") == 0
        refused = page.by("result", "pgweir_probes_total", cluster="main", node="solo")["refused"]
        assert refused > 0


def test_readiness_ends_a_hold_timeout_after_the_loss_and_comes_back(solo):
    postgresql, weir = solo(hold_timeout="2s")
    assert ask(weir, "/readyz?cluster=main").status == 200
    postgresql.stop(signal.SIGQUIT)
    until(lambda: mode(scrape(weir)) == "hold", what="a hold")

    def lost():
        before = scrape(weir).total("pgweir_no_primary_seconds")
        status = ask(weir, "/readyz?cluster=main").status
        after = scrape(weir).total("pgweir_no_primary_seconds")
        assert status == 200 if after < 2 else status == 503 if before > 2 else True
        return status == 503
    until(lost, what="being not ready")
    assert ask(weir, "/readyz").status == 503  # there is no other database
    assert ask(weir, "/healthz").status == 200
    postgresql.start()
    until(lambda: ask(weir, "/readyz?cluster=main").status == 200, what="readiness again")


def test_who_comes_during_a_hold_waits_no_longer_than_hold_timeout(solo):
    """Far shorter than what else would end its wait: query_wait and client_login."""
    postgresql, weir = solo(hold_timeout="1s")
    with weir.wire("app") as client, weir.wire() as newcomer:
        postgresql.stop(signal.SIGQUIT)
        until(lambda: mode(scrape(weir)) == "hold", what="a hold")
        client.send(wire.query("SELECT 1"))
        newcomer.login("app", "shop", ROLES["app"][1], application_name="never seen before")
        assert wire.sqlstates(client.read_ready(1)) == ["57P03"]
        assert newcomer.login_error["C"] == "57P03"
    assert scrape(weir).total("pgweir_hold_rejected_total") == 2
    assert scrape(weir).total("pgweir_hold_seconds_count") == 2


# --- a failover ---------------------------------------------------------------------------------


@pytest.mark.failover
def test_a_failover_is_counted_once_with_its_cause_and_its_time(scene):
    it = scene(over=with_http()).ready()
    weir = it.weir
    with it.wire() as client:
        client.values("SELECT 1")
        page = scrape(weir)
        assert page.total("pgweir_failover_total") == 0
        epoch = page.total("pgweir_primary_epoch")
        it.nodes.kill_node(it.primary)
        client.values("SELECT 2")
    winner = it.nodes.wait_primary(other_than=it.primary)
    page = scrape(weir)
    (row,) = weir.show("CLUSTERS")
    nodes = {node["name"]: node for node in weir.show("NODES")}
    assert row["primary"] == f"n{winner}"
    assert page.total("pgweir_primary_epoch") == row["epoch"] == epoch + 1
    assert page.total("pgweir_primary_timeline") == row["tli"]
    assert page.total("pgweir_failover_total") == row["failovers"] == 1
    by_cause = page.by("cause", "pgweir_failover_total", cluster="main")
    assert sum(by_cause.values()) == 1 and by_cause["suspect"] == 1
    assert page.total("pgweir_failover_seconds_count") == 1
    # A client was held, for no longer than there was no primary but for what it takes to notice.
    assert page.total("pgweir_hold_seconds_count") >= 1
    assert 0 < page.total("pgweir_failover_seconds_sum")
    assert page.total("pgweir_split_brain") == row["split_brain"] == 0
    for name, node in nodes.items():
        states = page.by("state", "pgweir_node_state", cluster="main", node=name)
        assert sum(states.values()) == states[node["state"]] == 1
    assert nodes[f"n{it.primary}"]["state"] == "down"
    pool = weir.pool("shop")
    servers = {}
    for labels, count in page.all("pgweir_pool_servers", database="shop", user="app").items():
        node = dict(labels)["node"]
        servers[node] = servers.get(node, 0) + int(count)
    assert set(servers) == set(nodes) and servers[f"n{winner}"] > 0
    assert set(pool["nodes"].split(", ")) >= {f"n{winner}={servers[f'n{winner}']}"}
