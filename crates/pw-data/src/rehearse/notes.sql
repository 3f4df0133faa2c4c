-- Noted inside the migration's own transactions, into the server's log, which no rollback takes back. This is added to
-- each statement's time: no function of ours is called where an expression does, nothing is noted that the log says.
CREATE SCHEMA partywall_rehearsal;
GRANT USAGE ON SCHEMA partywall_rehearsal TO PUBLIC;

-- The server's own line tells when a text of one statement begins; of several, it tells that of the first.
CREATE FUNCTION partywall_rehearsal.started() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_catalog.strpos(pg_catalog.rtrim(pg_catalog.current_query(), E' \t\r\n;'), ';') > 0 THEN
    RAISE LOG 'partywall: {"at":"%","tag":"%","time":%,"lock_timeout":"%"}', tg_event, tg_tag,
      extract(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('lock_timeout');
  END IF;
END $$;

-- What the system's own relations are locked with keeps nobody waiting; users' begin with 16384.
CREATE FUNCTION partywall_rehearsal.ended() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: %', (
    SELECT pg_catalog.concat('{"at":"', tg_event, '","tag":"', tg_tag,
        '","time":', extract(epoch FROM pg_catalog.clock_timestamp()),
        ',"lock_timeout":"', pg_catalog.current_setting('lock_timeout'), '","locks":[',
        pg_catalog.string_agg(pg_catalog.concat('[', relation, ',"', mode, '"]'), ','), ']}')
      FROM pg_catalog.pg_locks
      WHERE relation >= 16384 AND granted AND pid = pg_catalog.pg_backend_pid() AND mode <> 'AccessShareLock');
END $$;

CREATE FUNCTION partywall_rehearsal.rewrite() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: {"at":"%","tag":"%","time":%,"lock_timeout":"%","table":%}', tg_event, tg_tag,
    extract(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('lock_timeout'),
    pg_catalog.pg_event_trigger_table_rewrite_oid();
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
  RAISE LOG 'partywall: {"at":"%","table":%,"time":%,"lock_timeout":"%","rows":%}', TG_OP, TG_RELID,
    extract(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('lock_timeout'),
    pg_catalog.pg_stat_get_xact_tuples_inserted(TG_RELID) + pg_catalog.pg_stat_get_xact_tuples_updated(TG_RELID)
      + pg_catalog.pg_stat_get_xact_tuples_deleted(TG_RELID)
      - pg_catalog.current_setting('partywall.rows_' || TG_RELID)::bigint;
  RETURN NULL;
END $$;

CREATE FUNCTION partywall_rehearsal.emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE LOG 'partywall: {"at":"%","table":%,"time":%,"lock_timeout":"%"}', TG_OP, TG_RELID,
    extract(epoch FROM pg_catalog.clock_timestamp()), pg_catalog.current_setting('lock_timeout');
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

CREATE EVENT TRIGGER partywall_start ON ddl_command_start EXECUTE FUNCTION partywall_rehearsal.started();
CREATE EVENT TRIGGER partywall_end ON ddl_command_end EXECUTE FUNCTION partywall_rehearsal.ended();
CREATE EVENT TRIGGER partywall_rewrite ON table_rewrite EXECUTE FUNCTION partywall_rehearsal.rewrite();
ALTER EVENT TRIGGER partywall_start ENABLE ALWAYS;
ALTER EVENT TRIGGER partywall_end ENABLE ALWAYS;
ALTER EVENT TRIGGER partywall_rewrite ENABLE ALWAYS;
