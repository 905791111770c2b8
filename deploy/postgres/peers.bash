# What the other nodes of the cluster are; sourced by node, may-promote and healthy.
# NODE_NAME is this node's name, NODES the names of all of them, which are their host names too.
# shellcheck shell=bash

readonly volume=/var/lib/postgresql/data
readonly data=$volume/15
readonly settings=/etc/repmgr
# Where a node that does not run PostgreSQL says why.
readonly status_port=5431

read -ra nodes <<<"${NODES:?names of all nodes}"

# The number of a node in repmgr: its place in NODES.
number_of() { # NODE
    local i
    for i in "${!nodes[@]}"; do
        [[ ${nodes[i]} != "$1" ]] || echo "$((i + 1))"
    done
}

# A repmgrd that waits for an answer when its primary is cut off would wait as long as TCP sends
# again, a quarter of an hour, and hold no election meanwhile.
conninfo_of() { # NODE
    echo "host=$1 user=repmgr dbname=repmgr connect_timeout=2 passfile=$settings/pgpass" \
        "keepalives_idle=2 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=3000"
}

# A primary's timeline is that of its next record: the control file lags behind a promotion. What its
# own metadata call it tells one that repmgr has promoted from one that somebody has by accident.
what_am_i="
SELECT CASE WHEN pg_is_in_recovery()
            THEN 'standby ' || greatest(c.timeline_id, r.min_recovery_end_timeline,
                                        (SELECT received_tli FROM pg_stat_wal_receiver))
            ELSE 'primary ' || ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
                               ::bit(32)::int END
       || ' ' || s.system_identifier
       || ' ' || coalesce((SELECT type || CASE WHEN active THEN '' ELSE '-inactive' END
                             FROM repmgr.nodes WHERE node_name = current_setting('cluster_name')),
                          'unregistered')
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r"

# One line of what a node says it is:
#   primary TIMELINE SYSTEM REGISTERED-AS
#   standby TIMELINE SYSTEM REGISTERED-AS
#   out TIMELINE SYSTEM     has the data of a former primary and does not run
#   resuming TIMELINE SYSTEM    the same, and is about to go on as the primary
#   empty                   has no data
#   silent                  did not answer: it may be anything
ask() { # NODE
    local line status
    # Both at once: each takes a second to find that a node that is gone has no name, and may-promote
    # is waited for by everybody.
    exec {status}< <(timeout 3 bash -c "read -r line <>/dev/tcp/$1/$status_port && echo \"\$line\"" \
        2>/dev/null)
    line=$(timeout 3 psql -XqAtw "$(conninfo_of "$1")" -c "$what_am_i" 2>/dev/null) ||
        read -r line <&"$status" || line=''
    exec {status}<&-
    # The whole line: bash would run commands in what it takes for a number.
    if [[ $line =~ $an_answer ]]; then
        echo "$line"
    else
        echo silent
    fi
}
readonly an_answer='^((primary|standby) [0-9]+ [0-9]+ [a-z-]+|(out|resuming) [0-9]+ [0-9]+|empty)$'

# Asks all others at once. Then ${said[NODE]} is what each is.
declare -A said
ask_peers() {
    local node line
    # Whoever cannot be asked at all has said nothing.
    for node in "${nodes[@]}"; do
        [[ $node = "$NODE_NAME" ]] || said[$node]=silent
    done
    while read -r node line; do
        said[$node]=$line
    done < <(
        for node in "${nodes[@]}"; do
            [[ $node = "$NODE_NAME" ]] || { echo "$node $(ask "$node")"; } &
        done
        wait
    )
}

# What they said, for people.
peers_said() {
    local node all=
    for node in "${nodes[@]}"; do
        [[ $node = "$NODE_NAME" ]] || all+="${all:+, }$node: ${said[$node]}"
    done
    echo "$all"
}
