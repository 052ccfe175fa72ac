//! Nobody is called while users are served.

use schemars::JsonSchema;
use serde::Deserialize;

use super::view::Request;
use super::{Control, Evidence, Finding, Judge, PAGED, View, percent, share};
use crate::exam::Receiver;
use crate::history::{Alert, What};

/// Nobody is called while users are served.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// Who is not to be called.
    pub receiver: Receiver,
    /// Below this share of good answers a call is not for nothing.
    #[schemars(range(min = 0, max = 1))]
    pub unless_served_below: f64,
}

impl Judge for Quiet {
    fn expected(&self) -> String {
        format!("no alert arrives at `/{}` as long as {} of requests are answered", self.receiver.name(), percent(self.unless_served_below))
    }

    fn controls(&self) -> &'static [Control] {
        PAGED
    }

    fn judge(&self, view: &View<'_>) -> Finding {
        let calls: Vec<Evidence> = view
            .events()
            .filter_map(|(number, event)| match &event.what {
                What::Delivered { receiver, alerts } if receiver == self.receiver.name() => {
                    let firing: Vec<&str> = alerts.iter().filter(|alert| alert.status == "firing").map(Alert::name).collect();
                    // The pager counts what comes too fast to be read.
                    let excerpt = if alerts.is_empty() { "more than the pager reads".to_owned() } else { firing.join(", ") };
                    (alerts.is_empty() || !firing.is_empty()).then(|| Evidence::new(vec![number], excerpt))
                }
                _ => None,
            })
            .collect();
        let served = share(view.requests().filter(Request::is_good).count(), view.requests().count());
        if served < self.unless_served_below {
            let observed = format!("{} calls, while {} of requests were answered", calls.len(), percent(served));
            return Finding::new(true, false, observed);
        }
        let observed = if calls.is_empty() { "no call".to_owned() } else { format!("{} calls", calls.len()) };
        Finding::new(calls.is_empty(), false, observed).with(calls.into_iter().take(5))
    }
}
