//! Durations as the tools that submissions configure write them, such as `1m30s`.

/// The units that Compose takes, in microseconds.
pub const COMPOSE: [(&str, u64); 5] = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
/// The units in which Prometheus writes scrape intervals, in milliseconds.
pub const PROMETHEUS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The sum of numbers with units; nothing at all is 0. `None` for what is no duration.
pub fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let after_digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let after_unit = after_digits.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let count: u64 = rest[..rest.len() - after_digits.len()].parse().ok()?;
        let unit = &after_digits[..after_digits.len() - after_unit.len()];
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        total = total.saturating_add(count.saturating_mul(*factor));
        rest = after_unit;
    }
    Some(total)
}
