//! Ctrl-C and friends: the first one cancels work and lets it clean up, the second one ends the clean-up too.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit;

/// What told the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The system, whoever started the program, or a terminal that was closed.
    #[error("told to end")]
    Terminated,
}

impl Interrupt {
    /// The exit code that tells of it.
    pub fn code(self) -> u8 {
        match self {
            Self::Interrupted => exit::INTERRUPTED,
            Self::Terminated => exit::TERMINATED,
        }
    }

    /// Waits for the next one; for ever, where the system does not tell.
    pub async fn next() -> Self {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => Self::Interrupted,
            _ = terminate.recv() => Self::Terminated,
            _ = hangup.recv() => Self::Terminated,
        }
    }
}
