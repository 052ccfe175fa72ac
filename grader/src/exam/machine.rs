//! The machine under an exam: what no submission can do to it, and what would be taken for a submission's fault.
//!
//! - The wall clock. Nothing of ours reads it, but the submission's Prometheus does, and what the feature store knows is dated by it: where
//!   someone sets it, or a machine that slept wakes up, nobody can say what an alert would have done.
//! - The engine's disk. Engines do not limit what a container writes. What a submission writes beyond its share ends the service that
//!   wrote it; a disk that others filled is a fault of the machine's.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use harness::environment::Docker;
use tokio::time::{MissedTickBehavior, interval};

use super::ExamError;
use crate::history::{Recorder, What};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How far the wall clock may get away from the monotonic one between two looks: far more than any clock is corrected by.
const STEP: Duration = Duration::from_secs(2);
/// Below so many bytes the engine's disk is full.
const FULL: u64 = 128 << 20;
/// How much of the disk may go before it is asked whose it was, and what a service of a submission may write. The reference writes
/// less than 20 MiB.
const SHARE: u64 = 1 << 30;

/// Watches the machine for as long as it behaves.
pub(super) async fn watch(environment: Docker, submitted: Vec<String>, recorder: Recorder) -> Result<(), ExamError> {
    let watched = async {
        tokio::try_join!(clock(), disk(&environment, &submitted, &recorder))?;
        Ok(())
    };
    watched.await
}

/// Ends where the wall clock was set.
async fn clock() -> Result<Infallible, ExamError> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = (Instant::now(), SystemTime::now());
    loop {
        ticks.tick().await;
        let now = (Instant::now(), SystemTime::now());
        let wanted = last.1 + (now.0 - last.0);
        let step = wanted.duration_since(now.1).unwrap_or_else(|earlier| earlier.duration());
        if step > STEP {
            let way = if now.1 > wanted { "forward" } else { "back" };
            return Err(ExamError::Machine(format!("its clock was set {way} by {} s", step.as_secs())));
        }
        last = now;
    }
}

/// Ends where the engine's disk is full by others than the submission; ends services of the submission that fill it.
async fn disk(environment: &Docker, submitted: &[String], recorder: &Recorder) -> Result<Infallible, ExamError> {
    let Some(root) = environment.disk().await? else { return std::future::pending().await };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = root.free().unwrap_or(u64::MAX);
    loop {
        ticks.tick().await;
        let Some(free) = root.free() else { continue };
        if free >= FULL && before.saturating_sub(free) < SHARE {
            before = before.max(free);
            continue;
        }
        let mut theirs = 0;
        for (service, bytes) in environment.written(submitted).await? {
            theirs += bytes;
            if bytes > SHARE.min(free) {
                environment.end(&service).await?;
                let text = format!("`{service}` was ended: it had written {} MiB to the machine's disk", bytes >> 20);
                recorder.record(What::Note { text }).await?;
            }
        }
        if theirs < SHARE && free < FULL {
            let message = format!("the engine's disk is full: {} MiB are free, and the submission wrote {} MiB", free >> 20, theirs >> 20);
            return Err(ExamError::Machine(message));
        }
        before = free;
    }
}
