//! The grader's own rule, which fires at once: it proves the way from the submission's Prometheus to the pager.

use ::platform::protocol::Request;
use rand_chacha::rand_core::Rng;
use serde_json::json;

use super::plan::Receiver;
use harness::exercise::Alerts;

/// What the rule's file is called.
pub(super) const FILE: &str = "signal.yml";
/// How long the rule waits before it fires. A Prometheus that has just read its configuration knows no Alertmanager for up to
/// five seconds, and sends what fires meanwhile again after a minute only.
pub(super) const FOR_SECONDS: u64 = 8;

/// An alert name that nobody could have prepared for.
pub(super) fn name(random: &mut impl Rng) -> String {
    format!("Signal{:08x}", random.next_u32())
}

/// The rule file (JSON, which is YAML) with one rule for each receiver.
pub(super) fn rule_file(rules: &[(Receiver, String)], alerts: &Alerts) -> Vec<u8> {
    let rules: Vec<_> = rules
        .iter()
        .map(|(receiver, name)| {
            let urgency = match receiver {
                Receiver::Page => &alerts.page,
                Receiver::Ticket => &alerts.ticket,
            };
            json!({
                "alert": name,
                "expr": "vector(1)",
                "for": format!("{FOR_SECONDS}s"),
                // Where two alerts lack a label they are alike in it: whoever inhibits what is about the same instance would inhibit these.
                "labels": { "instance": name, "job": name, "namespace": name, "service": name, alerts.label.as_str(): urgency },
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
