//! The figures, each with its name, its unit and what it means.

use serde::{Deserialize, Serialize};

/// What a control group has used. `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    pub cpu_seconds: Option<f64>,
    pub throttled_seconds: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub memory_limit_bytes: Option<f64>,
    pub memory_limit_hits: Option<f64>,
    pub memory_reclaimed_bytes: Option<f64>,
    pub killed: Option<f64>,
    pub read_bytes: Option<f64>,
    pub written_bytes: Option<f64>,
    pub received_bytes: Option<f64>,
    pub sent_bytes: Option<f64>,
    pub processes: Option<f64>,
    pub waited_cpu_seconds: Option<f64>,
    pub waited_memory_seconds: Option<f64>,
    pub waited_io_seconds: Option<f64>,
}

/// What the machine has used, and has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFigures {
    pub cpus: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub stolen_seconds: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub memory_available_bytes: Option<f64>,
    pub swap_used_bytes: Option<f64>,
    pub disk_bytes: Option<f64>,
    pub disk_free_bytes: Option<f64>,
    pub waited_cpu_seconds: Option<f64>,
    pub waited_memory_seconds: Option<f64>,
    pub waited_io_seconds: Option<f64>,
}

/// One figure of a set: how it is called and told, and where it stands.
pub struct Field<F: 'static> {
    /// Without prefix and without the suffix of counters; ends in the unit.
    pub name: &'static str,
    pub help: &'static str,
    /// Grows for ever; its rate is what tells. Else it is what holds at the moment.
    pub is_counter: bool,
    pub get: fn(&F) -> Option<f64>,
    pub set: fn(&mut F, Option<f64>),
}

/// A set of figures that can be gone through one by one.
pub trait Figures: Copy + Default + 'static {
    const FIELDS: &'static [Field<Self>];
}

macro_rules! fields {
    ($($kind:ident $name:ident $help:literal)*) => {
        &[$(Field {
            name: stringify!($name),
            help: $help,
            is_counter: fields!($kind),
            get: |figures| figures.$name,
            set: |figures, value| figures.$name = value,
        }),*]
    };
    (counter) => { true };
    (gauge) => { false };
}

impl Figures for Used {
    const FIELDS: &'static [Field<Self>] = fields! {
        counter cpu_seconds "CPU time used."
        counter throttled_seconds "Time in which it was held back because its CPU limit was used up."
        gauge memory_bytes "Memory in use, without file pages that the kernel would give back at once."
        gauge memory_limit_bytes "Most memory that it may use; absent without a limit."
        counter memory_limit_hits "Times it wanted more memory than its limit, so that the kernel had to reclaim."
        counter memory_reclaimed_bytes "Memory that the kernel took back from it; control groups v2 only."
        counter killed "Processes killed because memory had ended."
        counter read_bytes "Bytes read from disks."
        counter written_bytes "Bytes written to disks; on control groups v1 without what goes through the page cache."
        counter received_bytes "Bytes received from networks, the loopback device left out."
        counter sent_bytes "Bytes sent to networks, the loopback device left out."
        gauge processes "Processes and threads."
        counter waited_cpu_seconds "Time in which some of it waited for a processor."
        counter waited_memory_seconds "Time in which some of it waited for memory."
        counter waited_io_seconds "Time in which some of it waited for a disk."
    };
}

impl Figures for MachineFigures {
    const FIELDS: &'static [Field<Self>] = fields! {
        gauge cpus "Processors."
        counter cpu_seconds "CPU time worked, all processors together."
        counter stolen_seconds "CPU time that the hypervisor gave to others."
        gauge memory_bytes "Memory of the machine."
        gauge memory_available_bytes "Memory that can be had without swapping."
        gauge swap_used_bytes "Swap in use."
        gauge disk_bytes "Size of the fullest of the file systems that hold containers and Partywall's state."
        gauge disk_free_bytes "What is left of it."
        counter waited_cpu_seconds "Time in which something waited for a processor."
        counter waited_memory_seconds "Time in which something waited for memory."
        counter waited_io_seconds "Time in which something waited for a disk."
    };
}

/// Counters as their growth in a second, the rest as it is now. A counter that went back answers nothing.
pub fn rates<F: Figures>(before: &F, now: &F, seconds: f64) -> F {
    let mut rates = F::default();
    for field in F::FIELDS {
        let value = match field.is_counter {
            false => (field.get)(now),
            true => (field.get)(now)
                .zip((field.get)(before))
                .and_then(|(now, before)| (now >= before && seconds > 0.0).then(|| (now - before) / seconds)),
        };
        (field.set)(&mut rates, value);
    }
    rates
}

/// Of several together; `None` where none of them tells.
pub fn sum<'a, F: Figures>(all: impl IntoIterator<Item = &'a F>) -> F {
    let mut whole = F::default();
    for one in all {
        for field in F::FIELDS {
            let value = match ((field.get)(&whole), (field.get)(one)) {
                (Some(before), Some(more)) => Some(before + more),
                (before, more) => before.or(more),
            };
            (field.set)(&mut whole, value);
        }
    }
    whole
}
