//! What a check measured, as a number beside its threshold: so that how much room there was can be computed, and published.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a check measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// The threshold, in the same unit.
    pub limit: f64,
    /// What both are, and on which side of the threshold the number should be.
    pub unit: Unit,
}

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of what was counted, between 0 and 1: at least the threshold.
    Share,
    /// Milliseconds: at most the threshold.
    Milliseconds,
    /// Minutes: at most the threshold.
    Minutes,
    /// Things, such as series or MiB: at most the threshold.
    Count,
}

impl Figure {
    /// A share that must be at least so large.
    pub(super) fn share(value: f64, limit: f64) -> Self {
        Self { value, limit, unit: Unit::Share }
    }

    /// A time that must be at most so long, in milliseconds.
    pub(super) fn milliseconds(value: f64, limit: f64) -> Self {
        Self { value, limit, unit: Unit::Milliseconds }
    }

    /// A time that must be at most so long, in minutes.
    pub(super) fn minutes(value: f64, limit: f64) -> Self {
        Self { value, limit, unit: Unit::Minutes }
    }

    /// A number of things that must be at most so large.
    pub(super) fn count(value: f64, limit: f64) -> Self {
        Self { value, limit, unit: Unit::Count }
    }

    /// How many times worse it would have to be to miss the threshold; infinite where nothing at all was wrong.
    pub fn room(&self) -> f64 {
        match self.unit {
            Unit::Share => (1.0 - self.limit) / (1.0 - self.value).max(0.0),
            Unit::Milliseconds | Unit::Minutes | Unit::Count => self.limit / self.value.max(0.0),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Share => out.write_str(&super::percent(self.value)),
            Unit::Milliseconds => write!(out, "{:.0} ms", self.value),
            Unit::Minutes => out.write_str(&super::played::said(self.value * 60.0)),
            Unit::Count => write!(out, "{:.0}", self.value),
        }
    }
}
