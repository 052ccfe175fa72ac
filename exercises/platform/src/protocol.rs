//! What the driver reads on stdin and writes on stdout: one JSON object a line.
//!
//! Times are nanoseconds of the driver's monotonic clock since it started. The grader lays that clock on its own with
//! [`Command::Sync`].

use serde::{Deserialize, Serialize};

/// The protocol's version, which the driver says first.
pub const VERSION: u32 = 2;

/// The most of a response body that the driver passes on, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The most requests that may wait for their answers at once; past it the driver reports a fault of its own.
pub const IN_FLIGHT_LIMIT: usize = 2_000;

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The whole address, such as `http://lb:8080/v2/models/fraud/infer`. Only `http`.
    pub url: String,
    /// Headers beside `host` and `content-length`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: Option<String>,
    /// Milliseconds after which the driver gives up, from the moment of sending to the last byte of the answer.
    pub timeout_ms: u64,
    /// The most of the answer's body that is wanted, in bytes; at most [`BODY_LIMIT`].
    #[serde(default = "body_limit")]
    pub body_limit: usize,
}

fn body_limit() -> usize {
    BODY_LIMIT
}

/// What the grader asks of the driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Asks for the time.
    Sync {
        /// Comes back in the answer.
        id: u64,
    },
    /// Sets the bodies that traffic sends, in turn.
    Rows {
        /// One request body a row.
        rows: Vec<String>,
    },
    /// Lets traffic send these rows in turn from now on, the one that runs as well; without it, all of them.
    Use {
        /// The first of them.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Begins open-loop traffic, instead of what was running.
    Traffic {
        /// What is sent; its body is replaced by the rows.
        request: Request,
        /// How often.
        rate_per_second: f64,
    },
    /// Ends the traffic. Requests in flight are still answered.
    StopTraffic,
    /// Sends one request now.
    Ask {
        /// Comes back in the answer.
        id: u64,
        /// The request.
        request: Request,
    },
    /// Sends a request again and again, never two at once.
    Watch {
        /// Comes back in every answer; a second watch of the same name replaces the first.
        name: String,
        /// Milliseconds between the beginnings of two requests.
        every_ms: u64,
        /// The request.
        request: Request,
    },
    /// Ends a watch.
    Unwatch {
        /// Its name.
        name: String,
    },
    /// Ends the driver after everything in flight is answered.
    Quit,
}

/// What the driver tells the grader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Event {
    /// It is there.
    Ready {
        /// [`VERSION`].
        version: u32,
    },
    /// The time.
    Sync {
        /// The id of the question.
        id: u64,
        /// The driver's time.
        at_ns: u64,
    },
    /// A request of the traffic is over.
    Answered {
        /// Its number in the traffic, from 0, over all traffic of this driver.
        seq: u64,
        /// The row that it sent.
        row: usize,
        /// When the schedule wanted it sent.
        intended_ns: u64,
        /// When it was sent: before the name is resolved and the connection is made.
        sent_ns: u64,
        /// When its outcome was known.
        done_ns: u64,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A request that was asked for is over.
    Asked {
        /// The id of the command.
        id: u64,
        /// When it was sent.
        sent_ns: u64,
        /// When its outcome was known.
        done_ns: u64,
        /// Its outcome.
        outcome: Outcome,
    },
    /// One request of a watch is over.
    Watched {
        /// The watch.
        name: String,
        /// When it was sent.
        sent_ns: u64,
        /// When its outcome was known.
        done_ns: u64,
        /// Its outcome.
        outcome: Outcome,
    },
    /// Something went wrong in the driver itself; what it measured since is not to be trusted.
    Fault {
        /// What.
        message: String,
    },
    /// The last line.
    Bye,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// An answer came, whatever its status.
    Response {
        /// The HTTP status.
        status: u16,
        /// The body, at most as much of it as was wanted; what is not UTF-8 is replaced.
        body: String,
        /// Whether there was more of it.
        truncated: bool,
    },
    /// No whole answer within the request's time.
    TimedOut,
    /// The name has no address.
    Unresolved {
        /// The system's words.
        why: String,
    },
    /// No connection was made.
    Refused {
        /// The system's words.
        why: String,
    },
    /// The connection ended before the answer was whole, or what came was not HTTP.
    Broken {
        /// The system's words.
        why: String,
    },
}
