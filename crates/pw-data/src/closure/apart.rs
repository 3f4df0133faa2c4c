//! Scans on threads of their own: while rows are judged here, the next are received and taken apart there.

use std::thread;

use pw_run::Failure;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::keys::Form;
use super::scan::Lead;
use super::short::Packed;
use crate::copy::Rows;
use crate::server::{Each, Reader, Source, scan_into};

/// Rows that are handed over at once.
const ROWS: usize = 512;
/// Of these, handed over and not yet looked at.
const WAITING: usize = 2;

/// How a key becomes one number, and the fields in which it stands.
pub(super) type Stands = (Form, Vec<usize>);

/// What is read, and what is kept of each row.
pub(super) struct Ask {
    pub(super) query: String,
    pub(super) lead: Lead,
    pub(super) keys: Vec<Stands>,
    /// Fields that are kept as they are.
    pub(super) whole: Option<Vec<usize>>,
}

/// Rows in the order of the scan.
#[derive(Default)]
pub(super) struct Batch {
    /// Numbers of the heaps; a place names one by its position here.
    pub(super) heaps: Vec<u32>,
    pub(super) places: Vec<u64>,
    /// For each key that was asked for, that of each row.
    pub(super) numbers: Vec<Vec<Option<u64>>>,
    pub(super) whole: Option<Packed>,
    /// Bytes that the source sent.
    received: usize,
    last: bool,
}

type Told = Result<Batch, Failure>;

/// A connection to the moment of the source, and the thread that reads from it.
pub(super) struct Apart<'a> {
    source: &'a Source,
    asks: mpsc::UnboundedSender<(Ask, mpsc::Sender<Told>)>,
}

impl<'a> Apart<'a> {
    /// # Errors
    /// The source cannot be reached.
    pub(super) async fn open(source: &'a Source) -> Result<Self, Failure> {
        let (asks, asked) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let (address, snapshot) = (source.address.clone(), source.snapshot.clone());
        let work = async move || match Reader::joined(&address, &snapshot).await {
            Ok(reader) => {
                ready.send(Ok(())).ok();
                serve(&reader, asked).await;
                drop(reader);
                // The server is told that nobody comes back.
                tokio::task::yield_now().await;
            }
            Err(failure) => drop(ready.send(Err(failure))),
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(not_begun)?;
        let work = move || runtime.block_on(work());
        thread::Builder::new().name("scan".into()).spawn(work).map_err(not_begun)?;
        is_ready.await.map_err(lost)??;
        Ok(Self { source, asks })
    }

    /// Tells all that was asked for, in batches; answers the heaps.
    ///
    /// # Errors
    /// The source cannot be read, or `each` says no.
    pub(super) async fn scan(
        &self,
        ask: Ask,
        mut each: impl FnMut(&Batch) -> Result<(), Failure>,
    ) -> Result<Vec<u32>, Failure> {
        let (tell, mut told) = mpsc::channel(WAITING);
        self.asks.send((ask, tell)).map_err(lost)?;
        while let Some(batch) = told.recv().await {
            let batch = batch?;
            self.source.leader().pace.spend(batch.received).await;
            each(&batch)?;
            if batch.last {
                // What stays must not hold the memory of the thread.
                return Ok(batch.heaps.clone());
            }
        }
        Err(lost("its thread ended"))
    }
}

fn not_begun(error: std::io::Error) -> Failure {
    Failure::new("could not begin to read the source").because(error)
}

fn lost(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new("the connection to the source was lost").because(why)
}

/// Does what is asked, until nobody asks or listens any more.
async fn serve(reader: &Reader, mut asked: mpsc::UnboundedReceiver<(Ask, mpsc::Sender<Told>)>) {
    while let Some((ask, tell)) = asked.recv().await {
        let Ask { query, lead, keys, whole } = ask;
        let mut taking = Taking { lead, keys, whole, batch: Batch::default(), tell: tell.clone() };
        taking.begin();
        let done = tokio::select! {
            done = scan_into(reader, &query, &mut taking) => done,
            () = tell.closed() => return,
        };
        taking.batch.last = true;
        let told = match done {
            Ok(()) => taking.hand_over().await,
            Err(failure) => tell.send(Err(failure)).await.map_err(lost),
        };
        if told.is_err() {
            return;
        }
    }
}

/// One scan, on its thread.
struct Taking {
    lead: Lead,
    keys: Vec<Stands>,
    whole: Option<Vec<usize>>,
    batch: Batch,
    tell: mpsc::Sender<Told>,
}

impl Taking {
    fn begin(&mut self) {
        self.batch.places.reserve(ROWS);
        self.batch.numbers = self.keys.iter().map(|_| Vec::with_capacity(ROWS)).collect();
        self.batch.whole = self.whole.is_some().then(Packed::default);
    }

    async fn hand_over(&mut self) -> Result<(), Failure> {
        self.batch.heaps.clone_from(&self.lead.heaps);
        let full = std::mem::take(&mut self.batch);
        self.begin();
        self.tell.send(Ok(full)).await.map_err(|_closed| lost("nobody listens"))
    }
}

impl Each for Taking {
    fn row(&mut self, rows: &Rows) -> Result<(), Failure> {
        self.batch.places.push(self.lead.place(rows)?);
        for ((form, fields), numbers) in self.keys.iter().zip(&mut self.batch.numbers) {
            numbers.push(form.number(rows, fields));
        }
        if let (Some(packed), Some(fields)) = (&mut self.batch.whole, &self.whole) {
            packed.push(rows, fields);
        }
        Ok(())
    }

    async fn pass(&mut self, bytes: usize) -> Result<(), Failure> {
        self.batch.received += bytes;
        if self.batch.places.len() >= ROWS { self.hand_over().await } else { Ok(()) }
    }
}
