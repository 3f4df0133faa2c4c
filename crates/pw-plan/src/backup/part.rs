//! `restore --path` and `restore --table`: one file, one folder or one table out of a backup. Nothing is stopped.

use std::collections::BTreeMap;

use crate::step::{Action, DatabasePlace, Plan, Step, Stored, TableName, Undo};

/// The environment, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    pub project: String,
    pub environment: String,
    /// Time of the plan, such as `20261121_072437`.
    pub stamp: String,
}

/// One file or folder below a folder that is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPath {
    /// Its part is the folder.
    pub stored: Stored,
    /// Below the folder.
    pub path: String,
    /// Where it belongs on the host.
    pub place: String,
    /// True when something is there now.
    pub there: bool,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTable {
    /// Its part is the database.
    pub stored: Stored,
    pub table: TableName,
    pub database: DatabasePlace,
}

/// Laid beside, compared, then the two change places.
pub fn path(ground: &Ground, wanted: &WantedPath) -> Plan {
    let (place, stamp) = (&wanted.place, &ground.stamp);
    let (beside, aside) = (format!("{place}.restored-{stamp}"), format!("{place}.replaced-{stamp}"));
    let make = Action::RestorePath {
        stored: wanted.stored.clone(),
        path: wanted.path.clone(),
        into: beside.clone(),
    };
    let back = Action::RemoveRestored { path: beside.clone() };
    let made = Step::new(make, Undo::by(back), "its checksums are compared before anybody can use it");
    let swap = |path: &String, new: &String, aside: &String| Action::SwapFolders {
        path: path.clone(),
        new: new.clone(),
        aside: aside.clone(),
    };
    let (back, because) = match wanted.there {
        true => (swap(place, &aside, &beside), "what was there stays under its new name"),
        false => (swap(&beside, place, &aside), "nothing was there"),
    };
    let swapped = Step::new(swap(place, &beside, &aside), Undo::by(back), because);
    finished(ground, vec![made, swapped], format!("{ground:?}{wanted:?}"))
}

/// Of the schema in which the table is left.
pub fn schema(stamp: &str) -> String {
    format!("partywall_restored_{stamp}")
}

/// Left beside, never swapped: keys of other tables point at the rows that are there now.
pub fn table(ground: &Ground, wanted: &WantedTable) -> Plan {
    let database = &wanted.database;
    let beside = DatabasePlace {
        name: format!("{}__partywall_restored_{}", database.name, ground.stamp),
        ..database.clone()
    };
    let remove = || Action::RemoveDatabases { server: database.clone(), names: vec![beside.name.clone()] };
    let load = Action::RestoreTable {
        stored: wanted.stored.clone(),
        table: wanted.table.clone(),
        like: database.name.clone(),
        to: beside.clone(),
    };
    let schema = schema(&ground.stamp);
    let place = Action::PlaceTable {
        from: beside.clone(),
        table: wanted.table.clone(),
        to: database.clone(),
        schema: schema.clone(),
    };
    let back = Action::RemovePlaced { from: database.clone(), schema };
    let steps = vec![
        Step::new(load, Undo::by(remove()), "a table needs the types and functions of its database"),
        Step::new(place, Undo::by(back), "beside the present one, which keys of other tables point at"),
        Step::new(remove(), Undo::Nothing, "it was only a way"),
    ];
    finished(ground, steps, format!("{ground:?}{wanted:?}"))
}

fn finished(ground: &Ground, steps: Vec<Step>, basis: String) -> Plan {
    Plan {
        operation: "restore".to_owned(),
        project: ground.project.clone(),
        environment: ground.environment.clone(),
        basis: crate::hash(&basis),
        steps,
        texts: BTreeMap::new(),
    }
}
