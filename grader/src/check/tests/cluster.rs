//! Checks of what only Kubernetes knows.

use super::*;
use crate::check::evicted::Evicted;
use crate::check::rolled::Rolled;
use crate::check::stalled::Stalled;

/// What a kind of check makes of a phase in which nothing else happened, each at its second.
fn found(kind: &dyn Judge, what: Vec<(u64, What)>) -> Finding {
    let phase = "phase".to_owned();
    let entered = [(0, What::PhaseEntered { phase: phase.clone() })];
    let left = [(100, What::PhaseLeft { phase: phase.clone(), end: PhaseEnd::Completed })];
    let events = entered.into_iter().chain(what).chain(left).map(|(second, what)| Event { at_ns: second * SECOND, what });
    let history = History { events: events.collect(), ..faultless() };
    let phases = Phases::new(&history);
    let PhaseRecord::Recorded(window) = phases.get(&phase) else { panic!("it was recorded") };
    kind.judge(&View::new(&history, &phases, window.clone()))
}

fn passes(kind: &dyn Judge, what: Vec<(u64, What)>) -> bool {
    matches!(found(kind, what).verdict, Verdict::Passed { .. })
}

#[test]
fn one_pod_can_be_evicted_and_not_all() {
    let asked = |refused: Option<&str>| What::Evicted { target: "model-1".to_owned(), refused: refused.map(str::to_owned), impossible: None };
    let impossible = || What::Evicted { target: "model-2".to_owned(), refused: None, impossible: Some("it has two budgets".to_owned()) };
    let (granted, refused) = (|| (1, asked(None)), || (1, asked(Some("it would violate the pod's disruption budget"))));
    assert!(passes(&Evicted {}, vec![granted(), refused()]));
    for (what, words) in [
        (vec![], "no pod was ready"),
        (vec![granted()], "one pod was ready"),
        (vec![granted(), granted()], "all 2 pods could be evicted at once"),
        (vec![refused(), refused()], "none of 2 pods could be evicted"),
        (vec![granted(), refused(), (1, impossible())], "`model-2` can never be evicted"),
    ] {
        let finding = found(&Evicted {}, what);
        assert!(finding.verdict == Verdict::Failed && finding.observed.contains(words), "{words} is not in {}", finding.observed);
    }
}

#[test]
fn a_rollout_is_over_in_time() {
    let rolled = |missing: Option<&str>| What::Rolled { deployment: "model".to_owned(), began_ns: SECOND, missing: missing.map(str::to_owned) };
    let kind = Rolled { within_seconds: 20 };
    assert!(passes(&kind, vec![(21, rolled(None))]));
    assert!(!passes(&kind, vec![(22, rolled(None))]) && !passes(&kind, vec![]));
    let finding = found(&kind, vec![(10, rolled(Some("2 pods were not replaced")))]);
    assert!(finding.verdict == Verdict::Failed && finding.observed.contains("2 pods were not replaced"), "{}", finding.observed);
    // One of two Deployments is not enough.
    assert!(!passes(&kind, vec![(10, rolled(None)), (12, rolled(Some("it is paused")))]));
}

#[test]
fn a_rollout_that_stalls_is_said_to_in_time() {
    let began = || What::FaultBegan { phase: "misrelease".to_owned(), fault: "image".to_owned(), target: "model".to_owned() };
    let told = || What::Stalled { deployment: "model".to_owned(), said: "timed out progressing".to_owned() };
    let kind = Stalled { within_seconds: 40 };
    assert!(passes(&kind, vec![(1, began()), (41, told())]));
    assert!(!passes(&kind, vec![(1, began()), (42, told())]));
    assert!(!passes(&kind, vec![(1, began())]) && !passes(&kind, vec![]));
}
