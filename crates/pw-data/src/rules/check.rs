//! From text to rules: every mistake with its place, unknown names with the nearest known one.

use std::collections::HashMap;

use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::source::SourceFile;
use serde_json::{Map, Value};

use super::{Children, Cohort, Masked, Predicate, Rules, Size};
use crate::catalogue::{Catalogue, Reference};
use crate::load::Roles;
use crate::mask::{Kind, unfit};
use crate::server::quoted;

const KEYS: [&str; 9] =
    ["cohort", "exclude", "masks", "tables", "children", "references", "hold", "large_objects", "roles"];
/// Keys of a `seed` section that say what else is done with an environment.
const OTHERS: [&str; 7] = ["database", "from", "rate", "vault", "rewrite", "caches", "restart"];

/// Reads the rules against a catalogue, and adds the references they declare to it.
///
/// # Errors
/// Everything that is wrong with them.
pub fn check(file: &SourceFile, catalogue: &mut Catalogue) -> Result<Rules, Vec<Diagnostic>> {
    let document: Value = serde_saphyr::from_str(&file.text).map_err(|error| {
        vec![Diagnostic::error(format!("`{}` is no YAML", file.name)).because(error.to_string())]
    })?;
    let (section, prefix) = match document.get("seed") {
        Some(seed) => (seed.clone(), vec!["seed".to_owned()]),
        None => (document, Vec::new()),
    };
    let mut check = Check { file, prefix, catalogue, found: Vec::new() };
    let rules = check.all(&section);
    if check.found.is_empty() { Ok(rules) } else { Err(check.found) }
}

struct Check<'a> {
    file: &'a SourceFile,
    prefix: Vec<String>,
    catalogue: &'a mut Catalogue,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    fn all(&mut self, section: &Value) -> Rules {
        let empty = Map::new();
        let map = section.as_object().unwrap_or(&empty);
        let known: Vec<&str> = KEYS.into_iter().chain(OTHERS).collect();
        self.keys(map, &known, &[]);
        self.references(map.get("references"));
        let mut rules = Rules {
            cohorts: self.cohorts(map.get("cohort")),
            excludes: self.excludes(map.get("exclude")),
            masks: HashMap::new(),
            whole: Vec::new(),
            empty: Vec::new(),
            children: self.children(map.get("children")),
            held: self.held(map.get("hold")),
            objects: self.objects(map.get("large_objects")),
            roles: self.roles(map.get("roles")),
        };
        self.tables(map.get("tables"), &mut rules);
        self.masks(map.get("masks"), &mut rules);
        self.inherit(&mut rules);
        if rules.cohorts.is_empty() && rules.whole.is_empty() && self.found.is_empty() {
            let lacking = Diagnostic::error("the rules name no cohort")
                .hint("write `cohort: { table: users, sample: 10% }`");
            self.found.push(lacking);
        }
        rules
    }

    fn wrong(&mut self, path: &[&str], message: impl Into<String>, hint: Option<String>) {
        let whole: Vec<&str> = self.prefix.iter().map(String::as_str).chain(path.iter().copied()).collect();
        let mut diagnostic = Diagnostic::error(message).at(self.file.find_nearest(&whole));
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }

    fn keys(&mut self, map: &Map<String, Value>, known: &[&str], path: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = nearest(key, known.iter().copied()).map(|near| format!("write `{near}`"));
            let hint = hint.or_else(|| Some(format!("known are: {}", known.join(", "))));
            let place: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            self.wrong(&place, format!("unknown key `{key}`"), hint);
        }
    }

    fn table(&mut self, written: &str, path: &[&str]) -> Option<usize> {
        let found = self.catalogue.table(written);
        if found.is_none() {
            let names: Vec<String> =
                self.catalogue.tables.iter().map(crate::catalogue::Table::shown).collect();
            let hint =
                nearest(written, names.iter().map(String::as_str)).map(|near| format!("write `{near}`"));
            self.wrong(path, format!("the source has no table `{written}`"), hint);
        }
        found
    }

    fn column(&mut self, written: &str, path: &[&str]) -> Option<(usize, usize)> {
        let Some((table, column)) = written.rsplit_once('.') else {
            self.wrong(path, format!("`{written}` is no column"), Some("write `table.column`".into()));
            return None;
        };
        let table = self.table(table, path)?;
        let found = self.catalogue.tables[table].column(column);
        if found.is_none() {
            let names = self.catalogue.tables[table].columns.iter().map(|known| known.name.as_str());
            let hint = nearest(column, names).map(|near| format!("write `{near}`"));
            self.wrong(path, format!("the source has no column `{written}`"), hint);
        }
        Some((table, found?))
    }

    fn cohorts(&mut self, written: Option<&Value>) -> Vec<Cohort> {
        let Some(written) = written else { return Vec::new() };
        let list = written.as_array().map_or_else(|| vec![written], |list| list.iter().collect());
        list.into_iter().filter_map(|one| self.cohort(one)).collect()
    }

    fn cohort(&mut self, written: &Value) -> Option<Cohort> {
        let path = ["cohort"];
        let Some(map) = written.as_object() else {
            self.wrong(&path, "a cohort is a map", Some("write `{ table: users, sample: 10% }`".into()));
            return None;
        };
        self.keys(map, &["table", "sample", "where"], &path);
        let name = map.get("table").and_then(Value::as_str).unwrap_or_default();
        let table = self.table(name, &["cohort", "table"])?;
        let size = match map.get("sample") {
            None => Size::All,
            Some(written) => self.size(written)?,
        };
        if size != Size::All && self.catalogue.tables[table].primary.is_empty() {
            self.wrong(
                &["cohort", "sample"],
                format!("`{name}` has no primary key to sample by"),
                Some("use `where` alone".into()),
            );
        }
        Some(Cohort { table, size, filter: map.get("where").and_then(Value::as_str).map(str::to_owned) })
    }

    fn size(&mut self, written: &Value) -> Option<Size> {
        let size = match written {
            Value::Number(count) => {
                count.as_u64().and_then(|count| usize::try_from(count).ok()).map(Size::Count)
            }
            Value::String(text) => Size::parse(text),
            _ => None,
        };
        if size.is_none() {
            self.wrong(
                &["cohort", "sample"],
                "a sample is a share or a count",
                Some("write `10%` or `500`".into()),
            );
        }
        size
    }

    fn excludes(&mut self, written: Option<&Value>) -> Vec<Predicate> {
        let list = written.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut predicates = Vec::new();
        for (index, one) in list.iter().enumerate() {
            let at = index.to_string();
            let text = one.as_str().unwrap_or_default();
            let Some((table, filter)) = text.split_once(" where ") else {
                self.wrong(&["exclude", &at], "an exclusion is `table where condition`", None);
                continue;
            };
            if let Some(table) = self.table(table.trim(), &["exclude", &at]) {
                predicates.push(Predicate { table, filter: filter.to_owned() });
            }
        }
        predicates
    }

    fn tables(&mut self, written: Option<&Value>, rules: &mut Rules) {
        for (name, what) in written.and_then(Value::as_object).into_iter().flatten() {
            let path = ["tables", name.as_str()];
            let Some(table) = self.table(name, &path) else { continue };
            match what.as_str() {
                Some("whole") => rules.whole.push(table),
                Some("empty") => rules.empty.push(table),
                _ => self.wrong(&path, "a table is `whole` or `empty`", None),
            }
        }
    }

    fn masks(&mut self, written: Option<&Value>, rules: &mut Rules) {
        for (name, what) in written.and_then(Value::as_object).into_iter().flatten() {
            let path = ["masks", name.as_str()];
            if what.as_str() == Some("drop") && self.catalogue.table(name).is_some() {
                rules.empty.extend(self.table(name, &path));
                continue;
            }
            let Some((table, column)) = self.column(name, &path) else { continue };
            if let Some(masked) =
                self.mask(what, &path, &self.catalogue.tables[table].columns[column].generated.clone())
            {
                self.fits(&masked.kind, (table, column), &path);
                rules.masks.insert((table, column), masked);
            }
        }
    }

    fn mask(&mut self, what: &Value, path: &[&str], generated: &bool) -> Option<Masked> {
        let mut what = what.clone();
        let proved = what.as_object_mut().and_then(|map| map.remove("proof")).and_then(|word| word.as_bool());
        let what = what.as_object().and_then(|map| map.get("mask")).cloned().unwrap_or(what);
        match Kind::parse(&what) {
            Ok(_) if *generated => {
                self.wrong(
                    path,
                    "a generated column follows the columns it is made of",
                    Some("mask those".into()),
                );
                None
            }
            Ok(kind) => Some(Masked { proved: proved.unwrap_or(kind.is_proved()), kind }),
            Err(message) => {
                let near = what.as_str().and_then(|word| nearest(word, Kind::known()));
                let hint = near.map_or_else(
                    || format!("known are: {}", Kind::known().collect::<Vec<_>>().join(", ")),
                    |near| format!("write `{near}`"),
                );
                self.wrong(path, message, Some(hint));
                None
            }
        }
    }

    fn fits(&mut self, kind: &Kind, (table, column): (usize, usize), path: &[&str]) {
        let part = |key: &Vec<usize>| key.len() > 1 && key.contains(&column);
        if *kind == Kind::Permute && self.catalogue.tables[table].uniques.iter().any(part) {
            let told = "values of one column of a key of several cannot change places";
            self.wrong(path, told, Some("two rows could get one key; mask it otherwise".into()));
        }
        let column = &self.catalogue.tables[table].columns[column];
        if let Some(reason) = unfit(kind, column) {
            let message = format!("this mask does not fit `{}`: {reason}", column.name);
            self.wrong(
                path,
                message,
                Some("`null`, `{ constant: … }` and `{ sql: … }` fit more types".into()),
            );
        }
    }

    /// What names a masked value is masked alike.
    fn inherit(&self, rules: &mut Rules) {
        for reference in self.catalogue.references.iter().filter(|reference| !reference.declared) {
            for (own, its) in reference.columns.iter().zip(&reference.to_columns) {
                // Values that stay in the table need no other mask where they are named.
                if let Some(masked) = rules.mask(reference.to, *its).filter(|one| one.kind != Kind::Permute) {
                    let same = Masked { kind: masked.kind.clone(), proved: masked.proved };
                    rules.masks.entry((reference.from, *own)).or_insert(same);
                }
            }
        }
    }

    fn along(&mut self, written: &str, path: &[&str]) -> Vec<usize> {
        let Some((table, column)) = self.column(written, path) else { return Vec::new() };
        let through = |reference: &Reference| reference.from == table && reference.columns.contains(&column);
        let found: Vec<usize> = self
            .catalogue
            .references
            .iter()
            .enumerate()
            .filter(|(_, one)| through(one))
            .map(|(index, _)| index)
            .collect();
        if found.is_empty() {
            self.wrong(
                path,
                format!("`{written}` refers to nothing"),
                Some("declare it under `references`".into()),
            );
        }
        found
    }

    fn children(&mut self, written: Option<&Value>) -> HashMap<usize, Children> {
        let mut children = HashMap::new();
        for (name, what) in written.and_then(Value::as_object).into_iter().flatten() {
            let path = ["children", name.as_str()];
            let limit = what.as_u64().and_then(|limit| usize::try_from(limit).ok());
            let what = match (what.as_str(), limit) {
                (Some("all"), _) => Children::All,
                (Some("none"), _) => Children::None,
                (_, Some(limit)) => Children::Limit(limit),
                _ => {
                    self.wrong(&path, "children are `all`, `none` or a number for each parent", None);
                    continue;
                }
            };
            children.extend(self.along(name, &path).into_iter().map(|reference| (reference, what)));
        }
        children
    }

    fn held(&mut self, written: Option<&Value>) -> Vec<usize> {
        let names: Vec<Value> = written.and_then(Value::as_array).cloned().unwrap_or_default();
        names
            .iter()
            .enumerate()
            .flat_map(|(index, name)| {
                self.along(name.as_str().unwrap_or_default(), &["hold", &index.to_string()])
            })
            .collect()
    }

    fn roles(&mut self, written: Option<&Value>) -> Roles {
        let mut roles = Roles::new();
        for (from, to) in written.and_then(Value::as_object).into_iter().flatten() {
            match to.as_str() {
                Some(to) => drop(roles.insert(from.clone(), to.to_owned())),
                None => self.wrong(&["roles", from], "a role is a name", Some("write `app: app_dev`".into())),
            }
        }
        roles
    }

    /// Columns that number large objects.
    fn objects(&mut self, written: Option<&Value>) -> Vec<(usize, usize)> {
        let names = written.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut columns = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let (name, at) = (name.as_str().unwrap_or_default(), index.to_string());
            let path = ["large_objects", at.as_str()];
            let Some((table, column)) = self.column(name, &path) else { continue };
            let known = &self.catalogue.tables[table].columns[column];
            if matches!(known.base.as_str(), "oid" | "int4" | "int8") {
                columns.push((table, column));
            } else {
                let told = format!("`{name}` does not number large objects: its type is {}", known.kind);
                self.wrong(&path, told, None);
            }
        }
        columns
    }

    fn references(&mut self, written: Option<&Value>) {
        let list = written.and_then(Value::as_array).cloned().unwrap_or_default();
        for (index, one) in list.iter().enumerate() {
            if let Some(reference) = self.reference(one, &index.to_string()) {
                self.catalogue.references.push(reference);
            }
        }
    }

    /// `{ from: notifications.content_id, to: posts.id, when: "content_type = 'post'" }`; instead of `from`, `table` and `value` for an expression.
    fn reference(&mut self, written: &Value, at: &str) -> Option<Reference> {
        let path = ["references", at];
        let map = written.as_object()?;
        self.keys(map, &["from", "table", "value", "to", "when"], &path);
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let (to, its) = self.column(text("to").unwrap_or_default(), &path)?;
        if !self.catalogue.tables[to].is_unique(its) {
            self.wrong(&path, "a reference must lead to a unique column", None);
        }
        let target = &self.catalogue.tables[to].columns[its];
        let (base, key) = (target.base.clone(), target.as_key(target));
        let (from, columns, value) = match (text("from"), text("value")) {
            (Some(from), None) => {
                let (table, own) = self.column(from, &path)?;
                let target = &self.catalogue.tables[to].columns[its];
                (table, vec![own], self.catalogue.tables[table].columns[own].as_key(target))
            }
            (None, Some(value)) => {
                let table = self.table(text("table").unwrap_or_default(), &path)?;
                (
                    table,
                    Vec::new(),
                    if key == quoted(&self.catalogue.tables[to].columns[its].name) {
                        format!("({value})::{base}")
                    } else {
                        format!("({value})::text")
                    },
                )
            }
            _ => {
                self.wrong(&path, "a reference has `from`, or `table` and `value`", None);
                return None;
            }
        };
        let select = text("when").map_or(value.clone(), |when| format!("CASE WHEN {when} THEN {value} END"));
        // What cannot be cleared binds: a row must not name what stays behind.
        let required = columns.iter().all(|column| self.catalogue.tables[from].columns[*column].not_null);
        let name = format!("declared reference {}", at.parse::<usize>().unwrap_or_default() + 1);
        Some(Reference {
            name,
            from,
            columns,
            to,
            to_columns: vec![its],
            select: vec![select],
            required,
            declared: true,
        })
    }
}
