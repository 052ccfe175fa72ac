//! The machine under an exam: what no submission can do to it, and what would be taken for a submission's fault.
//!
//! - The wall clock. Nothing of ours reads it, but the submission's Prometheus does, and what the feature store knows is dated by it: where
//!   someone sets it, or a machine that slept wakes up, nobody can say what an alert would have done.
//! - The processors. Where the driver is late, somebody kept it from working: what the submission uses says whether it was the submission.
//!   Where programs of others keep a machine busy, or other machines take its hardware, the submission's users wait too, though the driver,
//!   which has more weight, may not.
//! - The engine's disk. Engines do not limit what a container writes. What a submission writes beyond its share ends the service that
//!   wrote it; a disk that others filled is a fault of the machine's.

use std::convert::Infallible;
use std::time::{Duration, Instant, SystemTime};

use harness::environment::{Environment, Usage, Whole};
use tokio::time::{MissedTickBehavior, interval};

use super::ExamError;
use crate::history::{Recorder, What};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often processor time is counted: each look costs the engine a few milliseconds a container.
const COUNT: Duration = Duration::from_secs(2);
/// How far the wall clock may get away from the monotonic one in an exam: more than a clock is corrected by in minutes, and less than half the
/// time between two scrapes of the recording, which are dated by it.
const STEP: Duration = Duration::from_millis(400);
/// Both clocks are read within this, or not compared: whoever reads them may have to wait between the two.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Below so many bytes the engine's disk is full.
const FULL: u64 = 128 << 20;
/// How much of the disk may go before it is asked whose it was, and what a service of a submission may write. The reference writes
/// less than 20 MiB.
const SHARE: u64 = 1 << 30;

/// Watches the machine for as long as it behaves.
///
/// `bounded` are the services whose disk is looked at, `counted` those whose processor time is the submission's.
pub(super) async fn watch(environment: Environment, bounded: Vec<String>, counted: Vec<String>, recorder: Recorder) -> Result<(), ExamError> {
    let watched = async {
        tokio::try_join!(clock(), disk(&environment, &bounded, &recorder), processors(&environment, &counted, &recorder))?;
        Ok(())
    };
    watched.await
}

/// Records what the submission uses of the processors.
async fn processors(environment: &Environment, submitted: &[String], recorder: &Recorder) -> Result<Infallible, ExamError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut ticks = interval(COUNT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut usage = Usage::default();
    // What was used before the exam is none of its business.
    environment.spent(&mut usage, submitted).await?;
    ticks.reset();
    loop {
        ticks.tick().await;
        // A look that is lost is made up for by the next.
        let Ok(spent) = environment.spent(&mut usage, submitted).await else {
            environment.ping().await?;
            continue;
        };
        let Whole { busy, others, most, stolen } = spent.machine.unwrap_or_default();
        let (busy_ms, others_ms, stolen_ms) = (ms(busy), ms(others), ms(stolen));
        recorder.record(What::Spent { used_ms: ms(spent.used), of_ms: ms(spent.of), busy_ms, others_ms, most, stolen_ms }).await?;
    }
}

/// Ends where the wall clock was set.
async fn clock() -> Result<Infallible, ExamError> {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = None;
    loop {
        ticks.tick().await;
        let now = (Instant::now(), SystemTime::now());
        if now.0.elapsed() > AT_ONCE {
            continue;
        }
        if let Some(why) = step(*first.get_or_insert(now), now) {
            return Err(ExamError::Machine(why));
        }
    }
}

/// Whether the wall clock was set between two looks at both clocks.
fn step(first: (Instant, SystemTime), now: (Instant, SystemTime)) -> Option<String> {
    let wanted = first.1 + (now.0 - first.0);
    let step = wanted.duration_since(now.1).unwrap_or_else(|earlier| earlier.duration());
    let way = if now.1 > wanted { "forward" } else { "back" };
    (step > STEP).then(|| format!("its clock was set {way} by {:.1} s", step.as_secs_f64()))
}

/// Ends where the engine's disk is full by others than the submission; ends services of the submission that fill it.
async fn disk(environment: &Environment, submitted: &[String], recorder: &Recorder) -> Result<Infallible, ExamError> {
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
            // What is open and has no name any more is counted by nobody, and gone with whoever holds it open.
            for service in submitted {
                environment.end(service).await?;
            }
            let now = root.free().unwrap_or(0);
            if now.saturating_sub(free) > FULL {
                let text = format!("the submission was ended: it had filled the machine's disk, and left {} MiB", (now - free) >> 20);
                recorder.record(What::Note { text }).await?;
                before = now;
                continue;
            }
            let message = format!("the engine's disk is full: {} MiB are free, and the submission wrote {} MiB", free >> 20, theirs >> 20);
            return Err(ExamError::Machine(message));
        }
        before = free;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_corrected_is_not_one_that_is_set() {
        let last = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_hours(100));
        let later = |monotonic: u64, wall: u64| (last.0 + Duration::from_millis(monotonic), last.1 + Duration::from_millis(wall));
        assert_eq!(step(last, later(1_000, 1_000)), None);
        assert_eq!(step(last, later(240_000, 240_120)), None);
        assert_eq!(step(last, later(9_000, 8_500)), Some("its clock was set back by 0.5 s".to_owned()));
        assert_eq!(step(last, later(1_000, 3_601_000)), Some("its clock was set forward by 3600.0 s".to_owned()));
        let back = (last.0 + LOOK, last.1 - Duration::from_secs(59));
        assert_eq!(step(last, back), Some("its clock was set back by 60.0 s".to_owned()));
    }
}
