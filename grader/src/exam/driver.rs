//! The grader's end of the driver: commands go down its stdin, events come up its stdout, and its clock is laid on the history's.
//!
//! Everything that the driver measures becomes a history event here, whether or not a step is waiting for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::platform::protocol::{self, Command, Outcome, Request};
use futures_util::Stream;
use harness::environment::Input;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::ExamError;
use super::answer::{self, Inference};
use super::clock::Clock;
use crate::history::{Recorder, What};

/// How many times the clocks are compared; the quickest comparison counts.
const COMPARISONS: u64 = 15;
/// How long the driver may take to say that it is there.
const GREETING: Duration = Duration::from_secs(20);

/// How many bytes of lists of scrape targets are recorded: twenty times what the reference has in an exam.
const TARGETS_LIMIT: usize = 8 << 20;

/// What the driver saw last of everything that it watches.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Whether a watched address answered 200 last time, by the watch's name, and what it said otherwise.
    pub(super) watched: BTreeMap<String, Result<(), String>>,
    /// Alerts that were delivered: receiver and name.
    pub(super) delivered: Vec<(String, String)>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Outcome>>>>;

/// A running driver.
pub(super) struct Driver {
    input: AsyncMutex<Input>,
    waiting: Waiting,
    next: std::sync::atomic::AtomicU64,
    reader: AbortHandle,
    /// How reading what it says ended.
    ended: watch::Receiver<Option<Result<(), String>>>,
}

impl Drop for Driver {
    /// Whoever goes on without the driver must not wait for its last word: it may never come, and the reader holds the history open.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Driver {
    /// Greets the driver, compares clocks and begins to record what it says.
    pub(super) async fn open<S, B, E>(
        mut input: Input,
        output: S,
        clock: Clock,
        inference: Inference,
        recorder: Recorder,
        seen: watch::Sender<Seen>,
    ) -> Result<Self, ExamError>
    where
        S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
        B: bytes::Buf + Send + 'static,
        E: Into<std::io::Error> + Send + 'static,
    {
        let mut lines = BufReader::new(StreamReader::new(output)).lines();
        match timeout(GREETING, next_event(&mut lines)).await {
            Ok(Ok(Some(protocol::Event::Ready { version: protocol::VERSION }))) => {}
            Ok(Err(error)) => return Err(error),
            other => return Err(ExamError::driver(format!("it did not say that it is ready: {other:?}"))),
        }
        let offset_ns = compare_clocks(&mut input, &mut lines, clock).await?;
        let waiting = Waiting::default();
        let (end, ended) = watch::channel(None);
        let reading = read(lines, offset_ns, inference, recorder, seen, Arc::clone(&waiting));
        let reader = tokio::spawn(async move {
            let read = reading.await.map_err(|error| if let ExamError::Driver(why) = error { why } else { error.to_string() });
            end.send_replace(Some(read));
        });
        Ok(Self { input: AsyncMutex::new(input), waiting, next: 1.into(), reader: reader.abort_handle(), ended })
    }

    /// Gives one command.
    pub(super) async fn tell(&self, command: &Command) -> Result<(), ExamError> {
        write(&mut *self.input.lock().await, command).await
    }

    /// Sends one request and waits for what becomes of it.
    pub(super) async fn ask(&self, request: Request) -> Result<Outcome, ExamError> {
        let patience = Duration::from_millis(request.timeout_ms) + GREETING;
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (send, receive) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, send);
        self.tell(&Command::Ask { id, request }).await?;
        tokio::select! {
            biased;
            answered = timeout(patience, receive) => match answered {
                Ok(Ok(outcome)) => Ok(outcome),
                Ok(Err(_)) => Err(ExamError::driver("it went away before it answered")),
                Err(_) => Err(ExamError::driver("it did not answer in time")),
            },
            error = self.gone() => Err(error),
        }
    }

    /// Waits for the driver's end, which does not come before [`Driver::close`] unless something broke.
    pub(super) async fn gone(&self) -> ExamError {
        match self.over().await {
            Ok(()) => ExamError::driver("it ended early"),
            Err(error) => error,
        }
    }

    async fn over(&self) -> Result<(), ExamError> {
        match self.ended.clone().wait_for(Option::is_some).await.map(|ended| ended.clone()) {
            Ok(Some(ended)) => ended.map_err(ExamError::Driver),
            _ => Err(ExamError::driver("what it says was not read to its end")),
        }
    }

    /// Ends it once everything in flight is answered, and says whether it had worked to the end.
    pub(super) async fn close(self, patience: Duration) -> Result<(), ExamError> {
        self.tell(&Command::Quit).await?;
        timeout(patience, self.over()).await.unwrap_or_else(|_| Err(ExamError::driver("it did not end in time")))
    }
}

async fn write(input: &mut Input, command: &Command) -> Result<(), ExamError> {
    let mut line = serde_json::to_vec(command).map_err(ExamError::driver)?;
    line.push(b'\n');
    input.write_all(&line).await.map_err(ExamError::driver)?;
    input.flush().await.map_err(ExamError::driver)
}

async fn next_event<R>(lines: &mut Lines<R>) -> Result<Option<protocol::Event>, ExamError>
where
    R: tokio::io::AsyncBufRead + Unpin,
{
    let Some(line) = lines.next_line().await.map_err(ExamError::driver)? else { return Ok(None) };
    serde_json::from_str(&line).map(Some).map_err(|error| ExamError::driver(format!("it said something unknown ({error}): {line:.200}")))
}

/// The history's time at the driver's time 0, in nanoseconds.
async fn compare_clocks<R>(input: &mut Input, lines: &mut Lines<R>, clock: Clock) -> Result<i128, ExamError>
where
    R: tokio::io::AsyncBufRead + Unpin,
{
    let mut best: Option<(Duration, i128)> = None;
    for id in 0..COMPARISONS {
        let (asked, asked_ns) = (Instant::now(), clock.now_ns());
        write(input, &Command::Sync { id }).await?;
        let at_ns = loop {
            match timeout(GREETING, next_event(lines)).await {
                Ok(Ok(Some(protocol::Event::Sync { id: answered, at_ns }))) if answered == id => break at_ns,
                Ok(Ok(Some(_))) => {}
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) | Err(_) => return Err(ExamError::driver("it did not compare clocks")),
            }
        };
        let round_trip = asked.elapsed();
        let offset = i128::from(asked_ns) + i128::try_from(round_trip.as_nanos() / 2).unwrap_or(0) - i128::from(at_ns);
        if best.is_none_or(|(quickest, _)| round_trip < quickest) {
            best = Some((round_trip, offset));
        }
    }
    best.map(|(_, offset)| offset).ok_or_else(|| ExamError::driver("clocks were never compared"))
}

/// Turns the driver's events into the history's until it says goodbye.
async fn read<R>(
    mut lines: Lines<R>,
    offset_ns: i128,
    inference: Inference,
    recorder: Recorder,
    seen: watch::Sender<Seen>,
    waiting: Waiting,
) -> Result<(), ExamError>
where
    R: tokio::io::AsyncBufRead + Unpin,
{
    let at = |ns: u64| u64::try_from((i128::from(ns) + offset_ns).max(0)).unwrap_or(u64::MAX);
    let mut targets_left = TARGETS_LIMIT;
    while let Some(event) = next_event(&mut lines).await? {
        match event {
            protocol::Event::Answered { seq, row, intended_ns, sent_ns, done_ns, outcome } => {
                let result = answer::read(&outcome, &inference);
                let (intended_ns, sent_ns, done_ns) = (at(intended_ns), at(sent_ns), at(done_ns));
                recorder.record_at(done_ns, What::Request { seq, row, intended_ns, sent_ns, done_ns, result }).await?;
            }
            protocol::Event::Watched { name, sent_ns, done_ns, mut outcome } => {
                if let (answer::TARGETS, Outcome::Response { body, .. }) = (name.as_str(), &outcome) {
                    match targets_left.checked_sub(body.len()) {
                        Some(left) => targets_left = left,
                        None => outcome = Outcome::Broken { why: format!("more than {} MiB of targets were listed", TARGETS_LIMIT >> 20) },
                    }
                }
                let (sent_ns, done_ns) = (at(sent_ns), at(done_ns));
                for what in answer::watched(&name, sent_ns, done_ns, &outcome) {
                    recorder.record_at(done_ns, what).await?;
                }
                let said = if name == answer::TARGETS { answer::scraped(&outcome) } else { answer::plain(&outcome) };
                seen.send_modify(|seen| {
                    seen.watched.insert(name, said);
                });
            }
            protocol::Event::Asked { id, outcome, .. } => {
                let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                // Nobody waits any more when the step ran out of time.
                waiter.and_then(|waiter| waiter.send(outcome).ok());
            }
            protocol::Event::Fault { message } => recorder.record(What::DriverFault { message }).await?,
            protocol::Event::Bye => return Ok(()),
            protocol::Event::Ready { .. } | protocol::Event::Sync { .. } => {}
        }
    }
    Err(ExamError::driver("its output ended before it said goodbye"))
}
