//! The pager: what an on-call rotation and a ticket queue are in an exercise. It listens on port 8080.
//!
//! ```text
//! POST /page /ticket /heartbeat   Alertmanager's webhook; whatever arrives is kept, printed and answered with 200
//! GET  /                          the inbox, for people
//! GET  /received?after=N          the inbox, for programs
//! GET  /healthz
//! ```

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many notifications the inbox keeps, and how many bytes of them.
const KEPT: usize = 1_000;
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// The largest notification in bytes.
const LIMIT: usize = 1024 * 1024;
/// How many notifications are read at once: with their limit, what a storm of alerts can take of memory.
const READ_AT_ONCE: usize = 4;
/// How many calls one address may have open at once, and for how long: a submission that calls by the hundred must not keep
/// others, such as the grader's look at whether the pager is well, from getting through.
const CALLS: usize = 128;
const CALL: Duration = Duration::from_secs(10);
/// How many alerts of a notification the page names.
const NAMED: usize = 20;

#[derive(Default)]
struct Inbox {
    count: u64,
    bytes: usize,
    received: VecDeque<Entry>,
}

/// A notification.
struct Entry {
    number: u64,
    receiver: &'static str,
    at_unix_ms: u64,
    /// The alerts' names and states.
    alerts: Vec<String>,
    /// All of it, as it was printed.
    line: String,
}

struct Pager {
    inbox: Mutex<Inbox>,
    reading: Semaphore,
}

type Shared = Arc<Pager>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pager: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 8080)).await?;
    let pager = Arc::new(Pager { inbox: Mutex::default(), reading: Semaphore::new(READ_AT_ONCE) });
    let callers = Callers::default();
    loop {
        let (stream, address) = listener.accept().await?;
        let Some(caller) = Caller::enter(&callers, address.ip()) else { continue };
        let pager = Arc::clone(&pager);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&pager)));
            let call = hyper::server::conn::http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
            // A caller that hangs up, or says nothing, is the caller's business.
            drop(timeout(CALL, call).await);
            drop(caller);
        });
    }
}

type Callers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// An open call; it ends when this is dropped.
struct Caller {
    callers: Callers,
    address: IpAddr,
}

impl Caller {
    /// One more call from an address, unless it has too many.
    fn enter(callers: &Callers, address: IpAddr) -> Option<Self> {
        let mut open = callers.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = open.entry(address).or_default();
        if *calls >= CALLS {
            return None;
        }
        *calls += 1;
        Some(Self { callers: Arc::clone(callers), address })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut open = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = open.get_mut(&self.address) {
            *calls -= 1;
            if *calls == 0 {
                open.remove(&self.address);
            }
        }
    }
}

async fn answer(request: Request<Incoming>, pager: Shared) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let receiver = ["page", "ticket", "heartbeat"].into_iter().find(|receiver| path.strip_prefix('/') == Some(receiver));
    let inbox = || pager.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    match (request.method(), receiver, path.as_str()) {
        (&Method::POST, Some(receiver), _) => {
            receive(receiver, request, &pager).await;
            reply(StatusCode::OK, "text/plain", "received\n".to_owned())
        }
        (&Method::GET, None, "/healthz") => reply(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, None, "/received") => {
            let after = query.strip_prefix("after=").and_then(|number| number.parse().ok()).unwrap_or(0_u64);
            let newer: Vec<String> = inbox().received.iter().filter(|entry| entry.number > after).map(|entry| entry.line.clone()).collect();
            reply(StatusCode::OK, "application/json", format!("{{\"received\":[{}]}}", newer.join(",")))
        }
        (&Method::GET, None, "/") => reply(StatusCode::OK, "text/html; charset=utf-8", page(&inbox())),
        _ => reply(StatusCode::NOT_FOUND, "text/plain", "known: POST /page, /ticket, /heartbeat; GET /, /received, /healthz\n".to_owned()),
    }
}

async fn receive(receiver: &'static str, request: Request<Incoming>, pager: &Pager) {
    // Never closed.
    let _place = pager.reading.acquire().await;
    let body = match Limited::new(request.into_body(), LIMIT).collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_else(|error| json!({ "unreadable": error.to_string() })),
        Err(error) => json!({ "unreadable": error.to_string() }),
    };
    let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let alerts = body["alerts"].as_array().into_iter().flatten().take(NAMED);
    let alerts = alerts.map(|alert| format!("{} ({})", text(&alert["labels"]["alertname"]), text(&alert["status"]))).collect();
    let mut inbox = pager.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    inbox.count += 1;
    let number = inbox.count;
    let line = json!({ "received": number, "receiver": receiver, "at_unix_ms": at_unix_ms, "body": body }).to_string();
    println!("{line}");
    inbox.bytes += line.len();
    inbox.received.push_back(Entry { number, receiver, at_unix_ms, alerts, line });
    while inbox.received.len() > KEPT || inbox.bytes > KEPT_BYTES {
        let Some(oldest) = inbox.received.pop_front() else { return };
        inbox.bytes -= oldest.line.len();
    }
}

fn reply(status: StatusCode, kind: &str, text: String) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(text)))
}

fn page(inbox: &Inbox) -> String {
    let mut rows = String::new();
    for entry in inbox.received.iter().rev() {
        let second_of_day = entry.at_unix_ms / 1_000;
        let (hours, minutes, seconds) = (second_of_day / 3_600 % 24, second_of_day / 60 % 60, second_of_day % 60);
        let (receiver, alerts) = (entry.receiver, escape(&entry.alerts.join(", ")));
        // Writing to a String cannot fail.
        let _ = writeln!(rows, "<tr class={receiver}><td>{hours:02}:{minutes:02}:{seconds:02} UTC<td>{receiver}<td>{alerts}");
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=3>Nobody was called yet.");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5><title>Pager</title>\
         <style>body{{font:16px system-ui;margin:2rem auto;max-width:50rem;padding:0 1rem;color-scheme:light dark}}td{{padding:.4rem .8rem;border-top:1px solid #8886}}.page{{font-weight:600}}</style>\
         <h1>Pager</h1><p>{} notifications received.<table>{rows}</table></html>",
        inbox.count
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").chars().take(100).collect()
}

fn escape(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
