//! A release does what it should: its exit code, the registry's champion, and the answers that users got agree.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{self, Request};
use super::{Control, Evidence, Figure, Finding, Judge, SERVED, View, percent, share};
use crate::history::{Event, ReleaseCommand, What};

/// What a refusal is worth that the exit code does not tell of.
const UNSAID: f64 = 0.5;

/// What a command must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `deploy` makes its version the champion; `rollback` the version that was the champion before the last deploy.
    Done,
    /// It fails, and users are served as before.
    Refused,
    /// It succeeds, and users are served as before: there is nothing to do.
    Nothing,
}

/// A release does what it should.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Which command is judged: the last of its phase.
    pub command: ReleaseCommand,
    /// What it must come to.
    pub outcome: Outcome,
    /// The share of answers that must come from the right version, with that version's score.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
    /// How far a score may be off.
    #[schemars(range(min = 0, max = 1))]
    pub tolerance: f64,
    /// The share of requests that must be answered with HTTP 200 in time, where no other check says it.
    #[schemars(range(min = 0, max = 1))]
    #[serde(default)]
    pub answered_at_least: f64,
}

/// A command of the history.
pub(super) struct Ran<'a> {
    pub(super) number: u64,
    pub(super) began_ns: u64,
    ended_ns: u64,
    version: Option<&'a str>,
    pub(super) exit_code: Option<i64>,
    pub(super) output: &'a str,
}

impl Judge for Release {
    fn expected(&self) -> String {
        let command = self.command.name();
        match (self.command, self.outcome) {
            (_, Outcome::Refused) => format!("`{command}` fails, and the champion and the answers stay as they were"),
            (_, Outcome::Nothing) => format!("`{command}` succeeds, and the champion and the answers stay as they were"),
            (ReleaseCommand::Rollback, Outcome::Done) => {
                format!("`{command}` succeeds; the champion before the last deploy is the champion and answers users")
            }
            (_, Outcome::Done) => format!("`{command}` succeeds; its version is the champion and answers users"),
        }
    }

    fn controls(&self) -> &'static [Control] {
        SERVED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let Some(ran) = last(view, self.command) else {
            return Finding::new(false, false, format!("`{}` was never run: there is no service of its role", self.command.name()));
        };
        let before = view.alias_at(ran.began_ns);
        let after = view.alias_at(view.window().end);
        let wanted = match (self.outcome, self.command) {
            (Outcome::Refused | Outcome::Nothing, _) => before,
            (Outcome::Done, ReleaseCommand::Rollback) => before_last_deploy(view, ran.began_ns),
            (Outcome::Done, _) => ran.version,
        };
        let mut complaints = Vec::new();
        let succeeded = ran.exit_code == Some(0);
        if succeeded == (self.outcome == Outcome::Refused) || ran.exit_code.is_none() {
            complaints.push(match ran.exit_code {
                Some(code) => format!("its exit code is {code}"),
                None => ran.output.to_owned(),
            });
        }
        match wanted {
            None => complaints.push("no deploy before it had succeeded".to_owned()),
            Some(wanted) if after != Some(wanted) => {
                complaints.push(format!("the champion is {} after it; it was {}, and {wanted} is right", named(after), named(before)));
            }
            Some(_) => {}
        }
        if self.outcome == Outcome::Refused && !self.releases_something(view) {
            complaints.push("no deploy of this exam released anything, so it does not tell versions apart".to_owned());
        }
        let (good, answers, mut evidence) = self.answers(view, &ran, before, wanted);
        complaints.extend(answers);
        let output = ran.output.lines().last().unwrap_or_default().trim();
        evidence.insert(0, Evidence::new(vec![ran.number], format!("`{}` said: {output}", self.command.name())));
        #[allow(clippy::cast_precision_loss, reason = "an exam lasts far less than 2^52 ns")]
        let took = ran.ended_ns.saturating_sub(ran.began_ns) as f64 / 1e9;
        let observed = if complaints.is_empty() { format!("it did, in {took:.1} s: {output}") } else { complaints.join("; ") };
        // Its word is the only thing that is wrong: users were kept from the version, whoever waits for the command was not told.
        if self.outcome == Outcome::Refused && succeeded && complaints.len() == 1 {
            return Finding::partial(UNSAID, format!("{observed}, though the champion and the answers stayed as they were")).with(evidence);
        }
        Finding::new(complaints.is_empty(), false, observed).measured(Figure::share(good, self.at_least)).with(evidence)
    }
}

impl Release {
    /// Whether some deploy of the exam succeeded and did something: the alias moved, or its version answered users afterwards. What refuses
    /// everything refuses nothing, and neither does what says yes and goes on as before.
    fn releases_something(&self, view: &View<'_>) -> bool {
        let answered = |deploy: &Ran<'_>, scores: &[f64]| {
            let mut after = view.numbered().filter_map(Request::of).filter(|request| request.sent_ns >= deploy.ended_ns);
            after.any(|request| request.version() == deploy.version && request.holds(scores, self.tolerance))
        };
        let is_served =
            |deploy: &Ran<'_>| deploy.version.and_then(|version| view.expected(version)).is_some_and(|(scores, _)| answered(deploy, scores));
        let mut succeeded = commands(view.numbered(), ReleaseCommand::Deploy).filter(|deploy| deploy.exit_code == Some(0));
        moved(view, view.numbered()).next().is_some() || succeeded.any(|deploy| is_served(&deploy))
    }

    /// Which share of the answers is right, and what is wrong with the others: before and while the command runs they may come from the version before it, afterwards from
    /// the right one only; and each must hold the score of the version that it claims.
    fn answers(&self, view: &View<'_>, ran: &Ran<'_>, before: Option<&str>, wanted: Option<&str>) -> (f64, Option<String>, Vec<Evidence>) {
        let scores: BTreeMap<&str, (&[f64], &[f64])> =
            [before, wanted].into_iter().flatten().filter_map(|version| Some((version, view.expected(version)?))).collect();
        let right = |request: &Request<'_>| {
            let version = request.version();
            let may = version.is_some() && (version == wanted || (version == before && request.sent_ns < ran.ended_ns));
            // Which version answers is what a release is about: an answer that says that it was made without the feature store tells that too.
            let tells = |(whole, without): &(&[f64], &[f64])| {
                request.holds(whole, self.tolerance) || (request.says_degraded() && request.holds(without, self.tolerance))
            };
            may && version.and_then(|version| scores.get(version)).is_some_and(tells)
        };
        let (answers, lost): (Vec<_>, Vec<_>) = view.requests().partition(Request::is_good);
        if !answers.iter().any(|request| request.sent_ns >= ran.ended_ns) {
            return (0.0, Some("no request was answered after it".to_owned()), Vec::new());
        }
        let all = answers.len() + lost.len();
        let answered = share(answers.len(), all);
        if answered < self.answered_at_least {
            let observed = format!("only {} of {all} requests were answered", percent(answered));
            return (0.0, Some(observed), view::evidence(lost.into_iter(), Request::said));
        }
        let wrong: Vec<_> = answers.iter().filter(|request| !right(request)).collect();
        let good = share(answers.len() - wrong.len(), answers.len());
        if good >= self.at_least {
            return (good, None, Vec::new());
        }
        let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
        for request in &wrong {
            *versions.entry(request.version().unwrap_or("none")).or_default() += 1;
        }
        let versions: Vec<String> = versions.iter().take(4).map(|(version, count)| format!("{count} of version {version}")).collect();
        let evidence = wrong.iter().take(4).map(|request| {
            let excerpt = format!("row {}: version {}, {}", request.row, request.version().unwrap_or("none"), request.said_score());
            Evidence::new(vec![request.number], excerpt)
        });
        (
            good,
            Some(format!("only {} of {} answers were right, wrong were {}", percent(good), answers.len(), versions.join(", "))),
            evidence.collect(),
        )
    }
}

fn named(version: Option<&str>) -> String {
    version.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"))
}

/// The last command of a kind in the phase.
pub(super) fn last<'a>(view: &View<'a>, wanted: ReleaseCommand) -> Option<Ran<'a>> {
    commands(view.events(), wanted).last()
}

fn commands<'a>(events: impl Iterator<Item = (u64, &'a Event)>, wanted: ReleaseCommand) -> impl Iterator<Item = Ran<'a>> {
    events.filter_map(move |(number, event)| match &event.what {
        What::Command { command, version, began_ns, exit_code, output } if *command == wanted => {
            Some(Ran { number, began_ns: *began_ns, ended_ns: event.at_ns, version: version.as_deref(), exit_code: *exit_code, output })
        }
        _ => None,
    })
}

/// The champion before the last deploy that moved the alias, up to a moment.
fn before_last_deploy<'a>(view: &View<'a>, until_ns: u64) -> Option<&'a str> {
    moved(view, view.until_now()).take_while(|(ended_ns, _)| *ended_ns <= until_ns).last().map(|(_, before)| before)
}

/// The deploys among some events that succeeded and moved the alias: when each ended, and the champion before it.
fn moved<'a>(view: &View<'a>, events: impl Iterator<Item = (u64, &'a Event)>) -> impl Iterator<Item = (u64, &'a str)> {
    commands(events, ReleaseCommand::Deploy).filter_map(move |deploy| {
        let before = view.alias_at(deploy.began_ns)?;
        // The look that follows at once.
        let after = view.all().find_map(|event| match &event.what {
            What::Alias { champion } if event.at_ns >= deploy.ended_ns => Some(champion.as_deref()),
            _ => None,
        })??;
        (after != before && deploy.exit_code == Some(0)).then_some((deploy.ended_ns, before))
    })
}
