//! What the platform's services listen with: one request a connection, bounded in time, in size and in callers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many calls one address may have open at once, and for how long: a submission that calls by the hundred must not keep
/// others, such as the grader's look at whether a service is well, from getting through.
const CALLS: usize = 128;
const CALL: Duration = Duration::from_secs(10);
/// How many bodies are read at once: with their limit, what a storm of calls can take of memory.
const READ_AT_ONCE: usize = 4;
/// How many bytes of a call that nobody reads yet are kept.
const BUFFER: usize = 16 * 1024;

/// What is asked of a service.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, such as `/page`.
    pub path: String,
    query: String,
    allowed: bool,
    body: Incoming,
    reading: Arc<Semaphore>,
}

/// What it answers.
pub type Answer = Response<Full<Bytes>>;

impl Call {
    /// The value of a query parameter. Nothing is unescaped: names and versions need no escapes.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    /// Whether it carries the token that control requests need, where one was set: in an exam only the driver has it.
    pub fn may_control(&self) -> bool {
        self.allowed
    }

    /// The body, of at most so many bytes.
    pub async fn body(self, limit: usize) -> Result<Bytes, String> {
        // Never closed.
        let _place = self.reading.acquire().await;
        Ok(Limited::new(self.body, limit).collect().await.map_err(|error| error.to_string())?.to_bytes())
    }

    /// The body as JSON, of at most so many bytes.
    pub async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, String> {
        serde_json::from_slice(&self.body(limit).await?).map_err(|error| error.to_string())
    }
}

/// Listens for ever, on port 8080 or what `PORT` of the environment says. Control requests need `CONTROL_TOKEN` of the environment, where there is one.
pub async fn serve<F, A>(answer: F) -> io::Result<()>
where
    F: Fn(Call) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send,
{
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let token: Option<Arc<str>> = std::env::var("CONTROL_TOKEN").ok().map(|token| format!("Bearer {token}").into());
    let reading = Arc::new(Semaphore::new(READ_AT_ONCE));
    let callers = Callers::default();
    loop {
        let (stream, address) = listener.accept().await?;
        let Some(caller) = Caller::enter(&callers, address.ip()) else { continue };
        let (answer, token, reading) = (answer.clone(), token.clone(), Arc::clone(&reading));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(call(request, token.as_deref(), Arc::clone(&reading)));
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let call =
                hyper::server::conn::http1::Builder::new().keep_alive(false).max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service);
            // A caller that hangs up, or says nothing, is the caller's business.
            drop(timeout(CALL, call).await);
            drop(caller);
        });
    }
}

fn call(request: Request<Incoming>, token: Option<&str>, reading: Arc<Semaphore>) -> Call {
    let (head, body) = request.into_parts();
    let sent = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        allowed: token.is_none() || sent == token,
        body,
        reading,
    }
}

/// An answer with a body of some type.
pub fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    answer
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    reply(status, "text/plain; charset=utf-8", body.into())
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Everything that is answered has text as its keys.
    reply(status, "application/json", serde_json::to_vec(body).unwrap_or_default())
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
