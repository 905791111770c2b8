"""How the monitor meets a PostgreSQL with and without TLS: what [cluster.NAME.monitor] sslmode,
sslrootcert and channel_binding do."""

import shutil
import subprocess

import pytest

from cluster import ROLES, Cluster, until, unprivileged_user
from failover_scene import PATIENT
from installs import WANTED, find

HOST = "127.0.0.1"


def certificate(folder, name):
    """(certificate, key) of a server at HOST, signed by itself."""
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}",
         "-out", paths[0], "-keyout", paths[1]], check=True, stderr=subprocess.DEVNULL)
    for path in paths:
        path.chmod(0o600)
        if unprivileged_user():
            shutil.chown(path, unprivileged_user())
    return paths


@pytest.fixture(scope="module")
def certificates(base):
    folder = base / "certificates"
    folder.mkdir()
    if unprivileged_user():
        shutil.chown(folder, unprivileged_user())
    return {name: certificate(folder, name) for name in ("server", "stranger")}


@pytest.fixture(scope="module")
def encrypted(base, data, certificates):
    """A PostgreSQL with ssl = on."""
    install = find(base).get(WANTED[0])
    if not install:
        pytest.skip(f"no PostgreSQL {WANTED[0]} server is installed")
    crt, key = certificates["server"]
    cluster = Cluster(install, data / "encrypted")
    try:
        yield cluster.create(ssl="on", ssl_cert_file=crt, ssl_key_file=key)
    finally:
        cluster.destroy()


@pytest.fixture
def watch(pooler, tmp_path):
    """watch(cluster, sslmode=...) puts pgweir in front of it as a cluster of one node."""
    def start(cluster, host=HOST, **monitor):
        return pooler(cluster, {
            "process": {"state_dir": str(tmp_path)},
            "cluster": {"main": {
                "node": [{"name": "solo", "host": host, "port": cluster.port}],
                "check_interval": "100ms", **PATIENT,
                "monitor": {"user": "boss", "password": ROLES["boss"][1], "database": "postgres",
                            **monitor}}},
            "database": {"shop": {"cluster": "main", "host": None, "port": None}}})
    return start


def served(weir):
    until(lambda: weir.show("CLUSTERS")[0]["writes"] == "serve", what="a primary that is served")


def is_encrypted(cluster):
    """Whether the monitor's one connection is."""
    def of_one():
        found = cluster.execute("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                                " WHERE application_name = 'pgweir-monitor'")
        return found if len(found) == 1 else None
    ((ssl,),) = until(of_one, what="one connection of the monitor")
    return ssl


def test_the_monitor_prefers_tls(encrypted, watch):
    served(watch(encrypted))
    assert is_encrypted(encrypted)


def test_the_monitor_does_without_tls_where_there_is_none(own_cluster, watch):
    served(watch(own_cluster))
    assert not is_encrypted(own_cluster)


def test_the_monitor_does_without_tls_if_told_to(encrypted, watch):
    served(watch(encrypted, sslmode="disable"))
    assert not is_encrypted(encrypted)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_that_is_known_is_accepted(encrypted, certificates, watch, mode):
    served(watch(encrypted, sslmode=mode, sslrootcert=str(certificates["server"][0])))
    assert is_encrypted(encrypted)


def refused(weir, why):
    """Waits until it is told; the node is not used meanwhile."""
    until(lambda: why in weir.log(), what=f"'{why}' in the log")
    (node,) = weir.show("NODES")
    assert (node["contact"], node["state"]) in {("silent", "unknown"), ("silent", "down"),
                                                ("silent", "suspect")}
    assert why in node["error"]
    assert weir.show("CLUSTERS")[0]["writes"] == "hold"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_somebody_else_proves_no_primary(encrypted, certificates, watch, mode):
    """With a root to compare with, libpq verifies for `require` as well."""
    weir = watch(encrypted, sslmode=mode, sslrootcert=str(certificates["stranger"][0]))
    refused(weir, "certificate verify failed")


def test_a_certificate_for_another_name_proves_no_primary(encrypted, certificates, watch):
    weir = watch(encrypted, host="localhost", sslmode="verify-full",
                 sslrootcert=str(certificates["server"][0]))
    refused(weir, "does not match host name")


def test_a_server_without_the_tls_that_is_required_proves_no_primary(own_cluster, watch):
    refused(watch(own_cluster, sslmode="require"), "server does not support SSL")


def test_a_reload_makes_the_connection_anew(encrypted, watch):
    weir = watch(encrypted, sslmode="disable")
    served(weir)
    assert not is_encrypted(encrypted)
    weir.change({"cluster": {"main": {"monitor": {"sslmode": "require"}}}})
    until(lambda: is_encrypted(encrypted), what="an encrypted connection")
    served(weir)


def test_the_monitor_logs_in_bound_to_the_certificate_where_that_is_required(encrypted, watch):
    served(watch(encrypted, sslmode="require", channel_binding="require"))
    assert is_encrypted(encrypted)


def test_a_server_without_the_binding_that_is_required_proves_no_primary(own_cluster, watch):
    weir = watch(own_cluster, channel_binding="require")
    why = "channel binding required, but SSL not in use"
    until(lambda: why in weir.log(), what=f"'{why}' in the log")
    assert weir.show("CLUSTERS")[0]["writes"] == "hold"
