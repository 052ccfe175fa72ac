//! What the replay program is given: `wire.Input` of `exercises/platform/replay`, made of a history and nothing else.

use serde_json::{Value, json};

use crate::check::noise;
use crate::exam::{Blemish, Incident, QUIET, Replay};
use crate::history::{History, Monitoring, What};

/// The format of the input.
const FORMAT: u32 = 1;

/// An input as JSON. Without a recording it holds nothing to play, and the submission's files are loaded all the same.
pub(super) fn write(history: &History, plan: &Replay, monitoring: &Monitoring, recording: Option<&[u8]>) -> Vec<u8> {
    let windows = windows(history);
    let known = |signature: &str| windows.iter().any(|window| window["id"] == signature);
    let mut traces: Vec<Value> = plan.incidents.iter().filter(|incident| known(&incident.signature)).map(incident).collect();
    let blemishes: Vec<Value> = plan.quiet.blemishes.iter().filter(|blemish| known(&blemish.signature)).map(blemish).collect();
    traces.push(json!({ "id": QUIET, "duration_minutes": plan.quiet.minutes, "blemishes": blemishes }));
    let queries: Vec<Value> =
        monitoring.queries.iter().enumerate().map(|(index, query)| json!({ "id": index.to_string(), "expr": query.expr })).collect();
    let input = json!({
        "format": FORMAT,
        "seed": history.manifest.exam_seed,
        "files": monitoring.files,
        "prometheus": monitoring.prometheus,
        "alertmanager": monitoring.alertmanager,
        "urgencies": monitoring.urgencies,
        "windows": windows,
        "noise": noise(history).iter().map(|span| [ms(span.start), ms(span.end)]).collect::<Vec<_>>(),
        "traces": traces,
        "queries": queries,
        "limits": {},
    });
    // A recording has tens of megabytes, and is JSON already.
    let mut text = input.to_string();
    text.pop();
    text.push_str(",\"recording\":");
    let mut text = text.into_bytes();
    text.extend_from_slice(recording.unwrap_or(br#"{"interval_ms":1000,"series":[]}"#));
    text.push(b'}');
    text
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

/// What stretches of the exam showed.
fn windows(history: &History) -> Vec<Value> {
    let mut windows = Vec::new();
    for event in &history.events {
        let What::Shown { signature, from_ns, steady_from_ns } = &event.what else { continue };
        let (from, to) = (ms(*from_ns), ms(event.at_ns));
        windows.push(match signature {
            Some(id) => json!({ "id": id, "kind": "signature", "from_ms": from, "to_ms": to, "steady_from_ms": ms(*steady_from_ns) }),
            None => json!({ "id": format!("healthy-{}", windows.len()), "kind": "healthy", "from_ms": from, "to_ms": to }),
        });
    }
    windows
}

fn incident(incident: &Incident) -> Value {
    json!({
        "id": incident.id,
        "signature": incident.signature,
        "share": incident.share,
        "ramp_minutes": incident.ramp_minutes,
        "duration_minutes": incident.minutes,
        "after_minutes": incident.after_minutes,
    })
}

fn blemish(blemish: &Blemish) -> Value {
    json!({ "signature": blemish.signature, "share": blemish.share, "duration_seconds": blemish.seconds.unwrap_or(0.0) })
}
