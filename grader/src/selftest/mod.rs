//! Proving an exercise: submissions of which it is known what becomes of them are examined, each at the cheapest level that can show it,
//! and what differs is told with its evidence.
//!
//! What is kept are recordings (`ledger.rs`), which are judged anew whenever somebody asks, as every history is; and what they came to (`row.rs`), so
//! that a proof can be held on several machines and days, and be checked by whoever has no recordings.

mod agree;
mod cell;
mod hold;
mod ledger;
mod page;
mod row;

pub use cell::{Cell, Expected, Level, cells};
pub use hold::{HoldError, Means, Stop, hold, of_today};
pub use ledger::{Entry, Key, Ledger, LedgerError};
pub use page::{Held, KINDS, page};
pub use row::{Row, Rows, Version, add_rows, rows};

#[cfg(test)]
mod tests;
