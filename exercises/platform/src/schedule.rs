//! The open loop: requests leave when the schedule says, whatever became of the ones before.
//!
//! A closed loop waits for an answer before it asks again, so that a stalling server is asked less and looks better than its
//! users see it ("coordinated omission"). Here the intended times are fixed beforehand, and a late start is visible.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::client;
use crate::output::Output;
use crate::protocol::{Event, IN_FLIGHT_LIMIT, Request};

/// How long before a request is due it is handed to the runtime, where it watches the clock: so long, a thread or a processor
/// that slept may take to wake up without making a request late.
const EARLY: Duration = Duration::from_millis(2);

/// What all traffic of a driver shares.
pub struct Traffic {
    output: Output,
    in_flight: Arc<Semaphore>,
    next: Arc<AtomicU64>,
    in_use: Arc<Mutex<Option<Range<usize>>>>,
}

/// Traffic that runs; it ends when this is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// No traffic yet.
    pub fn new(output: Output) -> Self {
        Self { output, in_flight: Arc::new(Semaphore::new(IN_FLIGHT_LIMIT)), next: Arc::default(), in_use: Arc::default() }
    }

    /// Sends only these rows from now on, in turn.
    pub fn restrict(&self, rows: Range<usize>) {
        *self.in_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }

    /// Begins to send `request` with each row in turn, `rate_per_second` times a second. Must be called inside a Tokio runtime.
    pub fn start(&self, request: Request, rows: Vec<String>, rate_per_second: f64) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let plan = Plan {
            period: Duration::from_secs_f64(1.0 / rate_per_second),
            request: Arc::new(request),
            rows: Arc::new(rows),
            output: self.output.clone(),
            in_flight: Arc::clone(&self.in_flight),
            next: Arc::clone(&self.next),
            in_use: Arc::clone(&self.in_use),
            runtime: Handle::current(),
            stop: Arc::clone(&stop),
        };
        // A thread of its own: a busy runtime must not delay the schedule.
        let thread = std::thread::spawn(move || plan.run());
        Running { stop, thread: Some(thread) }
    }

    /// Waits until every request is answered.
    pub async fn settled(&self) {
        let everything = u32::try_from(IN_FLIGHT_LIMIT).unwrap_or(u32::MAX);
        // Never closed, so it always comes.
        drop(self.in_flight.acquire_many(everything).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It holds nothing that could be poisoned; a panic has been printed already.
            drop(thread.join());
        }
    }
}

struct Plan {
    period: Duration,
    request: Arc<Request>,
    rows: Arc<Vec<String>>,
    output: Output,
    in_flight: Arc<Semaphore>,
    next: Arc<AtomicU64>,
    in_use: Arc<Mutex<Option<Range<usize>>>>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl Plan {
    fn run(&self) {
        let begin = Instant::now() + Duration::from_millis(5);
        let mut turn = 0_u32;
        loop {
            let intended = begin + self.period * turn;
            if !self.sleep_until(intended.checked_sub(EARLY).unwrap_or(intended)) {
                return;
            }
            self.launch(intended, self.row(turn as usize));
            turn += 1;
        }
    }

    /// The row that a turn sends.
    fn row(&self, turn: usize) -> usize {
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows = in_use.unwrap_or(0..self.rows.len());
        rows.start + turn % rows.len().max(1)
    }

    /// Sleeps until a moment; `false` when the traffic was stopped meanwhile.
    fn sleep_until(&self, moment: Instant) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left);
        }
        false
    }

    fn launch(&self, intended: Instant, row: usize) {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            let message = format!("request {seq} was not sent: {IN_FLIGHT_LIMIT} others wait for their answers");
            return self.output.say(Event::Fault { message });
        };
        let (request, rows, output) = (Arc::clone(&self.request), Arc::clone(&self.rows), self.output.clone());
        self.runtime.spawn(async move {
            while Instant::now() < intended {
                // Others go on meanwhile.
                tokio::task::yield_now().await;
            }
            let sent_ns = output.now_ns();
            let outcome = client::send(&request, rows.get(row).map(String::as_str)).await;
            let (intended_ns, done_ns) = (output.at_ns(intended), output.now_ns());
            output.say(Event::Answered { seq, row, intended_ns, sent_ns, done_ns, outcome });
            drop(place);
        });
    }
}
