//! The whole: rules and two databases in, a proved sample out.

use std::cell::Cell;

use futures_util::future::{OptionFuture, join, try_join};
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::source::SourceFile;
use pw_run::Failure;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::Halt;
use crate::catalogue::{self, Catalogue};
use crate::closure::{self, Closure, Paths};
use crate::load::{self, Moved, Schema, Scratch, Transfer};
use crate::mask::{Kind, Secret};
use crate::migrations;
use crate::rules::{self, Rules, Size};
use crate::server::{Address, Source, literal};
use crate::suspect::{self, Suspect};

/// Connections to each side. Two keep a server busy and leave it room for others.
const CONNECTIONS: usize = 2;

/// A source that was read: what it holds, what is wanted of it, which rows that is.
pub struct Reading {
    source: Source,
    catalogue: Catalogue,
    rules: Rules,
    closure: Closure,
    /// Known to have no gap in its rules.
    covered: Cell<bool>,
    /// Read while rows were found, until the first load takes it.
    schema: Cell<Option<Schema>>,
    moved: Moved,
}

/// How a source is read.
#[derive(Default)]
pub struct Opening<'a> {
    /// Of the cohort, where it is another than the rules say.
    pub size: Option<Size>,
    /// Remember how each row came.
    pub why: bool,
    /// It will be loaded, so that the schema is read while rows are found.
    pub load: bool,
    /// The words that start `pg_dump`, where it is not on this host.
    pub pg_dump: Option<&'a [String]>,
}

/// How far the copying is.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The table of which a row was copied last.
    pub table: String,
    pub rows: u64,
    /// Of how many.
    pub of: u64,
    pub bytes: u64,
    pub bytes_in_a_second: u64,
    /// As far as the rows tell; `None` before the first.
    pub seconds_left: Option<u64>,
}

impl Standing {
    pub fn percent(&self) -> u64 {
        self.rows * 100 / self.of.max(1)
    }
}

/// One line of the plan.
#[derive(Debug, Clone, Serialize)]
pub struct Planned {
    pub table: String,
    pub rows: usize,
    /// Of how many, by the server's statistics.
    pub of: u64,
    /// Estimated from the table's size.
    pub bytes: u64,
    pub by: Paths,
    /// Rows whose reference to something excluded is cleared.
    pub cleared: usize,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    pub rows: u64,
    pub bytes: u64,
    /// Distinct production values that were searched for in all that was loaded.
    pub searched_for: usize,
    /// Columns in which one was found; none, or there is no sample.
    pub leaks: usize,
    /// Rows whose keys were held in memory, and the bytes they took.
    pub keys: usize,
    pub key_bytes: usize,
    /// Large objects that the rows name and that came along.
    pub large_objects: u64,
    /// Large objects of the source that no row of the sample names, as far as is known.
    pub large_objects_left: u64,
    pub tables: Vec<Planned>,
    /// What is otherwise than in the source, for a person to read.
    pub told: Vec<String>,
}

/// Where the sample goes, and how.
pub struct Order<'a> {
    pub to: &'a Address,
    pub secret: &'a Secret,
    /// Leave the scratch database of a failed run to be looked at.
    pub keep_failed: bool,
    /// The words that start `pg_dump`, where it is not on this host.
    pub pg_dump: Option<&'a [String]>,
}

/// Told at each stage.
pub type Progress<'a> = &'a dyn Fn(&str);

impl Reading {
    /// Reads catalogue, rules and keys.
    ///
    /// # Errors
    /// The rules are wrong, or the source cannot be read.
    pub async fn open(
        from: &Address,
        rules: &SourceFile,
        why: bool,
        tell: Progress<'_>,
    ) -> Result<Self, Halt> {
        Self::open_as(from, rules, &Opening { why, ..Opening::default() }, tell).await
    }

    /// As [`open`](Self::open), with more to say about it.
    ///
    /// # Errors
    /// The rules are wrong, or the source cannot be read.
    pub async fn open_as(
        from: &Address,
        rules: &SourceFile,
        opening: &Opening<'_>,
        tell: Progress<'_>,
    ) -> Result<Self, Halt> {
        let source = Source::open(from.clone(), CONNECTIONS).await?;
        let standby = source.standby;
        Self::read(source, rules, opening, tell).await.map_err(|halt| halt.explained(standby))
    }

    async fn read(
        source: Source,
        rules: &SourceFile,
        opening: &Opening<'_>,
        tell: Progress<'_>,
    ) -> Result<Self, Halt> {
        tell("reading the catalogue");
        let mut catalogue = catalogue::read(source.leader()).await?;
        let mut rules = rules::check(rules, &mut catalogue).map_err(Halt::Complaints)?;
        opening.size.into_iter().for_each(|size| rules.resize(size));
        tell("finding the rows");
        let found = closure::find(&source, &catalogue, &rules, opening.why);
        let dumped = async {
            // Whatever fails here is tried once more when it is needed, and told then.
            let dump = opening.load.then(|| Schema::dump(&source, opening.pg_dump, &rules.roles));
            Ok(OptionFuture::from(dump).await.and_then(Result::ok))
        };
        let (closure, schema) = try_join(found, dumped).await?;
        source.fetch_by_place().await?;
        let (covered, schema) = (Cell::new(false), Cell::new(schema));
        Ok(Self { source, catalogue, rules, closure, covered, schema, moved: Moved::default() })
    }

    /// How far a load of this reading is; `None` while it copies nothing yet.
    pub fn standing(&self) -> Option<Standing> {
        let (table, begun) = (self.moved.table.get()?, self.moved.begun.get()?);
        let of = self.closure.tables.iter().map(|taken| taken.places.len() as u64).sum::<u64>();
        let (rows, bytes, milliseconds) =
            (self.moved.rows.get(), self.moved.bytes.get(), begun.elapsed().as_millis().max(1));
        let share =
            |of: u64, rows: u64| u64::try_from(u128::from(of) * milliseconds / u128::from(rows) / 1000);
        let in_a_second = u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX);
        let seconds_left = (rows > 0).then(|| share(of.saturating_sub(rows), rows).unwrap_or(u64::MAX));
        let table = self.catalogue.tables[table].shown();
        Some(Standing { table, rows, of, bytes, bytes_in_a_second: in_a_second, seconds_left })
    }

    /// Rows of every table that comes along, and by which path.
    pub fn plan(&self) -> Vec<Planned> {
        let tables = self.catalogue.tables.iter().zip(&self.closure.tables);
        tables
            .filter(|(_, taken)| !taken.places.is_empty())
            .map(|(table, taken)| planned(table, taken))
            .collect()
    }

    /// Columns that want a rule, by name and by what the sampled rows hold.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn suspects(&self) -> Result<Vec<Suspect>, Failure> {
        let taken = |table: usize| !self.closure.tables[table].places.is_empty();
        let mut suspects = suspect::named(&self.catalogue, &self.rules, taken);
        let secret = Secret::new("");
        let transfer =
            Transfer::new(&self.source, &self.catalogue, &self.closure, (&self.rules, &secret, &self.moved));
        for (table, known) in self.catalogue.tables.iter().enumerate().filter(|(table, _)| taken(*table)) {
            let open = |column: &usize| {
                let covered = self.rules.mask(table, *column).is_some() || known.columns[*column].generated;
                !covered && !suspects.iter().any(|one| (one.table, one.column) == (table, *column))
            };
            let columns: Vec<usize> = (0..known.columns.len()).filter(open).collect();
            let mut look = |column: usize, value: &[u8]| {
                let said = suspects.iter().any(|one| (one.table, one.column) == (table, column));
                if let (false, Some((why, mask))) = (said, suspect::by_content(&known.columns[column], value))
                {
                    suspects.push(Suspect { table, column, why, mask });
                }
            };
            transfer.peek(table, &columns, &mut look).await?;
        }
        suspects.sort_by_key(|one| (one.table, one.column));
        Ok(suspects)
    }

    /// A rules snippet for the suspects.
    pub fn snippet(&self, suspects: &[Suspect]) -> String {
        suspect::snippet(&self.catalogue, suspects)
    }

    /// What bars reading this column, written `table.column`, as it is in the source; `None` when nothing does.
    pub fn bars_reading(&self, written: &str) -> Option<Diagnostic> {
        let (table, column) = written.rsplit_once('.')?;
        let table_index = self.catalogue.table(table);
        let Some((index, known)) = table_index.map(|index| (index, &self.catalogue.tables[index])) else {
            let told = Diagnostic::error(format!("the source has no table `{table}`"));
            return Some(told.hint("name a column as `table.column`"));
        };
        let Some(found) = known.column(column) else {
            let told = Diagnostic::error(format!("the source has no column `{written}`"));
            let near = nearest(column, known.columns.iter().map(|one| one.name.as_str()));
            return Some(near.map_or(told.clone(), |near| told.hint(format!("write `{table}.{near}`"))));
        };
        let masked = self.rules.mask(index, found).filter(|masked| masked.kind != Kind::Keep)?;
        let told = Diagnostic::error(format!("`{written}` names files and is masked"));
        Some(
            told.because(format!("its mask is `{:?}`", masked.kind).to_lowercase())
                .hint(format!("write `{written}: keep`; a file cannot be found by a masked name")),
        )
    }

    /// By which chain of references a row is in the sample, from the row to the cohort.
    ///
    /// # Errors
    /// There is no such table or row, or it is not in the sample.
    pub async fn why(&self, table: &str, key: &str) -> Result<Vec<String>, Halt> {
        let unknown = || Diagnostic::error(format!("the source has no table `{table}`"));
        let index = self.catalogue.table(table).ok_or_else(unknown)?;
        let place = self.locate(index, key).await?;
        let absent = || Diagnostic::error(format!("`{table}` {key} is not in the sample"));
        let place = place
            .filter(|place| self.closure.tables[index].places.binary_search(place).is_ok())
            .ok_or_else(absent)?;
        let mut chain = vec![format!("{table} {key}")];
        let mut here = (index, place);
        while let Some(step) = self.closure.trace.as_ref().and_then(|trace| trace.get(&here)) {
            let (reference, next) = (&self.catalogue.references[step.reference], step.other);
            let names: Vec<String> = reference
                .columns
                .iter()
                .map(|column| self.catalogue.shown(reference.from, *column))
                .collect();
            let word = if step.owned { "owned through" } else { "needed by" };
            chain.push(format!(
                "{word} {}: {} {}",
                names.join(", "),
                self.catalogue.tables[next.0].shown(),
                self.key(next).await?
            ));
            here = next;
            if chain.len() > 1000 {
                break;
            }
        }
        Ok(chain)
    }

    async fn locate(&self, table: usize, key: &str) -> Result<Option<u64>, Failure> {
        let known = &self.catalogue.tables[table];
        let query = format!(
            "SELECT tableoid, ctid FROM {} WHERE {} = {}",
            known.from(),
            self.key_text(table),
            literal(key)
        );
        let mut found = None;
        crate::server::scan(self.source.leader(), &query, |rows| {
            let oid = rows.field(0).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
            let heap = self.closure.tables[table].heaps.iter().position(|heap| Some(*heap) == oid);
            found = heap.zip(rows.field(1)).and_then(|(heap, tid)| closure::place(heap, tid));
            Ok(())
        })
        .await?;
        Ok(found)
    }

    fn key_text(&self, table: usize) -> String {
        let known = &self.catalogue.tables[table];
        let columns: Vec<String> =
            known.primary.iter().map(|column| crate::server::quoted(&known.columns[*column].name)).collect();
        if columns.is_empty() {
            "ctid::text".into()
        } else {
            format!("concat_ws(',', {})", columns.join(", "))
        }
    }

    async fn key(&self, (table, place): (usize, u64)) -> Result<String, Failure> {
        let heap =
            usize::try_from(place >> 48).ok().and_then(|heap| self.closure.tables[table].heaps.get(heap));
        let known = &self.catalogue.tables[table];
        let path = known
            .heaps
            .iter()
            .find(|one| Some(&one.oid) == heap)
            .map_or_else(String::new, |heap| heap.path.clone());
        let places = closure::place_shown(place);
        let query = format!(
            "SELECT {} FROM ONLY {path} WHERE ctid = ANY ('{{{places}}}'::tid[])",
            self.key_text(table)
        );
        let mut text = String::new();
        crate::server::scan(self.source.leader(), &query, |rows| {
            text = String::from_utf8_lossy(rows.field(0).unwrap_or_default()).into_owned();
            Ok(())
        })
        .await?;
        Ok(text)
    }

    /// Fills the target. Whatever goes wrong, the target is as before.
    ///
    /// # Errors
    /// A column has no rule, a value leaks, or a server refuses.
    pub async fn load(&self, order: &Order<'_>, tell: Progress<'_>) -> Result<Done, Halt> {
        let (done, scratch) = self.fill(order, None, tell).await?;
        tell("giving it the target's name");
        scratch.swap().await?;
        Ok(done)
    }

    /// Makes the proved sample beside the target and leaves it there, under `name` where one is given.
    ///
    /// # Errors
    /// A column has no rule, a value leaks, or a server refuses; then nothing is left of it.
    pub async fn fill(
        &self,
        order: &Order<'_>,
        name: Option<&str>,
        tell: Progress<'_>,
    ) -> Result<(Done, Scratch), Halt> {
        let filled = self.filled(order, name, tell).await;
        filled.map_err(|halt| halt.explained(self.source.standby))
    }

    async fn filled(
        &self,
        order: &Order<'_>,
        name: Option<&str>,
        tell: Progress<'_>,
    ) -> Result<(Done, Scratch), Halt> {
        let roles = &self.rules.roles;
        load::fits(&self.source, order.to, roles).await?;
        let newer = migrations::ahead(self.source.leader(), order.to).await?;
        let mut transfer = Transfer::new(
            &self.source,
            &self.catalogue,
            &self.closure,
            (&self.rules, order.secret, &self.moved),
        );
        tell("learning what must not go out");
        let (schema, scratch) = self.prepared(order, name, &mut transfer).await?;
        let filled = self.fill_scratch(&scratch, &schema, &mut transfer, tell).await;
        if filled.is_err() {
            scratch.failed(order.keep_failed).await;
        }
        let mut told = filled?;
        told.extend(newer);
        Ok((self.done(&transfer, told), scratch))
    }

    /// The scratch database with its tables is made while the source tells what must not go out.
    async fn prepared(
        &self,
        order: &Order<'_>,
        name: Option<&str>,
        transfer: &mut Transfer<'_>,
    ) -> Result<(Schema, Scratch), Halt> {
        let (goes_on, covered) = oneshot::channel();
        let learnt = async {
            self.covered().await?;
            // Nobody waits for it when the schema could not be read.
            goes_on.send(()).ok();
            Ok::<(), Halt>(transfer.learn().await?)
        };
        let made = async {
            let schema = match self.schema.take() {
                Some(schema) => schema,
                None => Schema::dump(&self.source, order.pg_dump, &self.rules.roles).await?,
            };
            if covered.await.is_err() {
                return Ok(None);
            }
            let scratch = Scratch::create(&self.source, order.to, name).await?;
            let before = schema.before(&scratch.address).await;
            Ok::<_, Failure>(Some((schema, scratch, before)))
        };
        // What cannot be made ends the learning too; what must not go out lets the making end, to be removed.
        let (made, learnt) = try_join(made, async { Ok(learnt.await) }).await?;
        let (schema, scratch, before) = match made {
            Some(made) => made,
            None => return Err(learnt.err().unwrap_or_else(|| Failure::new("nothing was learnt").into())),
        };
        match learnt.and(before.map_err(Halt::from)) {
            Ok(()) => Ok((schema, scratch)),
            Err(halt) => {
                scratch.failed(order.keep_failed).await;
                Err(halt)
            }
        }
    }

    fn done(&self, transfer: &Transfer<'_>, told: Vec<String>) -> Done {
        Done {
            rows: self.moved.rows.get(),
            bytes: self.moved.bytes.get(),
            searched_for: transfer.values(),
            leaks: transfer.leaks().len(),
            keys: self.closure.keys,
            key_bytes: self.closure.key_bytes,
            large_objects: transfer.objects.get(),
            large_objects_left: self.catalogue.large_objects.saturating_sub(transfer.objects.get()),
            tables: self.plan(),
            told,
        }
    }

    async fn fill_scratch(
        &self,
        scratch: &Scratch,
        schema: &Schema,
        transfer: &mut Transfer<'_>,
        tell: Progress<'_>,
    ) -> Result<Vec<String>, Halt> {
        tell("copying and building indexes");
        let written = async {
            let clients = transfer.run(&scratch.address, schema).await?;
            let leaks = transfer.leaks();
            if !leaks.is_empty() {
                return Err(Halt::Complaints(leaks.iter().map(|leak| self.leaked(leak)).collect()));
            }
            tell("checking keys");
            // To check keys writes next to nothing: the disk has that time for all that has come.
            let checked = schema.join(&clients, &self.catalogue);
            let (checked, ()) = join(checked, load::write_out(&scratch.address)).await;
            Ok(checked?)
        };
        load::written_meanwhile(&scratch.address, written).await?;
        tell("filling views and writing to the disk");
        load::settle(&scratch.address, &self.catalogue).await?;
        let mut refused = schema.last(&scratch.address, &self.rules.roles).await?;
        refused.extend(scratch.keep_own().await?);
        let mut told: Vec<String> =
            refused.iter().map(|why| format!("an owner or a privilege was left out: {why}")).collect();
        if schema.user_mappings > 0 {
            told.push(format!("{} user mappings of foreign servers were left out", schema.user_mappings));
        }
        Ok(told)
    }

    fn leaked(&self, leak: &load::Leak) -> Diagnostic {
        let name = self.catalogue.shown(leak.table, leak.column);
        let rule = match self.rules.mask(leak.table, leak.column) {
            None => "no rule speaks of it".to_owned(),
            Some(masked) if masked.kind == Kind::Keep => "its rule is `keep`".to_owned(),
            Some(_) => "its mask leaves a part of it".to_owned(),
        };
        Diagnostic::error(format!("a masked production value stands in `{name}`"))
            .because(rule)
            .hint(format!("mask `{name}`; the target is as before"))
    }

    /// Fails closed: nothing is copied while a column looks personal and has no rule.
    ///
    /// # Errors
    /// There is such a column, or the source cannot be read.
    pub async fn covered(&self) -> Result<(), Halt> {
        if self.covered.get() {
            return Ok(());
        }
        let explained = |failure| crate::server::explained(failure, self.source.standby);
        let suspects = self.suspects().await.map_err(explained)?;
        if !suspects.is_empty() {
            return Err(suspect::complaint(&self.catalogue, &suspects).into());
        }
        self.covered.set(true);
        Ok(())
    }
}

fn planned(table: &catalogue::Table, taken: &closure::Taken) -> Planned {
    let (rows, of) = (taken.places.len(), table.rows().max(1.0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an estimate for people"
    )]
    let (of, bytes) = (of as u64, (table.bytes() as f64 / of * rows as f64).min(table.bytes() as f64) as u64);
    Planned { table: table.shown(), rows, of, bytes, by: taken.by, cleared: taken.cleared.len() }
}
