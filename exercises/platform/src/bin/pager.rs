//! The pager: what an on-call rotation and a ticket queue are in an exercise. It listens on port 8080.
//!
//! ```text
//! POST /page /ticket /heartbeat   Alertmanager's webhook; whatever arrives is kept, printed and answered with 200
//! GET  /                          the inbox, for people
//! GET  /received?after=N          the inbox, for programs
//! GET  /healthz
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::{Method, StatusCode};
use platform::server::{Answer, Call, reply, serve, text};
use serde_json::{Value, json};

/// How many notifications the inbox keeps, and how many bytes of them.
const KEPT: usize = 1_000;
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// The largest notification in bytes.
const LIMIT: usize = 1024 * 1024;
/// What each receiver may get at once, and every second beyond it, in bytes: what a storm of alerts brings beyond it is counted and not
/// even read, so that the pager answers whoever looks whether it is well.
const BURST: u64 = 2 * 1024 * 1024;
const PER_SECOND: u64 = 16 * 1024;
/// How many alerts of a notification the page names.
const NAMED: usize = 20;

#[derive(Default)]
struct Inbox {
    count: u64,
    /// What each receiver got, and when it was last paid off.
    got: BTreeMap<&'static str, (u64, Instant)>,
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

type Shared = Arc<Mutex<Inbox>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let inbox = Shared::default();
    match serve(move |call| answer(call, Arc::clone(&inbox))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pager: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(call: Call, shared: Shared) -> Answer {
    let receiver = ["page", "ticket", "heartbeat"].into_iter().find(|receiver| call.path.strip_prefix('/') == Some(receiver));
    let inbox = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    match (&call.method, receiver, call.path.as_str()) {
        (&Method::POST, Some(receiver), _) if !inbox().has_room(receiver) => {
            println!("{}", json!({ "receiver": receiver }));
            text(StatusCode::OK, "too much at once: counted, and not kept\n")
        }
        (&Method::POST, Some(receiver), _) => {
            let body = call.json(LIMIT).await.unwrap_or_else(|error| json!({ "unreadable": error }));
            receive(receiver, &body, &mut inbox());
            text(StatusCode::OK, "received\n")
        }
        (&Method::GET, None, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, None, "/received") => {
            let after = call.query("after").and_then(|number| number.parse().ok()).unwrap_or(0_u64);
            let newer: Vec<String> = inbox().received.iter().filter(|entry| entry.number > after).map(|entry| entry.line.clone()).collect();
            reply(StatusCode::OK, "application/json", format!("{{\"received\":[{}]}}", newer.join(",")))
        }
        (&Method::GET, None, "/") => reply(StatusCode::OK, "text/html; charset=utf-8", page(&inbox())),
        _ => text(StatusCode::NOT_FOUND, "known: POST /page, /ticket, /heartbeat; GET /, /received, /healthz\n"),
    }
}

impl Inbox {
    /// Whether a receiver may get more now.
    fn has_room(&mut self, receiver: &'static str) -> bool {
        let (got, paid) = self.got.entry(receiver).or_insert_with(|| (0, Instant::now()));
        let seconds = paid.elapsed().as_secs();
        *got = got.saturating_sub(seconds * PER_SECOND);
        *paid += Duration::from_secs(seconds);
        *got < BURST
    }
}

fn receive(receiver: &'static str, body: &Value, inbox: &mut Inbox) {
    let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let alerts = body["alerts"].as_array().into_iter().flatten().take(NAMED);
    let alerts = alerts.map(|alert| format!("{} ({})", word(&alert["labels"]["alertname"]), word(&alert["status"]))).collect();
    inbox.count += 1;
    let number = inbox.count;
    let line = json!({ "received": number, "receiver": receiver, "at_unix_ms": at_unix_ms, "body": body }).to_string();
    println!("{line}");
    inbox.got.entry(receiver).or_insert_with(|| (0, Instant::now())).0 += line.len() as u64;
    inbox.bytes += line.len();
    inbox.received.push_back(Entry { number, receiver, at_unix_ms, alerts, line });
    while inbox.received.len() > KEPT || inbox.bytes > KEPT_BYTES {
        let Some(oldest) = inbox.received.pop_front() else { return };
        inbox.bytes -= oldest.line.len();
    }
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

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("?").chars().take(100).collect()
}

fn escape(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
