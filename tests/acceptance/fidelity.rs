//! The replay against a Prometheus that runs live: for each pair of rule and fault both agree on when the alert starts and ends.
//!
//! Two services are scraped each second by a real Prometheus that evaluates short-winded rules each second. One service is overloaded
//! and later begins anew, the other is killed and comes back. What was scraped is then replayed with the same rules, twice: once each fault
//! is shown with its end, as long as it was; once its first `SHOWN` alone, which are stretched to the time that it really took.
//!
//! # How closely they can agree
//!
//! - A fault falls somewhere between two scrapes. Live its mark is seen up to a scrape interval later; the replay plays the row of
//!   that second at the onset, or the one after it.
//! - Live each group is evaluated at a moment of its own, up to an evaluation interval after a scrape, and once more for each group
//!   that stands between (`Pair::groups`); the replay evaluates all of them at the next whole second.
//! - A fault's begin and end are known to the row that they fall in; the replay's time has whole seconds.
//!
//! Figures of the service are functions of time, without noise, and thresholds lie where a fault's first seconds cross them clearly:
//! with noise the second at which a rate crosses is drawn anew by the resampling, in a twin of the live run no less than in the replay.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Home, docker, lines, machine, repository, said, today};
use serde_json::{Value, json};

/// Of scrapes and of evaluations, in seconds.
const INTERVAL: f64 = 1.0;
/// How long a row of the recording is, in seconds: what is known of when a fault begins and ends.
const ROW: f64 = 1.0;
/// Healthy scrapes of both services before anything happens.
const HEALTHY: u32 = 30;
/// How much of each fault is shown where it is stretched, where in it the steady part begins, and how much is shown of what comes
/// after a whole one; in milliseconds.
const SHOWN: i64 = 8_000;
const STEADY: i64 = 3_000;
const AFTER: i64 = 5_000;
/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// An alert and the fault that it finds.
struct Pair {
    alert: &'static str,
    what: &'static str,
    fault: &'static str,
    expr: &'static str,
    wait: &'static str,
    keep: &'static str,
    /// How many groups stand one after the other between a scrape and the alert.
    groups: u8,
    /// What is changed in the rule to show that the comparison would see it.
    mutation: (&'static str, &'static str),
}

/// Every pair is one of these, but for what it says otherwise.
const PLAIN: Pair = Pair { alert: "", what: "", fault: "", expr: "", wait: "0s", keep: "0s", groups: 1, mutation: ("", "") };
/// The share of requests that fail.
const RATIO: &str = "sum(rate(requests_total{job=\"steady\", code=\"500\"}[15s])) / sum(rate(requests_total{job=\"steady\"}[15s])) > 0.1";

const PAIRS: [Pair; 12] = [
    Pair { alert: "Ratio", what: "ratio of rates", fault: "overload", expr: RATIO, mutation: ("15s", "40s"), ..PLAIN },
    Pair { alert: "For", what: "`for`", fault: "overload", expr: RATIO, wait: "8s", mutation: ("8s", "14s"), ..PLAIN },
    Pair { alert: "Keep", what: "`keep_firing_for`", fault: "overload", expr: RATIO, keep: "10s", mutation: ("10s", "16s"), ..PLAIN },
    Pair {
        alert: "Chained",
        what: "recording rules in a chain, in another group",
        fault: "overload",
        expr: "errors:ratio15s > 0.1",
        wait: "4s",
        groups: 2,
        mutation: ("4s", "11s"),
        ..PLAIN
    },
    Pair {
        alert: "Slow",
        what: "quantile of a histogram",
        fault: "overload",
        expr: "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket{job=\"steady\"}[15s]))) > 0.25",
        mutation: ("15s", "60s"),
        ..PLAIN
    },
    Pair {
        alert: "Born",
        what: "series that the fault brings to life",
        fault: "overload",
        expr: "sum(rate(failures_total{kind=\"overload\"}[15s])) > 5",
        mutation: ("15s", "40s"),
        ..PLAIN
    },
    Pair {
        alert: "Queue",
        what: "average of a gauge",
        fault: "overload",
        expr: "avg_over_time(queue_depth{job=\"steady\"}[10s]) > 40",
        mutation: ("10s", "24s"),
        ..PLAIN
    },
    Pair { alert: "Dead", what: "dead target", fault: "death", expr: "up{job=\"mortal\"} == 0", wait: "9s", mutation: ("9s", "15s"), ..PLAIN },
    Pair {
        alert: "Absent",
        what: "`absent()`",
        fault: "death",
        expr: "absent(requests_total{job=\"mortal\"})",
        wait: "4s",
        mutation: ("4s", "11s"),
        ..PLAIN
    },
    Pair {
        alert: "Returned",
        what: "counter reset behind a dead target",
        fault: "death",
        expr: "resets(requests_total{job=\"mortal\", code=\"200\"}[40s]) > 0",
        mutation: ("40s", "50s"),
        ..PLAIN
    },
    Pair {
        alert: "Reset",
        what: "counter reset by a restart",
        fault: "restart",
        expr: "resets(requests_total{job=\"steady\", code=\"200\"}[15s]) > 0",
        mutation: ("15s", "22s"),
        ..PLAIN
    },
    Pair {
        alert: "Young",
        what: "time since a process began",
        fault: "restart",
        expr: "time() - began_timestamp_seconds{job=\"steady\"} < 15",
        mutation: ("< 15", "< 22"),
        ..PLAIN
    },
];

impl Pair {
    fn tolerance(&self) -> f64 {
        INTERVAL + f64::from(self.groups) * INTERVAL + ROW
    }

    fn rule(&self, mutated: bool) -> Value {
        let rule =
            json!({ "alert": self.alert, "expr": self.expr, "for": self.wait, "keep_firing_for": self.keep, "labels": { "fault": self.fault } });
        if !mutated {
            return rule;
        }
        let (text, (from, to)) = (rule.to_string(), self.mutation);
        assert!(text.contains(from), "{}", self.alert);
        serde_json::from_str(&text.replace(from, to)).expect("it is JSON still")
    }
}

/// What both Prometheuses read, by path; JSON is YAML.
fn files(mutated: bool) -> BTreeMap<&'static str, String> {
    let job = |name: &str| json!({ "job_name": name, "static_configs": [{ "targets": [format!("{name}:8000")] }] });
    let prometheus = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s" },
        "rule_files": ["rules.yml"],
        "scrape_configs": [job("steady"), job("mortal")],
    });
    let record = |name: &str, expr: &str| json!({ "record": name, "expr": expr });
    let recorded = [
        record("errors:rate15s", "sum(rate(requests_total{job=\"steady\", code=\"500\"}[15s]))"),
        record("requests:rate15s", "sum(rate(requests_total{job=\"steady\"}[15s]))"),
        record("errors:ratio15s", "errors:rate15s / requests:rate15s"),
    ];
    // When alerts were evaluated, said by their own group.
    let alerts: Vec<Value> = [record("evaluated", "vector(1)")].into_iter().chain(PAIRS.iter().map(|pair| pair.rule(mutated))).collect();
    let rules = json!({ "groups": [{ "name": "recorded", "rules": recorded }, { "name": "alerts", "rules": alerts }] });
    let alertmanager = json!({ "route": { "receiver": "nobody" }, "receivers": [{ "name": "nobody" }] });
    BTreeMap::from([("prometheus.yml", prometheus.to_string()), ("rules.yml", rules.to_string()), ("alertmanager.yml", alertmanager.to_string())])
}

/// A fault as it was made: Unix times in milliseconds.
struct Fault {
    id: &'static str,
    begin: i64,
    /// When it was over. A restart is a moment: what is shown of it counts.
    end: i64,
}

/// When an alert fired: its start in seconds from the fault's begin, its end from the fault's end.
#[derive(Debug, Clone, Copy)]
struct Firing {
    start: f64,
    end: f64,
}

impl Firing {
    fn agrees(self, other: Self, tolerance: f64) -> bool {
        (self.start - other.start).abs() <= tolerance && (self.end - other.end).abs() <= tolerance
    }
}

/// The alerts that fired, by name.
type Fired = BTreeMap<String, Firing>;

/// The live side: a network with two services and a Prometheus. All of it goes when this is dropped.
struct Stage {
    network: String,
    containers: RefCell<Vec<String>>,
    prometheus: String,
    steady: String,
    mortal: String,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let remove = |arguments: &[&str]| drop(Command::new("docker").args(arguments).output());
        for container in self.containers.borrow().iter() {
            remove(&["rm", "--force", "--volumes", container]);
        }
        remove(&["network", "rm", &self.network]);
    }
}

impl Stage {
    fn set(home: &Home) -> Self {
        let name = format!("modeldown-fidelity-{}", std::process::id());
        let network = lines(&docker(["network", "create", "--internal", "--label", "modeldown.test=fidelity", &name])).pop().expect("it has one");
        let mut stage = Self { network, containers: RefCell::default(), prometheus: String::new(), steady: String::new(), mortal: String::new() };
        let scripts = format!("{}:/fidelity:ro", repository().join("tests/acceptance/fidelity").display());
        let python = home.image("python");
        let service = |name| stage.run(name, &scripts, &[&python, "python3", "/fidelity/target.py"]);
        (stage.steady, stage.mortal) = (service("steady"), service("mortal"));
        let config = home.path("prometheus");
        std::fs::create_dir(&config).expect("writable");
        for (name, text) in files(false) {
            std::fs::write(config.join(name), text).expect("writable");
        }
        stage.prometheus = stage.run("prometheus", &format!("{}:/etc/prometheus:ro", config.display()), &[&home.image("prometheus")]);
        stage
    }

    /// A container, reached by a name.
    fn run(&self, name: &str, volume: &str, image_and_command: &[&str]) -> String {
        let options =
            ["run", "--detach", "--label", "modeldown.test=fidelity", "--network", &self.network, "--network-alias", name, "--volume", volume];
        let id = lines(&docker(options.into_iter().chain(image_and_command.iter().copied()))).pop().expect("it has one");
        self.containers.borrow_mut().push(id.clone());
        id
    }

    /// What the live Prometheus answers now, if it does.
    fn ask(&self, expr: &str) -> Option<Value> {
        let query = ["exec", &self.prometheus, "promtool", "query", "instant", "--format", "json", "http://localhost:9090", expr];
        let output = Command::new("docker").args(query).output().expect("docker is there");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("it is JSON"))
    }

    /// Waits until an expression holds for something.
    fn until(&self, expr: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(expr).is_none_or(|found| found == json!([])) {
            assert!(Instant::now() < deadline, "`{expr}` never held: {:#?}", self.ask("{__name__=~\"ALERTS|up\"}"));
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until alerts of some names fire.
    fn until_firing(&self, names: &[&str]) {
        self.until(&format!("count(ALERTS{{alertstate=\"firing\", alertname=~\"{}\"}}) == {}", names.join("|"), names.len()));
    }

    fn until_quiet(&self) {
        self.until("absent(ALERTS) and on () sum(up) == 2");
    }

    /// When a service last said that something happened to it, after a moment.
    fn moment(container: &str, what: &str, after: i64) -> i64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = docker(["logs", container]);
            let said = lines(&log);
            let said = said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).rfind(|line| line["what"] == what);
            if let Some(at) = said.and_then(|line| line["at"].as_f64()).map(milliseconds).filter(|at| *at > after) {
                return at;
            }
            assert!(Instant::now() < deadline, "`{what}` was never said: {}", self::said(&log));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn signal(&self, signal: &str, what: &str, after: i64) -> i64 {
        docker(["kill", "--signal", signal, &self.steady]);
        Self::moment(&self.steady, what, after)
    }

    /// Makes one fault after the other, each from rest and until its alerts fire.
    fn play(&self) -> [Fault; 3] {
        self.until(&format!("min(sum_over_time(up[5m])) >= {HEALTHY}"));
        self.until_quiet();

        let begin = self.signal("USR1", "overloaded", 0);
        let names: Vec<&str> = PAIRS.iter().filter(|pair| pair.fault == "overload").map(|pair| pair.alert).collect();
        self.until_firing(&names);
        let overload = Fault { id: "overload", begin, end: self.signal("USR1", "well", begin) };
        self.until_quiet();

        docker(["kill", &self.mortal]);
        let died = lines(&docker(["inspect", "--format", "{{.State.FinishedAt}}", &self.mortal])).pop().expect("it died");
        let died = Command::new("date").args(["+%s.%N", "--date", &died]).output().expect("it runs");
        let begin = milliseconds(lines(&died)[0].parse().expect("a number"));
        self.until_firing(&["Dead", "Absent"]);
        docker(["start", &self.mortal]);
        self.until_quiet();
        // It is back when a scrape finds it again: how soon one can is the machine's affair.
        let scrapes = self.samples("up{job=\"mortal\"}").remove(0).1.into_iter().filter(|(at, _)| *at >= begin);
        let (back, _) = scrapes.skip_while(|(_, up)| up == "1").find(|(_, up)| up == "1").expect("it is found again");
        let death = Fault { id: "death", begin, end: back };

        let begin = self.signal("USR2", "restarting", 0);
        self.until_firing(&["Reset", "Young"]);
        self.until_quiet();
        [overload, death, Fault { id: "restart", begin, end: begin + SHOWN }]
    }

    /// All samples of a selector as the live Prometheus has them, without markers of staleness.
    fn samples(&self, selector: &str) -> Vec<(Value, Vec<(i64, Value)>)> {
        let found = self.ask(&format!("{selector}[15m]")).expect("it answers");
        let pair = |pair: &Value| (milliseconds(pair[0].as_f64().expect("a time")), pair[1].clone());
        let series = |series: &Value| (series["metric"].clone(), series["values"].as_array().expect("a list").iter().map(pair).collect());
        found.as_array().expect("a list").iter().map(series).collect()
    }

    /// What fired live.
    fn fired(&self, faults: &[Fault]) -> Fired {
        let moments =
            |selector: &str| -> BTreeSet<i64> { self.samples(selector).iter().flat_map(|(_, samples)| samples.iter().map(|(at, _)| *at)).collect() };
        let evaluated = moments("evaluated");
        let fired = |pair: &Pair| {
            let fault = faults.iter().find(|fault| fault.id == pair.fault).expect("it was made");
            let firing = moments(&format!("ALERTS{{alertstate=\"firing\", alertname=\"{}\"}}", pair.alert));
            let start = *firing.range(fault.begin..).next()?;
            let end = *evaluated.range(start..).find(|at| !firing.contains(at))?;
            Some((pair.alert.to_owned(), Firing { start: seconds(start - fault.begin), end: seconds(end - fault.end) }))
        };
        PAIRS.iter().filter_map(fired).collect()
    }

    /// What was scraped.
    fn recording(&self) -> Value {
        let scraped = self.samples("{job=~\".+\", __name__!=\"ALERTS\", __name__!=\"ALERTS_FOR_STATE\"}");
        let series: Vec<Value> = scraped.into_iter().map(|(labels, samples)| json!({ "labels": labels, "samples": samples })).collect();
        json!({ "interval_ms": 1000, "types": self.types(), "series": series })
    }

    /// The types of metrics by their names.
    fn types(&self) -> BTreeMap<String, Value> {
        let script = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen('http://prometheus:9090/api/v1/metadata').read().decode())";
        let output = docker(["exec", &self.steady, "python3", "-c", script]);
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        metadata["data"].as_object().expect("by name").iter().map(|(name, said)| (name.clone(), said[0]["type"].clone())).collect()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "times fit")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[allow(clippy::cast_precision_loss, reason = "times fit")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// What is to be replayed of a recording.
fn input(recording: &Value, faults: &[Fault], stretched: bool, mutated: bool) -> Value {
    let begin = faults[0].begin;
    let healthy = json!({ "id": "healthy", "kind": "healthy", "from_ms": begin - i64::from(HEALTHY - 1) * 1000, "to_ms": begin - 1000 });
    let window = |fault: &Fault| {
        let (steady_to, to) = if stretched { (fault.begin + SHOWN, fault.begin + SHOWN) } else { (fault.end, fault.end + AFTER) };
        let (from, steady_from) = (fault.begin, fault.begin + STEADY);
        json!({ "id": fault.id, "kind": "signature", "from_ms": from, "steady_from_ms": steady_from, "steady_to_ms": steady_to, "to_ms": to })
    };
    let windows: Vec<Value> = [healthy].into_iter().chain(faults.iter().map(window)).collect();
    let trace = |fault: &Fault| {
        let minutes = seconds(fault.end - fault.begin) / 60.0;
        json!({ "id": fault.id, "signature": fault.id, "before_minutes": 2, "duration_minutes": minutes, "after_minutes": 2, "onset_minutes": 10 })
    };
    json!({
        "format": 1, "seed": "fidelity", "files": files(mutated), "prometheus": "prometheus.yml", "alertmanager": "alertmanager.yml",
        "recording": recording, "windows": windows, "traces": faults.iter().map(trace).collect::<Vec<_>>(),
        "rhythm": { "low": 1, "peak_hour": 12 }, "warm_up_minutes": 10,
    })
}

/// What fires in a replay.
fn replay(image: &str, input: &Value) -> Fired {
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--interactive", "--network", "none", "--label", "modeldown.test=fidelity", image, "replay"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("docker is there");
    child.stdin.take().expect("piped").write_all(input.to_string().as_bytes()).expect("it reads");
    let output: Output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let (mut ends, mut fired) = (BTreeMap::new(), Fired::new());
    for line in lines(&output) {
        let line: Value = serde_json::from_str(&line).expect("it is JSON");
        match line["kind"].as_str() {
            Some("load_error" | "rule_error" | "limit") => panic!("{line}"),
            Some("trace") => drop(ends.insert(line["trace"].to_string(), line["end_s"].as_f64().expect("a number"))),
            Some("alert") if line["twin"] == false && line["labels"]["fault"] == line["trace"] => {
                let at = |change: &Value| change["at_s"].as_f64().expect("a number");
                let mut changes =
                    line["changes"].as_array().expect("a list").iter().skip_while(|change| at(change) < 0.0 || change["state"] != "firing");
                let Some((start, end)) = changes.next().map(at).zip(changes.next().map(at)) else { continue };
                let firing = Firing { start, end: end - ends[&line["trace"].to_string()] };
                assert!(fired.insert(line["rule"]["name"].as_str().expect("a name").to_owned(), firing).is_none(), "twice: {line}");
            }
            _ => (),
        }
    }
    fired
}

#[test]
fn the_replay_agrees_with_a_prometheus_that_runs_live() {
    let home = Home::new();
    let image = home.image("replay");
    let stage = Stage::set(&home);
    let faults = stage.play();
    let (live, recording) = (stage.fired(&faults), stage.recording());
    drop(stage);
    let replay = |stretched, mutated| replay(&image, &input(&recording, &faults, stretched, mutated));
    let (whole, stretched, mutated) = (replay(false, false), replay(true, false), replay(true, true));

    let page = page(&faults, &live, &whole, &stretched);
    if std::env::var_os("MODELDOWN_WRITE_FIDELITY").is_some() {
        std::fs::write(repository().join("docs/fidelity.md"), &page).expect("writable");
    }
    for pair in &PAIRS {
        let live = live.get(pair.alert);
        let agrees = |with: &Fired| live.zip(with.get(pair.alert)).is_some_and(|(live, with)| live.agrees(*with, pair.tolerance()));
        assert!(agrees(&whole) && agrees(&stretched), "{}\n{page}", pair.alert);
        assert!(!agrees(&mutated), "{} with another rule agrees as well: {mutated:#?}\n{page}", pair.alert);
    }
}

/// The comparison as a page.
fn page(faults: &[Fault], live: &Fired, whole: &Fired, stretched: &Fired) -> String {
    let mut page = format!("# Fidelity of the replay\n\nWritten by `make fidelity` on {}.\n{}\n\n", today(), machine());
    page.push_str(
        "A Prometheus runs live, scrapes and evaluates each second, and meets real faults; what it scraped is replayed with the same rules. Starts \
         are seconds from the\nfault's begin, ends from its end. The test (`tests/acceptance/fidelity.rs`) says why the two may differ by as much as the \
         last column allows, and shows that they\ndiffer by more where a rule is changed by a few seconds.\n\n",
    );
    for fault in faults {
        let _ = writeln!(page, "- `{}` took {:.1} s", fault.id, seconds(fault.end - fault.begin));
    }
    let head = "\n| rule | fault | live start | replay start | difference | live end | replay end | difference | tolerance |\n|---|---|---|---|---|---|---|---|---|\n";
    for (title, replayed) in [("Faults as long as they were", whole), ("Faults stretched from their first eight seconds", stretched)] {
        let _ = write!(page, "\n## {title}\n{head}");
        for pair in &PAIRS {
            let _ = write!(page, "| {} | {} |", pair.what, pair.fault);
            let (live, replayed) = (live.get(pair.alert), replayed.get(pair.alert));
            let sides: [fn(&Firing) -> f64; 2] = [|firing| firing.start, |firing| firing.end];
            for side in sides {
                let number = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.1}"));
                let (live, replayed) = (live.map(side), replayed.map(side));
                // Adding nothing makes zero of what is rounded to less than nothing.
                let difference = live.zip(replayed).map_or_else(String::new, |(live, replayed)| {
                    let tenths = ((replayed - live) * 10.0).round() + 0.0;
                    format!("{:+.1}", tenths / 10.0)
                });
                let _ = write!(page, " {} | {} | {difference} |", number(live), number(replayed));
            }
            let _ = writeln!(page, " {:.0} |", pair.tolerance());
        }
    }
    page
}
