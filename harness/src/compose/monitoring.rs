//! What grading makes of a submission's monitoring: it loads the grader's rule, and nobody waits to group alerts; beside it a
//! recording scrapes the same targets.
//!
//! The two changes are edits to the text at the places of its nodes, so that everything else stays as it was written. Where that does
//! not work out, the file is written anew from its values. What cannot be read is left alone: the exam will show what it does.

use serde_json::{Map, Value, json};

use crate::document::{Document, Kind, Node};
use crate::size;

/// The configuration that a shadow reads, beside the submission's own.
pub(crate) const SHADOW_CONFIG: &str = "modeldown-shadow.yml";

/// How long a route waits in grading.
const WAITS: [(&str, &str); 2] = [("group_wait", "0s"), ("group_interval", "1s")];

/// Adds a glob to `rule_files` of a `prometheus.yml`.
pub(crate) fn with_rules(text: &str, glob: &str) -> String {
    let Ok(document) = Document::parse("prometheus.yml", text) else { return text.to_owned() };
    let mut edited = text.to_owned();
    match document.root.get("rule_files") {
        Some(Node { span, kind: Kind::Sequence(items) }) => match items.first() {
            _ if text[span.start..].starts_with('[') => {
                edited.insert_str(span.start + 1, &format!("\"{glob}\"{}", if items.is_empty() { "" } else { ", " }));
            }
            Some(first) => {
                // In front of the first item's dash, on a line of its own with the same indentation.
                let line = text[..first.span.start].rfind('\n').map_or(0, |end| end + 1);
                if let Some(dash) = text[line..first.span.start].find('-') {
                    let indentation = &text[line..line + dash];
                    edited.insert_str(line, &format!("{indentation}- \"{glob}\"\n"));
                }
            }
            None => {}
        },
        // Nothing behind the colon, or `null`: the place of nothing is anywhere up to the next key.
        Some(value) if value.value().is_null() => {
            let written = value.text().is_some_and(|text| !text.is_empty());
            let key_end = document.root.entry("rule_files").map_or(value.span.start, |(key, _)| key.span.end);
            let colon = text[key_end..].find(':').map_or(key_end, |at| key_end + at + 1);
            edited.replace_range(if written { value.span.clone() } else { colon..colon }, &format!(" [\"{glob}\"]"));
        }
        Some(_) => {}
        None if text[document.root.span.start..].starts_with('{') => {
            edited.insert_str(document.root.span.start + 1, &format!("\"rule_files\": [\"{glob}\"], "));
        }
        None => {
            if !edited.ends_with('\n') {
                edited.push('\n');
            }
            edited = format!("{edited}rule_files: [\"{glob}\"]\n");
        }
    }
    // An edit that made something else of the file would be ours to answer for.
    let mut wanted = document.root.value();
    if let Value::Object(root) = &mut wanted {
        add_rules(root, glob);
    }
    let holds = Document::parse("prometheus.yml", &edited).is_ok_and(|after| after.root.value() == wanted);
    if holds { edited } else { anew(&document, |root| add_rules(root, glob)).unwrap_or_else(|| text.to_owned()) }
}

fn add_rules(root: &mut Map<String, Value>, glob: &str) {
    match root.get_mut("rule_files") {
        Some(Value::Array(files)) => files.insert(0, json!(glob)),
        _ => drop(root.insert("rule_files".to_owned(), json!([glob]))),
    }
}

/// A file written anew from its values, with a change to its root.
fn anew(document: &Document, change: impl FnOnce(&mut Map<String, Value>)) -> Option<String> {
    let Value::Object(mut root) = document.root.value() else { return None };
    change(&mut root);
    serde_json::to_string_pretty(&root).ok()
}

/// How often a recording looks at a target, and how long it waits for it.
const RECORDED: &str = "1s";
/// The most that one look at one target may bring: what brings more is down. Twice what all targets together may.
const TARGET_SAMPLES: u64 = 14_000;
const TARGET_BYTES: u64 = 16 << 20;
const TARGETS: u64 = 100;

/// The configuration of a Prometheus that scrapes as another's `prometheus.yml` says, but every second, and does nothing else.
/// `host` is where the other one is: what it calls `localhost` is not the recording's.
pub(crate) fn shadow(text: &str, host: &str) -> String {
    let root = Document::parse("prometheus.yml", text).map(|document| document.root.value()).unwrap_or_default();
    let mut global = root["global"].as_object().cloned().unwrap_or_default();
    for key in ["evaluation_interval", "rule_query_offset", "query_log_file", "external_labels"] {
        global.remove(key);
    }
    for key in ["scrape_interval", "scrape_timeout"] {
        global.insert(key.to_owned(), json!(RECORDED));
    }
    let local = json!([
        // The instance is what it would be called there.
        { "source_labels": ["instance", "__address__"], "separator": "@", "regex": "@(.+)", "target_label": "instance", "replacement": "$1" },
        { "source_labels": ["__address__"], "regex": r"(?:localhost|127\.[0-9.]+|\[::1\]|0\.0\.0\.0)(:.*)?", "target_label": "__address__", "replacement": format!("{host}$1") },
        { "target_label": "__scrape_interval__", "replacement": RECORDED },
        { "target_label": "__scrape_timeout__", "replacement": RECORDED },
    ]);
    let mut jobs = root["scrape_configs"].as_array().cloned().unwrap_or_default();
    for job in jobs.iter_mut().filter_map(Value::as_object_mut) {
        for key in ["scrape_interval", "scrape_timeout"] {
            job.insert(key.to_owned(), json!(RECORDED));
        }
        let said = |job: &Map<String, Value>, key: &str| job.get(key).and_then(Value::as_u64).filter(|limit| *limit > 0);
        let (samples, targets) = (said(job, "sample_limit"), said(job, "target_limit"));
        job.insert("sample_limit".to_owned(), json!(samples.map_or(TARGET_SAMPLES, |limit| limit.min(TARGET_SAMPLES))));
        job.insert("target_limit".to_owned(), json!(targets.map_or(TARGETS, |limit| limit.min(TARGETS))));
        let body = job.get("body_size_limit").and_then(Value::as_str).and_then(bytes).filter(|limit| (1..TARGET_BYTES).contains(limit));
        job.insert("body_size_limit".to_owned(), json!(format!("{}B", body.unwrap_or(TARGET_BYTES))));
        let mut relabelled = job.get("relabel_configs").and_then(Value::as_array).cloned().unwrap_or_default();
        relabelled.extend(local.as_array().cloned().unwrap_or_default());
        job.insert("relabel_configs".to_owned(), json!(relabelled));
    }
    let mut shadow = json!({ "global": global, "scrape_configs": jobs });
    with_flags(&mut shadow);
    serde_json::to_string_pretty(&shadow).unwrap_or_default()
}

/// Fields of a scrape configuration that are true or false.
const FLAGS: [&str; 11] = [
    "always_scrape_classic_histograms",
    "enable_compression",
    "enable_http2",
    "follow_redirects",
    "honor_labels",
    "honor_timestamps",
    "insecure_skip_verify",
    "own_namespace",
    "proxy_from_environment",
    "scrape_classic_histograms",
    "track_timestamps_staleness",
];

/// Words that YAML 1.1, which Prometheus reads, takes for true or false, and 1.2 does not.
fn with_flags(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(with_flags),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().map(str::to_ascii_lowercase).as_deref() {
                    Some("y" | "yes" | "on") if FLAGS.contains(&key.as_str()) => *value = json!(true),
                    Some("n" | "no" | "off") if FLAGS.contains(&key.as_str()) => *value = json!(false),
                    _ => with_flags(value),
                }
            }
        }
        _ => {}
    }
}

/// A size as Prometheus reads it: a whole number with a unit, of 1024 each.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] =
        [("B", 1), ("KB", 1 << 10), ("KiB", 1 << 10), ("MB", 1 << 20), ("MiB", 1 << 20), ("GB", 1 << 30), ("GiB", 1 << 30)];
    let (number, bytes) = size::read::<u64>(text, &UNITS)?;
    number.checked_mul(bytes)
}

/// Sets `group_wait` and `group_interval` of every route of an `alertmanager.yml` to next to nothing.
pub(crate) fn without_waiting(text: &str) -> String {
    let Ok(document) = Document::parse("alertmanager.yml", text) else { return text.to_owned() };
    let Some(route) = document.root.get("route") else { return text.to_owned() };
    let mut edits = Vec::new();
    collect(route, &mut edits);
    if let Kind::Mapping(entries) = &route.kind
        && let Some((first, _)) = entries.first()
    {
        // What the root does not say itself has a default of half a minute; children inherit from it.
        let start = first.span.start;
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let flow = text[route.span.start..].starts_with('{');
        let indentation = " ".repeat(text[line..start].chars().count());
        for (key, value) in WAITS {
            if route.get(key).is_none() {
                let separator = if flow { ", ".to_owned() } else { format!("\n{indentation}") };
                edits.push((start..start, format!("{key}: {value}{separator}")));
            }
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    // An alias stands where its anchor does: what is said once for two cannot be edited in place.
    if edits.windows(2).any(|pair| pair[1].0.start < pair[0].0.end) {
        return anew(&document, hurry).unwrap_or_else(|| text.to_owned());
    }
    // From the end, so that earlier places stay where they are.
    let mut edited = text.to_owned();
    for (range, replacement) in edits.into_iter().rev() {
        edited.replace_range(range, &replacement);
    }
    let nobody_waits = Document::parse("alertmanager.yml", &edited).is_ok_and(|after| {
        let mut left = Vec::new();
        after.root.get("route").into_iter().for_each(|route| collect(route, &mut left));
        let root_says = after.root.get("route").is_some_and(|route| route.get("group_wait").is_some() && route.get("group_interval").is_some());
        root_says && left.iter().all(|(span, value)| after.text.get(span.clone()) == Some(value))
    });
    if nobody_waits { edited } else { anew(&document, hurry).unwrap_or_else(|| text.to_owned()) }
}

/// Nobody waits, at the root and in every route below that says how long.
fn hurry(root: &mut Map<String, Value>) {
    fn below(route: &mut Map<String, Value>, always: bool) {
        for (key, value) in WAITS {
            if always || route.contains_key(key) {
                route.insert(key.to_owned(), json!(value));
            }
        }
        let Some(Value::Array(children)) = route.get_mut("routes") else { return };
        children.iter_mut().filter_map(Value::as_object_mut).for_each(|child| below(child, false));
    }
    if let Some(Value::Object(route)) = root.get_mut("route") {
        below(route, true);
    }
}

fn collect(route: &Node, edits: &mut Vec<(std::ops::Range<usize>, String)>) {
    for (key, value) in WAITS {
        if let Some(Node { span, kind: Kind::Scalar { .. } }) = route.get(key) {
            edits.push((span.clone(), value.to_owned()));
        }
    }
    if let Some(Node { kind: Kind::Sequence(children), .. }) = route.get("routes") {
        for child in children {
            collect(child, edits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOB: &str = "/etc/modeldown/*.yml";

    #[test]
    fn the_rule_is_added_in_every_way_of_writing() {
        for (text, expected) in [
            (
                "rule_files:\n  - a.yml # mine\nscrape_configs: []\n",
                "rule_files:\n  - \"/etc/modeldown/*.yml\"\n  - a.yml # mine\nscrape_configs: []\n",
            ),
            ("rule_files: [a.yml]\n", "rule_files: [\"/etc/modeldown/*.yml\", a.yml]\n"),
            ("rule_files: []\n", "rule_files: [\"/etc/modeldown/*.yml\"]\n"),
            ("global: {}", "global: {}\nrule_files: [\"/etc/modeldown/*.yml\"]\n"),
            ("{global: {}}", "{\"rule_files\": [\"/etc/modeldown/*.yml\"], global: {}}"),
        ] {
            assert_eq!(with_rules(text, GLOB), expected);
        }
        let nothing = with_rules("rule_files:\nscrape_configs: []\n", GLOB);
        assert!(
            Document::parse("x", &nothing).expect("it parses").root.get("rule_files").is_some_and(|files| matches!(files.kind, Kind::Sequence(_))),
            "{nothing}"
        );
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_is() {
        assert_eq!(with_rules("a: [", GLOB), "a: [");
        assert_eq!(without_waiting("route: ["), "route: [");
    }

    #[test]
    fn what_cannot_be_edited_in_place_is_written_anew() {
        let value = |text: &str| Document::parse("x", text).expect("it parses").root.value();
        let shared = "x: &files [a.yml]\nrule_files: *files\nscrape_configs: []\n";
        assert_eq!(value(&with_rules(shared, GLOB))["rule_files"], json!([GLOB, "a.yml"]));
        let shared = "x: &wait 5m\nroute: {receiver: a, group_wait: *wait, routes: [{receiver: b, group_interval: *wait}]}\n";
        let edited = value(&without_waiting(shared));
        let expected = json!({"receiver": "a", "group_wait": "0s", "group_interval": "1s", "routes": [{"receiver": "b", "group_interval": "1s"}]});
        assert_eq!(edited["route"], expected);
        let long = format!("route: {{receiver: a, group_wait: &w \"{}\", group_interval: *w}}\n", "\u{e4}".repeat(300));
        assert_eq!(value(&without_waiting(&long))["route"], json!({"receiver": "a", "group_wait": "0s", "group_interval": "1s"}));
    }

    #[test]
    fn a_recording_scrapes_the_same_every_second_and_nothing_else() {
        let text = "global: {scrape_interval: 15s, evaluation_interval: 15s, external_labels: {a: b}}\nrule_files: [a.yml]\nalerting: {}\n\
                    scrape_configs:\n  - job_name: own\n    scrape_timeout: 10s\n    sample_limit: 50\n    relabel_configs: [{action: labeldrop, regex: x}]\n    \
                    static_configs: [{targets: ['localhost:9090']}]\n";
        let made: Value = serde_json::from_str(&shadow(text, "prometheus")).expect("it is JSON");
        assert_eq!(made["global"], json!({ "scrape_interval": "1s", "scrape_timeout": "1s" }));
        assert_eq!(made.as_object().map(Map::len), Some(2));
        let job = &made["scrape_configs"][0];
        assert_eq!((&job["scrape_timeout"], &job["sample_limit"], &job["target_limit"]), (&json!("1s"), &json!(50), &json!(TARGETS)));
        assert_eq!(job["relabel_configs"][0]["action"], "labeldrop");
        assert_eq!(job["relabel_configs"][2]["replacement"], "prometheus$1");
        assert_eq!(shadow("a: [", "p").matches("scrape_configs").count(), 1);
    }

    #[test]
    fn what_prometheus_reads_as_true_is_true_in_a_recording() {
        let text = "scrape_configs:\n  - job_name: yes\n    honor_labels: yes\n    follow_redirects: Off\n    tls_config: {insecure_skip_verify: on}\n    \
                    relabel_configs: [{target_label: a, replacement: yes}]\n";
        let made: Value = serde_json::from_str(&shadow(text, "prometheus")).expect("it is JSON");
        let job = &made["scrape_configs"][0];
        assert_eq!((&job["honor_labels"], &job["follow_redirects"]), (&json!(true), &json!(false)));
        assert_eq!(job["tls_config"]["insecure_skip_verify"], json!(true));
        assert_eq!((&job["job_name"], &job["relabel_configs"][0]["replacement"]), (&json!("yes"), &json!("yes")));
    }

    #[test]
    fn nobody_waits() {
        let text = "route:\n  receiver: a\n  group_wait: 30s\n  routes:\n    - receiver: b\n      group_interval: '5m'\nreceivers: []\n";
        let expected =
            "route:\n  group_interval: 1s\n  receiver: a\n  group_wait: 0s\n  routes:\n    - receiver: b\n      group_interval: 1s\nreceivers: []\n";
        assert_eq!(without_waiting(text), expected);
        assert_eq!(without_waiting("route: {receiver: a}\n"), "route: {group_wait: 0s, group_interval: 1s, receiver: a}\n");
    }
}
