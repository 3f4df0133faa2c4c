//! Numbers moved by a share, in the binary form of their type. What would not fit is moved the other way.

/// Decimal digits of one group of a `numeric`.
const GROUP: i128 = 10_000;
/// As many groups are moved; what is behind them is less than anybody can see.
const GROUPS: usize = 7;

/// Types that can be moved.
pub(super) const TYPES: [&str; 7] = ["int2", "int4", "int8", "money", "float4", "float8", "numeric"];

/// Moves by `share`, from -1 to 1.
pub(super) fn moved(base: &str, share: f64, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match base {
        "int2" => integer(i16::from_be_bytes(value.try_into().ok()?), share, |number| {
            out.extend_from_slice(&number.to_be_bytes());
        }),
        "int4" => integer(i32::from_be_bytes(value.try_into().ok()?), share, |number| {
            out.extend_from_slice(&number.to_be_bytes());
        }),
        "int8" | "money" => integer(i64::from_be_bytes(value.try_into().ok()?), share, |number| {
            out.extend_from_slice(&number.to_be_bytes());
        }),
        "float4" => {
            #[expect(clippy::cast_possible_truncation, reason = "as narrow as it was")]
            let number = (f64::from(f32::from_be_bytes(value.try_into().ok()?)) * (1.0 + share)) as f32;
            out.extend_from_slice(&number.to_be_bytes());
            Some(())
        }
        "float8" => {
            out.extend_from_slice(
                &(f64::from_be_bytes(value.try_into().ok()?) * (1.0 + share)).to_be_bytes(),
            );
            Some(())
        }
        "numeric" => numeric(share, value, out),
        _ => None,
    }
}

fn integer<N: TryFrom<i128> + Into<i128>>(number: N, share: f64, mut write: impl FnMut(N)) -> Option<()> {
    let number = number.into();
    let fitting = [share, -share].into_iter().find_map(|share| N::try_from(scaled(number, share)).ok());
    fitting.map(&mut write)
}

fn scaled(number: i128, share: f64) -> i128 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a share of a number is no exact thing"
    )]
    let by = (number as f64 * share).round() as i128;
    number.saturating_add(by)
}

/// Count of groups, weight of the first, sign, digits that are shown behind the point; then the groups.
fn numeric(share: f64, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let word = |at: usize| Some(i16::from_be_bytes(value.get(2 * at..2 * at + 2)?.try_into().ok()?));
    let (count, weight, sign, shown) = (word(0)?, word(1)?, word(2)?, word(3)?);
    // Zero stays zero; so does what is no number.
    if count == 0 || (sign != 0 && sign != 0x4000) {
        out.extend_from_slice(value);
        return Some(());
    }
    let behind = usize::try_from(shown).ok()?.div_ceil(4);
    let whole = usize::try_from(i32::from(weight) + 1).unwrap_or(0);
    let groups = usize::try_from(count).ok()?.max(whole + behind).min(GROUPS);
    let group = |at: usize| if at < usize::try_from(count).unwrap_or(0) { word(4 + at) } else { Some(0) };
    let mut number = 0_i128;
    for at in 0..groups {
        number = number * GROUP + i128::from(group(at)?);
    }
    // Digits that are kept but not shown would be refused by a column that has no room for them.
    let kept = 4 * (i32::try_from(groups).ok()? - 1 - i32::from(weight));
    let unit = 10_i128.pow(u32::try_from(kept - i32::from(shown)).unwrap_or(0));
    let digits = |number: i128| number.checked_ilog10();
    let more = (scaled(number, share) + unit / 2) / unit * unit;
    let moved = if digits(more) > digits(number) { scaled(number, -share) / unit * unit } else { more };
    for head in [i16::try_from(groups).ok()?, weight, sign, shown] {
        out.extend_from_slice(&head.to_be_bytes());
    }
    for at in (0..groups).rev() {
        let group = moved / GROUP.pow(u32::try_from(at).ok()?) % GROUP;
        out.extend_from_slice(&i16::try_from(group).ok()?.to_be_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn shown(base: &str, share: f64, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(moved(base, share, value, &mut out), Some(()));
        out
    }

    #[test]
    fn a_numeric_is_moved_and_keeps_its_digits() {
        // 2.99, 5.00, 1000000, -0.0005, 99.99: what grows out of its digits shrinks.
        for (from, share, to) in [
            (&[2, 0, 0, 2, 2, 9900][..], 0.1, &[2, 0, 0, 2, 3, 2900][..]),
            (&[1, 0, 0, 2, 5], 0.1, &[2, 0, 0, 2, 5, 5000]),
            (&[1, 1, 0, 0, 100], -0.1, &[2, 1, 0, 0, 90, 0]),
            (&[1, -1, 0x4000, 4, 5], 0.2, &[1, -1, 0x4000, 4, 6]),
            (&[2, 0, 0, 2, 99, 9900], 0.1, &[2, 0, 0, 2, 89, 9900]),
            (&[0, 0, 0, 0], 0.1, &[0, 0, 0, 0]),
            (&[0, 0, 0xC000_u16.cast_signed(), 0], 0.1, &[0, 0, 0xC000_u16.cast_signed(), 0]),
        ] {
            assert_eq!(shown("numeric", share, &number(from)), number(to), "{from:?}");
        }
    }

    #[test]
    fn an_integer_that_would_not_fit_goes_the_other_way() {
        assert_eq!(shown("int2", 0.1, &i16::MAX.to_be_bytes()), (i16::MAX - 3277).to_be_bytes());
        assert_eq!(shown("int4", -0.5, &10_i32.to_be_bytes()), 5_i32.to_be_bytes());
        assert_eq!(shown("int8", 0.5, &(-10_i64).to_be_bytes()), (-15_i64).to_be_bytes());
        assert_eq!(shown("float4", 0.5, &1_f32.to_be_bytes()), 1.5_f32.to_be_bytes());
    }
}
