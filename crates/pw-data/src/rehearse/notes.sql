-- Noted inside the migration's own transactions, into the server's log, which no rollback takes back.
CREATE SCHEMA partywall_rehearsal;
GRANT USAGE ON SCHEMA partywall_rehearsal TO PUBLIC;

CREATE FUNCTION partywall_rehearsal.limit_of_waiting() RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$ SELECT (extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::bigint $$;

CREATE FUNCTION partywall_rehearsal.command() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: %', pg_catalog.json_build_object(
    'at', tg_event, 'tag', tg_tag, 'time', extract(epoch FROM pg_catalog.clock_timestamp()),
    'lock_timeout', partywall_rehearsal.limit_of_waiting(),
    'locks', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(relation::bigint, mode)) FROM pg_catalog.pg_locks
      WHERE locktype = 'relation' AND granted AND pid = pg_catalog.pg_backend_pid() AND mode <> 'AccessShareLock'));
END $$;

CREATE FUNCTION partywall_rehearsal.rewrite() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: %', pg_catalog.json_build_object(
    'at', tg_event, 'tag', tg_tag, 'time', extract(epoch FROM pg_catalog.clock_timestamp()),
    'lock_timeout', partywall_rehearsal.limit_of_waiting(),
    'table', pg_catalog.pg_event_trigger_table_rewrite_oid()::bigint);
END $$;

-- What a transaction has changed so far is known; the difference is what the statement changed.
CREATE FUNCTION partywall_rehearsal.before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.set_config('partywall.rows_' || TG_RELID, (pg_catalog.pg_stat_get_xact_tuples_inserted(TG_RELID)
    + pg_catalog.pg_stat_get_xact_tuples_updated(TG_RELID) + pg_catalog.pg_stat_get_xact_tuples_deleted(TG_RELID))::text, false);
  RETURN NULL;
END $$;

CREATE FUNCTION partywall_rehearsal.after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: %', pg_catalog.json_build_object(
    'at', TG_OP, 'table', TG_RELID::bigint, 'time', extract(epoch FROM pg_catalog.clock_timestamp()),
    'lock_timeout', partywall_rehearsal.limit_of_waiting(),
    'rows', pg_catalog.pg_stat_get_xact_tuples_inserted(TG_RELID) + pg_catalog.pg_stat_get_xact_tuples_updated(TG_RELID)
      + pg_catalog.pg_stat_get_xact_tuples_deleted(TG_RELID)
      - pg_catalog.current_setting('partywall.rows_' || TG_RELID)::bigint);
  RETURN NULL;
END $$;

CREATE FUNCTION partywall_rehearsal.emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: %', pg_catalog.json_build_object(
    'at', TG_OP, 'table', TG_RELID::bigint, 'time', extract(epoch FROM pg_catalog.clock_timestamp()),
    'lock_timeout', partywall_rehearsal.limit_of_waiting());
  RETURN NULL;
END $$;

DO $$
DECLARE one regclass;
BEGIN
  FOR one IN
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  LOOP
    EXECUTE format('CREATE TRIGGER partywall_before BEFORE INSERT OR UPDATE OR DELETE ON %s '
      'FOR EACH STATEMENT EXECUTE FUNCTION partywall_rehearsal.before()', one);
    EXECUTE format('CREATE TRIGGER zz_partywall_after AFTER INSERT OR UPDATE OR DELETE ON %s '
      'FOR EACH STATEMENT EXECUTE FUNCTION partywall_rehearsal.after()', one);
    EXECUTE format('CREATE TRIGGER zz_partywall_emptied AFTER TRUNCATE ON %s '
      'FOR EACH STATEMENT EXECUTE FUNCTION partywall_rehearsal.emptied()', one);
  END LOOP;
END $$;

CREATE EVENT TRIGGER partywall_start ON ddl_command_start EXECUTE FUNCTION partywall_rehearsal.command();
CREATE EVENT TRIGGER partywall_end ON ddl_command_end EXECUTE FUNCTION partywall_rehearsal.command();
CREATE EVENT TRIGGER partywall_rewrite ON table_rewrite EXECUTE FUNCTION partywall_rehearsal.rewrite();
ALTER EVENT TRIGGER partywall_start ENABLE ALWAYS;
ALTER EVENT TRIGGER partywall_end ENABLE ALWAYS;
ALTER EVENT TRIGGER partywall_rewrite ENABLE ALWAYS;
