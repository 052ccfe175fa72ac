//! `diagnosis.yaml`: what a candidate says of the day, and whether it is so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Past;
use crate::document::Document;
use crate::exercise::Files;

/// The file in the workspace.
pub const DIAGNOSIS_FILE: &str = "diagnosis.yaml";

/// The most of an answer that is kept.
const LONGEST: usize = 100;
const MINUTES_A_DAY: u32 = 24 * 60;

/// What is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// One of these words.
    Word(BTreeSet<String>),
    /// One of these metrics, whichever of its series.
    Metric(BTreeSet<String>),
    /// A time of the day, `HH:MM`.
    Time {
        /// The time, in minutes since midnight.
        minute: u32,
        /// How many minutes off is right.
        within_minutes: u32,
    },
    /// A number.
    Count {
        /// The number.
        count: u64,
        /// Which share off is right.
        within_share: f64,
    },
}

/// What a submission says of a fact, beside what is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosed {
    /// The fact.
    pub fact: String,
    /// The question.
    pub asks: String,
    /// What the submission says; nothing where it says nothing.
    pub said: Option<String>,
    /// Why it says nothing, else empty.
    pub complaint: String,
    /// What is right.
    pub wanted: Wanted,
}

impl Wanted {
    /// Whether an answer is right; `Err` says what an answer looks like, where it is none.
    pub fn accepts(&self, said: &str) -> Result<bool, &'static str> {
        let said = said.trim();
        match self {
            Self::Word(words) => Ok(words.iter().any(|word| word.eq_ignore_ascii_case(said))),
            Self::Metric(metrics) => Ok(metrics.contains(family(said))),
            Self::Time { minute, within_minutes } => {
                let at = minute_of(said).ok_or("a time is `HH:MM`, by the clock of UTC")?;
                let apart = at.abs_diff(*minute);
                Ok(apart.min(MINUTES_A_DAY - apart) <= *within_minutes)
            }
            #[allow(clippy::cast_precision_loss, reason = "a day has far fewer than 2^52 requests")]
            Self::Count { count, within_share } => {
                let number: f64 =
                    said.replace([',', '_', ' '], "").parse().ok().filter(|number: &f64| number.is_finite()).ok_or("a number is needed")?;
                Ok((number - *count as f64).abs() <= *within_share * *count as f64)
            }
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(words) | Self::Metric(words) => out.write_str(&words.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")),
            Self::Time { minute, within_minutes } => write!(out, "{:02}:{:02}, to within {within_minutes} min", minute / 60, minute % 60),
            Self::Count { count, within_share } => write!(out, "{count}, to within {:.0} %", within_share * 100.0),
        }
    }
}

/// A metric without what tells its series apart: labels, and the suffixes of counters and histograms.
pub(in crate::exercise) fn family(metric: &str) -> &str {
    let name = metric.split('{').next().unwrap_or_default().trim();
    ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// A time of the day in minutes: `HH:MM`, with seconds or a `Z` behind it.
fn minute_of(text: &str) -> Option<u32> {
    let mut parts = text.trim_end_matches(['Z', 'z']).trim_end_matches("UTC").trim().split(':');
    let (hours, minutes): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds_fit = parts.next().is_none_or(|seconds| seconds.parse::<f64>().is_ok_and(|seconds| (0.0..60.0).contains(&seconds)));
    (hours < 24 && minutes < 60 && seconds_fit && parts.next().is_none()).then_some(hours * 60 + minutes)
}

/// What a submission says of each fact.
pub fn diagnosed(past: &Past, wanted: impl Iterator<Item = (String, Wanted)>, files: &Files) -> Vec<Diagnosed> {
    let document = match files.get(DIAGNOSIS_FILE).map(|content| std::str::from_utf8(content)) {
        None => Err(format!("there is no `{DIAGNOSIS_FILE}`")),
        Some(Err(_)) => Err(format!("`{DIAGNOSIS_FILE}` is not text")),
        Some(Ok(text)) => Document::parse(DIAGNOSIS_FILE, text).map_err(|problems| problems.to_string()),
    };
    let said = |fact: &str| -> Result<String, String> {
        let document = document.as_ref().map_err(String::clone)?;
        let node = document.root.get(fact).ok_or_else(|| format!("`{DIAGNOSIS_FILE}` does not have `{fact}`"))?;
        let text = node.text().ok_or_else(|| document.problem(&format!("/{fact}"), "one word or number is needed").to_string())?;
        if text.trim().is_empty() || node.value().is_null() { Err(format!("`{fact}` is empty")) } else { Ok(text.chars().take(LONGEST).collect()) }
    };
    let asks = |fact: &str| past.facts.iter().find(|one| one.id == fact).map_or_else(String::new, |one| one.asks.clone());
    wanted
        .map(|(fact, wanted)| {
            let said = said(&fact);
            Diagnosed { asks: asks(&fact), complaint: said.clone().err().unwrap_or_default(), said: said.ok(), fact, wanted }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_right_to_within_what_is_said() {
        let time = Wanted::Time { minute: 3, within_minutes: 3 };
        let right = |said: &str| time.accepts(said);
        assert_eq!([right("00:03"), right("00:06:59"), right("23:59"), right("0:06Z"), right("00:07")], [true, true, false, true, false].map(Ok));
        assert_eq!(Wanted::Time { minute: 1, within_minutes: 3 }.accepts("23:58"), Ok(true), "the clock goes round");
        assert!(["24:00", "7", "ten past", "1:2:3:4", ""].iter().all(|said| right(said).is_err()));
        let count = Wanted::Count { count: 2_000, within_share: 0.1 };
        assert_eq!(["1,800", "2200.0", "2_201", "1799"].map(|said| count.accepts(said)), [true, true, false, false].map(Ok));
        assert!(["many", "NaN", "inf", ""].iter().all(|said| count.accepts(said).is_err()));
        let metric = Wanted::Metric(["lookups".to_owned()].into());
        assert_eq!(
            ["lookups", "lookups_total{outcome=\"x\"}", " lookups_bucket", "up"].map(|said| metric.accepts(said)),
            [true, true, true, false].map(Ok)
        );
        assert_eq!(Wanted::Word(["none".to_owned()].into()).accepts("None"), Ok(true));
    }
}
