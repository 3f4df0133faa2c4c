-- Everything that has a definition: kind, name, definition as the server writes it. What extensions bring is theirs.
-- Asked with an empty search_path, so that every name is written in full.
WITH own AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), theirs AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), here AS (
    SELECT * FROM pg_database WHERE datname = current_database()
), relation AS (
    SELECT c.*, n.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN own n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_class'::regclass AND t.objid = c.oid)
), holder AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
), routine AS (
    SELECT p.*, format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
    FROM pg_proc p JOIN own n ON n.oid = p.pronamespace
    -- Nor what a range brings for itself.
    WHERE NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype IN ('e', 'i'))
), kind AS (
    SELECT y.*, n.nspname || '.' || y.typname AS name
    FROM pg_type y JOIN own n ON n.oid = y.typnamespace
    WHERE NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_type'::regclass AND t.objid = y.oid)
)
SELECT 'server', 'version', split_part(current_setting('server_version'), ' ', 1)
UNION ALL SELECT 'server', 'encoding', pg_encoding_to_char(encoding) FROM here
UNION ALL SELECT 'server', 'collation', datcollate || ' ' || datctype FROM here
UNION ALL SELECT 'schema', nspname, '' FROM own
UNION ALL SELECT 'extension', extname, extversion FROM pg_extension
UNION ALL SELECT
    CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
    name,
    concat_ws(' ',
        CASE relpersistence WHEN 'u' THEN 'unlogged' END,
        CASE relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) END,
        CASE WHEN relispartition THEN 'partition ' || pg_get_expr(relpartbound, oid) END,
        CASE WHEN relrowsecurity THEN 'row security' END,
        CASE WHEN relforcerowsecurity THEN 'forced' END,
        CASE WHEN relreplident <> 'd' AND relkind IN ('r', 'p') THEN 'replica identity ' || relreplident::text END,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
        array_to_string(reloptions, ' '))
FROM holder
UNION ALL SELECT 'column', h.name || '.' || a.attname,
    concat_ws(' ',
        format_type(a.atttypid, a.atttypmod),
        (SELECT 'collate ' || collname FROM pg_collation c JOIN pg_type y ON y.oid = a.atttypid
         WHERE c.oid = a.attcollation AND c.oid <> y.typcollation),
        CASE WHEN a.attnotnull THEN 'not null' END,
        CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity' END,
        CASE WHEN d.adbin IS NOT NULL
            THEN CASE a.attgenerated WHEN '' THEN 'default ' ELSE 'generated ' END || pg_get_expr(d.adbin, d.adrelid) END)
FROM holder h JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL SELECT 'constraint', h.name || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN holder h ON h.oid = c.conrelid WHERE c.contype NOT IN ('n', 't')
UNION ALL SELECT 'constraint', k.name || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN kind k ON k.oid = c.contypid WHERE c.contype <> 'n'
UNION ALL SELECT 'index', h.name || '.' || c.relname,
    pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
FROM pg_index i JOIN holder h ON h.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL SELECT 'sequence', r.name,
    concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'by', s.seqincrement, 'from', s.seqmin,
        'to', s.seqmax, CASE WHEN s.seqcycle THEN 'cycle' END)
FROM pg_sequence s JOIN relation r ON r.oid = s.seqrelid
UNION ALL SELECT 'type', k.name,
    CASE k.typtype
        WHEN 'e' THEN 'enum ' || (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
            FROM pg_enum WHERE enumtypid = k.oid)
        WHEN 'd' THEN concat_ws(' ', 'domain', format_type(k.typbasetype, k.typtypmod),
            CASE WHEN k.typnotnull THEN 'not null' END, 'default ' || k.typdefault)
        WHEN 'r' THEN 'range ' || (SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = k.oid)
        ELSE 'composite ' || (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = k.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    END
FROM kind k LEFT JOIN pg_class c ON c.oid = k.typrelid
WHERE k.typtype IN ('e', 'd', 'r') OR k.typtype = 'c' AND c.relkind = 'c'
UNION ALL SELECT 'function', name,
    CASE WHEN prokind = 'a' THEN 'aggregate ' || (SELECT concat_ws(' ', aggtransfn, aggfinalfn, agginitval)
        FROM pg_aggregate WHERE aggfnoid = routine.oid) ELSE pg_get_functiondef(oid) END
FROM routine
UNION ALL SELECT 'trigger', h.name || '.' || g.tgname,
    pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled' ELSE ' ' || g.tgenabled::text END
FROM pg_trigger g JOIN holder h ON h.oid = g.tgrelid WHERE NOT g.tgisinternal
UNION ALL SELECT 'event trigger', evtname,
    concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, array_to_string(evttags, ','))
FROM pg_event_trigger
WHERE NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_event_trigger'::regclass AND t.objid = pg_event_trigger.oid)
UNION ALL SELECT 'policy', h.name || '.' || p.polname,
    concat_ws(' ', p.polcmd, CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
        (SELECT string_agg(CASE WHEN role = 0 THEN 'public' ELSE pg_get_userbyid(role) END, ',' ORDER BY role) FROM unnest(p.polroles) role),
        'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN holder h ON h.oid = p.polrelid
UNION ALL SELECT 'rule', h.name || '.' || r.rulename, pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN holder h ON h.oid = r.ev_class WHERE r.rulename <> '_RETURN'
UNION ALL SELECT 'statistics', n.nspname || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
FROM pg_statistic_ext s JOIN own n ON n.oid = s.stxnamespace
UNION ALL SELECT 'publication', p.pubname,
    concat_ws(' ', CASE WHEN p.puballtables THEN 'all tables' END, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
        (SELECT string_agg(schemaname || '.' || tablename, ',' ORDER BY 1) FROM pg_publication_tables t WHERE t.pubname = p.pubname))
FROM pg_publication p
UNION ALL SELECT 'comment', h.name || CASE WHEN d.objsubid = 0 THEN '' ELSE '.' || a.attname END, d.description
FROM pg_description d JOIN holder h ON d.classoid = 'pg_class'::regclass AND d.objoid = h.oid
    LEFT JOIN pg_attribute a ON a.attrelid = h.oid AND a.attnum = d.objsubid
-- Each environment has a user of its own that owns everything; only what somebody else owns or may use is told.
UNION ALL SELECT 'owner', r.name, pg_get_userbyid(r.relowner)
FROM relation r, here WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND r.relowner NOT IN (here.datdba, (SELECT oid FROM pg_roles WHERE rolname = current_user))
UNION ALL SELECT 'grant', r.name || '.' || CASE WHEN g.grantee = 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END,
    string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END, ' ' ORDER BY g.privilege_type)
FROM relation r, aclexplode(r.relacl) g WHERE g.grantee <> r.relowner GROUP BY r.name, g.grantee
UNION ALL SELECT 'grant', n.nspname || '.' || CASE WHEN g.grantee = 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END,
    string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END, ' ' ORDER BY g.privilege_type)
FROM own n JOIN pg_namespace s ON s.oid = n.oid, aclexplode(s.nspacl) g WHERE g.grantee <> s.nspowner GROUP BY n.nspname, g.grantee
UNION ALL SELECT 'setting', name,
    -- An application's own settings may hold its keys, and a command its password.
    CASE WHEN name ~ '\.' OR name ~ '(conninfo|command)$' THEN md5(setting) ELSE concat(setting, ' ' || unit) END
FROM pg_settings
WHERE source IN ('configuration file', 'command line', 'environment variable', 'global', 'database', 'user', 'database user')
    AND name !~ '(_file|_directory|_directories|_address|_addresses|^port|^cluster_name|^log_filename)$'
