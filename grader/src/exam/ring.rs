//! The grader's own rule, which fires at once: it proves the way from the submission's Prometheus to the pager.

use std::collections::{BTreeMap, BTreeSet};

use ::platform::protocol::Request;
use harness::document::Document;
use harness::exercise::Alerts;
use rand_chacha::rand_core::Rng;
use serde_json::json;

use super::plan::Receiver;

/// What the rule's file is called.
pub(super) const FILE: &str = "signal.yml";
/// How long the rule waits before it fires. A Prometheus that has just read its configuration knows no Alertmanager for up to
/// five seconds, and sends what fires meanwhile again after a minute only.
pub(super) const FOR_SECONDS: u64 = 8;

/// Labels by which alerts are compared.
const COMPARED: [&str; 4] = ["instance", "job", "namespace", "service"];

/// The labels by which the inhibitions of an `alertmanager.yml` compare alerts.
pub(super) fn compared(alertmanager: &str) -> BTreeSet<String> {
    let Ok(document) = Document::parse("alertmanager.yml", alertmanager) else { return BTreeSet::new() };
    let root = document.root.value();
    let rules = root["inhibit_rules"].as_array().into_iter().flatten();
    let named = rules.flat_map(|rule| rule["equal"].as_array().into_iter().flatten());
    named.filter_map(|label| Some(label.as_str()?.to_owned())).collect()
}

/// An alert name that nobody could have prepared for.
pub(super) fn name(random: &mut impl Rng) -> String {
    format!("Signal{:08x}", random.next_u32())
}

/// The rule file (JSON, which is YAML) with one rule for each receiver.
///
/// Where two alerts lack a label they are alike in it: whoever inhibits what is about the same instance would inhibit these. So they have every
/// label by which the submission compares alerts, and those by which most do.
pub(super) fn rule_file(rules: &[(Receiver, String)], alerts: &Alerts, compared: &BTreeSet<String>) -> Vec<u8> {
    let rules: Vec<_> = rules
        .iter()
        .map(|(receiver, name)| {
            let urgency = match receiver {
                Receiver::Page => &alerts.page,
                Receiver::Ticket => &alerts.ticket,
            };
            let mut labels: BTreeMap<&str, &str> =
                COMPARED.iter().copied().chain(compared.iter().map(String::as_str)).map(|label| (label, &**name)).collect();
            labels.remove("alertname");
            labels.insert(&alerts.label, urgency);
            json!({
                "alert": name,
                "expr": "vector(1)",
                "for": format!("{FOR_SECONDS}s"),
                "labels": labels,
                "annotations": { "summary": "a signal that proves the way to the pager" },
            })
        })
        .collect();
    json!({ "groups": [{ "name": "signal", "interval": "1s", "rules": rules }] }).to_string().into_bytes()
}

/// The request that makes Prometheus read its files again.
pub(super) fn reload(host: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        url: format!("http://{host}:9090/-/reload"),
        headers: Vec::new(),
        body: None,
        timeout_ms: 10_000,
        body_limit: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_differ_in_every_label_by_which_alerts_are_compared() {
        let alertmanager = "inhibit_rules:\n  - {source_matchers: ['severity=page'], target_matchers: ['severity=ticket'], equal: [component, severity, alertname]}\n";
        let alerts = Alerts { label: "severity".to_owned(), page: "page".to_owned(), ticket: "ticket".to_owned() };
        let rules = [(Receiver::Page, "A".to_owned()), (Receiver::Ticket, "B".to_owned())];
        let file: serde_json::Value = serde_json::from_slice(&rule_file(&rules, &alerts, &compared(alertmanager))).expect("it is JSON");
        let labels = &file["groups"][0]["rules"][1]["labels"];
        assert_eq!(*labels, json!({ "component": "B", "instance": "B", "job": "B", "namespace": "B", "service": "B", "severity": "ticket" }));
        assert!(compared("route: {}").is_empty() && compared(": {").is_empty());
    }
}
