//! The day before, as a candidate asks Prometheus about it: whichever sensible way they ask, what they find is right.

use std::collections::BTreeMap;
use std::process::Command;

use acceptance::{Home, docker, lines, model_down, said};
use harness::compose::Ownership;
use harness::engine::Engine;
use harness::environment::fill_volume;
use harness::exercise::{Day, Key, Seed, Variant, day};
use serde_json::Value;

const HOUR: i64 = 3_600;
const FAILED: &str = r#"sum(haproxy_backend_http_responses_total{proxy="models",code="5xx"})"#;
/// Ways to see how many requests fail, each from a minute on in which more than a hundredth does.
const SHARES: [&str; 4] = [
    r#"sum(rate(haproxy_backend_http_responses_total{code="5xx"}[1m])) / sum(rate(haproxy_backend_http_responses_total[1m]))"#,
    r#"sum(increase(haproxy_backend_http_responses_total{code="5xx"}[2m])) / sum(increase(haproxy_backend_http_responses_total[2m]))"#,
    r#"sum(rate(haproxy_backend_http_responses_total{code="5xx"}[5m])) / sum(rate(haproxy_backend_http_responses_total[5m]))"#,
    r#"1 - sum(rate(haproxy_backend_http_responses_total{code="2xx"}[2m])) / sum(rate(haproxy_backend_http_responses_total[2m]))"#,
];

/// A Prometheus that was given a day, with nothing to scrape.
struct Asked {
    container: String,
    volume: String,
    midnight: i64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        for arguments in [["rm", "--force", &self.container], ["volume", "rm", &self.volume]] {
            drop(Command::new("docker").args(arguments).output());
        }
    }
}

impl Asked {
    fn about(day: &Day, image: &str, name: &str) -> Self {
        let volume = format!("modeldown-test-{}-{name}", std::process::id());
        let ownership = Ownership { lease: volume.clone(), owner: "test".to_owned(), expires: String::new() };
        let runtime = tokio::runtime::Runtime::new().expect("it starts");
        let midnight = runtime.block_on(async {
            let engine = Engine::connect().await.expect("it answers");
            fill_volume(&engine, &volume, (image, "/prometheus"), &day.recorded, &ownership).await.expect("blocks are made").as_second()
        });
        let folder = format!("{volume}:/prometheus");
        let run = ["run", "--detach", "--network", "none", "--label", "modeldown.test=past", "--volume", &folder, "--entrypoint", "sh", image, "-c"];
        let serve = "echo '{}' > /tmp/none.yml; exec prometheus --config.file=/tmp/none.yml --storage.tsdb.path=/prometheus --storage.tsdb.retention.time=15d";
        let container = lines(&docker(run.into_iter().chain([serve]))).pop().expect("it has one");
        let asked = Self { container, volume, midnight };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !asked.promtool(&["check", "ready"]).status.success() {
            assert!(std::time::Instant::now() < deadline, "{}", said(&docker(["logs", &asked.container])));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        asked
    }

    fn promtool(&self, arguments: &[&str]) -> std::process::Output {
        let all = ["exec", &self.container, "promtool"].into_iter().chain(arguments.iter().copied());
        Command::new("docker").args(all).output().expect("docker is there")
    }

    fn query(&self, arguments: &[&str]) -> Value {
        let output = self.promtool(&[&["query"], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    }

    /// The only value of an expression at a second of the day.
    fn at(&self, second: i64, expr: &str) -> f64 {
        let time = (self.midnight + second).to_string();
        let found = self.query(&["instant", "--format", "json", "--time", &time, "http://localhost:9090", expr]);
        number(&found[0]["value"][1]).unwrap_or_else(|| panic!("`{expr}` is {found}"))
    }

    /// The minutes of the afternoon and evening, each asked at its end, at which an expression holds.
    fn minutes(&self, expr: &str) -> Vec<i64> {
        let (from, to) = (self.midnight + 15 * HOUR, self.midnight + 24 * HOUR - 60);
        let (start, end) = (from.to_string(), to.to_string());
        let found = self.query(&["range", "--format", "json", "--start", &start, "--end", &end, "--step", "60s", "http://localhost:9090", expr]);
        let values = found[0]["values"].as_array().unwrap_or_else(|| panic!("`{expr}` never held: {found}"));
        let seconds = |value: &Value| value[0].as_f64().map(|seconds| seconds.round().to_string().parse::<i64>().expect("it is whole"));
        values.iter().filter_map(seconds).map(|seconds| (seconds - self.midnight) / 60 - 1).collect()
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

/// A day with each incident, by what it was.
fn days() -> BTreeMap<String, Day> {
    let exercise = model_down();
    let drawn = (0..40).map(|number| {
        let seed = Seed::new(&format!("day-{number}")).expect("it is one");
        let variant = Variant { seed: Some(seed), ..Variant::reference() };
        day(&exercise, &variant, &Key::public()).expect("it can be played").expect("there is one").1
    });
    let days: BTreeMap<String, Day> = drawn.map(|day| (day.incident.clone(), day)).collect();
    assert_eq!(days.len(), 5);
    days
}

#[test]
fn whichever_way_they_ask_they_find_what_is_right() {
    let home = Home::new();
    let image = home.image("prometheus");
    for (number, (incident, day)) in days().into_iter().enumerate() {
        let wanted: BTreeMap<&str, _> = day.wanted.iter().map(|(fact, wanted)| (fact.as_str(), wanted)).collect();
        let is_right =
            |fact: &str, said: String| assert_eq!(wanted[fact].accepts(&said), Ok(true), "{incident}: {fact} is {}, and not {said}", wanted[fact]);
        let asked = Asked::about(&day, &image, &number.to_string());
        let mut first_and_last = None;
        for share in SHARES {
            let bad = asked.minutes(&format!("{share} > 0.01"));
            let (first, last) = (bad[0], *bad.last().expect("there is a first"));
            is_right("first_bad_minute", format!("{:02}:{:02}", first / 60, first % 60));
            first_and_last.get_or_insert((first, last));
        }
        // The same from the log: a hundredth of what comes in a minute at that hour.
        let log = String::from_utf8(day.logs["logs/balancer.log"].clone()).expect("it is text");
        let mut lines_of: BTreeMap<&str, i64> = BTreeMap::new();
        log.lines().for_each(|line| *lines_of.entry(&line[..5]).or_default() += 1);
        let begin = lines_of.iter().find(|(_, count)| **count > 9).expect("there is one").0;
        is_right("first_bad_minute", (*begin).to_owned());

        let (first, last) = first_and_last.expect("it was asked");
        let (start, end, length) = (first * 60, (last + 1) * 60, (last + 1 - first) * 60);
        is_right(
            "failed_requests",
            asked.at(end, &format!("sum(increase(haproxy_backend_http_responses_total{{code=\"5xx\"}}[{length}s]))")).to_string(),
        );
        is_right("failed_requests", (asked.at(end, FAILED) - asked.at(start, FAILED)).to_string());
        is_right(
            "failed_requests",
            asked
                .at(end, &format!("sum_over_time(sum(increase(haproxy_backend_http_responses_total{{code=\"5xx\"}}[1m]))[{length}s:1m])"))
                .to_string(),
        );
        let (from, to) = (format!("{:02}:{:02}", first / 60, first % 60), format!("{:02}:{:02}", (last + 1) / 60, (last + 1) % 60));
        is_right("failed_requests", log.lines().filter(|line| (from.as_str()..to.as_str()).contains(&&line[..5])).count().to_string());

        for (metric, label) in [("registry_model_version_alias{alias=\"champion\"}", "version"), ("model_info", "version")] {
            let time = (asked.midnight + start + 30).to_string();
            let found = asked.query(&["instant", "--format", "json", "--time", &time, "http://localhost:9090", metric]);
            is_right("version", found[0]["metric"][label].as_str().unwrap_or_default().to_owned());
        }
        let most = ["500", "503", "504"].into_iter().max_by_key(|status| log.lines().filter(|line| line.contains(&format!(" {status} "))).count());
        is_right("status", most.expect("there are some").to_owned());
    }
}
