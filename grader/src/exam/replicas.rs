//! Replicas, which the driver looks at for as long as they are there: containers stay, pods come and go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::platform::protocol::Command;
use harness::environment::{Environment, Replica};
use harness::exercise::Exercise;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::ExamError;
use super::conductor::get;
use super::driver::{Driver, Seen};
use super::submitted::Submitted;

/// How often the driver asks each whether it is ready, in milliseconds, and how often it is looked which there are.
const WATCH_READY_MS: u64 = 500;
const LOOK: Duration = Duration::from_millis(500);
/// So long is the last part of a pod's name, by which it may be called.
const SHORTEST: usize = 5;
/// What the names of these watches begin with.
const READY: &str = "ready:";

/// Who took whose place: what a pod's successor shows goes on where the pod's own ended, under its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heirs {
    /// Names and addresses of those that are there, each with the first of its line.
    lines: BTreeMap<(String, String), (String, String)>,
    /// Who was the last of lines that have nobody now, each with the first of its line.
    vacant: VecDeque<(String, (String, String))>,
    /// Every name and address that was somebody's successor's, and whose line it is.
    names: BTreeMap<String, String>,
}

impl Heirs {
    /// Takes note of who is there.
    fn see(&mut self, now: &[Replica]) {
        let there: BTreeSet<(String, String)> = now.iter().map(|replica| (replica.name.clone(), replica.host.clone())).collect();
        let gone: Vec<_> = self.lines.keys().filter(|one| !there.contains(*one)).cloned().collect();
        for one in gone {
            if let Some(first) = self.lines.remove(&one) {
                self.vacant.push_back((one.0, first));
            }
        }
        for one in there {
            if self.lines.contains_key(&one) {
                continue;
            }
            // One that is back, at another address, goes on where it was.
            let place = self.vacant.iter().position(|(last, _)| *last == one.0).unwrap_or(0);
            let first = self.vacant.remove(place).map_or_else(|| one.clone(), |(_, first)| first);
            for (own, line) in [(&one.0, &first.0), (&one.1, &first.1)] {
                if own != line {
                    self.names.insert(own.clone(), line.clone());
                }
            }
            self.lines.insert(one, first);
        }
    }

    /// A label's value under the name of its line: a name or an address wherever it stands in the value as a word of its own, or the last part of a name
    /// alone. By SRV records a replica is called after its address: `10-244-1-5.model.shop.svc.cluster.local`.
    pub(super) fn named(&self, value: &str) -> Option<String> {
        let is_within = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        let end = |name: &str| name.rsplit_once('-').map_or(String::new(), |(_, end)| end.to_owned());
        self.names.iter().find_map(|(own, line)| {
            if value.len() >= SHORTEST && value == end(own) {
                return Some(end(line));
            }
            let spellings = [(own.clone(), line.clone()), (own.replace('.', "-"), line.replace('.', "-"))];
            spellings.into_iter().find_map(|(own, line)| {
                let at = value.match_indices(&own).map(|(at, _)| at).find(|at| {
                    let (before, after) = (&value[..*at], &value[at + own.len()..]);
                    !is_within(before.chars().next_back()) && !before.ends_with('.') && !is_within(after.chars().next())
                })?;
                Some(format!("{}{line}{}", &value[..at], &value[at + own.len()..]))
            })
        })
    }
}

/// The name under which a replica's readiness is watched.
pub(super) fn readiness(replica: &str) -> String {
    format!("{READY}{replica}")
}

/// Lets the driver look at every replica, new ones as well.
pub(super) async fn watch(
    environment: &Environment,
    exercise: &Exercise,
    submitted: &Submitted,
    driver: &Driver,
    seen: &watch::Sender<Seen>,
    heirs: &Mutex<Heirs>,
) -> Result<Infallible, ExamError> {
    let ready = &exercise.contract.ready;
    let services = submitted.of_role(&ready.role);
    let mut watched: BTreeMap<String, String> = BTreeMap::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A look that is lost is made up for by the next.
        let Ok(now) = environment.replicas(&ready.role, &services).await else {
            environment.ping().await?;
            continue;
        };
        heirs.lock().unwrap_or_else(PoisonError::into_inner).see(&now);
        let there: BTreeMap<String, String> =
            now.iter().map(|replica| (readiness(&replica.name), Submitted::ready_at(exercise, &replica.host))).collect();
        for name in watched.keys().filter(|name| !there.contains_key(*name)) {
            driver.tell(&Command::Unwatch { name: name.clone() }).await?;
        }
        // A pod whose node was restarted keeps its name, and not its address.
        for (name, url) in there.iter().filter(|(name, url)| watched.get(*name) != Some(*url)) {
            let request = super::bare(get(url.clone(), 1_000));
            driver.tell(&Command::Watch { name: name.clone(), every_ms: WATCH_READY_MS, request }).await?;
        }
        // An answer that was on its way may have come after its replica had gone.
        if seen.borrow().watched.keys().any(|name| name.starts_with(READY) && !there.contains_key(name)) {
            seen.send_modify(|seen| seen.watched.retain(|name, _| !name.starts_with(READY) || there.contains_key(name)));
        }
        watched = there;
    }
}

impl Seen {
    /// How many replicas say that they are ready.
    pub(super) fn ready(&self) -> usize {
        self.watched.iter().filter(|(name, said)| name.starts_with(READY) && said.is_ok()).count()
    }

    /// Whether a replica says so.
    pub(super) fn is_ready(&self, replica: &str) -> bool {
        self.watched.get(&readiness(replica)).is_some_and(Result::is_ok)
    }

    /// What replicas say that are not.
    pub(super) fn not_ready(&self) -> impl Iterator<Item = String> {
        let said = |(name, said): (&String, &Result<(), String>)| Some(format!("`{}` {}", name.strip_prefix(READY)?, said.as_ref().err()?));
        self.watched.iter().filter_map(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(names: &[(&str, &str)]) -> Vec<Replica> {
        names.iter().map(|(name, host)| Replica { name: (*name).to_owned(), host: (*host).to_owned(), restarts: 0 }).collect()
    }

    #[test]
    fn who_takes_a_place_goes_by_the_name_of_the_first() {
        let mut heirs = Heirs::default();
        heirs.see(&replicas(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]));
        assert_eq!(heirs.named("10.0.0.1:8000"), None, "the first has its own");
        heirs.see(&replicas(&[("b", "10.0.0.2")]));
        heirs.see(&replicas(&[("b", "10.0.0.2"), ("c", "10.0.0.3")]));
        assert_eq!((heirs.named("10.0.0.3:8000").as_deref(), heirs.named("c").as_deref()), (Some("10.0.0.1:8000"), Some("a")));
        let by_srv = heirs.named("10-0-0-3.model.shop.svc.cluster.local:8000");
        assert_eq!(by_srv.as_deref(), Some("10-0-0-1.model.shop.svc.cluster.local:8000"));
        // All at once, and one more than there were.
        heirs.see(&[]);
        heirs.see(&replicas(&[("d", "10.0.0.4"), ("e", "10.0.0.5"), ("f", "10.0.0.6")]));
        let lines: Vec<String> = ["d", "e", "f"].iter().map(|name| heirs.named(name).unwrap_or_else(|| (*name).to_owned())).collect();
        assert_eq!(lines, ["b", "a", "f"]);
        // The same pods at other addresses, in another order.
        heirs.see(&[]);
        heirs.see(&replicas(&[("f", "10.0.0.7")]));
        heirs.see(&replicas(&[("d", "10.0.0.8"), ("e", "10.0.0.9"), ("f", "10.0.0.7")]));
        assert_eq!((heirs.named("f"), heirs.named("d").as_deref(), heirs.named("10.0.0.8").as_deref()), (None, Some("b"), Some("10.0.0.2")));
        assert_eq!(heirs.named("registry.platform:8080"), None);
    }

    #[test]
    fn a_name_is_found_wherever_it_stands_as_a_word() {
        let mut heirs = Heirs::default();
        heirs.see(&replicas(&[("model-7d9f-abcde", "10.0.0.1")]));
        heirs.see(&[]);
        heirs.see(&replicas(&[("model-7d9f-fghij", "10.0.0.2")]));
        for (value, named) in [
            ("shop/model-7d9f-fghij", "shop/model-7d9f-abcde"),
            ("fghij", "abcde"),
            ("http://10.0.0.2:8000/metrics", "http://10.0.0.1:8000/metrics"),
            ("pod model-7d9f-fghij of shop", "pod model-7d9f-abcde of shop"),
        ] {
            assert_eq!(heirs.named(value).as_deref(), Some(named));
        }
        for value in ["model-7d9f-fghijk", "a-model-7d9f-fghij", "110.0.0.2", "10.0.0.22", "1.10.0.0.2", "ghij", ""] {
            assert_eq!(heirs.named(value), None, "{value}");
        }
    }
}
