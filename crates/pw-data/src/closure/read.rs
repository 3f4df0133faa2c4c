//! Tables that are referred to: one scan of each, its keys and what it names.

use std::cell::{OnceCell, RefCell};
use std::hash::RandomState;

use futures_util::future::try_join_all;
use pw_run::Failure;

use super::Graph;
use super::apart::{Apart, Ask, Batch, Stands};
use super::keys::{Bits, Form, Gathered, Keys, NOWHERE};
use super::scan::{Asked, Lead, Node, by_size};
use crate::catalogue::{Catalogue, Reference, Table};

/// The keys of a table over some of its columns.
pub(super) struct KeySet {
    columns: Vec<usize>,
    form: Form,
    pub(super) keys: Keys,
}

impl KeySet {
    /// The keys of these rows, where each is one integer.
    pub(super) fn integers(&self, wanted: &Bits) -> Option<Vec<i64>> {
        #[expect(clippy::cast_possible_wrap, reason = "integers were made numbers by their bits")]
        let signed = |number: u64| number as i64;
        let whole = matches!(self.form, Form::Integer);
        whole.then(|| self.keys.of(wanted).into_iter().map(signed).collect())
    }
}

/// From the key that a reference names to the row that has it.
pub(super) struct Way<'a>(Option<&'a KeySet>);

impl Way<'_> {
    pub(super) fn follow(&self, number: Option<u64>) -> u32 {
        self.0.zip(number).map_or(NOWHERE, |(set, number)| set.keys.find(number))
    }
}

/// One for each of the references, and how what it names is read: the columns are asked for.
pub(super) fn ways<'a>(
    catalogue: &'a Catalogue,
    nodes: &'a [Option<Node>],
    references: &[usize],
    asked: &mut Asked,
) -> (Vec<Way<'a>>, Vec<Stands>) {
    let way = |index: &usize| {
        let reference = &catalogue.references[*index];
        let sets = nodes[reference.to].as_ref().map(|node| node.keys.as_slice()).unwrap_or_default();
        let set = set_of(sets, reference);
        let form = set.map_or(Form::Integer, |set| set.form.clone());
        (Way(set), (form, asked.fields(reference.select.iter().cloned())))
    };
    references.iter().map(way).unzip()
}

pub(super) fn set_of<'a>(sets: &'a [KeySet], reference: &Reference) -> Option<&'a KeySet> {
    sets.iter().find(|set| set.columns == reference.to_columns)
}

/// What a reference of one table leads to: rows, or keys of a table that is not read yet.
enum Links {
    Followed(Vec<u32>),
    Gathered(Gathered),
}

/// A table after its scan, but for what it names in tables that came later.
struct Half {
    heaps: Vec<u32>,
    places: super::places::Places,
    links: Vec<Links>,
}

struct Reader<'a> {
    catalogue: &'a Catalogue,
    graph: &'a Graph,
    hashes: RandomState,
    /// The key sets of the tables that were read.
    sets: Vec<OnceCell<Vec<KeySet>>>,
}

/// Reads every table that is held in memory, as many at once as there are connections.
///
/// # Errors
/// The source cannot be read.
pub(super) async fn nodes(
    apart: &[Apart<'_>],
    catalogue: &Catalogue,
    graph: &Graph,
) -> Result<Vec<Option<Node>>, Failure> {
    let sets = catalogue.tables.iter().map(|_| OnceCell::new()).collect();
    let reader = Reader { catalogue, graph, hashes: RandomState::new(), sets };
    let queue = RefCell::new(by_size(catalogue, |table| graph.held[table] && !reader.leave(table)));
    let halves: RefCell<Vec<Option<Half>>> = RefCell::new(catalogue.tables.iter().map(|_| None).collect());
    let next = || reader.next(&mut queue.borrow_mut());
    try_join_all(apart.iter().map(async |apart| {
        while let Some(table) = next() {
            let half = reader.read(apart, table).await?;
            halves.borrow_mut()[table] = Some(half);
        }
        Ok::<(), Failure>(())
    }))
    .await?;
    Ok(reader.whole(halves.into_inner()))
}

impl Reader<'_> {
    /// True for a table that stays behind and that only keys of the database lead to: what names it names a row
    /// of it, whichever, and it need not be read.
    fn leave(&self, table: usize) -> bool {
        let mut into = self.catalogue.references.iter().filter(|reference| reference.to == table);
        let left =
            self.graph.empty[table] && !self.graph.cohort[table] && into.all(|reference| !reference.declared);
        if left {
            drop(self.sets[table].set(self.key_sets(table, || Ok(Keys::Gone)).unwrap_or_default()));
        }
        left
    }

    /// The table that waits for the fewest others, and of these the largest.
    fn next(&self, queue: &mut Vec<usize>) -> Option<usize> {
        let unread = |table: usize| {
            let to = |reference: &usize| self.catalogue.references[*reference].to;
            let others = self.graph.outgoing[table].iter().map(to).filter(|to| *to != table);
            others.filter(|to| self.sets[*to].get().is_none()).count()
        };
        let (at, _) = queue.iter().enumerate().min_by_key(|(_, table)| unread(**table))?;
        Some(queue.remove(at))
    }

    fn form(&self, table: usize, columns: &[usize]) -> Form {
        let base = |column: &usize| self.catalogue.tables[table].columns[*column].base.as_str();
        match columns {
            [one] if matches!(base(one), "int2" | "int4" | "int8") => Form::Integer,
            _ => Form::Hashed(self.hashes.clone()),
        }
    }

    fn key_sets(
        &self,
        table: usize,
        mut keys: impl FnMut() -> Result<Keys, Failure>,
    ) -> Result<Vec<KeySet>, Failure> {
        let set =
            |columns: Vec<usize>| Ok(KeySet { form: self.form(table, &columns), keys: keys()?, columns });
        self.key_columns(table).into_iter().map(set).collect()
    }

    fn key_columns(&self, table: usize) -> Vec<Vec<usize>> {
        let into = self.catalogue.references.iter().filter(|reference| reference.to == table);
        let mut sets: Vec<Vec<usize>> = into.map(|reference| reference.to_columns.clone()).collect();
        sets.sort();
        sets.dedup();
        sets
    }

    async fn read(&self, apart: &Apart<'_>, index: usize) -> Result<Half, Failure> {
        let table = &self.catalogue.tables[index];
        let (mut scanned, ask) = Scanned::new(self, index);
        let heaps = apart.scan(ask, |batch| scanned.take(table, batch)).await?;
        let Scanned { places, own, links } = scanned;
        let mut gathered = own.into_iter();
        let keys = || gathered.next().map_or(Ok(Keys::Gone), |gathered| Keys::new(&gathered));
        drop(self.sets[index].set(self.key_sets(index, keys)?));
        let links = links.into_iter().map(|(_, links)| links).collect();
        Ok(Half { heaps, places, links })
    }

    /// Follows what could not be followed before every table was read.
    fn whole(self, halves: Vec<Option<Half>>) -> Vec<Option<Node>> {
        let followed = |(half, outgoing): (Option<Half>, &Vec<usize>)| {
            let follow = |(links, reference): (Links, &usize)| match links {
                Links::Followed(rows) => rows,
                Links::Gathered(gathered) => {
                    let reference = &self.catalogue.references[*reference];
                    let set = self.sets[reference.to].get().and_then(|sets| set_of(sets, reference));
                    set.map(|set| gathered.followed(&set.keys)).unwrap_or_default()
                }
            };
            half.map(|half| {
                let links = half.links.into_iter().zip(outgoing).map(follow).collect();
                Node { heaps: half.heaps, places: half.places, links, ..Node::default() }
            })
        };
        let mut nodes: Vec<Option<Node>> =
            halves.into_iter().zip(&self.graph.outgoing).map(followed).collect();
        for (table, sets) in self.sets.into_iter().enumerate() {
            if let Some(keys) = sets.into_inner() {
                nodes[table].get_or_insert_default().keys = keys;
            }
        }
        nodes
    }
}

/// What one scan gathers.
struct Scanned<'a> {
    places: super::places::Places,
    own: Vec<Gathered>,
    links: Vec<(Way<'a>, Links)>,
}

impl<'a> Scanned<'a> {
    fn new(reader: &'a Reader<'_>, index: usize) -> (Self, Ask) {
        let table = &reader.catalogue.tables[index];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
        let rows = table.rows() as usize;
        let lead = Lead::new(table);
        let (mut asked, mut keys) = (Asked::new(&lead), Vec::new());
        let own = |columns: Vec<usize>| {
            let names = columns.iter().map(|column| table.columns[*column].as_key(&table.columns[*column]));
            keys.push((reader.form(index, &columns), asked.fields(names)));
            Gathered::with_capacity(rows)
        };
        let own = reader.key_columns(index).into_iter().map(own).collect();
        let link = |reference: &usize| {
            let reference = &reader.catalogue.references[*reference];
            let set = reader.sets[reference.to].get().and_then(|sets| set_of(sets, reference));
            let links = match set {
                Some(_) => Links::Followed(Vec::with_capacity(rows)),
                None => Links::Gathered(Gathered::with_capacity(rows)),
            };
            let fields = asked.fields(reference.select.iter().cloned());
            keys.push((reader.form(reference.to, &reference.to_columns), fields));
            (Way(set), links)
        };
        let links = reader.graph.outgoing[index].iter().map(link).collect();
        let ask = Ask { query: asked.select(table, None), lead, keys, whole: None };
        (Self { places: super::places::Places::default(), own, links }, ask)
    }

    /// One key after another, so that a place in memory is not waited for before the next is asked for.
    fn take(&mut self, table: &Table, batch: &Batch) -> Result<(), Failure> {
        if !batch.places.iter().all(|place| self.places.push(*place)) {
            return Err(Failure::new(format!("`{}` was not read in the order of its heap", table.shown())));
        }
        let (own, links) = batch.numbers.split_at(self.own.len());
        for (numbers, gathered) in own.iter().zip(&mut self.own) {
            numbers.iter().for_each(|number| gathered.push(*number));
        }
        for (numbers, (way, links)) in links.iter().zip(&mut self.links) {
            match links {
                Links::Followed(list) => list.extend(numbers.iter().map(|number| way.follow(*number))),
                Links::Gathered(gathered) => numbers.iter().for_each(|number| gathered.push(*number)),
            }
        }
        Ok(())
    }
}
