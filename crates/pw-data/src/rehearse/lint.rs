//! What a well-kept linter says of the statements, where the measurement does not say otherwise.

use std::collections::BTreeSet;

use squawk_linter::{Linter, LinterSettings, Rule, Version};
use squawk_syntax::SourceFile;

use super::report::Finding;
use super::statement::Kind;
use super::timeline::Timed;

/// Rules about what hurts a running application. Those of taste (types, names, robustness) are left to the author.
const RULES: [Rule; 22] = [
    Rule::RequireConcurrentIndexCreation,
    Rule::RequireConcurrentIndexDeletion,
    Rule::RequireConcurrentPartitionDetach,
    Rule::RequireConcurrentReindex,
    Rule::ConstraintMissingNotValid,
    Rule::AddingFieldWithDefault,
    Rule::AddingForeignKeyConstraint,
    Rule::AddingNotNullableField,
    Rule::AddingRequiredField,
    Rule::AddingSerialPrimaryKeyField,
    Rule::ChangingColumnType,
    Rule::RenamingColumn,
    Rule::RenamingTable,
    Rule::DisallowedUniqueConstraint,
    Rule::BanDropColumn,
    Rule::BanDropTable,
    Rule::BanDropDatabase,
    Rule::BanTruncateCascade,
    Rule::BanCreateDomainWithConstraint,
    Rule::BanAlterDomainWithAddConstraint,
    Rule::BanConcurrentIndexCreationInTransaction,
    Rule::BanUncommittedTransaction,
];
/// Rules about what the old release, which still runs, will miss; they hold however small the table is.
const MISSED: [Rule; 5] = [
    Rule::RenamingColumn,
    Rule::RenamingTable,
    Rule::BanDropColumn,
    Rule::BanDropTable,
    Rule::AddingRequiredField,
];

/// Findings by statement. The texts are linted as one, so that a table made by one is known to the next.
pub(super) fn lint(timed: &[Timed], server_version: i32) -> Vec<Finding> {
    let mut text = String::new();
    let mut ends = Vec::new();
    for one in timed {
        text.push_str(&one.statement.text);
        text.push_str(";\n");
        ends.push(text.len());
    }
    let parsed = SourceFile::parse(&text);
    let version = format!("{}.0", server_version / 10_000);
    let mut linter = Linter::from(RULES);
    linter.settings = LinterSettings {
        pg_version: version.parse::<Version>().unwrap_or_default(),
        assume_in_transaction: false,
    };
    let mut seen = BTreeSet::new();
    linter
        .lint(&parsed, &text)
        .into_iter()
        .filter_map(|violation| {
            let at = ends.partition_point(|end| *end <= usize::from(violation.text_range.start()));
            let one = timed.get(at)?;
            let counts = is_measured(one, violation.code) && seen.insert((at, violation.code.to_string()));
            counts.then(|| Finding {
                rule: violation.code.to_string(),
                statement: at,
                message: violation.message.trim().trim_end_matches('.').to_owned(),
                hint: violation.help,
            })
        })
        .collect()
}

/// A lock that was not taken, of a table that was not there before, hurts nobody.
fn is_measured(one: &Timed, rule: Rule) -> bool {
    let touches = one.statement.locks.iter().any(|held| held.mode.blocks_writes());
    one.kind != Kind::Setting && (touches || MISSED.contains(&rule) && !one.statement.locks.is_empty())
}
