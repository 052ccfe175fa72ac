//! Writing a history: one bounded channel, one thread, and a file that can be read up to wherever the writer was stopped.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Event, HistoryError, Manifest, What};

/// How many events may wait for the disk. A full channel makes recording wait; no event is ever dropped.
const WAITING: usize = 4_096;

/// Hands events to the history. Clones write the same file.
#[derive(Clone)]
pub struct Recorder {
    send: mpsc::Sender<Event>,
    now_ns: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The thread that writes; give it back its recorders by dropping them, then [`Writing::finish`].
#[must_use]
pub struct Writing {
    thread: std::thread::JoinHandle<Result<(), HistoryError>>,
}

/// The exercise's files that a history needs to be judged.
pub struct Rules<'a> {
    /// `exam.yaml`.
    pub exam: &'a str,
    /// `checks.yaml`.
    pub checks: &'a str,
    /// The requirements of the brief: id and text.
    pub requirements: &'a std::collections::BTreeMap<String, String>,
}

impl Recorder {
    /// Begins a history in a folder that does not exist yet or is empty.
    pub fn begin(
        folder: &Path,
        manifest: &Manifest,
        rules: &Rules<'_>,
        now_ns: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(Self, Writing), HistoryError> {
        std::fs::create_dir_all(folder).map_err(HistoryError::file(folder))?;
        let put = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, content).map_err(HistoryError::file(path))
        };
        put("manifest.json", &pretty(manifest))?;
        put("exam.yaml", rules.exam.as_bytes())?;
        put("checks.yaml", rules.checks.as_bytes())?;
        put("requirements.json", &pretty(rules.requirements))?;
        let path = folder.join("events.jsonl.zst");
        let file = File::create(&path).map_err(HistoryError::file(&path))?;
        let (send, receive) = mpsc::channel(WAITING);
        let thread =
            std::thread::Builder::new().name("history".to_owned()).spawn(move || write(receive, file, &path)).map_err(HistoryError::file(folder))?;
        Ok((Self { send, now_ns: Arc::new(now_ns) }, Writing { thread }))
    }

    /// Nanoseconds since the exam began.
    pub fn now_ns(&self) -> u64 {
        (self.now_ns)()
    }

    /// Records something that happened just now.
    pub async fn record(&self, what: What) -> Result<(), HistoryError> {
        self.record_at(self.now_ns(), what).await
    }

    /// Records something that happened at a known time.
    pub async fn record_at(&self, at_ns: u64, what: What) -> Result<(), HistoryError> {
        self.send.send(Event { at_ns, what }).await.map_err(|_| HistoryError::Closed)
    }
}

impl Writing {
    /// Waits until everything is on disk. All recorders must be gone.
    pub async fn finish(self) -> Result<(), HistoryError> {
        // A disk may take its time, and an interrupt must not.
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.ok().and_then(Result::ok).unwrap_or(Err(HistoryError::Closed))
    }
}

/// Puts a file into a history's folder, whole or not at all.
pub fn keep(folder: &Path, name: &str, content: &[u8]) -> Result<(), HistoryError> {
    let path = folder.join(name);
    let new = folder.join(format!(".{name}.new"));
    std::fs::write(&new, content).and_then(|()| std::fs::rename(&new, &path)).map_err(HistoryError::file(&path))
}

/// Content as a history keeps it where there is much of it.
pub fn pack(content: &[u8]) -> Result<Vec<u8>, HistoryError> {
    zstd::encode_all(content, 3).map_err(HistoryError::file("zstd"))
}

fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

fn write(mut events: mpsc::Receiver<Event>, file: File, path: &Path) -> Result<(), HistoryError> {
    let failed = |source| HistoryError::File { path: path.to_owned(), source };
    let mut out = zstd::Encoder::new(file, 3).map_err(failed)?;
    while let Some(event) = events.blocking_recv() {
        let mut line = serde_json::to_vec(&event).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        out.write_all(&line).map_err(failed)?;
        // What a killed grader leaves behind can be read up to its last phase.
        if matches!(event.what, What::PhaseEntered { .. } | What::PhaseLeft { .. } | What::GraderFault { .. }) {
            out.flush().map_err(failed)?;
        }
    }
    out.finish().and_then(|file| file.sync_all()).map_err(failed)
}
