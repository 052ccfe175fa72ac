//! The driver as the grader uses it: commands in, events out, against a server that behaves and misbehaves.
#![cfg(feature = "programs")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::time::Duration;

use platform::protocol::{BODY_LIMIT, Command, Event, Outcome, Request, VERSION};

/// A server of which each path does one thing.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).expect("a request");
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let reply = match line.split(' ').nth(1) {
        Some("/echo") => body,
        Some("/big") => vec![b'x'; BODY_LIMIT + 1],
        Some("/never") => {
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        Some("/pieces") => return forever(stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        Some("/interim") => return forever(stream, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Some("/headers") => return forever(stream, b"HTTP/1.1 200 OK\r\n", b"x-header: value\r\n"),
        _ => return,
    };
    // The driver may have what it wants already and hang up.
    drop(write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len()).and_then(|()| stream.write_all(&reply)));
}

/// An answer that never ends.
fn forever(mut stream: TcpStream, head: &[u8], piece: &[u8]) {
    let pieces = piece.repeat(1_000);
    let mut written = stream.write_all(head);
    while written.is_ok() {
        written = stream.write_all(&pieces);
    }
}

/// A request of the traffic, whose body is a row's.
fn request(url: String, timeout_ms: u64) -> Request {
    Request { method: "POST".to_owned(), url, headers: Vec::new(), body: None, timeout_ms, body_limit: BODY_LIMIT }
}

struct Driver {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    fn start() -> Self {
        let mut child = Process::new(env!("CARGO_BIN_EXE_driver")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut driver = Self { child, input, output };
        assert_eq!(driver.next(), Event::Ready { version: VERSION });
        driver
    }

    fn tell(&mut self, command: &Command) {
        self.line(&serde_json::to_string(command).expect("it is JSON"));
    }

    fn line(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it reads");
    }

    fn next(&mut self) -> Event {
        let line = self.output.next().expect("it says something").expect("it is text");
        serde_json::from_str(&line).expect("it is an event")
    }

    fn ask(&mut self, url: String, body: Option<&str>, timeout_ms: u64) -> Outcome {
        let request = Request { body: body.map(str::to_owned), ..request(url, timeout_ms) };
        self.tell(&Command::Ask { id: 7, request });
        match self.next() {
            Event::Asked { id: 7, outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }
    }

    fn quit(mut self) -> Vec<Event> {
        self.tell(&Command::Quit);
        let mut events = Vec::new();
        loop {
            match self.next() {
                Event::Bye => break,
                event => events.push(event),
            }
        }
        assert!(self.child.wait().expect("it ends").success());
        events
    }
}

#[test]
fn every_fate_of_a_request_has_a_name() {
    let at = server();
    let mut driver = Driver::start();
    let echoed = driver.ask(format!("http://{at}/echo"), Some("hello"), 5_000);
    assert_eq!(echoed, Outcome::Response { status: 200, body: "hello".to_owned(), truncated: false });
    let big = driver.ask(format!("http://{at}/big"), None, 5_000);
    assert!(matches!(big, Outcome::Response { truncated: true, ref body, .. } if body.len() == BODY_LIMIT), "{big:?}");
    assert_eq!(driver.ask(format!("http://{at}/never"), None, 100), Outcome::TimedOut);
    assert!(matches!(driver.ask(format!("http://{at}/close"), None, 5_000), Outcome::Broken { .. }));
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that is free again");
    assert!(matches!(driver.ask(format!("http://{closed}/"), None, 5_000), Outcome::Refused { .. }));
    assert!(matches!(driver.ask("http://no-such-host.invalid/".to_owned(), None, 5_000), Outcome::Unresolved { .. }));
    assert!(driver.quit().is_empty());
}

#[test]
fn answers_without_an_end_are_not_read_for_ever() {
    let at = server();
    let mut driver = Driver::start();
    // Far below their time-out.
    for path in ["pieces", "interim", "headers"] {
        let outcome = driver.ask(format!("http://{at}/{path}"), None, 60_000);
        assert!(matches!(outcome, Outcome::Broken { .. }), "{path}: {outcome:?}");
    }
    assert!(driver.quit().is_empty());
}

#[test]
fn traffic_goes_on_while_nobody_answers() {
    let at = server();
    let mut driver = Driver::start();
    driver.tell(&Command::Rows { rows: vec!["a".to_owned(), "b".to_owned()] });
    let request = request(format!("http://{at}/never"), 500);
    driver.tell(&Command::Traffic { request, rate_per_second: 200.0 });
    // A closed loop would have sent one request by the time at which the first of them times out.
    let Event::Answered { seq: 0, row: 0, outcome: Outcome::TimedOut, .. } = driver.next() else { panic!("the first must time out first") };
    driver.tell(&Command::StopTraffic);
    let answered = driver.quit();
    assert!(answered.len() > 20, "{} were sent meanwhile", answered.len());
    let rows: Vec<usize> = answered.iter().filter_map(|event| if let Event::Answered { row, .. } = event { Some(*row) } else { None }).collect();
    assert!(rows.contains(&0) && rows.contains(&1));
}

#[test]
fn the_rows_in_use_change_under_one_stream() {
    let at = server();
    let mut driver = Driver::start();
    driver.tell(&Command::Rows { rows: ["a", "b", "c", "d"].map(str::to_owned).to_vec() });
    driver.tell(&Command::Use { first: 0, count: 2 });
    let request = request(format!("http://{at}/echo"), 5_000);
    driver.tell(&Command::Traffic { request, rate_per_second: 100.0 });
    let first_of = |driver: &mut Driver, wanted: usize| loop {
        match driver.next() {
            Event::Answered { seq, row, .. } if row == wanted => return seq,
            _ => {}
        }
    };
    let usual = first_of(&mut driver, 1);
    driver.tell(&Command::Use { first: 2, count: 2 });
    let drifted = first_of(&mut driver, 3);
    assert!(drifted > usual);
    driver.tell(&Command::Use { first: 3, count: 2 });
    let said = driver.quit();
    assert!(said.iter().any(|event| matches!(event, Event::Fault { message } if message.contains("no 2 rows from 3 on"))), "{said:?}");
    assert!(said.iter().all(|event| !matches!(event, Event::Answered { row: 0 | 1, seq, .. } if *seq > drifted)), "{said:?}");
}

#[test]
fn intended_times_are_the_schedule_s() {
    let at = server();
    let mut driver = Driver::start();
    driver.tell(&Command::Rows { rows: vec!["a".to_owned()] });
    let request = request(format!("http://{at}/echo"), 5_000);
    driver.tell(&Command::Traffic { request, rate_per_second: 100.0 });
    let mut intended = std::collections::BTreeMap::new();
    while intended.len() < 20 {
        if let Event::Answered { seq, intended_ns, sent_ns, done_ns, .. } = driver.next() {
            assert!(intended_ns <= sent_ns && sent_ns <= done_ns);
            intended.insert(seq, intended_ns);
        }
    }
    // Ten milliseconds apart to the nanosecond, however late a request was sent.
    let first = intended.values().next().copied().expect("there are twenty");
    assert!(intended.iter().all(|(seq, at_ns)| *at_ns == first + seq * 10_000_000), "{intended:?}");
    driver.quit();
}

#[test]
fn a_watch_goes_on_until_it_is_ended() {
    let at = server();
    let mut driver = Driver::start();
    let request = request(format!("http://{at}/echo"), 5_000);
    driver.tell(&Command::Watch { name: "canary".to_owned(), every_ms: 10, request });
    for _ in 0..3 {
        assert!(matches!(driver.next(), Event::Watched { name, outcome: Outcome::Response { status: 200, .. }, .. } if name == "canary"));
    }
    driver.tell(&Command::Unwatch { name: "canary".to_owned() });
    driver.quit();
}

#[test]
fn what_is_not_understood_is_a_fault_and_not_the_end() {
    let mut driver = Driver::start();
    driver.line("{\"do\": \"dance\"}");
    assert!(matches!(driver.next(), Event::Fault { message } if message.contains("dance")));
    driver.tell(&Command::Sync { id: 3 });
    assert!(matches!(driver.next(), Event::Sync { id: 3, .. }));
    driver.quit();
}

#[test]
fn a_driver_without_a_grader_ends() {
    let Driver { mut child, input, output } = Driver::start();
    drop(input);
    let last = output.last().expect("it says something").expect("it is text");
    assert_eq!(serde_json::from_str::<Event>(&last).expect("it is an event"), Event::Bye);
    assert!(child.wait().expect("it ends").success());
}
