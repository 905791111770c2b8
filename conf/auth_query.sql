-- The role that pgweir looks users up with, and the one function that it may call: it reads the
-- passwords of roles that may log in, and nothing else.
--
--   psql -d postgres -v password=SECRET -f auth_query.sql
--
-- Run it on the primary, as a superuser, in the database that auth_database names. It may be run
-- again, also to change the password, and with -v role=NAME for another name of the role. Then set
-- in pgweir.toml:
--
--   [auth]
--   auth_user = "pgweir_auth"
--   auth_password = "SECRET"
--   auth_query = "SELECT name, secret FROM pgweir.lookup_user($1)"
--
-- Let pg_hba.conf of every node admit the role from where pgweir runs, for example:
--   host  postgres  pgweir_auth  10.0.0.0/24  scram-sha-256

\set ON_ERROR_STOP on
\if :{?role}
\else
  \set role pgweir_auth
\endif
\if :{?password}
\else
  DO $$ BEGIN RAISE 'say -v password=SECRET'; END $$;
\endif

BEGIN;
-- Neither the password nor its hash need be in the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;

SELECT format('CREATE ROLE %I LOGIN', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';

CREATE SCHEMA IF NOT EXISTS pgweir;

-- Superusers are left out: they may connect to PostgreSQL itself. An expired password is no
-- password, as for PostgreSQL.
CREATE OR REPLACE FUNCTION pgweir.lookup_user(wanted text, OUT name text, OUT secret text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $function$
  SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END
    FROM pg_authid
   WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
$function$;

REVOKE ALL ON FUNCTION pgweir.lookup_user(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgweir TO :"role";
GRANT EXECUTE ON FUNCTION pgweir.lookup_user(text) TO :"role";
COMMIT;
