//! Reading what came back: pure, and distrustful of every byte, since it is the submission that answers.

use ::platform::protocol::Outcome;
use harness::duration;
use harness::exercise::Exercise;
use serde::Deserialize;

use crate::history::{RequestResult, Target, What};

/// The part of the contract that says how an answer is read.
#[derive(Debug, Clone)]
pub(super) struct Inference {
    /// The name of the output tensor that holds the score.
    pub(super) output: String,
}

impl Inference {
    /// An exercise's.
    pub(super) fn of(exercise: &Exercise) -> Self {
        Self { output: exercise.contract.inference.output.clone() }
    }
}

/// What the Open Inference Protocol calls an inference response, as far as the exam reads it.
#[derive(Deserialize)]
struct Inferred {
    model_version: Option<String>,
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    /// Numbers, where it is the one that holds the score.
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize, Default)]
struct Parameters {
    degraded: Option<bool>,
}

/// The answer to one request of the traffic.
pub(super) fn read(outcome: &Outcome, inference: &Inference) -> RequestResult {
    match outcome {
        Outcome::Response { status, body, truncated } => {
            let inferred = if *truncated { None } else { serde_json::from_str::<Inferred>(body).ok() };
            let (version, score, degraded) = inferred.map_or((None, None, None), |answer| {
                let output = answer.outputs.iter().find(|output| output.name == inference.output);
                let score = output.and_then(|output| match &output.data.as_array()?[..] {
                    [score] => score.as_f64(),
                    _ => None,
                });
                (answer.model_version.map(short), score, answer.parameters.degraded)
            });
            RequestResult::Answered { status: *status, version, score, degraded }
        }
        Outcome::TimedOut => RequestResult::TimedOut,
        Outcome::Unresolved { why } => RequestResult::Unresolved { why: why.clone() },
        Outcome::Refused { why } => RequestResult::Refused { why: why.clone() },
        Outcome::Broken { why } => RequestResult::Broken { why: why.clone() },
    }
}

/// The most of a version's name that is kept, in characters.
const VERSION_LIMIT: usize = 64;

/// A text that cannot make a history large.
fn short(text: String) -> String {
    if text.len() <= VERSION_LIMIT { text } else { text.chars().take(VERSION_LIMIT).collect() }
}

/// `Ok` for an answer of 200, else what came instead.
pub(super) fn plain(outcome: &Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Response { status: 200, .. } => Ok(()),
        Outcome::Response { status, .. } => Err(format!("answered {status}")),
        Outcome::TimedOut => Err("timed out".to_owned()),
        Outcome::Unresolved { why } => Err(format!("name did not resolve: {why}")),
        Outcome::Refused { why } => Err(format!("connection refused: {why}")),
        Outcome::Broken { why } => Err(format!("connection broke: {why}")),
    }
}

/// The name under which Prometheus' list of scrape targets is watched.
pub(super) const TARGETS: &str = "targets";

/// What one look at a watched address adds to the history.
pub(super) fn watched(name: &str, sent_ns: u64, done_ns: u64, outcome: &Outcome) -> Vec<What> {
    let said = plain(outcome);
    let mut added = Vec::new();
    let mut detail = said.as_ref().err().cloned().unwrap_or_default();
    if name == TARGETS && said.is_ok() {
        match outcome {
            Outcome::Response { body, truncated: false, .. } => match serde_json::from_str::<TargetsAnswer>(body) {
                Ok(answer) => added.push(What::Targets { targets: answer.data.active_targets.into_iter().map(Target::from).collect() }),
                Err(error) => detail = format!("not a list of targets: {error}"),
            },
            _ => "the list of targets is longer than 64 KiB".clone_into(&mut detail),
        }
    }
    let ok = detail.is_empty();
    added.push(What::Watched { name: name.to_owned(), sent_ns, done_ns, ok, detail });
    added
}

/// Whether Prometheus has looked at every target of its list, or says that it cannot.
pub(super) fn scraped(outcome: &Outcome) -> Result<(), String> {
    plain(outcome)?;
    let Outcome::Response { body, .. } = outcome else { return Ok(()) };
    let waits = serde_json::from_str::<TargetsAnswer>(body).is_ok_and(|answer| {
        let targets = &answer.data.active_targets;
        targets.is_empty() || targets.iter().any(|target| target.health == "unknown")
    });
    if waits { Err("it has not looked at every target yet".to_owned()) } else { Ok(()) }
}

/// Prometheus' answer to `/api/v1/targets`, as far as the exam reads it.
#[derive(Deserialize)]
struct TargetsAnswer {
    data: ActiveTargets,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTargets {
    active_targets: Vec<ActiveTarget>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    labels: std::collections::BTreeMap<String, String>,
    scrape_url: String,
    #[serde(default)]
    scrape_interval: String,
    health: String,
    #[serde(default)]
    last_error: String,
}

impl From<ActiveTarget> for Target {
    fn from(active: ActiveTarget) -> Self {
        let label = |name: &str| active.labels.get(name).cloned().unwrap_or_default();
        Self {
            job: label("job"),
            instance: label("instance"),
            scrape_url: active.scrape_url,
            interval_ms: duration_ms(&active.scrape_interval),
            health: active.health,
            last_error: active.last_error,
        }
    }
}

/// A duration as Prometheus writes it, such as `1m30s` or `500ms`; 0 for what is none.
fn duration_ms(text: &str) -> u64 {
    duration::parse(text, &duration::PROMETHEUS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> RequestResult {
        let outcome = Outcome::Response { status, body: body.to_owned(), truncated: false };
        read(&outcome, &Inference { output: "score".to_owned() })
    }

    #[test]
    fn an_answer_of_the_protocol_is_read() {
        let body = r#"{"model_name":"fraud","model_version":"3","outputs":[{"name":"score","shape":[1],"datatype":"FP64","data":[0.25]}],"parameters":{"degraded":false}}"#;
        let expected = RequestResult::Answered { status: 200, version: Some("3".to_owned()), score: Some(0.25), degraded: Some(false) };
        assert_eq!(answered(200, body), expected);
    }

    #[test]
    fn whatever_else_comes_with_a_200_has_no_score() {
        let nothing = RequestResult::Answered { status: 200, version: None, score: None, degraded: None };
        for body in ["", "null", "<html>", r#"{"outputs":"score"}"#, r#"{"outputs":[{"name":"score","data":["0.25"]}]}"#, r#"{"model_version":3}"#] {
            assert_eq!(answered(200, body), nothing, "{body}");
        }
        let more = answered(200, r#"{"outputs":[{"name":"decision","datatype":"BYTES","data":["review"]},{"name":"score","data":[0.25]}]}"#);
        assert_eq!(more, RequestResult::Answered { status: 200, version: None, score: Some(0.25), degraded: None });
        let two = answered(200, r#"{"model_version":"3","outputs":[{"name":"score","data":[0.1,0.2]}]}"#);
        assert_eq!(two, RequestResult::Answered { status: 200, version: Some("3".to_owned()), score: None, degraded: None });
    }

    #[test]
    fn a_list_of_targets_becomes_an_event_and_garbage_does_not() {
        let body = r#"{"status":"success","data":{"activeTargets":[{"labels":{"job":"model","instance":"model-blue:8000"},"scrapeUrl":"http://model-blue:8000/metrics","health":"up","lastError":""}]}}"#;
        let look = |body: &str| watched(TARGETS, 1, 2, &Outcome::Response { status: 200, body: body.to_owned(), truncated: false });
        assert!(matches!(&look(body)[0], What::Targets { targets } if targets[0].instance == "model-blue:8000" && targets[0].health == "up"));
        assert!(matches!(&look("{}")[..], [What::Watched { ok: false, .. }]));
    }

    #[test]
    fn targets_count_as_looked_at_when_each_of_them_was() {
        let said = |targets: &str| {
            let body = format!(r#"{{"data":{{"activeTargets":[{targets}]}}}}"#);
            scraped(&Outcome::Response { status: 200, body, truncated: false })
        };
        let target = |health: &str| format!(r#"{{"labels":{{}},"scrapeUrl":"http://a:1/metrics","health":"{health}","lastError":""}}"#);
        assert!(said(&target("up")).is_ok() && said(&[target("up"), target("down")].join(",")).is_ok());
        assert!(said("").is_err() && said(&[target("up"), target("unknown")].join(",")).is_err());
        assert!(scraped(&Outcome::TimedOut).is_err());
        assert!(scraped(&Outcome::Response { status: 200, body: "{".to_owned(), truncated: true }).is_ok(), "nobody waits for what cannot be read");
    }

    #[test]
    fn durations_are_read() {
        let read = ["15s", "1m30s", "500ms", "1h", "", "soon", "5"].map(duration_ms);
        assert_eq!(read, [15_000, 90_000, 500, 3_600_000, 0, 0, 0]);
    }
}
