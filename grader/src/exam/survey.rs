//! What the submission's Prometheus has loaded, and what its dashboards show: asked through the driver, written down, not judged.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ::platform::protocol::{BODY_LIMIT, Outcome, Request};
use harness::compose::RULES_FOLDER;
use harness::exercise::Files;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::ExamError;
use super::conductor::{Conductor, get};
use crate::history::{AlertRule, Panel, What};

/// The most queries that are asked: more than any dashboard needs.
pub(super) const MOST: usize = 60;
/// How long Prometheus is asked again where nobody answers, and how often.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);
/// The same where it has run for long.
const BRIEFLY: Duration = Duration::from_secs(5);
/// The longest text of a submission that is written down, in characters.
const LONGEST: usize = 500;

impl Conductor<'_> {
    /// Asks Prometheus for its rules and series, and for what every query of the dashboards gives.
    pub(super) async fn survey(&mut self) -> Result<(), ExamError> {
        let Some(prometheus) = self.submitted.host_of("prometheus") else { return Ok(()) };
        let base = format!("http://{prometheus}:9090/api/v1");
        // A machine that was just restarted, or held up for a moment, is asked again.
        let deadline = Instant::now() + PATIENCE;
        let rules = json(&self.answer(get(format!("{base}/rules?type=alert"), 3_000), deadline).await?);
        let series = json(&self.answer(tsdb(&base), deadline).await?).as_ref().and_then(series);
        let label = self.exercise.contract.alerts.as_ref().map_or("", |alerts| alerts.label.as_str());
        let alerts = rules.map(|rules| alert_rules(&rules, label, self.files)).unwrap_or_default();
        let mut panels = Vec::new();
        for (file, title, query) in queries(self.files, self.exercise.contract.dashboards.as_deref()).into_iter().take(MOST) {
            let asked = Request {
                method: "POST".to_owned(),
                url: format!("{base}/query"),
                headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
                body: Some(format!("query={}", escaped(&query))),
                timeout_ms: 3_000,
                body_limit: BODY_LIMIT,
            };
            let (series, error) = answered(&self.answer(asked, deadline).await?);
            panels.push(Panel { file, title: short(&title), query: short(&query), series, error: short(&error) });
        }
        self.record(What::Surveyed { alerts, panels, series }).await
    }

    /// Asks Prometheus how many series it holds; one that does not say so holds none.
    pub(super) async fn count_series(&self) -> Result<(), ExamError> {
        let Some(prometheus) = self.submitted.host_of("prometheus") else { return Ok(()) };
        let answer = self.answer(tsdb(&format!("http://{prometheus}:9090/api/v1")), Instant::now() + BRIEFLY).await?;
        match json(&answer).as_ref().and_then(series) {
            Some(count) => self.record(What::Series { count }).await,
            None => Ok(()),
        }
    }

    /// What Prometheus answers: until a deadline it is asked again where nobody answers.
    async fn answer(&self, request: Request, deadline: Instant) -> Result<Outcome, ExamError> {
        loop {
            let outcome = self.driver.ask(request.clone()).await?;
            if matches!(outcome, Outcome::Response { status: 200..500, .. }) || Instant::now() >= deadline {
                return Ok(outcome);
            }
            sleep(AGAIN).await;
        }
    }
}

fn tsdb(base: &str) -> Request {
    get(format!("{base}/status/tsdb?limit=1"), 3_000)
}

fn series(tsdb: &Value) -> Option<u64> {
    tsdb["data"]["headStats"]["numSeries"].as_u64()
}

/// The JSON of an answer of 200 that came whole.
fn json(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Response { status: 200, body, truncated: false } => serde_json::from_str(body).ok(),
        _ => None,
    }
}

/// How many series with a number a query gave, or why it gave none.
fn answered(outcome: &Outcome) -> (usize, String) {
    let Outcome::Response { body, truncated, .. } = outcome else { return (0, format!("{outcome:?}")) };
    if *truncated {
        // More than 64 KiB of series is an answer.
        return (1, String::new());
    }
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    if answer["status"] != "success" {
        return (0, answer["error"].as_str().unwrap_or("no answer of Prometheus").to_owned());
    }
    let result = &answer["data"]["result"];
    let is_number = |value: &Value| value[1].as_str().is_some_and(|value| value != "NaN");
    let series = match answer["data"]["resultType"].as_str() {
        Some("scalar") => usize::from(is_number(result)),
        _ => result.as_array().map_or(0, |all| all.iter().filter(|one| is_number(&one["value"])).count()),
    };
    (series, String::new())
}

fn alert_rules(rules: &Value, label: &str, files: &Files) -> Vec<AlertRule> {
    let text = |value: &Value| short(value.as_str().unwrap_or_default());
    let is_ours = |group: &&Value| group["file"].as_str().is_some_and(|file| file.starts_with(RULES_FOLDER));
    let groups = rules["data"]["groups"].as_array().into_iter().flatten().filter(|group| !is_ours(group));
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    rules
        .map(|rule| {
            let runbook = text(&rule["annotations"]["runbook_url"]);
            let path = runbook.trim_start_matches("./").split('#').next().unwrap_or_default();
            AlertRule {
                name: text(&rule["name"]),
                urgency: text(&rule["labels"][label]),
                runbook_found: files.get(path).is_some_and(|content| !content.trim_ascii().is_empty()),
                runbook,
                error: text(&rule["lastError"]),
            }
        })
        .collect()
}

/// The queries of all dashboards below a folder: file, title of the panel, query with Grafana's variables filled in. Panels of other
/// data sources are left out.
pub(super) fn queries(files: &Files, folder: Option<&str>) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let Some(folder) = folder else { return found };
    let is_dashboard = |path: &str| path.starts_with(&format!("{folder}/")) && Path::new(path).extension().is_some_and(|end| end == "json");
    for (path, content) in files.iter().filter(|(path, _)| is_dashboard(path)) {
        let dashboard: Value = serde_json::from_slice(content).unwrap_or_default();
        let variables = variables(&dashboard);
        let mut waiting: Vec<&Value> = dashboard["panels"].as_array().into_iter().flatten().rev().collect();
        let mut seen = BTreeSet::new();
        while let Some(panel) = waiting.pop() {
            waiting.extend(panel["panels"].as_array().into_iter().flatten().rev());
            let title = panel["title"].as_str().unwrap_or("without a title");
            for target in panel["targets"].as_array().into_iter().flatten() {
                let kind = target["datasource"]["type"].as_str().or(panel["datasource"]["type"].as_str()).unwrap_or("prometheus");
                if let (Some(query), "prometheus") = (target["expr"].as_str(), kind)
                    && seen.insert((title, query))
                {
                    found.push((path.clone(), title.to_owned(), filled(query, &variables)));
                }
            }
        }
    }
    found
}

/// A dashboard's variables with a value that matches everything they could be.
fn variables(dashboard: &Value) -> Vec<(String, String)> {
    let own = dashboard["templating"]["list"].as_array().into_iter().flatten().filter_map(|variable| {
        let name = variable["name"].as_str()?.to_owned();
        let fixed = matches!(variable["type"].as_str(), Some("constant" | "textbox" | "interval" | "custom"));
        let value = variable["current"]["value"].as_str().or(variable["query"].as_str()).filter(|_| fixed).unwrap_or(".*");
        Some((name, value.split(',').next().unwrap_or(".*").to_owned()))
    });
    let grafana = [("__rate_interval", "1m"), ("__interval_ms", "15000"), ("__interval", "15s"), ("__range_s", "300"), ("__range", "5m")];
    let mut all: Vec<(String, String)> = own.chain(grafana.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
    // The longest first: one name may begin with another.
    all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    all
}

fn filled(query: &str, variables: &[(String, String)]) -> String {
    let mut text = query.to_owned();
    for (name, value) in variables {
        // `${name:pipe}` and its like say how several values are written.
        while let Some((before, after)) = text.split_once(&format!("${{{name}:")).and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
            text = format!("{before}{value}{after}");
        }
        for spelling in [format!("${{{name}}}"), format!("[[{name}]]"), format!("${name}")] {
            text = text.replace(&spelling, value);
        }
    }
    // Where one value is chosen at a time, queries compare with `=`.
    let pieces: Vec<&str> = text.split("=\".*\"").collect();
    let mut joined = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        joined += piece;
        if index + 1 < pieces.len() {
            joined += if piece.ends_with('!') { "=\".*\"" } else { "=~\".*\"" };
        }
    }
    joined
}

/// A text as the value of a form.
pub(super) fn escaped(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        // Writing to a String cannot fail.
        let _ = if byte.is_ascii_alphanumeric() { write!(escaped, "{}", char::from(byte)) } else { write!(escaped, "%{byte:02X}") };
        escaped
    })
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_found_in_rows_and_filled_in() {
        let dashboard = serde_json::json!({
            "templating": { "list": [{ "name": "job", "type": "query" }, { "name": "window", "type": "constant", "query": "2m" }] },
            "panels": [
                { "title": "row", "panels": [{ "title": "a", "targets": [{ "expr": "rate(x{job=~\"$job\"}[$__rate_interval])" }] }] },
                { "title": "b", "targets": [{ "expr": "sum(rate(y[${window}]))" }, { "expr": "z", "datasource": { "type": "loki" } }] },
            ],
        });
        let files =
            Files::from([("grafana/dashboards/a.json".to_owned(), dashboard.to_string().into_bytes()), ("other.json".to_owned(), Vec::new())]);
        let found: Vec<String> = queries(&files, Some("grafana/dashboards")).into_iter().map(|(_, _, query)| query).collect();
        assert_eq!(found, ["rate(x{job=~\".*\"}[1m])", "sum(rate(y[2m]))"]);
        let any = [("i".to_owned(), ".*".to_owned())];
        assert_eq!(filled("up{i=\"$i\",j!=\"$i\",k=~\"${i:pipe}\"}", &any), "up{i=~\".*\",j!=\".*\",k=~\".*\"}");
        assert_eq!(escaped("a{b} 1"), "a%7Bb%7D%201");
    }

    #[test]
    fn only_numbers_are_data() {
        let answer = |body: &str| answered(&Outcome::Response { status: 200, body: body.to_owned(), truncated: false });
        assert_eq!(
            answer(r#"{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"2"]},{"value":[1,"NaN"]}]}}"#),
            (1, String::new())
        );
        assert_eq!(answer(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#), (1, String::new()));
        assert_eq!(answer(r#"{"status":"error","error":"parse error"}"#), (0, "parse error".to_owned()));
    }

    #[test]
    fn a_runbook_is_a_file_of_the_submission() {
        let rules = serde_json::json!({ "data": { "groups": [{ "file": "/etc/modeldown/signal.yml", "rules": [{ "name": "Ours" }] }, { "rules": [
            { "name": "A", "labels": { "severity": "page" }, "annotations": { "runbook_url": "runbooks/a.md#first" }, "health": "ok" },
            { "name": "B", "labels": {}, "annotations": {}, "lastError": "no such metric" },
        ] }] } });
        let found = alert_rules(&rules, "severity", &Files::from([("runbooks/a.md".to_owned(), b"# A".to_vec())]));
        assert_eq!(
            found.iter().map(|rule| (rule.runbook_found, rule.urgency.as_str(), rule.error.as_str())).collect::<Vec<_>>(),
            [(true, "page", ""), (false, "", "no such metric")]
        );
    }
}
