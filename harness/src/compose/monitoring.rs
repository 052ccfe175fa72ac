//! The two changes that grading makes to a submission's monitoring: it loads the grader's rule, and nobody waits to group alerts.
//!
//! Both are edits to the text at the places of its nodes, so that everything else stays as it was written. What cannot be
//! read is left alone: the exam will show what it does.

use crate::document::{Document, Kind, Node};

/// Adds a glob to `rule_files` of a `prometheus.yml`.
pub(super) fn with_rules(text: &str, glob: &str) -> String {
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
                let Some(dash) = text[line..first.span.start].find('-') else { return edited };
                let indentation = &text[line..line + dash];
                edited.insert_str(line, &format!("{indentation}- \"{glob}\"\n"));
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
    let holds = Document::parse("prometheus.yml", &edited).is_ok_and(|after| {
        let listed = after
            .root
            .get("rule_files")
            .is_some_and(|files| matches!(&files.kind, Kind::Sequence(items) if items.iter().any(|item| item.text() == Some(glob))));
        listed && after.root.get("scrape_configs").map(Node::value) == document.root.get("scrape_configs").map(Node::value)
    });
    if holds { edited } else { text.to_owned() }
}

/// Sets `group_wait` and `group_interval` of every route of an `alertmanager.yml` to next to nothing.
pub(super) fn without_waiting(text: &str) -> String {
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
        for (key, value) in [("group_wait", "0s"), ("group_interval", "1s")] {
            if route.get(key).is_none() {
                let separator = if flow { ", ".to_owned() } else { format!("\n{indentation}") };
                edits.push((start..start, format!("{key}: {value}{separator}")));
            }
        }
    }
    // From the end, so that earlier places stay where they are.
    edits.sort_by_key(|(range, _)| range.start);
    let mut edited = text.to_owned();
    for (range, replacement) in edits.into_iter().rev() {
        edited.replace_range(range, &replacement);
    }
    if Document::parse("alertmanager.yml", &edited).is_ok() { edited } else { text.to_owned() }
}

fn collect(route: &Node, edits: &mut Vec<(std::ops::Range<usize>, String)>) {
    for (key, value) in [("group_wait", "0s"), ("group_interval", "1s")] {
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
    fn nobody_waits() {
        let text = "route:\n  receiver: a\n  group_wait: 30s\n  routes:\n    - receiver: b\n      group_interval: '5m'\nreceivers: []\n";
        let expected =
            "route:\n  group_interval: 1s\n  receiver: a\n  group_wait: 0s\n  routes:\n    - receiver: b\n      group_interval: 1s\nreceivers: []\n";
        assert_eq!(without_waiting(text), expected);
        assert_eq!(without_waiting("route: {receiver: a}\n"), "route: {group_wait: 0s, group_interval: 1s, receiver: a}\n");
    }
}
