//! What the governor does, and how production stands to its objective, for who collects figures.

use std::collections::BTreeMap;

use pw_model::name::EnvironmentName;
use pw_plan::govern::{Amount, Resource};

use crate::status::Promised;

/// As it is at a moment.
#[derive(Debug, Clone, Default)]
pub struct Governed {
    /// Of each environment that may be squeezed, every resource.
    pub squeezes: BTreeMap<(EnvironmentName, Resource), Squeezes>,
    /// `None` where nothing is promised.
    pub promised: Option<Promised>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Squeezes {
    /// It is held to less than its budget.
    pub now: bool,
    /// How often that began.
    pub count: u64,
}

impl Governed {
    /// The next moment: who is held, and how production stands.
    #[must_use]
    pub fn next(
        &self,
        held: impl Iterator<Item = (EnvironmentName, Vec<Amount>)>,
        promised: Promised,
    ) -> Self {
        let of = |(name, amounts): (EnvironmentName, Vec<Amount>)| {
            Resource::ALL.map(|resource| {
                let key = (name.clone(), resource);
                let before = self.squeezes.get(&key).copied().unwrap_or_default();
                let now = amounts.iter().any(|amount| amount.resource() == resource);
                (key, Squeezes { now, count: before.count + u64::from(now && !before.now) })
            })
        };
        let is_promised = promised.p99.is_some() || promised.errors.is_some();
        Self { squeezes: held.flat_map(of).collect(), promised: is_promised.then_some(promised) }
    }
}

#[cfg(test)]
mod tests {
    use pw_model::unit::Cpus;

    use super::*;

    #[test]
    fn a_squeeze_counts_when_it_begins() {
        let name = EnvironmentName::parse("development").expect("a name");
        let promised = Promised { p99: None, errors: None, standing: None, incident: None };
        let cpu = Amount::Cpu(Cpus::from_number(0.5));
        let next = |before: &Governed, held: Vec<Amount>| {
            before.next(std::iter::once((name.clone(), held)), promised.clone())
        };
        let mut governed = Governed::default();
        let mut seen = Vec::new();
        for held in [vec![], vec![cpu], vec![cpu, Amount::Frozen(true)], vec![], vec![cpu]] {
            governed = next(&governed, held);
            let one = governed.squeezes[&(name.clone(), Resource::Cpu)];
            seen.push((one.now, one.count));
        }
        assert_eq!(seen, [(false, 0), (true, 1), (true, 1), (false, 1), (true, 2)]);
        assert_eq!(
            governed.squeezes[&(name.clone(), Resource::Everything)],
            Squeezes { now: false, count: 1 }
        );
        assert!(governed.promised.is_none(), "nothing is promised");
    }
}
