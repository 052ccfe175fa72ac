//! Sizes in bytes: everyone writes them with units of their own.

use std::str::FromStr;

/// Units as somebody writes them, with the bytes that each stands for.
pub(crate) type Units = [(&'static str, u64)];

/// The number in a size and the bytes of its unit; nothing for what is none.
pub(crate) fn read<N: FromStr>(text: &str, units: &Units) -> Option<(N, u64)> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let (_, bytes) = units.iter().find(|(unit, _)| *unit == &text[number.len()..])?;
    Some((number.parse().ok()?, *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_the_units_that_somebody_has() {
        let units = [("", 1), ("k", 1_000), ("Ki", 1 << 10)];
        assert_eq!(["5", "12k", "3Ki"].map(|text| read::<u64>(text, &units)), [Some((5, 1)), Some((12, 1_000)), Some((3, 1 << 10))]);
        assert_eq!(["", "k", "5M", "1.5k", "-1k", "1 k"].map(|text| read::<u64>(text, &units)), [None; 6]);
        assert_eq!(read::<f64>("1.5k", &units), Some((1.5, 1_000)));
    }
}
