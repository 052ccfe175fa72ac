//! The feature store: what is known of an account, by its id. It listens on port 8080.
//!
//! ```text
//! features [FILE]             starts with the accounts of a file, in the form of POST /control/accounts
//!
//! GET  /features/ACCOUNT      {"account": "a1", "features": {"dispute_rate": 0.1}, "as_of": 1760000000.0}; 404 for an unknown one
//! GET  /healthz, /metrics
//! POST /control/accounts      {"a1": {"now": {"dispute_rate": 0.1}, "before": {"dispute_rate": 0.0}}}: adds and replaces
//! GET  /control/fault         which fault is on
//! POST /control/fault         {"fault": "none"}, {"fault": "slow", "delay_ms": 2000}, {"fault": "failing"}, {"fault": "stale"}
//! ```
//!
//! A stale store answers what it knew an hour ago, and says so in `as_of` (seconds since 1970).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{Method, StatusCode};
use platform::server::{Answer, Call, json, serve, text};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The largest control request in bytes.
const LIMIT: usize = 8 * 1024 * 1024;
/// How old the answers of a stale store are, in seconds.
const STALE_SECONDS: f64 = 3_600.0;

type Features = BTreeMap<String, f64>;

/// What is known of an account.
#[derive(Deserialize)]
struct Account {
    now: Features,
    /// What was known an hour ago.
    before: Features,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
enum Fault {
    #[default]
    None,
    Slow {
        delay_ms: u64,
    },
    Failing,
    Stale,
}

#[derive(Default)]
struct Store {
    accounts: BTreeMap<String, Account>,
    fault: Fault,
    answered: BTreeMap<u16, u64>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Store>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("features: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let store = Shared::default();
    if let Some(file) = std::env::args().nth(1) {
        let content = std::fs::read(&file).map_err(|error| format!("`{file}`: {error}"))?;
        store.lock().accounts = serde_json::from_slice(&content).map_err(|error| format!("`{file}`: {error}"))?;
    }
    serve(move |call| answer(call, store.clone())).await.map_err(|error| error.to_string())
}

async fn answer(call: Call, store: Shared) -> Answer {
    if call.path.starts_with("/control/") && !call.may_control() {
        return text(StatusCode::FORBIDDEN, "control requests are the exam's\n");
    }
    match (&call.method, call.path.as_str()) {
        (&Method::GET, path) if path.starts_with("/features/") => {
            let account = path["/features/".len()..].to_owned();
            let answer = look_up(&account, &store).await;
            *store.lock().answered.entry(answer.status().as_u16()).or_default() += 1;
            answer
        }
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/metrics") => text(StatusCode::OK, metrics(&store.lock())),
        (&Method::GET, "/control/fault") => json(StatusCode::OK, &store.lock().fault),
        (&Method::POST, "/control/fault") => match call.json(LIMIT).await {
            Ok(fault) => {
                store.lock().fault = fault;
                json(StatusCode::OK, &fault)
            }
            Err(error) => {
                text(StatusCode::BAD_REQUEST, format!("{error}; known: none, slow (with delay_ms), failing, stale, as in {{\"fault\": \"none\"}}\n"))
            }
        },
        (&Method::POST, "/control/accounts") => match call.json::<BTreeMap<String, Account>>(LIMIT).await {
            Ok(accounts) => {
                store.lock().accounts.extend(accounts);
                text(StatusCode::OK, "known\n")
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        },
        _ => {
            text(StatusCode::NOT_FOUND, "known: GET /features/ACCOUNT, /healthz, /metrics, /control/fault; POST /control/fault, /control/accounts\n")
        }
    }
}

async fn look_up(account: &str, store: &Shared) -> Answer {
    let fault = store.lock().fault;
    match fault {
        Fault::Slow { delay_ms } => tokio::time::sleep(Duration::from_millis(delay_ms)).await,
        Fault::Failing => return text(StatusCode::SERVICE_UNAVAILABLE, "the store is down\n"),
        Fault::None | Fault::Stale => {}
    }
    let store = store.lock();
    let Some(known) = store.accounts.get(account) else { return text(StatusCode::NOT_FOUND, "no such account\n") };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let (features, as_of) = if matches!(fault, Fault::Stale) { (&known.before, now - STALE_SECONDS) } else { (&known.now, now) };
    json(StatusCode::OK, &json!({ "account": account, "features": features, "as_of": as_of }))
}

fn metrics(store: &Store) -> String {
    let mut page = "# HELP feature_store_requests_total Requests by HTTP status.\n# TYPE feature_store_requests_total counter\n".to_owned();
    for (code, count) in &store.answered {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "feature_store_requests_total{{code=\"{code}\"}} {count}");
    }
    page
}
