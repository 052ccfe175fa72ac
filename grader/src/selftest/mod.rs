//! Proving an exercise: submissions of which it is known what becomes of them are examined, each at the cheapest level that can show it,
//! and what differs is told with its evidence.
//!
//! What is kept are recordings (`ledger.rs`); they are judged anew whenever somebody asks, as every history is.

mod agree;
mod cell;
mod hold;
mod ledger;
mod page;

pub use cell::{Cell, Expected, Level, cells};
pub use hold::{HoldError, Means, Stop, hold, of_today};
pub use ledger::{Entry, Key, Ledger, LedgerError};
pub use page::{Held, KINDS, Machine, page};

#[cfg(test)]
mod tests;
