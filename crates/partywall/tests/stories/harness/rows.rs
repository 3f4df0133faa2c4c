//! Somebody who writes rows all the time, each of which must stay.

use super::{Container, PRODUCTION, Story, until};

/// The store answers each row with how many it has: the row's own number, as long as none was lost.
const WRITE: &str = "n=0; until [ -e /tmp/enough ]; do n=$((n+1)); \
    [ \"$(redis-cli RPUSH rows $n)\" = $n ] || echo $n >>/tmp/refused; sleep 0.02; done; echo $n >/tmp/written";

pub(crate) struct Rows {
    store: Container,
}

impl Rows {
    /// Begins to write into production's `db`.
    pub(crate) fn of(story: &Story) -> Self {
        let store = story.container(PRODUCTION, "db");
        super::docker(&["exec", "-d", &store.id(), "sh", "-c", WRITE]);
        until("the first rows", || {
            store.exec(&["redis-cli", "EXISTS", "rows"]).is_some_and(|one| one.trim() == "1")
        });
        Self { store }
    }

    /// Fails unless every row was taken, and is there.
    #[track_caller]
    pub(crate) fn all_there(self) {
        self.store.exec(&["touch", "/tmp/enough"]).expect("the store runs on");
        until("the last row", || self.store.exec(&["test", "-s", "/tmp/written"]).is_some());
        let written = self.store.exec(&["cat", "/tmp/written"]).expect("a number");
        let written: usize = written.trim().parse().expect("a number");
        let refused = self.store.exec(&["sh", "-c", "cat /tmp/refused 2>/dev/null || true"]);
        assert_eq!(refused.as_deref().map(str::trim), Some(""), "rows that were refused");
        let there = self.store.exec(&["redis-cli", "LRANGE", "rows", "0", "-1"]).expect("rows");
        let wanted: Vec<String> = (1..=written).map(|number| number.to_string()).collect();
        assert!(
            there.split_whitespace().eq(wanted.iter().map(String::as_str)),
            "of {written} rows some are lost"
        );
    }
}
