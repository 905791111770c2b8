-- The role that pgweir's monitor logs in with, and what it may see: no more than it needs.
--
--   psql -d DATABASE -v password=SECRET -f monitor.sql
--
-- Run it on the primary, as a superuser, in the database that [cluster.NAME] monitor_database
-- names: the one with repmgr's metadata where repmgr is used. It may be run again, also to change
-- the password, and with -v monitor=ROLE for another name of the role.
--
-- Let pg_hba.conf of every node admit the role from where pgweir runs, for example:
--   host  repmgr  pgweir_monitor  10.0.0.0/24  scram-sha-256

\set ON_ERROR_STOP on
\if :{?monitor}
\else
  \set monitor pgweir_monitor
\endif
\if :{?password}
\else
  DO $$ BEGIN RAISE 'say -v password=SECRET'; END $$;
\endif

BEGIN;
-- Neither the password nor its hash need be in the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;

SELECT format('CREATE ROLE %I LOGIN', :'monitor')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'monitor') \gexec
ALTER ROLE :"monitor" LOGIN PASSWORD :'password';
-- pg_stat_wal_receiver and pg_stat_replication show NULLs to others.
GRANT pg_monitor TO :"monitor";

SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'repmgr') AS has_repmgr \gset
\if :has_repmgr

-- repmgr lets everybody pause failover and mark nodes as seen: for nobody but repmgr itself.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA repmgr FROM PUBLIC;
GRANT USAGE ON SCHEMA repmgr TO :"monitor";
GRANT SELECT (node_id, upstream_node_id, active, node_name, type, location, priority)
   ON repmgr.nodes TO :"monitor";
GRANT SELECT ON repmgr.voting_term TO :"monitor";
GRANT EXECUTE ON FUNCTION repmgr.get_local_node_id() TO :"monitor";

-- repmgr.nodes.conninfo may hold a password, so the monitor gets host and port of it and nothing
-- else, through a function that reads the table in its owner's name.
CREATE SCHEMA IF NOT EXISTS pgweir;

CREATE OR REPLACE FUNCTION pgweir.conninfo_value(conninfo text, keyword text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $function$
  -- Every "keyword = value" is matched, one behind the other, so that what looks like one inside of
  -- a quoted password is not.
  SELECT CASE WHEN v LIKE '''%' THEN regexp_replace(substr(v, 2, length(v) - 2), '\\(.)', '\1', 'g')
              ELSE regexp_replace(v, '\\(.)', '\1', 'g') END
    FROM (SELECT m[1] AS k, m[2] AS v, n
            FROM regexp_matches(conninfo,
                                $re$\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)$re$, 'g')
                 WITH ORDINALITY AS found(m, n)) AS pairs
   WHERE k = keyword
   ORDER BY n DESC LIMIT 1
$function$;

CREATE OR REPLACE FUNCTION pgweir.repmgr_nodes()
RETURNS TABLE (node_id integer, node_name text, type text, active boolean,
               upstream_node_id integer, host text, port integer)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 5 SET search_path = pg_catalog, pg_temp
AS $function$
  SELECT n.node_id, n.node_name, n.type, n.active, n.upstream_node_id,
         CASE WHEN u IS NOT NULL THEN btrim(u[1], '[]')
              ELSE coalesce(pgweir.conninfo_value(n.conninfo, 'host'),
                            pgweir.conninfo_value(n.conninfo, 'hostaddr')) END,
         CASE WHEN p ~ '^[0-9]{1,5}$' THEN p::integer ELSE 5432 END
    FROM repmgr.nodes n
    -- postgresql://user:password@host:port/database; what is behind it is not looked at.
    LEFT JOIN LATERAL regexp_match(
           n.conninfo, '^postgres(?:ql)?://(?:[^@/]*@)?(\[[^]]*\]|[^:/?,]*)(?::(\d+))?') u ON true
    CROSS JOIN LATERAL (SELECT CASE WHEN u IS NOT NULL THEN u[2]
                                    ELSE pgweir.conninfo_value(n.conninfo, 'port') END) AS x(p)
$function$;

REVOKE ALL ON FUNCTION pgweir.repmgr_nodes() FROM PUBLIC;
REVOKE ALL ON FUNCTION pgweir.conninfo_value(text, text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgweir TO :"monitor";
GRANT EXECUTE ON FUNCTION pgweir.repmgr_nodes() TO :"monitor";

\endif
COMMIT;
