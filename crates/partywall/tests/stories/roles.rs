//! Roles of a database's server: what no dump holds, and what an application cannot sign in without.

use std::process::Command;

use crate::harness::{PRODUCTION, Story, image};

/// A role that owns, one that is granted, one that a policy names, a group of them, and one that the database knows nothing of.
const ROLES: &str = "CREATE ROLE readers; CREATE ROLE helper IN ROLE readers; CREATE ROLE watcher LOGIN; \
    GRANT pg_monitor TO watcher; ALTER ROLE app SET statement_timeout = '7s'; ALTER ROLE helper SET search_path = ''; GRANT readers TO app WITH ADMIN OPTION; \
    ALTER TABLE item OWNER TO app; GRANT SELECT ON shelf TO readers; ALTER TABLE shelf ENABLE ROW LEVEL SECURITY; \
    CREATE POLICY own ON shelf TO helper USING (id < 5); ALTER DATABASE shop OWNER TO app; \
    REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO readers; \
    ALTER DATABASE shop SET search_path = public, \"odd one\"; ALTER DATABASE shop SET app.word = 'it''s'; \
    ALTER ROLE helper IN DATABASE shop SET work_mem = '5MB'";
const RIGHTS: &str = "SELECT concat_ws(E'\n', \
    (SELECT string_agg(concat_ws(' ', relname, pg_get_userbyid(relowner), relacl, polname, polroles::regrole[]), E'\n' ORDER BY relname) \
        FROM pg_class LEFT JOIN pg_policy ON polrelid = pg_class.oid WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace), \
    (SELECT string_agg(concat_ws(' ', r.rolname, r.rolsuper, r.rolinherit, r.rolcanlogin, r.rolcreatedb, a.rolpassword, r.rolconfig), E'\n' \
        ORDER BY r.rolname) FROM pg_roles r JOIN pg_authid a USING (oid) WHERE r.rolname !~ '^pg_' AND r.rolname <> current_user), \
    (SELECT string_agg(concat_ws(' ', roleid::regrole, member::regrole, admin_option), E'\n' ORDER BY roleid::regrole::text, \
        member::regrole::text) FROM pg_auth_members WHERE member::regrole::text IN ('app', 'helper', 'watcher')), \
    (SELECT string_agg(concat_ws(' ', pg_get_userbyid(datdba), (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), \
        (SELECT string_agg(concat(setrole::regrole, setconfig), ',' ORDER BY setrole::regrole::text) FROM pg_db_role_setting \
            WHERE setdatabase = d.oid)), '') FROM pg_database d WHERE datname = current_database()))";

/// The application's role has the password; where it begins with `$`, the one that the container has in that variable.
pub(crate) fn make(story: &Story, password: &str) {
    let words = format!(
        "psql -qX -v ON_ERROR_STOP=1 -U shop -d shop -c \"CREATE ROLE app LOGIN PASSWORD '{password}'\""
    );
    story.container(PRODUCTION, "db").exec(&["sh", "-c", &words]).expect("made");
    story.sql(PRODUCTION, ROLES);
}

/// Owners, grants, policies, roles with what the server keeps of their passwords, and what is the database's own.
pub(crate) fn rights(story: &Story) -> String {
    story.sql(PRODUCTION, RIGHTS)
}

/// From another address than its own host's, where a password is asked for.
pub(crate) fn signs_in(story: &Story, role: &str, password: &str) -> bool {
    let words = format!(
        "PGPASSWORD=\"{password}\" psql -wqAtX -h $(hostname -i | cut -d' ' -f1) -U {role} -d shop -c 'SELECT count(*) FROM item'"
    );
    story.container(PRODUCTION, "db").exec(&["sh", "-c", &words]).is_some()
}

/// What the server keeps of a password stands nowhere in the open: not in the state, not in the repository.
pub(crate) fn nothing_is_told(story: &Story) -> bool {
    let kept = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'";
    let kept = story.sql(PRODUCTION, kept);
    assert!(kept.len() > 20, "{kept}");
    let told = Command::new("grep").args(["-rlaF", "--", &kept]).arg(story.folder()).output().expect("grep");
    let logs = crate::harness::docker(&["logs", &story.container(PRODUCTION, "db").id()]);
    told.stdout.is_empty() && !logs.contains(&kept)
}

/// Promise: where the server lacks a role that the database needs, a restore makes it as it was; it changes none that is
/// there, and brings back none that nobody needs. A drill lets the application sign in as its own role.
/// Given: a backup with roles of all kinds; then one that is needed and one that is not are removed, and a password is changed.
/// Then: the plan names the one that is needed, and it is back; the password stays changed, and nothing of either is in the open.
/// A table alone comes back without them, and belongs to nobody else than who brought it.
#[test]
fn roles_that_a_database_needs_come_back() {
    let story = Story::shop();
    let job = format!(
        "  verify:\n    image: {}\n    command: [\"true\"]\n    restart: \"no\"\n    \
         environment: {{ PGHOST: db, PGUSER: app, PGDATABASE: shop, PGPASSWORD: \"only once told\" }}\nvolumes:\n  data:",
        image("postgres")
    );
    story.edit("docker-compose.yml", "volumes:\n  data:", &job);
    let check = ", check: { service: verify, command: [psql, -X, -v, ON_ERROR_STOP=1, -c, \"UPDATE item SET words = ''\"] } }\n";
    let path = story.repository().display().to_string();
    story.edit("partywall.yaml", &format!("{path} }}\n"), &format!("{path}{check}"));
    story.up(PRODUCTION);
    story.stock(PRODUCTION, 100);
    make(&story, "only once told");
    let before = rights(&story);
    story.run(&["backup", PRODUCTION]).ended(0);
    let told = story.run(&["drill"]).ended(0);
    assert!(told.out.contains("the application's check: ended well"), "{}", told.out);

    story.sql(
        PRODUCTION,
        "DROP OWNED BY helper; DROP ROLE helper; DROP ROLE watcher; ALTER ROLE app PASSWORD 'changed since'",
    );
    let words = ["restore", PRODUCTION, "latest", "--confirm", PRODUCTION];
    let plan = story.run(&[&words[..], &["--plan"]].concat()).ended(0);
    assert!(plan.out.contains("make role helper on db from backup"), "{}", plan.out);
    story.run(&words).ended(0);
    let after = rights(&story);
    let kept = |text: &str| {
        text.lines().filter(|line| !line.starts_with("app f")).map(str::to_owned).collect::<Vec<_>>()
    };
    let but_watcher: Vec<String> =
        kept(&before).into_iter().filter(|line| !line.contains("watcher")).collect();
    assert_eq!(kept(&after), but_watcher);
    assert!(signs_in(&story, "app", "changed since") && !signs_in(&story, "app", "only once told"));
    assert!(nothing_is_told(&story));

    let replaced = "SELECT datname FROM pg_database WHERE datname LIKE 'shop\\_\\_partywall%'";
    let replaced = story.sql(PRODUCTION, replaced);
    story.sql(PRODUCTION, &format!("DROP DATABASE {replaced}"));
    let without = "DROP OWNED BY helper, readers; DROP ROLE helper, readers";
    story.sql(PRODUCTION, without);
    story.run(&[&words[..], &["--table", "shelf"]].concat()).ended(0).says(&["10 rows"]);
    let beside = "SELECT concat_ws(' ', pg_get_userbyid(relowner), relacl) FROM pg_class WHERE relname = 'shelf' \
        AND relnamespace::regnamespace::text LIKE 'partywall%'";
    assert_eq!(story.sql(PRODUCTION, beside), "shop");
}
