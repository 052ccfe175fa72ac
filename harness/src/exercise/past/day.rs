//! One day, played: what was scraped, what was logged, and what is true of it.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::diagnosis::Wanted;
use super::{Incident, Log, Marks, Past, Quantity, SeriesRule, Stage, Truth};
use crate::exercise::Files;
use crate::exercise::seed::{index, unit};

const MINUTES: u32 = 24 * 60;
/// When requests are fewest and most, in minutes of the day.
const FEWEST: u32 = 4 * 60;
const MOST: u32 = 16 * 60;
/// When the day's second version came for good, in minutes of the day: from when on, and within how many minutes.
pub(super) const CLEANED_UP: (u32, u32) = (22 * 60 + 45, 45);
/// How long before an incident a release may be that has nothing to do with it, in minutes.
const BEFORE: (u32, u32) = (60, 110);
/// A minute is bad in which more than one request in so many fails.
const BAD: u64 = 100;
/// How much the number of requests varies from count to count, what becomes of them, and memory.
const UNSTEADY: (f64, f64, f64) = (0.08, 0.15, 0.02);
/// Seconds that answers take: well ones, without a store that is slow, slow ones, and such as come too late.
const WELL_S: f64 = 0.009;
const STORE_SLOW_S: f64 = 0.11;
const SLOW_S: f64 = 0.35;
const HUNG_S: f64 = 2.5;
/// From which bound of a histogram on they are counted.
const STORE_SLOW_WITHIN: f64 = 0.25;
const SLOW_WITHIN: f64 = 0.5;
/// What a replica takes when it has just started, in MiB.
const MEMORY_MIB: f64 = 96.0;
const MIB: f64 = 1_048_576.0;

/// What was scraped on a day, in counts from its midnight on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// How many seconds are between two counts.
    pub every_seconds: u32,
    /// Every series.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The metric.
    pub metric: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// By how much values are divided.
    pub per: u32,
    /// Where it was there: which count was the first, and the values from there on, each less the one before it.
    pub runs: Vec<(usize, Vec<i64>)>,
}

impl Recorded {
    /// The day as text that `promtool tsdb create-blocks-from openmetrics` reads, from a midnight on, in seconds of Unix time.
    pub fn open_metrics(&self, midnight: i64) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for series in &self.series {
            // Labels in quotes as JSON has them: OpenMetrics escapes the same three characters alike.
            let labels: Vec<String> = series.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let labels = labels.join(",");
            for (first, steps) in &series.runs {
                let mut value = 0;
                for (at, step) in (*first..).zip(steps) {
                    value += step;
                    let seconds = midnight + i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(self.every_seconds.into());
                    // Writing to a String cannot fail.
                    let _ = match series.per {
                        1 => writeln!(text, "{}{{{labels}}} {value} {seconds}", series.metric),
                        per => writeln!(text, "{}{{{labels}}} {} {seconds}", series.metric, Decimal { value, per }),
                    };
                }
            }
        }
        text + "# EOF\n"
    }
}

/// A whole number divided by a power of ten.
struct Decimal {
    value: i64,
    per: u32,
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (per, digits) = (i64::from(self.per), self.per.ilog10() as usize);
        write!(out, "{}.{:0digits$}", self.value / per, self.value % per)
    }
}

/// A day that was played.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The incident's title.
    pub incident: String,
    /// What was scraped.
    pub recorded: Recorded,
    /// What was logged, by file.
    pub logs: Files,
    /// What is true of it, by fact.
    pub wanted: Vec<(String, Wanted)>,
}

impl Past {
    /// Plays a day; `stream` gives the random numbers for a purpose.
    pub(in crate::exercise) fn day(&self, stream: impl Fn(&str) -> ChaCha8Rng) -> Day {
        let incident = &self.incidents[index(self.incidents.len(), &mut stream("incident"))];
        let plot = Plot::draw(self, incident, &mut stream("times"));
        let mut played = Played::new(self, stream("noise"), stream("log"));
        for step in 0..MINUTES * 60 / self.every_seconds {
            played.count(&plot, step);
        }
        let releases = plot.releases.windows(2).map(|pair| {
            let ((_, before), (minute, version)) = (&pair[0], &pair[1]);
            let time = format!("{:02}:{:02}:00.000", minute / 60, minute % 60);
            filled(&self.logs.releases, &[("$time", &time), ("$before", before), ("$version", version)])
        });
        let releases: String = releases.collect();
        let logs = [(&self.logs.failures, played.log.clone()), (&self.logs.releases, releases)];
        let series = std::mem::take(&mut played.series).into_iter().filter(|series| !series.runs.is_empty()).collect();
        let recorded = Recorded { every_seconds: self.every_seconds, series };
        Day {
            incident: incident.title.clone(),
            logs: logs.map(|(log, text)| (log.file.clone(), text.into_bytes())).into(),
            wanted: played.wanted(&plot, incident, &recorded),
            recorded,
        }
    }
}

/// What happens when.
struct Plot<'a> {
    /// Until which minute each stage lasts; the first begins at `begins`.
    stages: Vec<(u32, &'a Stage)>,
    begins: u32,
    /// From which minute on which version is served, from midnight on.
    releases: Vec<(u32, String)>,
}

impl<'a> Plot<'a> {
    fn draw(past: &Past, incident: &'a Incident, random: &mut ChaCha8Rng) -> Self {
        let mut within = |from: u32, count: u32| from + u32::try_from(index(count.max(1) as usize, random)).unwrap_or(0);
        let begins = within(past.begins.from * 60, (past.begins.to - past.begins.from) * 60);
        let mut ends = begins;
        let stages = incident.stages.iter().map(|stage| {
            ends += within(stage.minutes.min, (stage.minutes.max - stage.minutes.min + 1).max(1));
            (ends, stage)
        });
        let stages: Vec<_> = stages.collect();
        let cleaned_up = within(CLEANED_UP.0, CLEANED_UP.1);
        let earlier = begins.saturating_sub(within(BEFORE.0, BEFORE.1));
        let is_earlier = within(0, 2) == 0;
        let (before, after) = (past.versions.before.clone(), past.versions.after.clone());
        let mut releases = vec![(0, before.clone())];
        if incident.by_release {
            releases.extend([(begins, after.clone()), (ends, before), (cleaned_up, after)]);
        } else {
            releases.push((if is_earlier { earlier } else { cleaned_up }, after));
        }
        Self { stages, begins, releases }
    }

    fn stage(&self, minute: u32) -> Option<&'a Stage> {
        if minute < self.begins { None } else { self.stages.iter().find(|(ends, _)| minute < *ends).map(|(_, stage)| *stage) }
    }

    fn version(&self, minute: u32) -> &str {
        self.releases.iter().rev().find(|(from, _)| *from <= minute).map_or("", |(_, version)| version)
    }
}

/// What was counted of requests; a process begins at 0.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    failed: f64,
    hung: f64,
    slow: f64,
    store_slow: f64,
    store_failed: f64,
    /// All of them.
    requests: f64,
}

impl Counts {
    fn add(&mut self, requests: f64, marks: &Shares) {
        self.requests += requests;
        self.failed += requests * marks.failed;
        self.hung += requests * marks.hung;
        self.slow += requests * marks.slow;
        self.store_slow += requests * marks.store_slow;
        self.store_failed += requests * marks.store_failed;
    }

    /// Dealt with as ever, the failures among them.
    fn quick(&self) -> f64 {
        self.requests - self.hung - self.slow - self.store_slow
    }
}

/// [`Marks`] without gaps, a little off.
struct Shares {
    failed: f64,
    hung: f64,
    refused: f64,
    slow: f64,
    store_slow: f64,
    store_failed: f64,
    leaks_mib: f64,
}

/// A replica, as it is.
#[derive(Debug, Clone, Copy)]
struct Replica {
    process: Counts,
    ever: Counts,
    memory_mib: f64,
    /// What is seen of it.
    shown_mib: f64,
    is_there: bool,
}

struct Played<'a> {
    past: &'a Past,
    noise: ChaCha8Rng,
    draws: ChaCha8Rng,
    replicas: Vec<Replica>,
    refused: f64,
    series: Vec<Series>,
    /// Which rule each series is of, which replica's, and which version's.
    of: Vec<(&'a SeriesRule, Option<usize>, Option<&'a str>)>,
    last: Vec<Option<(u32, i64)>>,
    log: String,
    /// Users' requests and those that failed, at the end of each minute.
    minutes: Vec<(u64, u64)>,
}

impl<'a> Played<'a> {
    fn new(past: &'a Past, noise: ChaCha8Rng, draws: ChaCha8Rng) -> Self {
        let mut of = Vec::new();
        for rule in &past.series {
            let replicas: Vec<Option<usize>> = if rule.has("$replica") { (0..past.replicas.len()).map(Some).collect() } else { vec![None] };
            let versions = [Some(past.versions.before.as_str()), Some(past.versions.after.as_str())];
            let versions = if rule.has("$version") { &versions[..] } else { &[None] };
            of.extend(replicas.iter().flat_map(|replica| versions.iter().map(move |version| (rule, *replica, *version))));
        }
        let name = |(rule, replica, version): &(&SeriesRule, Option<usize>, Option<&str>)| {
            let replica = replica.map_or("", |replica| past.replicas[replica].as_str());
            let filled = |value: &String| value.replace("$replica", replica).replace("$version", version.unwrap_or_default());
            let labels = rule.labels.iter().map(|(label, value)| (label.clone(), filled(value))).collect();
            let per = if rule.of == Quantity::Seconds { 1_000 } else { 1 };
            Series { metric: rule.metric.clone(), labels, per, runs: Vec::new() }
        };
        // Failures of a usual day are far apart: no two replicas are to have theirs in the same minutes.
        let mut noise = noise;
        let replicas = past.replicas.iter().map(|_| {
            let begun = Counts { failed: unit(&mut noise), hung: unit(&mut noise), ..Counts::default() };
            Replica { process: begun, ever: begun, memory_mib: MEMORY_MIB, shown_mib: MEMORY_MIB, is_there: true }
        });
        let replicas = replicas.collect();
        let (series, last) = (of.iter().map(name).collect(), vec![None; of.len()]);
        Self { past, noise, draws, replicas, refused: 0.0, series, of, last, log: String::new(), minutes: Vec::new() }
    }

    /// Lets some seconds pass, and counts.
    fn count(&mut self, plot: &Plot<'_>, step: u32) {
        let every = self.past.every_seconds;
        let minute = step * every / 60;
        let before = self.failures();
        let marks = self.shares(plot.stage(minute).map(|stage| &stage.marks));
        let requests = self.requests(minute) * f64::from(every);
        let is_away = self.replicas[0].memory_mib > self.past.memory_limit_mib;
        let refused = if is_away { marks.refused } else { 0.0 };
        let seen: Vec<f64> = (0..self.replicas.len()).map(|_| self.off(UNSTEADY.2)).collect();
        self.refused += requests * refused;
        let there = self.replicas.len() - usize::from(is_away);
        let is_over = plot.stages.last().is_some_and(|(ends, _)| ends * 60 == step * every);
        for (place, replica) in self.replicas.iter_mut().enumerate() {
            let is_first = place == 0;
            let is_there = !(is_first && is_away);
            if is_there && (!replica.is_there || is_over) {
                // It has started anew, by itself or by whoever ended the incident.
                replica.process = Counts::default();
                replica.memory_mib = MEMORY_MIB;
            }
            replica.is_there = is_there;
            if !is_there {
                replica.memory_mib = 0.0;
            }
            if is_there {
                #[allow(clippy::cast_precision_loss, reason = "there are eight replicas at most")]
                let share = requests * (1.0 - refused) / there.max(1) as f64;
                replica.process.add(share, &marks);
                replica.ever.add(share, &marks);
                replica.memory_mib += if is_first { marks.leaks_mib * f64::from(every) / 60.0 } else { 0.0 };
                replica.shown_mib = replica.memory_mib * seen[place];
            }
        }
        self.write_log(step * every, &before);
        for one in 0..self.of.len() {
            let value = self.value(one, plot.version(minute));
            if let Some(value) = value {
                let (last, runs) = (&mut self.last[one], &mut self.series[one].runs);
                match (*last, runs.last_mut()) {
                    (Some((at, before)), Some((_, steps))) if at + 1 == step => steps.push(value - before),
                    _ => runs.push((step as usize, vec![value])),
                }
                *last = Some((step, value));
            }
        }
        if ((step + 1) * every).is_multiple_of(60) {
            let failed = self.failures().iter().map(|(_, _, count)| count).sum();
            self.minutes.push((failed + self.replicas.iter().map(|replica| served(&replica.ever)).sum::<u64>(), failed));
        }
    }

    /// How many requests come a second, a little off.
    fn requests(&mut self, minute: u32) -> f64 {
        let (least, most) = (self.past.requests_per_second.least, self.past.requests_per_second.most);
        // Up from the fewest to the most, and down again.
        let since = (minute + MINUTES - FEWEST) % MINUTES;
        let rise = MOST - FEWEST;
        let part = if since < rise { f64::from(since) / f64::from(rise) } else { f64::from(MINUTES - since) / f64::from(MINUTES - rise) };
        (least + (most - least) * part) * self.off(UNSTEADY.0)
    }

    /// A factor near 1.
    fn off(&mut self, by: f64) -> f64 {
        1.0 + by * (2.0 * unit(&mut self.noise) - 1.0)
    }

    fn shares(&mut self, marks: Option<&Marks>) -> Shares {
        let usual = self.past.usual;
        let mut share = |of: fn(&Marks) -> Option<f64>| marks.and_then(of).or(of(&usual)).unwrap_or(0.0) * self.off(UNSTEADY.1);
        Shares {
            failed: share(|marks| marks.failed),
            hung: share(|marks| marks.hung),
            refused: share(|marks| marks.refused),
            slow: share(|marks| marks.slow),
            store_slow: share(|marks| marks.store_slow),
            store_failed: share(|marks| marks.store_failed),
            leaks_mib: share(|marks| marks.leaks_mib),
        }
    }

    /// Users' failures so far: whose, with which status, how many.
    fn failures(&self) -> Vec<(usize, u16, u64)> {
        let of = |(place, replica): (usize, &Replica)| [(place, 500, whole(replica.ever.failed)), (place, 504, whole(replica.ever.hung))];
        self.replicas.iter().enumerate().flat_map(of).chain([(0, 503, whole(self.refused))]).collect()
    }

    /// A line for each failure since a moment.
    fn write_log(&mut self, second: u32, before: &[(usize, u16, u64)]) {
        let mut lines = Vec::new();
        for ((replica, status, count), (_, _, earlier)) in self.failures().into_iter().zip(before) {
            for _ in *earlier..count {
                let at = u64::from(second) * 1_000 + self.draws.next_u64() % (u64::from(self.past.every_seconds) * 1_000);
                let took = match status {
                    500 => 6 + self.draws.next_u64() % 20,
                    504 => 1_200 + self.draws.next_u64() % 30,
                    _ => 500 + self.draws.next_u64() % 10,
                };
                lines.push((at, self.past.replicas[replica].as_str(), status, took));
            }
        }
        lines.sort_unstable();
        for (at, replica, status, took) in lines {
            let time = format!("{:02}:{:02}:{:02}.{:03}", at / 3_600_000, at / 60_000 % 60, at / 1_000 % 60, at % 1_000);
            let words = [("$time", time.as_str()), ("$replica", replica), ("$status", &status.to_string()), ("$ms", &took.to_string())];
            self.log += &filled(&self.past.logs.failures, &words);
        }
    }

    /// What a series has now; nothing where it is not there.
    fn value(&self, series: usize, version: &str) -> Option<i64> {
        let (rule, replica, of_version) = self.of[series];
        let chosen: Vec<&Replica> =
            self.replicas.iter().enumerate().filter(|(place, _)| replica.is_none_or(|one| one == *place)).map(|(_, one)| one).collect();
        let of_users = matches!(rule.of, Quantity::UsersAnswered | Quantity::UsersFailed | Quantity::Up);
        if replica.is_some() && !of_users && !chosen.iter().all(|one| one.is_there) || of_version.is_some_and(|wanted| wanted != version) {
            return None;
        }
        // The balancer and the store count on while a replica starts anew.
        let is_of_one = replica.is_some();
        let counts = |one: &Replica| if is_of_one { one.process } else { one.ever };
        let sum = |of: &dyn Fn(Counts) -> f64| chosen.iter().map(|one| whole(of(counts(one)))).sum::<u64>();
        let value = match rule.of {
            Quantity::Answered => sum(&|one| one.requests - one.failed),
            Quantity::Failed => sum(&|one| one.failed),
            Quantity::Requests => sum(&|one| one.requests),
            Quantity::Within(bound) => {
                let usual = self.past.answered_within.iter().rev().find(|one| one.seconds <= bound).map_or(0.0, |one| one.share);
                let from = |least: f64, count: f64| if bound >= least { count } else { 0.0 };
                sum(&|one| one.quick() * usual + from(STORE_SLOW_WITHIN, one.store_slow) + from(SLOW_WITHIN, one.slow))
            }
            Quantity::Seconds => sum(&|one| 1e3 * (one.quick() * WELL_S + one.store_slow * STORE_SLOW_S + one.slow * SLOW_S + one.hung * HUNG_S)),
            Quantity::Degraded => sum(&|one| one.store_slow + one.store_failed),
            Quantity::LookupsAnswered => sum(&|one| one.requests - one.store_slow - one.store_failed),
            Quantity::LookupsSlow => sum(&|one| one.store_slow),
            Quantity::LookupsFailed => sum(&|one| one.store_failed),
            Quantity::StoreAnswered => sum(&|one| one.requests - one.store_failed),
            Quantity::UsersAnswered => chosen.iter().map(|one| served(&one.ever)).sum(),
            Quantity::UsersFailed => {
                let own: u64 = chosen.iter().map(|one| whole(one.ever.failed) + whole(one.ever.hung)).sum();
                own + if replica.is_none() { whole(self.refused) } else { 0 }
            }
            Quantity::Memory => sum_memory(&chosen),
            Quantity::Up => u64::from(chosen.iter().all(|one| one.is_there)),
            Quantity::Serves => 1,
        };
        i64::try_from(value).ok()
    }

    /// What is true of the day.
    fn wanted(&self, plot: &Plot<'_>, incident: &Incident, recorded: &Recorded) -> Vec<(String, Wanted)> {
        let before = |minute: usize| minute.checked_sub(1).map_or((0, 0), |before| self.minutes[before]);
        let is_bad = |minute: &usize| {
            let ((all, failed), (all_before, failed_before)) = (self.minutes[*minute], before(*minute));
            (failed - failed_before) * BAD > all - all_before
        };
        let bad: Vec<usize> = (0..self.minutes.len()).filter(is_bad).collect();
        let (first, last) = (bad.first().copied().unwrap_or(0), bad.last().copied().unwrap_or(0));
        let minute = u32::try_from(first).unwrap_or(0);
        let wanted = self.past.facts.iter().map(|fact| {
            let truth = Truth {
                version: plot.version(minute).to_owned(),
                minute,
                failed: self.minutes[last].1 - before(first).1,
                words: incident.answers.get(&fact.id).cloned().unwrap_or_default(),
            };
            let wanted = self.past.wanted(&fact.answer, recorded, &truth);
            (fact.id.clone(), wanted)
        });
        wanted.collect()
    }
}

fn sum_memory(replicas: &[&Replica]) -> u64 {
    replicas.iter().map(|one| whole(one.shown_mib * MIB)).sum()
}

/// Users' requests that were answered well.
fn served(counts: &Counts) -> u64 {
    whole(counts.requests - counts.failed - counts.hung)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a day are far below 2^52 and never negative")]
fn whole(count: f64) -> u64 {
    // A hair up, so that what is taken from a sum and put back is whole again.
    (count + 1e-6).max(0.0) as u64
}

fn filled(log: &Log, words: &[(&str, &str)]) -> String {
    words.iter().fold(log.line.clone(), |line, (word, value)| line.replace(word, value)) + "\n"
}
