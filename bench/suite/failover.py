"""The story that every entrance goes through: its primary dies, comes back as a second one, and the
role moves as planned. All of it under load."""

import contextlib
import time

from suite import client, outage, repmgr

FRESH = 40  # connections made only to see where they lead


class Story:
    """Plays it once for one entrance, on a cluster of its own. `result` holds what was measured,
    `marks` the (time, text) of what was done, `crowd` all that clients noticed."""

    def __init__(self, host, entrance, steady=3.0, patience=180.0, say=lambda text: None):
        self.host, self.entrance = host, entrance
        self.cluster = self.crowd = None
        self.marks = []
        self.result = {"name": entrance.name, "how": entrance.how, "version": entrance.version}
        self._steady, self._patience, self._say = steady, patience, say

    def __enter__(self):
        try:
            self._say(f"{self.entrance.name}: making a cluster")
            self.cluster = repmgr.Cluster(self.host, promote_wrapper=self.entrance.promote_wrapper())
            self.cluster.start()
            with contextlib.closing(self._directly(self.cluster.nodes[0])) as sql:
                sql.query(outage.TABLE)
                sql.query("CREATE TABLE probe (id int DEFAULT 0)")
            self.entrance.start(self.cluster)
            self.crowd = outage.Crowd(self.entrance.connect, self.entrance.writes,
                                      self.entrance.reads)
            self.crowd.start()
            if not self.crowd.wait_for_writes(60):
                raise RuntimeError(f"{self.entrance.name}: no writes: {self.entrance.last_words()}")
            time.sleep(self._steady)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.cluster:
            # First: what hangs then gets an error, and ends.
            self.entrance.stop()
        if self.crowd:
            self.crowd.stop()
        if self.cluster:
            self.cluster.close()

    def _directly(self, node):
        return client.Client(node.address, repmgr.USER, repmgr.DATABASE, self.cluster.password,
                             timeout=10)

    def _mark(self, text):
        self.marks.append((time.monotonic(), text))
        self._say(f"{self.entrance.name}: {text}")

    # ---- The primary dies

    def crash(self):
        """kill -9 of everything on the primary's machine."""
        cluster, crowd = self.cluster, self.crowd
        old = cluster.nodes[0]
        probers = {n: outage.Prober(lambda n=n: self._directly(n)) for n in cluster.nodes[1:]}
        with outage.probing(probers.values()):
            time.sleep(0.5)
            self._mark(f"kill -9 {old.name}, the primary")
            killed = self.marks[-1][0]
            cluster.kill(old)
            served = outage.Crowd.wait_for(
                lambda: outage.first_success(crowd.writers, killed, old.port), self._patience)
            recovered = served and crowd.wait_for_writes(self._patience)
            time.sleep(self._steady)
        promoted = min((at, node.name) for node, p in probers.items()
                       if (at := p.first_after(killed)))
        first = outage.first_success(crowd.writers, killed, old.port)
        self.marks.append((promoted[0], f"{promoted[1]} can be written to, asked directly"))
        if first:
            self.marks.append((first, f"the first write through {self.entrance.name}"))
        self.marks.sort()
        crowd.wake()
        end = time.monotonic()
        writers, lost = outage.errors_of(crowd.writers, killed, end)
        transactors, lost_too = outage.errors_of(crowd.transactors, killed, end)
        readers, _ = outage.errors_of(crowd.readers, killed, end)
        with contextlib.closing(self._directly(cluster.primary(but=old))) as sql:
            rows = sql.query("SELECT id FROM ledger")
        for holder in crowd.holders:
            if holder.silently_went_on:
                crowd.writers[0].acknowledged.add(holder.number)
        self.result["crash"] = {
            "killed": killed, "end": end,
            "promoted": promoted[0] - killed,
            "outage": first - killed if first else None,
            "recovered": bool(recovered),
            "longest_wait": max(outage.longest_gap(w, killed, end) for w in crowd.writers),
            "read_gap": max(outage.longest_gap(r, killed, end) for r in crowd.readers),
            "writer_errors": dict(writers), "transaction_errors": dict(transactors),
            "reader_errors": dict(readers), "connections_lost": lost + lost_too,
            "connections": len(crowd.writers) + len(crowd.transactors),
            "idle_survived": sum(bool(s.survived) for s in crowd.sleepers),
            "idle": len(crowd.sleepers),
            "idle_errors": sorted({s.error for s in crowd.sleepers if s.error}),
            "open_survived": sum(bool(h.survived) for h in crowd.holders),
            "open": len(crowd.holders),
            "open_errors": sorted({h.error for h in crowd.holders if h.error}),
            "ledger": outage.audit(rows, [*crowd.writers, *crowd.transactors]),
        }
        return self.result["crash"]

    # ---- It comes back

    def second_primary(self):
        """The old primary is started as a restart policy would."""
        cluster, crowd = self.cluster, self.crowd
        old, new = cluster.nodes[0], cluster.primary(but=cluster.nodes[0])
        self._mark(f"{old.name} is started again: two primaries")
        back = self.marks[-1][0]
        cluster.restart_unfenced(old)
        cluster.wait_until(lambda: cluster.is_primary(old), 30, f"{old.name} as a primary")
        self.entrance.old_primary_is_back(old)
        time.sleep(self.entrance.settle)
        writes = self._fresh(self.entrance.writes, outage.WRITE)
        reads = self._fresh(self.entrance.reads, "SELECT inet_server_port()")
        end = time.monotonic()

        def landed(actors):
            return sum(1 for a in actors for e in list(a.events)
                       if e.began > back and not e.error and e.port == old.port)

        self.result["second_primary"] = {
            "asked": FRESH,
            "writes_stale": writes.count(old.port), "writes_right": writes.count(new.port),
            "reads_stale": reads.count(old.port),
            "crowd_writes_stale": landed([*crowd.writers, *crowd.transactors]),
            "crowd_reads_stale": landed(crowd.readers),
            "errors": dict(outage.errors_of(crowd.busy, back, end)[0]),
        }
        return self.result["second_primary"]

    def _fresh(self, database, text):
        """Ports of the nodes that answered as many new clients."""
        ports = []
        for i in range(FRESH):
            with contextlib.suppress(OSError, client.ServerError):
                with contextlib.closing(self.entrance.connect(database)) as sql:
                    ports.append(int(sql.query(text.format(-1 - i))[0][0]))
        return ports

    # ---- And becomes the primary again

    def switchover(self):
        """It is made a standby, and then the role is moved to it as planned."""
        cluster, crowd = self.cluster, self.crowd
        old = cluster.nodes[0]
        new = cluster.primary(but=old)
        self._mark(f"{old.name} rejoins as a standby")
        cluster.rejoin(old, new)
        self.entrance.standby_is_back(old)
        cluster.wait_until(lambda: len(cluster.streaming(new)) == len(cluster.nodes) - 1, 60,
                           "streaming standbys")
        went_on = crowd.wait_for_writes(60)
        if not went_on:
            self.entrance.stop()
            self.entrance.start(cluster)
            if not crowd.wait_for_writes(60):
                raise RuntimeError(f"{self.entrance.name} does not serve the repaired cluster")
        time.sleep(self._steady)
        self._mark(f"planned switchover to {old.name}")
        begin = self.marks[-1][0]
        took = self.entrance.switchover(old)
        crowd.wait_for_writes(self._patience)
        time.sleep(self._steady)
        end = time.monotonic()
        writers, lost = outage.errors_of(crowd.writers, begin, end)
        transactors, lost_too = outage.errors_of(crowd.transactors, begin, end)
        self.result["switchover"] = {
            "begin": begin, "end": end, "repmgr_took": took, "needed_restart": not went_on,
            "writer_errors": dict(writers), "transaction_errors": dict(transactors),
            "connections_lost": lost + lost_too,
            "longest_wait": max(outage.longest_gap(w, begin, end) for w in crowd.writers),
        }
        return self.result["switchover"]
