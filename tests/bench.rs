//! Measures what the README promises and writes `docs/performance.md`: whole processes, ratios in one run, on the real road. `bench clusters` does the
//! same for an exercise on Kubernetes, and writes `docs/performance-kubernetes.md`.

#![allow(clippy::print_stderr, reason = "figures as they come, for whoever waits for them")]

mod clusters;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Home, docker, machine, repository, said, today};
use grader::exam::Exam;
use grader::history::{History, Line, Monitoring, What};
use harness::exercise::{Exercise, Key, Variant, render_workspace};

/// How many pairs of starts are compared.
const PAIRS: usize = 7;
/// How long an environment is left alone, and then looked at.
const AT_REST: Duration = Duration::from_secs(30);
/// How many rules a submission may have.
const MOST_RULES: usize = 200;
/// How many times a history is judged.
const JUDGEMENTS: usize = 15;

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => on_docker(),
        Some("clusters") => clusters::measured(),
        Some(other) => panic!("`{other}` is not measured; known: clusters"),
    }
}

/// A page of figures, as they come.
struct Page(String);

impl Page {
    fn new(title: &str, command: &str) -> Self {
        let (today, machine) = (today(), machine());
        Self(format!("# {title}\n\nWritten by `{command}` on {today}.\n{machine} Release build.\n\n| what | measured | goal |\n|---|---|---|\n"))
    }

    fn row(&mut self, what: &str, measured: &str, goal: &str) {
        eprintln!("{what}: {measured} (goal: {goal})");
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "| {what} | {measured} | {goal} |");
    }

    fn write(self, file: &str) {
        std::fs::write(repository().join(file), self.0).expect("writable");
    }
}

fn on_docker() {
    let home = Home::new();
    let mut page = Page::new("Performance", "make bench");
    let mut row = |what: &str, measured: String, goal: &str| page.row(what, &measured, goal);
    let Starts { first, ours, theirs, ratios, resident_mib, busy_cores } = starts(&home);
    row("`harness start`, the first with images present", format!("{first:.1} s"), "<= 10 s");
    row("resident memory of all containers at home", format!("{resident_mib:.0} MiB"), "<= 400 MiB");
    row("the whole machine's processors at rest, with the traffic at home", format!("{busy_cores:.2} cores"), "< 0.33");
    row("`harness start` from stopped, median", format!("{:.2} s", median(&ours)), "");
    row("`docker compose up --wait` of the same files, median", format!("{:.2} s", median(&theirs)), "");
    row("ratio, median of the pairs", format!("{:.2}", median(&ratios)), "<= 1.15");
    for rate in [50, 200] {
        let exam = examined(&home, "model-down", rate);
        row(&format!("`grader run` of the reference at {rate} requests/s"), format!("{:.1} s", exam.seconds), "<= 300 s");
        row("ratio to the sum of its phases' minimum times", format!("{:.2}", exam.seconds / exam.minimum), "<= 1.2");
        row("its exam, from its first phase to the end of the last", format!("{:.1} s", exam.exam_seconds), "<= 240 s");
        row("grader's resident memory at its highest", format!("{:.1} MiB", exam.resident_mib), "< 64 MiB");
        row(
            &format!("requests sent within 2 ms of their time, of {}", exam.sent),
            format!("{:.3} % (99.9 % within {:.2} ms)", exam.on_time * 100.0, exam.late_ms),
            "99.9 %",
        );
    }
    let ((_, alone), (rules, many)) = (replay(&home, 0), replay(&home, MOST_RULES));
    row("`grader replay`: eight incidents, their twins and a quiet day, whole process", format!("{alone:.1} s"), "<= 60 s");
    row(
        &format!("the same with {rules} rules: the reference's as often as they fit in, and ratios of the last hour"),
        format!("{many:.1} s"),
        "<= 180 s",
    );
    let judging = judgements(&home);
    row("`grader judge` of a recorded exam, whole process, median", format!("{:.0} ms", median(&judging) * 1e3), "< 50 ms");
    page.write("docs/performance.md");
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn timed(command: &mut Command) -> f64 {
    let began = Instant::now();
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    began.elapsed().as_secs_f64()
}

/// How starting goes, and what runs afterwards.
struct Starts {
    first: f64,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    ratios: Vec<f64>,
    resident_mib: f64,
    busy_cores: f64,
}

/// What the containers have resident, in MiB.
fn resident_mib() -> f64 {
    let used = |line: &String| -> Option<f64> {
        let text = line.split('/').next()?.trim();
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[number.len()..] {
            "GiB" => 1024.0,
            "KiB" => 1.0 / 1024.0,
            "B" => 1.0 / 1024.0 / 1024.0,
            _ => 1.0,
        };
        Some(number.parse::<f64>().ok()? * factor)
    };
    acceptance::lines(&docker(["stats", "--no-stream", "--format", "{{.MemUsage}}"])).iter().filter_map(used).sum()
}

/// How many processors were busy on average for a while, engine and health checks included.
fn busy_cores() -> f64 {
    let busy = || -> f64 {
        let stat = std::fs::read_to_string("/proc/stat").expect("it is Linux");
        let ticks: Vec<f64> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|value| value.parse().ok()).collect();
        // All but idle and waiting for disks, in hundredths of a second.
        ticks.iter().enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, ticks)| ticks / 100.0).sum()
    };
    let (before, began) = (busy(), Instant::now());
    std::thread::sleep(AT_REST);
    (busy() - before) / began.elapsed().as_secs_f64()
}

/// The first start, then pairs of ours and plain Compose's, each from containers removed and volumes kept.
fn starts(home: &Home) -> Starts {
    let workspace = home.path("start");
    let start = || timed(home.harness().args(["start", "model-down", "--reference", "--dir"]).arg(&workspace));
    let compose = |arguments: &[&str]| timed(Command::new("docker").arg("compose").args(arguments).current_dir(&workspace));
    // Images come first, so that they are in nobody's time.
    timed(home.harness().arg("images"));
    let first = start();
    std::thread::sleep(AT_REST);
    let (busy_cores, resident_mib) = (busy_cores(), resident_mib());
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        compose(&["down"]);
        let plain = compose(&["up", "--detach", "--wait"]);
        compose(&["down"]);
        let harness = start();
        ours.push(harness);
        theirs.push(plain);
        ratios.push(harness / plain);
    }
    timed(home.harness().args(["stop", "--remove", "--dir"]).arg(&workspace));
    Starts { first, ours, theirs, ratios, resident_mib, busy_cores }
}

struct Examined {
    seconds: f64,
    exam_seconds: f64,
    minimum: f64,
    resident_mib: f64,
    sent: usize,
    on_time: f64,
    late_ms: f64,
}

/// A whole run on the reference, with the exam's traffic at a rate.
fn examined(home: &Home, id: &str, rate: u32) -> Examined {
    let exercises = home.path(&format!("exercises-{rate}"));
    let copied = Command::new("cp").arg("-r").arg(repository().join("exercises")).arg(&exercises).status().expect("it runs");
    assert!(copied.success());
    let file = exercises.join(id).join("exam.yaml");
    let text = std::fs::read_to_string(&file).expect("readable").replace("rate_per_second: 50", &format!("rate_per_second: {rate}"));
    std::fs::write(&file, &text).expect("writable");
    let minimum = Exam::parse("exam.yaml", &text).expect("it is right").min().as_secs_f64();
    let exercise = Exercise::load(&exercises.join(id)).expect("it is right");
    let files = render_workspace(&exercise, &Variant::reference(), &Key::public()).expect("it renders");
    let workspace = home.path(&format!("work-{rate}"));
    harness::submission::write_files(&files.into(), &workspace).expect("writable");
    let out = home.path(&format!("report-{rate}"));
    let mut command = home.command("grader");
    command.arg("--exercises").arg(&exercises).arg("run").arg(&workspace).arg("--out").arg(&out);
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut resident_kib = 0;
    let status = loop {
        resident_kib = resident_kib.max(high_water_kib(child.id()));
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.success(), "the reference must pass: {status}");
    let history = History::read(&out.join("history")).expect("it is whole");
    let at = |is: fn(&What) -> bool| history.events.iter().filter(move |event| is(&event.what)).map(|event| event.at_ns);
    let began = at(|what| matches!(what, What::PhaseEntered { .. })).min().unwrap_or(0);
    let ended = at(|what| matches!(what, What::PhaseLeft { .. })).max().unwrap_or(0);
    let mut late: Vec<u64> = lateness(&history);
    late.sort_unstable();
    let on_time = late.partition_point(|late| *late <= 2_000_000);
    #[allow(clippy::cast_precision_loss, reason = "thousands of requests, and kilobytes")]
    Examined {
        seconds,
        exam_seconds: (ended - began) as f64 / 1e9,
        minimum,
        resident_mib: resident_kib as f64 / 1024.0,
        sent: late.len(),
        on_time: on_time as f64 / late.len().max(1) as f64,
        late_ms: late.get(late.len() * 999 / 1000).copied().unwrap_or(u64::MAX) as f64 / 1e6,
    }
}

/// The most memory that a process has had resident so far.
fn high_water_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How late each request of a recorded exam was sent, in nanoseconds.
fn lateness(history: &History) -> Vec<u64> {
    let late = history.events.iter().filter_map(|event| match &event.what {
        What::Request { intended_ns, sent_ns, .. } => Some(sent_ns.saturating_sub(*intended_ns)),
        _ => None,
    });
    late.collect()
}

/// A replay of the recorded exam with as many rules, or with its own where these are more: how many there were, and the seconds.
fn replay(home: &Home, least: usize) -> (usize, f64) {
    let history = home.path(&format!("replay-{least}"));
    let copied = Command::new("cp").arg("-r").arg(home.path("report-50/history")).arg(&history).status().expect("it runs");
    assert!(copied.success());
    let file = history.join("monitoring.json");
    let mut monitoring: Monitoring = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("it is JSON");
    let is_rules = |(path, _): &(&String, &String)| path.starts_with("prometheus/rules/");
    let own: Vec<(String, String)> = monitoring.files.iter().filter(is_rules).map(|(path, text)| (path.clone(), text.clone())).collect();
    let count: usize = own.iter().map(|(_, text)| text.matches("- alert: ").count() + text.matches("- record: ").count()).sum();
    for time in 1..least / count {
        let renamed = |text: &str| text.replace("fraud:", &format!("fraud{time}:")).replace("alert: ", &format!("alert: N{time}"));
        monitoring.files.extend(own.iter().map(|(path, text)| (path.replace(".yml", &format!("-{time}.yml")), renamed(text))));
    }
    if least > count {
        let ratio = r#"sum(rate(haproxy_backend_http_responses_total{code="5xx"}[1h])) / sum(rate(haproxy_backend_http_responses_total[1h]))"#;
        let more: Vec<String> = (0..least % count).map(|number| format!("      - {{record: 'more:ratio{number}', expr: '{ratio}'}}\n")).collect();
        let more = more.concat();
        monitoring.files.insert("prometheus/rules/more.yml".to_owned(), format!("groups:\n  - name: more\n    rules:\n{more}"));
        std::fs::write(&file, serde_json::to_vec(&monitoring).expect("it is JSON")).expect("writable");
    }
    let seconds = timed(home.grader().arg("replay").arg(&history));
    let lines = History::read(&history).expect("it is whole").replay.expect("it was replayed");
    (lines.iter().filter(|line| matches!(line, Line::Rule(_))).count(), seconds)
}

fn judgements(home: &Home) -> Vec<f64> {
    (0..JUDGEMENTS).map(|_| timed(home.grader().arg("judge").arg(home.path("report-50/history")))).collect()
}
