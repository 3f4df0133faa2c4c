//! Rights as the format keeps them: those of Go, whose bits above the nine lie elsewhere than the host's.

const NINE: u32 = 0o777;
/// Bit of the host, bit of the format: set the user, set the group, sticky.
const BEYOND: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

/// From the host's mode.
pub(crate) fn kept(mode: u32) -> u32 {
    let beyond = BEYOND.iter().filter(|(host, _)| mode & host != 0).map(|(_, kept)| kept);
    beyond.fold(mode & NINE, |all, bit| all | bit)
}

/// As the host sets them.
pub(crate) fn of_host(kept: u32) -> u32 {
    let beyond = BEYOND.iter().filter(|(_, bit)| kept & bit != 0).map(|(host, _)| host);
    beyond.fold(kept & NINE, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_comes_back() {
        for mode in 0..=0o7777 {
            assert_eq!(of_host(kept(mode | 0o040_000)), mode);
        }
        assert_eq!(kept(0o2775), 0x0040_01fd, "as restic writes it");
    }
}
