//! The grader's ear at the pager: every notification that it prints becomes an event.

use harness::environment::Output;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio_util::io::StreamReader;

use super::ExamError;
use super::driver::Seen;
use crate::history::{Alert, Recorder, What};

/// How many bytes of notifications are recorded: a storm of alerts must not make a history that nobody can read.
const LIMIT: usize = 8 << 20;

/// One line of the pager.
#[derive(Deserialize)]
struct Line {
    receiver: String,
    #[serde(default)]
    body: Notification,
}

/// Alertmanager's webhook, as far as the exam reads it.
#[derive(Deserialize, Default)]
struct Notification {
    #[serde(default)]
    alerts: Vec<Alert>,
}

/// Records what the pager receives, as long as it runs.
pub(super) async fn listen(output: Output, recorder: Recorder, seen: watch::Sender<Seen>) -> Result<(), ExamError> {
    let mut lines = BufReader::new(StreamReader::new(output)).lines();
    let mut heard = 0;
    while let Some(line) = lines.next_line().await.map_err(|error| ExamError::Died(format!("the pager: {error}")))? {
        let was_heard = heard;
        heard += line.len();
        if heard > LIMIT {
            if was_heard <= LIMIT {
                let text = format!("more than {} MiB of notifications arrived; what came later was not recorded", LIMIT >> 20);
                recorder.record(What::Note { text }).await?;
            }
            continue;
        }
        // What came is the submission's; that a line is JSON is the pager's.
        let Ok(Line { receiver, body }) = serde_json::from_str(&line) else {
            recorder.record(What::Note { text: format!("the pager received something unreadable: {line:.500}") }).await?;
            continue;
        };
        let names: Vec<String> = body.alerts.iter().map(|alert| alert.name().to_owned()).collect();
        recorder.record(What::Delivered { receiver: receiver.clone(), alerts: body.alerts }).await?;
        seen.send_modify(|seen| seen.delivered.extend(names.into_iter().map(|name| (receiver.clone(), name))));
    }
    Err(ExamError::Died("the pager's output ended".to_owned()))
}
