//! The driver: sends traffic and asks questions inside an exercise's network, and listens nowhere.
//!
//! ```text
//! driver                                         reads commands on stdin, writes events on stdout; ends with stdin
//! driver background --url U --rate R --rows F    sends the lines of F to U, R a second, for ever
//! driver probe URL                               asks once; exit 0 for an answer of 200: a health check
//! driver get URL                                 writes the body of an answer of 200 to stdout, however long it is
//! ```

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use platform::client;
use platform::output::Output;
use platform::protocol::{Command, Event, Outcome, Request, VERSION};
use platform::schedule::{Running, Traffic};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

/// How long `get` waits for the whole of an answer.
const GET: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: driver | driver background --url URL --rate PER_SECOND --rows FILE | driver probe URL | driver get URL";

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => serve().await,
        ["probe", url] => probe(url).await,
        ["get", url] => get(url).await,
        ["background", "--url", url, "--rate", rate, "--rows", rows] => background(url, rate, rows).await,
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("driver: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let (output, writer) = Output::start(std::io::stdout());
    output.say(Event::Ready { version: VERSION });
    let (send, mut commands) = mpsc::unbounded_channel();
    // Not joined: it waits for a line that may never come.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let command =
                line.map_err(|error| error.to_string()).and_then(|line| serde_json::from_str::<Command>(&line).map_err(|error| error.to_string()));
            if send.send(command).is_err() {
                return;
            }
        }
    });
    let mut work = Work::new(output.clone());
    while let Some(command) = commands.recv().await {
        match command {
            Ok(Command::Quit) => break,
            Ok(command) => work.take(command),
            Err(error) => output.say(Event::Fault { message: format!("a command was not understood: {error}") }),
        }
    }
    work.finish().await;
    output.say(Event::Bye);
    drop(output);
    writer.join().map_err(|_| "the writer panicked".to_owned())?.map_err(|error| error.to_string())
}

/// Everything that a driver has in hand.
struct Work {
    output: Output,
    traffic: Traffic,
    running: Option<Running>,
    rows: Vec<String>,
    questions: JoinSet<()>,
    watches: HashMap<String, AbortHandle>,
}

impl Work {
    fn new(output: Output) -> Self {
        let traffic = Traffic::new(output.clone());
        Self { output, traffic, running: None, rows: Vec::new(), questions: JoinSet::new(), watches: HashMap::new() }
    }

    fn take(&mut self, command: Command) {
        while self.questions.try_join_next().is_some() {}
        match command {
            Command::Sync { id } => self.output.say(Event::Sync { id, at_ns: self.output.now_ns() }),
            Command::Rows { rows } => self.rows = rows,
            Command::Use { first, count } if count > 0 && count <= self.rows.len() && first <= self.rows.len() - count => {
                self.traffic.restrict(first..first + count);
            }
            Command::Use { first, count } => {
                self.output.say(Event::Fault { message: format!("there are no {count} rows from {first} on") });
            }
            Command::Traffic { request, rate_per_second } if rate_per_second > 0.0 && rate_per_second <= 10_000.0 => {
                self.running = None;
                self.running = Some(self.traffic.start(request, self.rows.clone(), rate_per_second));
            }
            Command::Traffic { rate_per_second, .. } => {
                self.output.say(Event::Fault { message: format!("no traffic at {rate_per_second} requests a second") });
            }
            Command::StopTraffic => self.running = None,
            Command::Ask { id, request } => {
                let output = self.output.clone();
                self.questions.spawn(async move {
                    let sent_ns = output.now_ns();
                    let outcome = client::send(&request, None).await;
                    output.say(Event::Asked { id, sent_ns, done_ns: output.now_ns(), outcome });
                });
            }
            Command::Watch { name, every_ms, request } => {
                let watch = tokio::spawn(watch(self.output.clone(), name.clone(), every_ms, request)).abort_handle();
                if let Some(replaced) = self.watches.insert(name, watch) {
                    replaced.abort();
                }
            }
            Command::Unwatch { name } => {
                if let Some(watch) = self.watches.remove(&name) {
                    watch.abort();
                }
            }
            Command::Quit => {}
        }
    }

    async fn finish(mut self) {
        self.running = None;
        for watch in self.watches.values() {
            watch.abort();
        }
        while self.questions.join_next().await.is_some() {}
        self.traffic.settled().await;
    }
}

async fn watch(output: Output, name: String, every_ms: u64, request: Request) {
    let mut ticks = interval(Duration::from_millis(every_ms.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let sent_ns = output.now_ns();
        let outcome = client::send(&request, None).await;
        output.say(Event::Watched { name: name.clone(), sent_ns, done_ns: output.now_ns(), outcome });
    }
}

async fn background(url: &str, rate: &str, rows: &str) -> Result<(), String> {
    let rate: f64 = rate.parse().map_err(|_| format!("`{rate}` is not a number of requests a second"))?;
    if !(rate > 0.0 && rate <= 10_000.0) {
        return Err(format!("no traffic at {rate} requests a second"));
    }
    let text = std::fs::read_to_string(rows).map_err(|error| format!("`{rows}`: {error}"))?;
    let rows = text.lines().map(str::to_owned).collect();
    // Nobody reads what becomes of it: monitoring is what the candidate has.
    let (output, _writer) = Output::start(Nowhere);
    let request = Request { method: "POST".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout_ms: 1_000, body_limit: 0 };
    let _running = Traffic::new(output).start(request, rows, rate);
    std::future::pending().await
}

struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, content: &[u8]) -> std::io::Result<usize> {
        Ok(content.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn probe(url: &str) -> Result<(), String> {
    let request = Request { method: "GET".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout_ms: 2_000, body_limit: 0 };
    match client::send(&request, None).await {
        Outcome::Response { status: 200, .. } => Ok(()),
        other => Err(format!("{url}: {other:?}")),
    }
}

async fn get(url: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    client::download(url, GET, |piece| stdout.write_all(piece)).await.map_err(|why| format!("{url}: {why}"))?;
    stdout.flush().map_err(|error| error.to_string())
}
