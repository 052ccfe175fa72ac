//! The recording of an exam: what the submission's Prometheus scraped, once a second, as a shadow of it saw it. It is what a replay is
//! made of; nothing of it is judged here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::environment::{Environment, Unread};
use harness::exercise::{Exercise, Files};
use serde::Deserialize;

use super::clock::Clock;
use super::replicas::Heirs;
use super::submitted::Submitted;
use super::{ExamError, survey};
use crate::history::{DashboardQuery, MONITORING, Missing, Monitoring, RECORDING, Recorder, What, keep, pack};

/// The roles whose configuration is what a replay is given.
pub const MONITORED: [&str; 2] = ["prometheus", "alertmanager"];
/// How often the shadow scrapes, in milliseconds.
const INTERVAL_MS: u64 = 1_000;
/// The most that a recording may be, as Prometheus writes it, in bytes: ten times what the budget of series makes.
const LIMIT: usize = 192 << 20;
/// What Prometheus answers where a query has more samples than it may.
const TOO_MANY: &str = "answered with 422";
/// How long before its end an exam may have begun, in seconds.
const LOOK_BACK_SECONDS: u64 = 3_600;

/// What the replay needs of a submission's files.
pub(super) fn monitoring(files: &Files, exercise: &Exercise, submitted: &Submitted) -> Monitoring {
    let of = |role: &str, name: &str| submitted.folder_of(role).map_or_else(String::new, |folder| format!("{folder}/{name}"));
    let below = |path: &str| MONITORED.iter().filter_map(|role| submitted.folder_of(role)).any(|folder| path.starts_with(&format!("{folder}/")));
    let queries = survey::queries(files, exercise.contract.dashboards.as_deref());
    Monitoring {
        files: files
            .iter()
            .filter(|(path, _)| below(path))
            .filter_map(|(path, content)| Some((path.clone(), String::from_utf8(content.clone()).ok()?)))
            .collect(),
        prometheus: of("prometheus", "prometheus.yml"),
        alertmanager: of("alertmanager", "alertmanager.yml"),
        urgencies: exercise.contract.pager.iter().map(|(urgency, url)| (urgency.clone(), vec![url.clone()])).collect(),
        queries: queries.into_iter().take(survey::MOST).map(|(file, title, expr)| DashboardQuery { file, title, expr }).collect(),
    }
}

/// Keeps what the replay needs of a submission's files.
pub(super) fn keep_monitoring(history: &Path, monitoring: &Monitoring) -> Result<(), ExamError> {
    Ok(keep(history, MONITORING, &serde_json::to_vec_pretty(monitoring).unwrap_or_default())?)
}

/// Takes the recording from the shadow, and puts it into the history.
pub(super) async fn take(
    environment: &Environment,
    shadow: &str,
    clock: Clock,
    heirs: &Heirs,
    recorder: &Recorder,
    history: &Path,
) -> Result<(), ExamError> {
    let began_unix_ms = unix_ms() - i64::try_from(clock.now_ns() / 1_000_000).unwrap_or(i64::MAX);
    let what = match scraped(environment, shadow, heirs, began_unix_ms).await? {
        Ok(recording) => {
            keep(history, RECORDING, &pack(recording.text.as_bytes())?)?;
            What::Recorded { series: recording.series, samples: recording.samples, missing: None, began_unix_ms }
        }
        Err(missing) => What::Recorded { series: 0, samples: 0, missing: Some(missing), began_unix_ms },
    };
    Ok(recorder.record(what).await?)
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A recording as the replay program reads it.
struct Recording {
    text: String,
    series: usize,
    samples: usize,
}

async fn scraped(environment: &Environment, shadow: &str, heirs: &Heirs, began_unix_ms: i64) -> Result<Result<Recording, Missing>, ExamError> {
    let api = "http://127.0.0.1:9090/api/v1";
    let selector = survey::escaped(&format!("{{__name__!=\"\"}}[{LOOK_BACK_SECONDS}s]"));
    let mut answers = Vec::new();
    for url in [format!("{api}/query?query={selector}"), format!("{api}/metadata?limit_per_metric=1")] {
        match environment.read(shadow, &["driver", "get", &url], LIMIT).await? {
            Ok(content) => answers.push(content),
            Err(unread) => {
                let too_much = matches!(unread, Unread::TooMuch(_)) || environment.ran_out_of_memory(shadow).await?;
                return Ok(Err(Missing { too_much: too_much || unread.to_string().contains(TOO_MANY), why: unread.to_string() }));
            }
        }
    }
    let [series, metadata] = &answers[..] else { return Err(ExamError::platform("the recording has no end")) };
    Ok(written(series, metadata, heirs, began_unix_ms).map_err(|error| Missing { why: error.to_string(), too_much: false }))
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    metric: BTreeMap<String, String>,
    #[serde(borrow)]
    values: Vec<(f64, &'a str)>,
}

#[derive(Deserialize)]
struct Metadata {
    r#type: String,
}

/// What Prometheus answered, in the order of its labels and with times of the history. What a replica's successor showed goes on where its own ended.
fn written(series: &[u8], metadata: &[u8], heirs: &Heirs, began_unix_ms: i64) -> Result<Recording, serde_json::Error> {
    let Answer { data: Matrix { result: mut all } } = serde_json::from_slice(series)?;
    for one in &mut all {
        for value in one.metric.values_mut() {
            if let Some(named) = heirs.named(value) {
                *value = named;
            }
        }
    }
    let Answer { data: metadata } = serde_json::from_slice::<Answer<BTreeMap<String, Vec<Metadata>>>>(metadata)?;
    let types: BTreeMap<String, String> = metadata.into_iter().filter_map(|(name, mut one)| Some((name, one.pop()?.r#type))).collect();
    all.sort_by(|one, other| one.metric.cmp(&other.metric));
    all.dedup_by(|next, kept| {
        let is_same = next.metric == kept.metric;
        if is_same {
            kept.values.append(&mut next.values);
            kept.values.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            kept.values.dedup_by_key(|(seconds, _)| seconds.to_bits());
        }
        is_same
    });
    let samples = all.iter().map(|one| one.values.len()).sum();
    let mut text = format!("{{\"interval_ms\":{INTERVAL_MS},\"types\":{},\"series\":[", serde_json::to_string(&types)?);
    for (index, one) in all.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{{\"labels\":{},\"samples\":[", if index == 0 { "" } else { ",\n" }, serde_json::to_string(&one.metric)?);
        for (index, (seconds, value)) in one.values.iter().enumerate() {
            #[allow(clippy::cast_possible_truncation, reason = "milliseconds of this century are far below 2^53")]
            let at_ms = (seconds * 1e3).round() as i64 - began_unix_ms;
            let comma = if index == 0 { "" } else { "," };
            // A number is written as it came; for what JSON has no number, its name.
            let finite = value.parse::<f64>().is_ok_and(f64::is_finite);
            let quote = if finite { "" } else { "\"" };
            let _ = write!(text, "{comma}[{at_ms},{quote}{value}{quote}]");
        }
        text.push_str("]}");
    }
    text.push_str("]}\n");
    Ok(Recording { text, series: all.len(), samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_written_in_the_historys_time() {
        let series = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"up","job":"b"},"values":[[1700000001.25,"1"],[1700000002.25,"0"]]},
            {"metric":{"__name__":"up","job":"a"},"values":[[1700000001,"NaN"],[1700000002,"1e-05"]]}]}}"#;
        let metadata = br#"{"status":"success","data":{"up":[{"type":"gauge","help":"","unit":""}]}}"#;
        let recording = written(series, metadata, &Heirs::default(), 1_700_000_000_000).expect("it is an answer");
        assert_eq!((recording.series, recording.samples), (2, 4));
        let read: serde_json::Value = serde_json::from_str(&recording.text).expect("it is JSON");
        assert_eq!(read["types"]["up"], "gauge");
        assert_eq!(read["series"][0]["samples"], serde_json::json!([[1_000, "NaN"], [2_000, 1e-5]]));
        assert_eq!(read["series"][1]["samples"], serde_json::json!([[1_250, 1], [2_250, 0]]));
    }
}
