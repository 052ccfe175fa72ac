//! One request on one new connection: no pool, so that no answer depends on what another request left behind.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::protocol::{BODY_LIMIT, Outcome, Request};

/// What an answer may have beside its body, in bytes: headers, and the framing of chunks. Whoever sends more, such as chunks of one
/// byte or interim answers without an end, is not read further: reading it would take the time that other requests need.
const BESIDE_BODY: u64 = 32 * 1024;

/// The ports that connections come from: at 50 a second they last for twenty minutes.
const PORTS: RangeInclusive<u16> = 1_024..=u16::MAX;

/// How long the engine has to resolve a name that is known already.
const PROMPT: Duration = Duration::from_millis(50);

/// Sends a request and waits for what becomes of it. `body` stands in for the request's own where it is given.
pub async fn send(request: &Request, body: Option<&str>) -> Outcome {
    let limit = Duration::from_millis(request.timeout_ms);
    timeout(limit, exchange(request, body)).await.unwrap_or(Ok(Outcome::TimedOut)).unwrap_or_else(|failed| failed)
}

async fn exchange(request: &Request, body: Option<&str>) -> Result<Outcome, Outcome> {
    let limit = request.body_limit.min(BODY_LIMIT);
    let content = body.or(request.body.as_deref()).unwrap_or_default();
    let (response, connection) = open(request, content, limit as u64 + BESIDE_BODY).await?;
    let outcome = read(response, limit).await;
    connection.abort();
    outcome
}

/// Asks a trusted address, and hands on the body of an answer of 200 piece by piece, however long it is.
pub async fn download(url: &str, within: Duration, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), String> {
    let request = Request { method: "GET".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout_ms: 0, body_limit: 0 };
    let whole = async {
        let (mut response, _connection) = open(&request, "", u64::MAX).await.map_err(|failed| format!("{failed:?}"))?;
        if response.status() != hyper::StatusCode::OK {
            return Err(format!("answered with {}", response.status()));
        }
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            frame.data_ref().map_or(Ok(()), |piece| take(piece)).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    timeout(within, whole).await.unwrap_or_else(|_| Err(format!("no whole answer within {} s", within.as_secs())))
}

/// Sends a request on a connection of its own, of which at most so many bytes are read: the answer up to its headers, and the task
/// that reads on.
async fn open(request: &Request, content: &str, at_most: u64) -> Result<(hyper::Response<hyper::body::Incoming>, JoinHandle<()>), Outcome> {
    let uri: hyper::Uri = request.url.parse().map_err(|error| Outcome::Unresolved { why: format!("`{}`: {error}", request.url) })?;
    let Some(host) = uri.host().filter(|_| uri.scheme_str() == Some("http")) else {
        return Err(Outcome::Unresolved { why: format!("`{}` is not an http address", request.url) });
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = addresses(bare, uri.port_u16().unwrap_or(80)).await.map_err(|error| Outcome::Unresolved { why: error.to_string() })?;
    let stream = connect(&addresses).await.map_err(|error| Outcome::Refused { why: error.to_string() })?;
    stream.set_nodelay(true).map_err(broken)?;
    let (read_half, write_half) = stream.into_split();
    let stream = tokio::io::join(read_half.take(at_most), write_half);
    let mut client = hyper::client::conn::http1::Builder::new();
    let (mut sender, connection) = client.max_buf_size(BODY_LIMIT).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let mut built = hyper::Request::builder().method(request.method.as_str()).uri(path);
    built = built.header(HOST, uri.authority().map_or(host, hyper::http::uri::Authority::as_str));
    if !content.is_empty() && !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        built = built.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &request.headers {
        built = built.header(name, value);
    }
    let built = built.body(Full::new(Bytes::from(content.to_owned()))).map_err(broken)?;
    match sender.send_request(built).await {
        Ok(response) => Ok((response, connection)),
        Err(error) => {
            connection.abort();
            Err(broken(error))
        }
    }
}

/// Connects to the first of some addresses that can be, from a port of our own that was not used before. The system would come back to one within a
/// minute; a Service remembers for two where the first packet from a port went, and a replica that is dead by then would look like a deployment that is.
async fn connect(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match bound(address)?.connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A socket with the next port that is free. The first is any: other processes at this address had theirs, and what a Service remembers of those stays.
fn bound(to: &SocketAddr) -> std::io::Result<TcpSocket> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(any_port()));
    for _ in PORTS {
        let after = |port: u16| Some(if port >= *PORTS.end() { *PORTS.start() } else { port + 1 });
        let port = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or(*PORTS.start());
        let (socket, from) = match to {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
        };
        match socket.bind(from) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            bound => return bound.map(|()| socket),
        }
    }
    Err(std::io::ErrorKind::AddrNotAvailable.into())
}

/// One of the ports, by the system's randomness.
fn any_port() -> u16 {
    let ports = PORTS.len() as u64;
    let nth = RandomState::new().build_hasher().finish() % ports;
    PORTS.start() + u16::try_from(nth).unwrap_or_default()
}

/// Names and ports, and where they were last.
type Known = HashMap<(String, u16), Vec<SocketAddr>>;

/// Where a name is. Names are resolved by the container engine: one that is held up for a moment must not pass for a deployment that is not
/// there, so what was last known stands in for an answer that takes long. One that says that there is no such name is believed.
async fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = (host.to_owned(), port);
    let mut lookup = pin!(tokio::net::lookup_host((host, port)));
    let found = if let Ok(found) = timeout(PROMPT, &mut lookup).await {
        found?
    } else {
        let last = known().get(&name).cloned();
        if let Some(last) = last {
            return Ok(last);
        }
        lookup.await?
    };
    let found: Vec<SocketAddr> = found.collect();
    known().insert(name, found.clone());
    Ok(found)
}

async fn read(mut response: hyper::Response<hyper::body::Incoming>, limit: usize) -> Result<Outcome, Outcome> {
    let mut content = Vec::new();
    let mut truncated = false;
    while let Some(frame) = response.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        let room = limit - content.len();
        content.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            truncated = true;
            break;
        }
    }
    let body = String::from_utf8_lossy(&content).into_owned();
    Ok(Outcome::Response { status: response.status().as_u16(), body, truncated })
}

fn broken(error: impl std::error::Error) -> Outcome {
    let mut why = error.to_string();
    if let Some(source) = error.source() {
        why = format!("{why}: {source}");
    }
    Outcome::Broken { why }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_connection_comes_from_a_port_of_its_own() {
        let somewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let port = |_| bound(&somewhere).and_then(|socket| socket.local_addr()).expect("there are ports").port();
        let ports: BTreeSet<u16> = (0..200).map(port).collect();
        assert_eq!(ports.len(), 200, "freed as each of them was when the next was taken");
    }

    #[test]
    fn another_process_begins_elsewhere() {
        let begins: BTreeSet<u16> = (0..20).map(|_| any_port()).collect();
        assert!(begins.len() > 10 && begins.iter().all(|port| PORTS.contains(port)), "{begins:?}");
    }
}
