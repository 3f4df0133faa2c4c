//! What the proxy answered, in bounded space, for a process that runs for ever.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pw_model::colour::Colour;
use pw_plan::latency::Tally;

use super::tail::Tail;
use super::traffic::Line;

/// Whose answers: a route, and the generation that answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// `compose-project/service`, as [`pw_plan::proxy::SiteRoute::switch`] has it.
    pub route: String,
    /// `None` for what Compose started, and for answers of the proxy itself.
    pub generation: Option<Colour>,
}

/// Counts answers by [`Series`] as they are written to the log. Of each series a [`Tally`] is kept and nothing else, so
/// that the space depends on how many routes are asked for and not on how many answers come.
#[derive(Debug)]
pub struct Answered {
    tail: Tail,
    /// Beyond, an answer is slow.
    allowed: BTreeMap<String, Option<f64>>,
    tallies: BTreeMap<Series, Tally>,
}

impl Answered {
    /// Answers from now on, of `routes` only: one proxy serves several projects. Beside each route stands how long an
    /// answer may take before it counts as slow.
    pub fn following(path: &Path, routes: impl IntoIterator<Item = (String, Option<Duration>)>) -> Self {
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());
        let allowed = routes.into_iter().map(|(route, limit)| (route, seconds(limit))).collect();
        Self { tail: Tail::from_end(path, 0), allowed, tallies: BTreeMap::new() }
    }

    /// Takes in what was written since.
    pub fn read(&mut self) {
        let Self { tail, allowed, tallies } = self;
        tail.read(|line| {
            let Some(line) = Line::parse(line) else { return };
            let Some(limit) = allowed.get(&line.route) else { return };
            let is_slow = limit.is_some_and(|limit| line.duration > limit);
            let generation = Colour::of_address(&line.route.replace('/', "-"), line.to());
            let (seconds, is_failure) = (line.duration, line.is_failure());
            let series = Series { route: line.route, generation };
            tallies.entry(series).or_default().take(seconds, is_failure, is_slow);
        });
    }

    /// Ever growing: what was counted since the beginning.
    pub fn tallies(&self) -> &BTreeMap<Series, Tally> {
        &self.tallies
    }

    /// All generations of a route together.
    pub fn of_route(&self, route: &str) -> Tally {
        let mut all = Tally::default();
        let own = self.tallies.iter().filter(|(series, _)| series.route == route);
        own.for_each(|(_, tally)| all.add(tally));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn line(route: &str, to: &str, duration: f64, status: u16) -> String {
        format!(
            "{{\"ts\":1.5,\"duration\":{duration},\"status\":{status},\"route\":\"{route}\",\"to\":\"{to}\"}}\n"
        )
    }

    /// As Caddy writes it where nobody is behind the route.
    fn nobody() -> String {
        "{\"ts\":1.5,\"duration\":0.001,\"status\":503,\"to\":null,\"route\":\"p/web\"}\n".to_owned()
    }

    #[test]
    fn answers_are_counted_by_generation_and_none_is_lost_when_the_log_is_rolled() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traffic.log");
        std::fs::write(&path, line("p/web", "p-web:1", 0.5, 200)).expect("writes");
        let limit = Some(Duration::from_millis(250));
        let mut answered = Answered::following(&path, [("p/web".to_owned(), limit)]);
        let mut file = File::options().append(true).open(&path).expect("opens");
        let mut write = |text: String| file.write_all(text.as_bytes()).expect("writes");
        write(line("p/web", "p-web-blue:1", 0.25, 200) + &line("other/web", "other-web:1", 0.1, 200));
        answered.read();
        // The last words before the file is put aside, and the first in the new one.
        write(line("p/web", "p-web-blue:1", 0.26, 502));
        std::fs::rename(&path, folder.path().join("traffic-old.log")).expect("renames");
        answered.read();
        std::fs::write(&path, line("p/web", "p-web-green:1", 0.01, 200) + &nobody()).expect("writes");
        write(line("p/web", "p-web-blue:1", 0.01, 101) + &line("p/web", "p-web-blue:1", 0.01, 200));
        answered.read();
        let told: Vec<String> = answered
            .tallies()
            .iter()
            .map(|(series, tally)| {
                let generation = series.generation.map_or("-", Colour::as_str);
                format!("{generation} {} {} {}", tally.count(), tally.failures, tally.slow)
            })
            .collect();
        assert_eq!(told, ["- 1 1 0", "blue 3 1 1", "green 1 0 0"]);
        assert_eq!(answered.of_route("p/web").count(), 5);
        assert_eq!(answered.of_route("other/web").count(), 0);
    }
}
