//! Two databases: every object with a definition, settings, extensions, and the migrations that ran.

use std::collections::{BTreeMap, BTreeSet};

use super::{Difference, Part};

/// A database as it is compared. Read by `pw-data`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// `column public.users.email` → its definition, as the server writes it.
    pub objects: BTreeMap<Object, String>,
    /// `schema_migrations` → what it says has run.
    pub migrations: BTreeMap<String, BTreeSet<String>>,
}

/// Kind, such as `column`, `index`, `setting`; and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    pub kind: String,
    pub name: String,
}

/// What brings one environment's schema to the other: the way of data, and the way of code.
#[derive(Debug, Clone, Copy)]
pub struct Repairs<'a> {
    /// For what only the left one has.
    pub left_only: &'a str,
    /// For what only the right one has, and what differs.
    pub right_only: &'a str,
}

/// Everything that differs between two databases named `name` in the configuration, in the order of the paths.
pub fn schemas(name: &str, left: &Schema, right: &Schema, repairs: Repairs<'_>) -> Vec<Difference> {
    let mut all = objects(name, left, right, repairs);
    all.extend(migrations(name, left, right, repairs));
    all.sort();
    all
}

fn objects(name: &str, left: &Schema, right: &Schema, repairs: Repairs<'_>) -> Vec<Difference> {
    let known: BTreeSet<&Object> = left.objects.keys().chain(right.objects.keys()).collect();
    let differing = known.into_iter().filter_map(|object| {
        let (left, right) = (left.objects.get(object), right.objects.get(object));
        (left != right).then_some((object, left, right))
    });
    differing
        .filter(|(object, ..)| !is_told_by_its_table(object, left, right))
        .map(|(object, on_left, on_right)| {
            let path = format!("database.{name}.{}.{}", object.kind, object.name);
            let told = sides(&object.kind, on_left, on_right);
            let repair = repair(object, on_left.is_some() && on_right.is_none(), repairs);
            Difference::new(Part::Database, path, (&told.0, &told.1), repair)
        })
        .collect()
}

/// A table that only one side has is one difference, not one for each column.
fn is_told_by_its_table(object: &Object, left: &Schema, right: &Schema) -> bool {
    let holders = ["table", "view", "materialized view", "foreign table"];
    if holders.contains(&object.kind.as_str()) {
        return false;
    }
    let has = |schema: &Schema, name: &str| {
        let of = |kind: &&str| Object { kind: (*kind).to_owned(), name: name.to_owned() };
        holders.iter().any(|kind| schema.objects.contains_key(&of(kind)))
    };
    let mut name = object.name.as_str();
    while let Some((holder, _)) = name.rsplit_once('.') {
        if has(left, holder) != has(right, holder) {
            return true;
        }
        name = holder;
    }
    false
}

/// Short definitions are shown; of long ones only that they differ.
fn sides(kind: &str, left: Option<&String>, right: Option<&String>) -> (String, String) {
    const SHORT: usize = 60;
    let is_short = |text: &&String| text.len() <= SHORT && !text.contains('\n') && kind != "comment";
    match (left, right) {
        (Some(left), Some(right)) if is_short(&left) && is_short(&right) => (left.clone(), right.clone()),
        (Some(_), Some(_)) => ("one definition".into(), "another one".into()),
        (Some(left), None) if kind == "setting" => (left.clone(), "the default".into()),
        (None, Some(right)) if kind == "setting" => ("the default".into(), right.clone()),
        (Some(_), None) => ("there".into(), "not there".into()),
        _ => ("not there".into(), "there".into()),
    }
}

fn repair(object: &Object, only_left: bool, repairs: Repairs<'_>) -> String {
    match object.kind.as_str() {
        "server" | "collation version" => "run the same image in both environments".to_owned(),
        "setting" => format!("give `{}` the same value in both, or accept it", object.name),
        _ if only_left => repairs.left_only.to_owned(),
        _ => repairs.right_only.to_owned(),
    }
}

fn migrations(name: &str, left: &Schema, right: &Schema, repairs: Repairs<'_>) -> Vec<Difference> {
    let tables: BTreeSet<&String> = left.migrations.keys().chain(right.migrations.keys()).collect();
    let none = BTreeSet::new();
    let of_table = |table: &String| {
        let (on_left, on_right) =
            (left.migrations.get(table).unwrap_or(&none), right.migrations.get(table).unwrap_or(&none));
        let differing: Vec<(String, bool)> = on_left
            .symmetric_difference(on_right)
            .map(|migration| (migration.clone(), on_left.contains(migration)))
            .collect();
        let path = format!("database.{name}.migration.{table}");
        differing.into_iter().map(move |(migration, on_left)| {
            let (told, repair) = match on_left {
                true => (("applied", "not applied"), repairs.left_only),
                false => (("not applied", "applied"), repairs.right_only),
            };
            Difference::new(Part::Database, format!("{path}.{migration}"), told, repair)
        })
    };
    tables.into_iter().flat_map(of_table).collect()
}
