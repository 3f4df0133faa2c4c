//! Rows from source to scratch: read by place, masked and searched in the stream, written as binary COPY.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Instant;

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use pw_run::Failure;
use tokio_postgres::{Client, Error};

use super::aside::Aside;
use super::lane::{Lane, lane};
use super::objects;
use super::order::{self, Held};
use super::outlet::Outlet;
use super::permute::{Permutation, Swapped};
use super::row::Given;
use super::schema::{self, Own, Schema};
use super::stage::{self, Staged};
use super::work::{Job, Work};
use crate::catalogue::{Catalogue, Column};
use crate::closure::{Closure, Short, Taken, write_place};
use crate::copy::Rows;
use crate::mask::{Kind, Secret};
use crate::proof::Values;
use crate::rules::Rules;
use crate::server::{Address, Reader, Source, quoted};

/// Rows that one query asks for by place.
const CHUNK: usize = 50_000;
/// Connections to the scratch database that only build: a core has something to do while rows are waited for.
const BUILDERS: usize = 1;
/// The element's type under all domains: before PostgreSQL 14, a domain over a domain does not say it.
const ELEMENTS: &str = "SELECT n.nspname, c.relname, a.attname, (WITH RECURSIVE under AS (SELECT t.typbasetype, t.typelem \
    UNION ALL SELECT b.typbasetype, b.typelem FROM under JOIN pg_type b ON b.oid = under.typbasetype) \
    SELECT typelem FROM under WHERE typbasetype = 0) FROM pg_attribute a \
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')";

/// A masked production value that stood in what goes out. Its text is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    pub table: usize,
    pub column: usize,
}

type Carried = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// One way from source to scratch.
pub struct Transfer<'a> {
    pub(super) source: &'a Source,
    pub(super) catalogue: &'a Catalogue,
    pub(super) closure: &'a Closure,
    pub(super) lanes: Vec<Vec<Lane>>,
    pub(super) values: Values,
    pub(super) leaks: RefCell<Vec<Leak>>,
    /// Numbers in the rows that went out which may be those of large objects, and whose column it was first.
    pub(super) numbers: RefCell<BTreeMap<u32, Leak>>,
    /// Rows that are masked already, by their table and the number of the first.
    pub(super) aside: RefCell<HashMap<(usize, usize), Aside>>,
    pub moved: &'a Moved,
    /// Large objects that were copied.
    pub objects: Cell<u64>,
}

/// What went out, for whoever watches.
#[derive(Default)]
pub struct Moved {
    pub rows: Cell<u64>,
    pub bytes: Cell<u64>,
    /// The table of which a row went out last.
    pub table: Cell<Option<usize>>,
    pub begun: Cell<Option<Instant>>,
}

impl Moved {
    pub(super) fn row(&self, table: usize) {
        if self.begun.get().is_none() {
            self.begun.set(Some(Instant::now()));
        }
        self.table.set(Some(table));
        self.rows.set(self.rows.get() + 1);
    }
}

/// Rows of one heap.
pub(super) struct Piece {
    pub(super) table: usize,
    pub(super) heap: u32,
    pub(super) from: usize,
    to: usize,
}

impl<'a> Transfer<'a> {
    pub fn new(
        source: &'a Source,
        catalogue: &'a Catalogue,
        closure: &'a Closure,
        (rules, secret, moved): (&Rules, &Secret, &'a Moved),
    ) -> Self {
        let lanes = |(table, known): (usize, &crate::catalogue::Table)| {
            let sent = known.columns.iter().enumerate().filter(|(_, column)| !column.generated);
            let lane = |(column, _)| {
                let permuted = rules.mask(table, column).is_some_and(|masked| masked.kind == Kind::Permute);
                let count = closure.tables[table].places.len();
                let way = || Permutation::new(secret, &catalogue.shown(table, column), count);
                let lane = lane(catalogue, rules, secret, (table, column));
                Lane { permutation: permuted.then(way), ..lane }
            };
            sent.map(lane).collect()
        };
        let lanes = catalogue.tables.iter().enumerate().map(lanes).collect();
        Self {
            source,
            catalogue,
            closure,
            lanes,
            values: Values::default(),
            leaks: RefCell::default(),
            numbers: RefCell::default(),
            aside: RefCell::default(),
            moved,
            objects: Cell::new(0),
        }
    }

    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Every leak that was found, once for each column.
    pub fn leaks(&self) -> Vec<Leak> {
        self.leaks.borrow().clone()
    }

    /// A few rows of each table, spread over it, for eyes that look for what no rule covers.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn peek(
        &self,
        table: usize,
        columns: &[usize],
        look: &mut impl FnMut(usize, &[u8]),
    ) -> Result<(), Failure> {
        const ROWS: usize = 400;
        let taken = &self.closure.tables[table];
        let step = taken.places.len().div_ceil(ROWS).max(1);
        let known = &self.catalogue.tables[table].columns;
        let text = |column: &Column| if column.as_text { "::text" } else { "" };
        let name = |column: &usize| quoted(&known[*column].name) + text(&known[*column]);
        let names: Vec<String> = columns.iter().map(name).collect();
        let places: Vec<u64> = taken.places.iter().copied().step_by(step).collect();
        let few = Taken { heaps: taken.heaps.clone(), places, ..Taken::default() };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for piece in pieces(table, &few) {
            let query = self.query(&piece, &few.places[piece.from..piece.to], &names);
            crate::server::scan(self.source.leader(), &query, |rows| {
                for (index, column) in columns.iter().enumerate() {
                    rows.field(index).into_iter().for_each(|value| look(*column, value));
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The places are the answer of a query of their own: the planner does not look at each of them.
    fn query(&self, piece: &Piece, places: &[u64], columns: &[&str]) -> String {
        let heap = self.catalogue.tables[piece.table].heaps.iter().find(|heap| heap.oid == piece.heap);
        let path = heap.map_or_else(String::new, |heap| heap.path.clone());
        let list = columns.join(", ");
        let mut text = format!("SELECT {list} FROM ONLY {path} WHERE ctid = ANY ((SELECT '{{");
        for (at, place) in places.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "," });
            write_place(*place, &mut text);
        }
        text.push_str("}'::pg_catalog.tid[])::pg_catalog.tid[])");
        text
    }

    pub(super) async fn read(
        &self,
        client: &Reader,
        piece: &Piece,
        columns: &[&str],
        each: &mut impl FnMut(&Rows),
    ) -> Result<(), Failure> {
        let places = &self.closure.tables[piece.table].places[piece.from..piece.to];
        for chunk in places.chunks(CHUNK) {
            crate::server::scan(client, &self.query(piece, chunk, columns), |rows| {
                each(rows);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Fills every table, as many at once as the source has connections, and builds what is its own; answers the
    /// connections to the scratch database. After a leak nothing more is built, and every row is still searched.
    ///
    /// # Errors
    /// Either side refuses, or a table holds other rows than it should.
    pub async fn run(&mut self, scratch: &Address, schema: &Schema) -> Result<Vec<Client>, Failure> {
        let count = self.source.clients.len() + BUILDERS;
        let clients = try_join_all((0..count).map(|_| scratch.connect())).await?;
        self.elements(&clients[0]).await?;
        for client in &clients {
            schema.prepare(client).await?;
        }
        let this = &*self;
        let staged = this.staged();
        stage::open(&clients[0], &staged).await?;
        let own = schema.own(this.catalogue);
        let indexes = own.iter().map(|own| own.indexes.len()).collect();
        let held = this.lanes.iter().map(|lanes| is_ordered(lanes)).collect();
        let work = Work::new(&this.order(), indexes, held);
        let readers = this.source.clients.iter().map(Some).chain([None; BUILDERS]);
        try_join_all(readers.zip(&clients).map(async |(from, to)| {
            while let Some(job) = work.next(from.is_some()).await {
                this.work(job, &own, (from, to)).await?;
                work.done(job);
            }
            Ok::<(), Failure>(())
        }))
        .await?;
        for one in &staged {
            stage::settle(&clients[0], one).await?;
            this.measure(&clients[0], one.number).await?;
        }
        stage::close(&clients[0], &staged).await?;
        this.objects(scratch).await?;
        Ok(clients)
    }

    /// Largest first, so that the last connection is not left alone with the largest.
    fn order(&self) -> Vec<usize> {
        let tables = &self.catalogue.tables;
        let weight = |table: &usize| {
            let rows = self.closure.tables[*table].places.len() as f64;
            rows * (tables[*table].bytes() as f64 / tables[*table].rows().max(1.0) + 100.0)
        };
        let mut order: Vec<usize> = (0..tables.len()).collect();
        order.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
        order
    }

    async fn work(
        &self,
        job: Job,
        own: &[Own<'_>],
        (from, to): (Option<&Reader>, &Client),
    ) -> Result<(), Failure> {
        let leaked = !self.leaks.borrow().is_empty();
        match (job, from) {
            (Job::Fill(table), Some(from)) => self.fill(from, to, table).await,
            (Job::Fill(_), None) => Ok(()),
            _ if leaked => Ok(()),
            (Job::Key(table), _) => schema::in_turn(to, &own[table].keys).await,
            (Job::Build(table, index), _) => schema::run(to, own[table].indexes[index]).await,
            (Job::Measure(table), _) if self.closure.tables[table].places.is_empty() => Ok(()),
            (Job::Measure(table), _) => self.measure(to, table).await,
        }
    }

    /// All rows of a table in one transaction. A table that is emptied in the same one may be filled with rows that are
    /// known to everybody from the start: nobody has to look up or mark them later.
    async fn fill(&self, from: &Reader, to: &Client, index: usize) -> Result<(), Failure> {
        let (table, taken) = (&self.catalogue.tables[index], &self.closure.tables[index]);
        let what = || Failure::new(format!("could not copy `{}`", table.shown()));
        let pieces = pieces(index, taken);
        if pieces.is_empty() {
            return Ok(());
        }
        let begin = if self.freezes(index) {
            format!("BEGIN; TRUNCATE ONLY {}", table.path())
        } else {
            "BEGIN".to_owned()
        };
        to.batch_execute(&begin).await.map_err(|error| what().because(error))?;
        let loaded = self.copy(from, to, (index, &pieces)).await?;
        to.batch_execute("COMMIT").await.map_err(|error| what().because(error))?;
        let planned = taken.places.len();
        if usize::try_from(loaded) == Ok(planned) {
            return Ok(());
        }
        Err(Failure::new(format!("`{}` holds {loaded} rows and the plan says {planned}", table.shown())))
    }

    /// Tables of which a column travels as text.
    fn staged(&self) -> Vec<Staged<'a>> {
        let rests = |number: &usize| self.rests(*number) && !self.closure.tables[*number].places.is_empty();
        let staged = |number: usize| Staged {
            number,
            table: &self.catalogue.tables[number],
            columns: self.lanes[number].iter().map(|lane| lane.column).collect(),
        };
        (0..self.lanes.len()).filter(rests).map(staged).collect()
    }

    async fn measure(&self, to: &Client, table: usize) -> Result<(), Failure> {
        schema::run(to, &format!("ANALYZE {}", self.catalogue.tables[table].path())).await
    }

    /// A server freezes rows of plain tables only.
    fn freezes(&self, table: usize) -> bool {
        !self.catalogue.tables[table].partitioned && !self.rests(table)
    }

    pub(super) fn rests(&self, table: usize) -> bool {
        self.lanes[table].iter().any(|lane| self.catalogue.tables[table].columns[lane.column].as_text)
    }

    /// The large objects that the rows name.
    async fn objects(&self, scratch: &Address) -> Result<(), Failure> {
        let named = self.numbers.take();
        let carried =
            objects::carry(self.source, scratch, &named.keys().copied().collect(), &self.values).await?;
        self.objects.set(carried.objects);
        self.moved.bytes.set(self.moved.bytes.get() + carried.bytes);
        carried
            .leak
            .and_then(|number| named.get(&number))
            .cloned()
            .into_iter()
            .for_each(|leak| self.leaked(leak));
        Ok(())
    }

    /// Arrays carry the number of their element's type, and numbers differ between databases.
    async fn elements(&mut self, target: &Client) -> Result<(), Failure> {
        let rows = target
            .query(ELEMENTS, &[])
            .await
            .map_err(|error| Failure::new("could not read the scratch database's types").because(error))?;
        let numbers: HashMap<(String, String, String), u32> =
            rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect();
        for (table, lanes) in self.catalogue.tables.iter().zip(&mut self.lanes) {
            for lane in lanes {
                let column = &table.columns[lane.column];
                let key = (table.schema.clone(), table.name.clone(), column.name.clone());
                lane.element = numbers.get(&key).copied().filter(|_| column.array && !column.as_text);
            }
        }
        Ok(())
    }

    /// Tables whose rows are written in the order of a key, as far as they may be held until then.
    pub(super) async fn orders(&mut self) -> Result<(), Failure> {
        let keys = order::keys(self.source, self.catalogue).await?;
        for (index, key) in keys.into_iter().enumerate() {
            if self.bytes(index) > order::ROOM as f64 || self.rests(index) {
                continue;
            }
            let lanes = self.lanes[index].iter_mut();
            lanes.filter(|lane| Some(lane.column) == key).for_each(|lane| lane.orders = true);
        }
        Ok(())
    }

    /// Answers how many rows the scratch database took.
    async fn copy(
        &self,
        from: &Reader,
        to: &Client,
        (table, pieces): (usize, &[Piece]),
    ) -> Result<u64, Failure> {
        let (known, lanes) = (&self.catalogue.tables[table], &self.lanes[table]);
        let what = || Failure::new(format!("could not copy `{}`", known.shown()));
        let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        let rests = self.rests(table);
        let path = if rests { stage::path(table) } else { known.path() };
        let freeze = if self.freezes(table) { ", FREEZE" } else { "" };
        // A table may have no column of its own.
        let list = if names.is_empty() { String::new() } else { format!("({})", names.join(", ")) };
        let statement = format!("COPY {path} {list} FROM STDIN (FORMAT binary{freeze})");
        if rests {
            let set = from.batch_execute(&format!("SAVEPOINT as_text; {}", stage::ALIKE)).await;
            set.map_err(|error| what().because(error))?;
        }
        let sink = to.copy_in(&statement).await.map_err(|error| what().because(error))?;
        let mut outlet = Outlet::new(sink, is_ordered(lanes).then(Held::default), self.moved);
        let whole = self.closure.tables[table].rows.take();
        for piece in pieces.iter().filter(|_| whole.is_none()) {
            let aside = self.aside.borrow_mut().remove(&(table, piece.from));
            let carried = match aside {
                Some(aside) => self.bring_back(table, aside, &mut outlet).await,
                None => self.carry(from, piece, &mut outlet).await,
            };
            carried.map_err(|error| what().because(error))?;
        }
        if let Some(short) = whole {
            self.hand_on(table, &short, &mut outlet).await.map_err(|error| what().because(error))?;
        }
        if rests {
            let back = from.batch_execute("ROLLBACK TO as_text; RELEASE as_text").await;
            back.map_err(|error| what().because(error))?;
        }
        outlet.end().await.map_err(|error| what().because(error))
    }

    /// Rows that were read whole.
    async fn hand_on(&self, table: usize, short: &Short, outlet: &mut Outlet<'_>) -> Result<(), Error> {
        let (mut at, mut fields, mut scratch) = (0, Vec::new(), Vec::new());
        for place in &self.closure.tables[table].places {
            short.row(&mut at, &mut fields);
            let field = |lane: usize| fields.get(lane).copied().flatten();
            let given = Given { field, swapped: &Swapped::new(), is_masked: false };
            self.row((table, Some(*place)), given, outlet, &mut scratch);
            outlet.pass().await?;
        }
        Ok(())
    }

    /// Rows that were set aside.
    async fn bring_back(&self, table: usize, mut aside: Aside, outlet: &mut Outlet<'_>) -> Carried {
        let (mut rows, mut scratch, none) = (Rows::default(), Vec::new(), Swapped::new());
        while let Some(part) = aside.read()? {
            rows.push(part);
            while rows.advance()? {
                let given = Given { field: |lane| rows.field(lane), swapped: &none, is_masked: true };
                self.row((table, None), given, outlet, &mut scratch);
            }
            outlet.pass().await?;
        }
        Ok(())
    }

    async fn carry(&self, from: &Reader, piece: &Piece, outlet: &mut Outlet<'_>) -> Carried {
        let placed = self.is_placed(piece.table);
        let selects = self.lanes[piece.table].iter().map(|lane| lane.select.as_str());
        let selects: Vec<&str> = placed.then_some("ctid").into_iter().chain(selects).collect();
        let mut scratch = Vec::new();
        let places = &self.closure.tables[piece.table].places[piece.from..piece.to];
        for (at, chunk) in (piece.from..).step_by(CHUNK).zip(places.chunks(CHUNK)) {
            let swapped = self.swapped(from, piece.table, at..at + chunk.len()).await?;
            let query = format!("COPY ({}) TO STDOUT (FORMAT binary)", self.query(piece, chunk, &selects));
            from.hold().await?;
            let mut stream = std::pin::pin!(from.copy_out(&query).await?);
            let mut rows = Rows::default();
            while let Some(bytes) = stream.try_next().await? {
                from.pace.spend(bytes.len()).await;
                rows.push(bytes);
                while rows.advance()? {
                    let place = self.place(piece, &rows).filter(|_| placed);
                    let field = |lane: usize| rows.field(lane + usize::from(placed));
                    let given = Given { field, swapped: &swapped, is_masked: false };
                    self.row((piece.table, place), given, outlet, &mut scratch);
                }
                outlet.pass().await?;
            }
            from.release().await?;
        }
        Ok(())
    }

    /// Must a row that is fetched tell where it lies? A table may have no column of its own.
    pub(super) fn is_placed(&self, table: usize) -> bool {
        let permuted = self.lanes[table].iter().any(|lane| lane.permutation.is_some());
        permuted || self.lanes[table].is_empty() || !self.closure.tables[table].cleared.is_empty()
    }

    /// What the permuted columns of these rows get, read where it is.
    async fn swapped(&self, from: &Reader, table: usize, numbers: Range<usize>) -> Result<Swapped, Failure> {
        let taken = &self.closure.tables[table];
        let permuted: Vec<&Lane> =
            self.lanes[table].iter().filter(|lane| lane.permutation.is_some()).collect();
        let mut swapped = Swapped::new();
        for (index, lane) in permuted.iter().enumerate() {
            let Some(way) = &lane.permutation else { continue };
            let mut gets: HashMap<u64, u64> =
                numbers.clone().map(|number| (taken.places[way.of(number)], taken.places[number])).collect();
            let mut places: Vec<u64> = gets.keys().copied().collect();
            places.sort_unstable();
            let few = Taken { heaps: taken.heaps.clone(), places, ..Taken::default() };
            for piece in pieces(table, &few) {
                let columns = ["ctid", lane.select.as_str()];
                let query = self.query(&piece, &few.places[piece.from..piece.to], &columns);
                crate::server::scan(from, &query, |rows| {
                    let place = self.place(&piece, rows);
                    let cleared = self.cleared(table, place).contains(&lane.column);
                    if let Some(to) = place.and_then(|place| gets.remove(&place)) {
                        let value = rows.field(1).filter(|_| !cleared).map(<[u8]>::to_vec);
                        swapped.entry(to).or_insert_with(|| vec![None; permuted.len()])[index] = value;
                    }
                    Ok(())
                })
                .await?;
            }
        }
        Ok(swapped)
    }
}

/// Are the rows of these columns held until they can be put in order?
fn is_ordered(lanes: &[Lane]) -> bool {
    lanes.iter().any(|lane| lane.orders)
}

/// A table's rows by heap, and large heaps in halves so that two connections share them.
pub(super) fn pieces(table: usize, taken: &Taken) -> Vec<Piece> {
    const LARGEST: usize = 100_000;
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < taken.places.len() {
        let heap = taken.places[from] >> 48;
        let same =
            taken.places[from..].iter().take(LARGEST).take_while(|place| **place >> 48 == heap).count();
        let number =
            usize::try_from(heap).ok().and_then(|heap| taken.heaps.get(heap)).copied().unwrap_or_default();
        pieces.push(Piece { table, heap: number, from, to: from + same });
        from += same;
    }
    pieces
}
