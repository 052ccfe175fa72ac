//! The way to stdout: events wait in memory for a thread that writes, so that a slow reader never delays a request.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::protocol::{Event, Outcome};

/// How many events may wait for the reader: more than five minutes of traffic at 200 requests a second.
const WAITING: usize = 65_536;

/// How many bytes of answers may wait for it; past it, events go without the bodies of their answers. Nobody who answers sensibly
/// comes near it.
const WAITING_BYTES: usize = 16 << 20;

/// Where events go.
#[derive(Clone)]
pub struct Output {
    send: SyncSender<Event>,
    /// Bytes of answers that wait.
    bytes: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    started: Instant,
}

impl Output {
    /// Starts the writing thread; it ends when every clone of the output is gone.
    pub fn start(out: impl Write + Send + 'static) -> (Self, JoinHandle<io::Result<()>>) {
        let (send, receive) = sync_channel(WAITING);
        let (lost, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let thread = {
            let (lost, bytes) = (Arc::clone(&lost), Arc::clone(&bytes));
            std::thread::spawn(move || write(&receive, out, &lost, &bytes))
        };
        (Self { send, bytes, lost, started: Instant::now() }, thread)
    }

    /// Nanoseconds since the output was started: the driver's clock.
    pub fn now_ns(&self) -> u64 {
        self.at_ns(Instant::now())
    }

    /// The driver's clock at a moment.
    pub fn at_ns(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Says something, without ever waiting. What finds no room is counted and reported as a fault.
    pub fn say(&self, mut event: Event) {
        if let Some((body, truncated)) = body_of(&mut event) {
            if self.bytes.load(Ordering::Relaxed) + body.len() > WAITING_BYTES {
                (*body, *truncated) = (String::new(), true);
            }
            self.bytes.fetch_add(body.len(), Ordering::Relaxed);
        }
        if let Err(TrySendError::Full(mut event)) = self.send.try_send(event) {
            self.bytes.fetch_sub(body_of(&mut event).map_or(0, |(body, _)| body.len()), Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The body that an event carries, and whether there was more of it.
fn body_of(event: &mut Event) -> Option<(&mut String, &mut bool)> {
    match event {
        Event::Answered { outcome, .. } | Event::Asked { outcome, .. } | Event::Watched { outcome, .. } => match outcome {
            Outcome::Response { body, truncated, .. } => Some((body, truncated)),
            _ => None,
        },
        _ => None,
    }
}

fn write(events: &Receiver<Event>, out: impl Write, lost: &AtomicU64, bytes: &AtomicUsize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 * 1024, out);
    let put = |out: &mut BufWriter<_>, mut event: Event| {
        line(out, &event)?;
        let waited = body_of(&mut event).map_or(0, |(body, _)| body.len());
        bytes.fetch_sub(waited, Ordering::Relaxed);
        io::Result::Ok(())
    };
    while let Ok(event) = events.recv() {
        put(&mut out, event)?;
        while let Ok(event) = events.try_recv() {
            put(&mut out, event)?;
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => line(&mut out, &Event::Fault { message: format!("{count} events were lost: nobody read them in time") })?,
        }
        out.flush()?;
    }
    out.flush()
}

fn line(out: &mut impl Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")
}
