//! Text of a query → its statements, and what kind each is.

use squawk_syntax::SourceFile;
use squawk_syntax::ast::AstNode as _;

/// How a statement shows itself in the notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fires `ddl_command_start` and `ddl_command_end`.
    Definition,
    /// Fires statement triggers.
    Change,
    Begin,
    /// Commits or rolls back.
    End,
    /// `SET`, `SAVEPOINT` and their like: takes no time to speak of.
    Setting,
    Other,
}

/// The statements of a text, in order, without what stands between them. One that cannot be read stays whole.
pub(super) fn split(text: &str) -> Vec<&str> {
    let parsed = SourceFile::parse(text);
    let ranges = parsed.tree().stmts().map(|statement| statement.syntax().text_range()).collect::<Vec<_>>();
    let parts: Vec<&str> = ranges
        .iter()
        .filter_map(|range| text.get(usize::from(range.start())..usize::from(range.end())))
        .map(|part| part.trim().trim_end_matches(';').trim_end())
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() || !parsed.errors().is_empty() { vec![text.trim()] } else { parts }
}

/// The first words in capitals, comments left out.
pub(super) fn words(text: &str, count: usize) -> Vec<String> {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after).trim_start()
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after).trim_start()
        } else {
            break;
        };
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .take(count)
        .map(str::to_uppercase)
        .collect()
}

pub(super) fn kind(text: &str) -> Kind {
    let words = words(text, 3);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("BEGIN", _) | ("START", "TRANSACTION") => Kind::Begin,
        ("ROLLBACK", "TO") | ("ROLLBACK", "PREPARED") | ("COMMIT", "PREPARED") => Kind::Setting,
        ("ROLLBACK", "WORK" | "TRANSACTION") if word(2) == "TO" => Kind::Setting,
        ("COMMIT" | "END" | "ROLLBACK" | "ABORT", _) | ("PREPARE", "TRANSACTION") => Kind::End,
        ("SET" | "RESET" | "SHOW" | "SAVEPOINT" | "RELEASE" | "DEALLOCATE" | "DISCARD", _) => Kind::Setting,
        ("INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "TRUNCATE", _) => Kind::Change,
        ("CREATE" | "ALTER" | "DROP", "DATABASE" | "TABLESPACE" | "ROLE" | "USER" | "GROUP" | "SYSTEM") => {
            Kind::Other
        }
        (
            "CREATE" | "ALTER" | "DROP" | "COMMENT" | "GRANT" | "REVOKE" | "REFRESH" | "SECURITY" | "IMPORT",
            _,
        )
        | ("REINDEX", _) => Kind::Definition,
        _ => Kind::Other,
    }
}

/// True when a command of this tag (`CREATE INDEX`) can be this statement (`create unique index …`).
pub(super) fn is_tagged(text: &str, tag: &str) -> bool {
    let (words, tag) = (words(text, 6), tag.to_uppercase());
    let mut parts = tag.split(' ');
    words.first().map(String::as_str) == parts.next()
        && parts.all(|part| words.iter().any(|word| word == part))
}

/// The text as it may be shown and kept: a role's password is a secret, whatever else is not.
pub(super) fn without_secrets(text: &str) -> String {
    let upper = text.to_uppercase();
    let Some(at) = upper.find("PASSWORD").filter(|_| upper.contains("ROLE") || upper.contains("USER")) else {
        return text.to_owned();
    };
    // Byte places of the two agree wherever upper case keeps the length, as in all of ASCII.
    let Some(tail) = text.get(at..) else { return words(text, 2).join(" ") };
    let mut quotes = tail.match_indices('\'').map(|(index, _)| index);
    match (quotes.next(), quotes.next()) {
        (Some(from), Some(to)) => format!("{}'…'{}", &text[..at + from], &tail[to + 1..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_its_statements() {
        let text = "-- first\nCREATE TABLE a (b text DEFAULT ';');\n\nDO $$ BEGIN UPDATE a SET b = 'x;'; END $$;\nCOMMIT";
        assert_eq!(
            split(text),
            ["CREATE TABLE a (b text DEFAULT ';')", "DO $$ BEGIN UPDATE a SET b = 'x;'; END $$", "COMMIT"]
        );
        assert_eq!(split("NOT sql; at all"), ["NOT sql; at all"]);
    }

    #[test]
    fn kinds_are_told_by_the_first_words() {
        assert_eq!(kind("/* x */ alter table a add b int"), Kind::Definition);
        assert_eq!(kind("rollback to savepoint a"), Kind::Setting);
        assert_eq!(kind("ROLLBACK"), Kind::End);
        assert_eq!(kind("update a set b = 1"), Kind::Change);
        assert_eq!(kind("VACUUM FULL a"), Kind::Other);
        assert!(is_tagged("create unique index concurrently on a (b)", "CREATE INDEX"));
        assert!(!is_tagged("create table a ()", "CREATE INDEX"));
    }

    #[test]
    fn passwords_are_taken_out() {
        assert_eq!(
            without_secrets("ALTER ROLE app PASSWORD 'hunter2' LOGIN"),
            "ALTER ROLE app PASSWORD '…' LOGIN"
        );
        assert_eq!(without_secrets("UPDATE a SET b = 'c'"), "UPDATE a SET b = 'c'");
    }
}
