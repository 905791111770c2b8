"""What stands in front of a cluster: pgweir, Pgpool-II, and PgBouncer with repmgr's script."""

import contextlib
import hashlib
import pathlib
import re
import shutil
import subprocess
import time

from suite import client, host as host_module, repmgr

ADMIN = "admin"


class Entrance:
    """A pooler for one Cluster. `writes` and `reads` are the databases that clients log in to."""

    name = ""
    how = ""  # set up, in a few words
    writes = reads = repmgr.DATABASE
    settle = 5  # seconds until it has certainly looked at the nodes again

    def __init__(self, host):
        self.host = host
        self.cluster = None
        self.address = ("127.0.0.1", host_module.free_port())
        self.process = None

    def promote_wrapper(self):
        """A script for repmgr's promote_command; None: nothing is told to this one."""

    def start(self, cluster):
        self.cluster = cluster
        command = self.configure()
        self.process = self.host.start(command, f"{self.name}.log")
        deadline = time.monotonic() + 30
        while True:
            try:
                self.connect(self.writes).close()
                self.connect(self.reads).close()
                return
            except (OSError, client.ServerError) as problem:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not serve ({problem}): "
                                       + self.last_words()) from problem
                time.sleep(0.1)

    def configure(self):
        """Writes what it needs; the command to run."""
        raise NotImplementedError

    def connect(self, database, user=repmgr.USER):
        # Longer than anything holds a client.
        return client.Client(self.address, user, database, self.cluster.password, timeout=400)

    def console(self, database, command):
        with contextlib.closing(self.connect(database, ADMIN)) as console:
            return console.query(command)

    def old_primary_is_back(self, node):
        """The node that was primary runs again, as a second primary."""

    def standby_is_back(self, node):
        """The node has become a standby of the present primary."""

    def switchover(self, to):
        """A planned one, as its documentation advises; how long repmgr took."""
        return self.cluster.switchover(to)

    def last_words(self):
        lines = (self.host.work / f"{self.name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it logged nothing"

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Pgweir(Entrance):
    name = "pgweir"
    how = "defaults, discovery by repmgr"
    reads = repmgr.DATABASE + "-reports"

    def __init__(self, host, program):
        super().__init__(host)
        self._program = host.install(program)
        self.version = host.run(self._program, "--version").splitlines()[0]

    def configure(self):
        cluster = self.cluster
        state = self.host.work / "pgweir.state"
        state.mkdir()
        if self.host.identity:
            shutil.chown(state, self.host.identity["user"], self.host.identity["group"])
        nodes = "".join(f'[[cluster.main.node]]\nname = "{n.name}"\nhost = "127.0.0.1"\n'
                        f"port = {n.port}\n" for n in cluster.nodes)
        path = self.host.write("pgweir.toml", f"""[listen]
addresses = ["127.0.0.1"]
port = {self.address[1]}
[process]
state_dir = "{state}"
[cluster.main]
discovery = "repmgr"
[cluster.main.monitor]
user = "pgweir_monitor"
password = "{cluster.password}"
database = "repmgr"
{nodes}
[database.{self.writes}]
cluster = "main"
[database.{self.reads}]
cluster = "main"
target = "prefer-standby"
dbname = "{repmgr.DATABASE}"
[user.{repmgr.USER}]
password = "{cluster.secret}"
[user.{ADMIN}]
password = "{cluster.password}"
console = "admin"
""")
        return [self._program, "run", "-c", path]

    def switchover(self, to):
        self.console("pgweir", f"SWITCHOVER {self.writes}")
        return self.cluster.switchover(to)


class PgBouncer(Entrance):
    """repmgr's documented recipe: promote_command is a script that rewrites PgBouncer's list of
    databases and says RELOAD."""

    def __init__(self, host, program, name, how, settings):
        super().__init__(host)
        self.name, self.how = name, how
        self._program = program
        self._settings = settings
        self.version = host.run(program, "--version").splitlines()[0]
        self._databases = host.work / "databases.ini"

    def promote_wrapper(self):
        path = self.host.write("promote", f"""#!/bin/sh
# $3 is the repmgr.conf of the node that is promoted.
"$@" || exit
conninfo=$(sed -n "s/^conninfo = '\\(.*\\)'/\\1/p" "$3")
psql -XqAt -d "$conninfo" -o {self._databases}.new -c "SELECT '[databases]' || chr(10) ||
    '{self.writes} = dbname={self.writes} host=127.0.0.1 ' || substring(conninfo FROM 'port=[0-9]+')
    FROM repmgr.nodes WHERE active AND type = 'primary'"
mv {self._databases}.new {self._databases}
psql -XqAt -h 127.0.0.1 -p {self.address[1]} -U {ADMIN} -d pgbouncer -c RELOAD
""")
        path.chmod(0o755)
        return path

    def configure(self):
        self._point_to(self.cluster.nodes[0])
        self.host.write("userlist.txt", "".join(
            f'"{user}" "{self.cluster.password}"\n' for user in (repmgr.USER, ADMIN)))
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": self.address[1], "unix_socket_dir": "",
            "auth_type": "scram-sha-256", "auth_file": self.host.work / "userlist.txt",
            "admin_users": ADMIN, "pool_mode": "transaction"} | self._settings
        path = self.host.write("pgbouncer.ini", f"%include {self._databases}\n[pgbouncer]\n"
                               + "".join(f"{k} = {v}\n" for k, v in settings.items()))
        return [self._program, path]

    def _point_to(self, node):
        self.host.write(self._databases.name, "[databases]\n"
                        f"{self.writes} = dbname={self.writes} host=127.0.0.1 port={node.port}\n")

    def switchover(self, to):
        self.console("pgbouncer", f"PAUSE {self.writes}")
        took = self.cluster.switchover(to)
        self._point_to(to)
        self.console("pgbouncer", "RELOAD")
        self.console("pgbouncer", f"RESUME {self.writes}")
        return took


# What Pgpool-II is asked to do. Its own defaults look for a new primary when a backend breaks.
PGPOOL_AGGRESSIVE = {
    "health_check_period": 1, "health_check_timeout": 3, "health_check_max_retries": 1,
    "health_check_retry_delay": 1, "sr_check_period": 1, "failover_on_backend_error": "on",
    "failover_on_backend_shutdown": "on", "connect_timeout": 1000,
}
# As a widely used container image sets it.
PGPOOL_CONTAINER = {
    "health_check_period": 30, "health_check_timeout": 10, "health_check_max_retries": 5,
    "health_check_retry_delay": 5, "sr_check_period": 30, "failover_on_backend_error": "off",
    "failover_on_backend_shutdown": "on", "search_primary_node_timeout": 0, "max_pool": 15,
}


class Pgpool(Entrance):
    """Streaming replication mode; repmgr promotes, Pgpool-II looks for the new primary."""

    def __init__(self, host, program, name, how, settings, primary_last=False):
        """`primary_last`: the first primary is the last of its backends."""
        super().__init__(host)
        self.name, self.how = name, how
        self._program = program
        self._settings = settings
        self._primary_last = primary_last
        self._backends = []
        self._pcp_port = host_module.free_port()
        self.settle = settings.get("sr_check_period", 10) + 5
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        self.version = "Pgpool-II " + re.search(r"[\d.]+", done.stderr + done.stdout)[0]

    def configure(self):
        cluster, work = self.cluster, self.host.work
        nodes = cluster.nodes
        self._backends = [*nodes[1:], nodes[0]] if self._primary_last else nodes
        settings = {
            "backend_clustering_mode": "streaming_replication", "listen_addresses": "127.0.0.1",
            "port": self.address[1], "pcp_listen_addresses": "127.0.0.1",
            "pcp_port": self._pcp_port, "socket_dir": work, "pcp_socket_dir": work,
            "wd_ipc_socket_dir": work, "logdir": work, "pid_file_name": work / "pgpool.pid",
            "enable_pool_hba": "on", "pool_passwd": "pool_passwd", "sr_check_user": "repmgr",
            "sr_check_password": cluster.password, "health_check_user": "repmgr",
            "health_check_password": cluster.password} | self._settings
        for i, node in enumerate(self._backends):
            settings |= {f"backend_hostname{i}": "127.0.0.1", f"backend_port{i}": node.port,
                         f"backend_weight{i}": 1, f"backend_flag{i}": "ALLOW_TO_FAILOVER",
                         f"backend_data_directory{i}": node.data,
                         f"backend_application_name{i}": node.name}
        path = self.host.write("pgpool.conf",
                               "".join(f"{k} = '{v}'\n" for k, v in settings.items()))
        self.host.write("pool_passwd", "".join(
            f"{user}:TEXT{cluster.password}\n" for user in (repmgr.USER, "repmgr")))
        hba = self.host.write("pool_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n")
        digest = hashlib.md5(cluster.password.encode()).hexdigest()
        pcp = self.host.write("pcp.conf", f"{ADMIN}:{digest}\n")
        self.host.write("pcppass", f"*:*:*:{cluster.password}\n")
        return [self._program, "-n", "-f", path, "-F", pcp, "-a", hba]

    def old_primary_is_back(self, node):
        self._attach(node)

    def standby_is_back(self, node):
        self._attach(node)

    def switchover(self, to):
        took = self.cluster.switchover(to)
        for node in self.cluster.nodes:
            self._attach(node)
        return took

    def _attach(self, node):
        """As an operator does, or the health check of a container."""
        program = pathlib.Path(self._program).with_name("pcp_attach_node")
        subprocess.run([program, "-h", "127.0.0.1", "-p", str(self._pcp_port), "-U", ADMIN, "-w",
                        "-n", str(self._backends.index(node))],
                       env={"PCPPASSFILE": str(self.host.work / "pcppass")},
                       capture_output=True, check=False, timeout=400, **self.host.identity)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(2)  # fast: it does not wait for clients
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        super().stop()


def find(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def catalogue(host, pgweir):
    """{name: function that makes it}, for all that are installed here."""
    made = {}
    if pgweir and pathlib.Path(pgweir).exists():
        made["pgweir"] = lambda: Pgweir(host(), pgweir)
    pgbouncer = find("pgbouncer")
    if pgbouncer:
        made["pgbouncer"] = lambda: PgBouncer(host(), pgbouncer, "pgbouncer",
                                              "repmgr's promote script", {})
        made["pgbouncer-tuned"] = lambda: PgBouncer(
            host(), pgbouncer, "pgbouncer-tuned", "the same, server_login_retry = 1",
            {"server_login_retry": 1})
    pgpool = find("pgpool")
    if pgpool:
        for name, how, settings in (("pgpool", "its defaults", {}),
                                    ("pgpool-fast", "checks each second", PGPOOL_AGGRESSIVE),
                                    ("pgpool-container", "as a container image sets it",
                                     PGPOOL_CONTAINER)):
            for detach in ("off", "on"):
                for last in (False, True):
                    full = name + ("-detach" if detach == "on" else "") + ("-last" if last else "")
                    made[full] = (lambda s=settings, h=how, d=detach, l=last, f=full: Pgpool(
                        host(), pgpool, f,
                        f"{h}, detach_false_primary {d}, primary {'last' if l else 'first'}",
                        s | {"detach_false_primary": d}, l))
    return made
