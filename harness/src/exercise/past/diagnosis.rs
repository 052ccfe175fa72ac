//! `diagnosis.yaml`: what a candidate says of the day, and whether it is so.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Past;
use crate::document::Document;
use crate::exercise::Files;

/// The file in the workspace.
pub const DIAGNOSIS_FILE: &str = "diagnosis.yaml";

/// What a `diagnosis.yaml` holds: an answer to each question, by the name that the brief gives it. Which are right is said by the day.
#[derive(Debug, JsonSchema)]
#[serde(transparent)]
#[allow(dead_code, reason = "it is read answer by answer, so that a slip in one takes nothing from the others")]
pub struct Diagnosis(BTreeMap<String, Answer>);

/// One word or number; nothing where a question is left open.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "see `Diagnosis`")]
enum Answer {
    Text(String),
    Number(f64),
    Open(()),
}

/// The most of an answer that is kept.
const LONGEST: usize = 100;
const MINUTES_A_DAY: u32 = 24 * 60;

/// What is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// A word.
    Word {
        /// Those of which an answer is one.
        known: BTreeSet<String>,
        /// Those that are right.
        right: BTreeSet<String>,
    },
    /// A metric, whichever of its series.
    Metric {
        /// Those that there are.
        known: BTreeSet<String>,
        /// Those that are right.
        right: BTreeSet<String>,
    },
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
    /// Whether an answer is right; `Err` says what an answer looks like, where it is none or several.
    pub fn accepts(&self, said: &str) -> Result<bool, String> {
        let said = said.trim();
        match self {
            Self::Word { known, right } => {
                let is_one =
                    |part: &str| known.iter().find(|word| word.eq_ignore_ascii_case(part) || Some(word.as_str()) == part.strip_prefix(['v', 'V']));
                let found: BTreeSet<&String> = said.split(|letter: char| !letter.is_ascii_alphanumeric()).filter_map(is_one).collect();
                let words: Vec<&str> = known.iter().map(String::as_str).collect();
                only(&found).map(|word| right.contains(word)).ok_or_else(|| format!("one of {} is asked for", words.join(", ")))
            }
            Self::Metric { known, right } => {
                let is_one = |part: &str| known.get(family(part));
                let is_no_name = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':');
                let found: BTreeSet<&String> = said.split(is_no_name).filter_map(is_one).collect();
                only(&found).map(|metric| right.contains(metric)).ok_or_else(|| "the name of one metric that was scraped is asked for".to_owned())
            }
            Self::Time { minute, within_minutes } => {
                let at = minute_of(said).ok_or("a time is `HH:MM`, by the clock of UTC")?;
                let apart = at.abs_diff(*minute);
                Ok(apart.min(MINUTES_A_DAY - apart) <= *within_minutes)
            }
            #[allow(clippy::cast_precision_loss, reason = "a day has far fewer than 2^52 requests")]
            Self::Count { count, within_share } => {
                let number: Option<f64> = said.replace([',', '_', ' '], "").parse().ok();
                let number = number.filter(|number| number.is_finite()).ok_or("a number is asked for")?;
                Ok((number - *count as f64).abs() <= *within_share * *count as f64)
            }
        }
    }
}

fn only<'a>(found: &BTreeSet<&'a String>) -> Option<&'a String> {
    if found.len() == 1 { found.first().copied() } else { None }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word { right, .. } | Self::Metric { right, .. } => {
                out.write_str(&right.iter().map(String::as_str).collect::<Vec<_>>().join(" or "))
            }
            Self::Time { minute, within_minutes } => write!(out, "{:02}:{:02}, to within {within_minutes} min", minute / 60, minute % 60),
            Self::Count { count, within_share } => write!(out, "{count}, to within {:.0} %", within_share * 100.0),
        }
    }
}

/// A metric's name without the suffixes of counters and histograms.
pub(in crate::exercise) fn family(metric: &str) -> &str {
    ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| metric.strip_suffix(suffix)).unwrap_or(metric)
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
    let asks = |fact: &str| past.facts.iter().find(|one| one.id == fact).map_or_else(String::new, |one| one.asks.clone());
    let text = match files.get(DIAGNOSIS_FILE).map(|content| std::str::from_utf8(content)) {
        None => Err(format!("there is no `{DIAGNOSIS_FILE}`")),
        Some(Err(_)) => Err(format!("`{DIAGNOSIS_FILE}` is not text")),
        Some(Ok(text)) => Ok((text, Document::parse(DIAGNOSIS_FILE, text).map_err(|problems| problems.to_string()))),
    };
    let said = |fact: &str| {
        let (text, document) = text.as_ref().map_err(String::clone)?;
        let said = match document {
            Ok(document) => answer(document, fact)?,
            // A slip of the pen in one answer does not take away the others.
            Err(problems) => answer_on_its_line(text, fact).ok_or_else(|| problems.clone())?,
        };
        if said.is_empty() { Err(format!("`{fact}` is empty")) } else { Ok(said.chars().take(LONGEST).collect::<String>()) }
    };
    wanted
        .map(|(fact, wanted)| {
            let said = said(&fact);
            Diagnosed { asks: asks(&fact), complaint: said.clone().err().unwrap_or_default(), said: said.ok(), fact, wanted }
        })
        .collect()
}

fn answer(document: &Document, fact: &str) -> Result<String, String> {
    let node = document.root.get(fact).ok_or_else(|| format!("`{DIAGNOSIS_FILE}` does not have `{fact}`"))?;
    if node.value().is_null() {
        return Ok(String::new());
    }
    let text = node.text().ok_or_else(|| document.problem(&format!("/{fact}"), "one word or number is needed").to_string())?;
    Ok(text.trim().to_owned())
}

fn answer_on_its_line<'a>(text: &'a str, fact: &str) -> Option<String> {
    let value = |line: &'a str| line.strip_prefix(fact)?.trim_start().strip_prefix(':');
    let value = text.lines().find_map(value)?.split(" #").next().unwrap_or_default();
    Some(value.trim().trim_matches(['"', '\'', '`']).to_owned())
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
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let metric = Wanted::Metric { known: words(&["lookups", "up"]), right: words(&["lookups"]) };
        let right = ["lookups", "lookups_total{outcome=\"x\"}", " lookups_bucket", "sum by (le) (rate(lookups_bucket[5m]))", "up"];
        assert_eq!(right.map(|said| metric.accepts(said)), [true, true, true, true, false].map(Ok));
        assert!(["lookups or up", "errors", "", ".*"].iter().all(|said| metric.accepts(said).is_err()), "several are no answer");
        let status = Wanted::Word { known: words(&["500", "504"]), right: words(&["504"]) };
        assert_eq!(["504", "HTTP 504", "504 Gateway Time-out", "500"].map(|said| status.accepts(said)), [true, true, true, false].map(Ok));
        assert_eq!(status.accepts("500, 504"), Err("one of 500, 504 is asked for".to_owned()));
        let version = Wanted::Word { known: words(&["2", "3"]), right: words(&["3"]) };
        assert_eq!(["3", "v3", "version 3", "V2"].map(|said| version.accepts(said)), [true, true, true, false].map(Ok));
    }
}
