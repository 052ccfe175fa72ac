//! The pager: what an on-call rotation and a ticket queue are in an exercise. It listens on port 8080.
//!
//! ```text
//! POST /page /ticket /heartbeat   Alertmanager's webhook; whatever arrives is kept, printed and answered with 200
//! GET  /                          the inbox, for people
//! GET  /received?after=N          the inbox, for programs
//! GET  /healthz
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How many notifications the inbox keeps.
const KEPT: usize = 1_000;
/// The largest notification in bytes.
const LIMIT: usize = 1024 * 1024;

#[derive(Default)]
struct Inbox {
    count: u64,
    received: VecDeque<Value>,
}

type Shared = Arc<Mutex<Inbox>>;

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
    let inbox = Shared::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let inbox = Arc::clone(&inbox);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&inbox)));
            // A caller that hangs up is the caller's business.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, inbox: Shared) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    match (request.method(), path.as_str()) {
        (&Method::POST, "/page" | "/ticket" | "/heartbeat") => {
            receive(&path[1..], request, &inbox).await;
            reply(StatusCode::OK, "text/plain", "received\n".to_owned())
        }
        (&Method::GET, "/healthz") => reply(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, "/received") => {
            let after = query.strip_prefix("after=").and_then(|number| number.parse().ok()).unwrap_or(0_u64);
            let inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            let newer: Vec<&Value> = inbox.received.iter().filter(|entry| entry["received"].as_u64() > Some(after)).collect();
            reply(StatusCode::OK, "application/json", json!({ "received": newer }).to_string())
        }
        (&Method::GET, "/") => reply(StatusCode::OK, "text/html; charset=utf-8", page(&inbox.lock().unwrap_or_else(PoisonError::into_inner))),
        _ => reply(StatusCode::NOT_FOUND, "text/plain", "known: POST /page, /ticket, /heartbeat; GET /, /received, /healthz\n".to_owned()),
    }
}

async fn receive(receiver: &str, request: Request<Incoming>, inbox: &Shared) {
    let body = match Limited::new(request.into_body(), LIMIT).collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_else(|error| json!({ "unreadable": error.to_string() })),
        Err(error) => json!({ "unreadable": error.to_string() }),
    };
    let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    inbox.count += 1;
    let entry = json!({ "received": inbox.count, "receiver": receiver, "at_unix_ms": u64::try_from(at_unix_ms).unwrap_or(u64::MAX), "body": body });
    println!("{entry}");
    inbox.received.push_back(entry);
    if inbox.received.len() > KEPT {
        inbox.received.pop_front();
    }
}

fn reply(status: StatusCode, kind: &str, text: String) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(text)))
}

fn page(inbox: &Inbox) -> String {
    let mut rows = String::new();
    for entry in inbox.received.iter().rev() {
        let alerts = entry["body"]["alerts"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = alerts.iter().map(|alert| format!("{} ({})", text(&alert["labels"]["alertname"]), text(&alert["status"]))).collect();
        let minutes_of_day = entry["at_unix_ms"].as_u64().unwrap_or(0) / 1_000;
        let (hours, minutes, seconds) = (minutes_of_day / 3_600 % 24, minutes_of_day / 60 % 60, minutes_of_day % 60);
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr class={receiver}><td>{hours:02}:{minutes:02}:{seconds:02} UTC<td>{receiver}<td>{}",
            names.join(", "),
            receiver = text(&entry["receiver"]),
        );
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
    value.as_str().map_or_else(|| "?".to_owned(), escape)
}

fn escape(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
