//! The whole road: start, look, repair, grade, judge again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{Home, apply_reference, checks_that, docker, lines, repository, said};
use harness::images::BASE;
use serde_json::Value;

use crate::selftest;

/// A seed that is always the same.
const SEED: &str = "acme-1";
/// The most that the history of an exam may hold on disk, in bytes.
const HISTORY: u64 = 20 << 20;

#[test]
fn from_start_to_a_report_of_100() {
    let home = Home::new();
    let workspace = home.path("work");
    let started = home.harness().args(["start", "model-down", "--seed", SEED, "--dir"]).arg(&workspace).output().expect("it runs");
    assert!(started.status.success(), "{}", said(&started));
    let brief = std::fs::read_to_string(workspace.join("brief.md")).expect("there is a brief");
    assert!(brief.contains("**H1**") && !brief.contains("{{"), "{brief}");
    plain_compose_agrees(&home, &workspace);
    users_are_served_at_home(&home, &workspace);
    the_day_before_survives(&home, &workspace);
    a_second_start_overwrites_nothing(&home, &workspace);

    let mut running = home.resources();
    running.sort();
    apply_reference(&workspace);
    let out = home.path("report");
    let sent = archived(&home, &workspace);
    let graded = home.grader().arg("run").arg(&sent).args(["--exam-seed", "fixed", "--json", "--out"]).arg(&out).output().expect("it runs");
    assert_eq!(graded.status.code(), Some(0), "{}", said(&graded));
    let report: Value = serde_json::from_slice(&graded.stdout).expect("it is JSON");
    assert_eq!((&report["score"]["low"], &report["score"]["high"]), (&100.0.into(), &100.0.into()), "{}", said(&graded));
    assert_eq!(report["seed"], SEED);
    the_report_is_as_described(&out, &report);
    judging_again_says_the_same(&home, &out);
    selftest::samples(&home, &out.join("history"));
    // The candidate's own environment went on beside the exam.
    let mut still = home.resources();
    still.sort();
    assert_eq!(still, running);
    let stopped = home.harness().args(["stop", "--remove", "--dir"]).arg(&workspace).output().expect("it runs");
    assert!(stopped.status.success(), "{}", said(&stopped));
    home.is_clean();
    assert!(workspace.join("model/app.py").is_file());
}

/// What a candidate sends: the whole folder, with what the harness and their tools left in it.
fn archived(home: &Home, workspace: &Path) -> PathBuf {
    // Compose would take this for part of the project, if it saw it.
    std::fs::write(workspace.join("compose.override.yaml"), "services: {lb: {image: nowhere/none, privileged: true}}\n").expect("writable");
    let archive = home.path("sent.tar.gz");
    let (parent, name) = (workspace.parent().expect("it has one"), workspace.file_name().expect("it has one"));
    let tar = Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(parent).arg(name).output().expect("it runs");
    assert!(tar.status.success(), "{}", said(&tar));
    archive
}

/// Plain `docker compose` in the workspace would change nothing: every container was made from the hash that it computes.
fn plain_compose_agrees(home: &Home, workspace: &Path) {
    let mut wanted = compose(workspace, &["config", "--hash", "*"]);
    wanted.sort();
    let status = home.status(workspace);
    let project = status["environments"][0]["lease"]["project"].as_str().expect("it has one").to_owned();
    let filter = format!("label=com.docker.compose.project={project}");
    let format = r#"{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.config-hash"}}"#;
    let mut running = lines(&docker(["ps", "--filter", &filter, "--format", format]));
    running.sort();
    assert_eq!(running, wanted);
}

/// Plain `docker compose` in the workspace.
fn compose(workspace: &Path, arguments: &[&str]) -> Vec<String> {
    let folder = workspace.to_str().expect("it is UTF-8");
    let env = format!("{folder}/.env");
    let files = files(workspace);
    let options = ["compose", "--project-directory", folder, "--env-file", &env].into_iter().chain(files.iter().map(String::as_str));
    lines(&docker(options.chain(arguments.iter().copied())))
}

/// The files that the workspace's `.env` names, as options.
fn files(workspace: &Path) -> Vec<String> {
    let env = std::fs::read_to_string(workspace.join(".env")).expect("there is one");
    let named = env.lines().find_map(|line| line.strip_prefix("COMPOSE_FILE=")).expect("it names them");
    named.split(':').flat_map(|file| ["--file".to_owned(), workspace.join(file).to_string_lossy().into_owned()]).collect()
}

/// A published port of a service.
fn port(home: &Home, workspace: &Path, name: &str) -> u16 {
    let status = home.status(workspace);
    let services = status["environments"][0]["services"].as_array().expect("a list").clone();
    let service = services.iter().find(|service| service["name"] == name).expect("it runs");
    u16::try_from(service["published"][0][1].as_u64().expect("it is published")).expect("it is a port")
}

/// The published addresses answer, and the little traffic at home arrives.
fn users_are_served_at_home(home: &Home, workspace: &Path) {
    let status = home.status(workspace);
    let services = status["environments"][0]["services"].as_array().expect("a list").clone();
    let published: Vec<&str> =
        services.iter().filter(|service| service["published"][0][1].is_number()).filter_map(|service| service["name"].as_str()).collect();
    assert_eq!(published, ["alertmanager", "features", "lb", "pager", "prometheus", "registry"]);
    let healthy = get(port(home, workspace, "lb"), "/healthz");
    assert!(healthy.contains(" 200 OK"), "{healthy}");
    // Background traffic was counted by a replica, scraped by Prometheus, and is asked for through a published port. What the seed calls
    // the metric does not matter.
    is_found(home, workspace, "sum({__name__=~%22.*_requests_total%22,job=%22model%22})>0");
}

/// Waits until the candidate's Prometheus finds something.
fn is_found(home: &Home, workspace: &Path, query: &str) {
    let port = port(home, workspace, "prometheus");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !get(port, &format!("/api/v1/query?query={query}")).contains("\"value\":") {
        assert!(Instant::now() < deadline, "`{query}` finds nothing");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What was scraped on the day before is there, also after all volumes of the workspace are gone.
fn the_day_before_survives(home: &Home, workspace: &Path) {
    let errors = "max_over_time(haproxy_backend_http_responses_total{code=%225xx%22}[2d])>100";
    is_found(home, workspace, errors);
    let status = home.status(workspace);
    let lease = status["environments"][0]["lease"].clone();
    let project = lease["project"].as_str().expect("it has one");
    compose(workspace, &["down", "--volumes", "--timeout", "2"]);
    let again = home.harness().args(["start", "model-down", "--dir"]).arg(workspace).output().expect("it runs");
    assert!(again.status.success() && said(&again).contains(lease["past"].as_str().expect("it has one")), "{}", said(&again));
    is_found(home, workspace, errors);
    nothing_beside_the_files_tells(home, workspace, &format!("{project}_modeldown-past"));
}

/// What the engine knows of containers, networks, volumes and images, what stands in blocks about themselves, and `.env` say neither what is
/// broken nor by which seed. (What files of the workspace say is looked at where they are rendered.)
fn nothing_beside_the_files_tells(home: &Home, workspace: &Path, past: &str) {
    let breaks = std::fs::read_dir(repository().join("exercises/model-down/breaks")).expect("readable").flatten();
    let breaks = breaks.map(|file| file.path().file_stem().expect("it has one").to_string_lossy().into_owned());
    let secrets: Vec<String> = breaks.chain([SEED.to_owned()]).collect();
    let of_home = |kind: &[&str]| lines(&home.docker(kind.iter().copied().chain(["--filter", &home.ownership()])));
    let containers = of_home(&["ps", "--all", "--quiet"]);
    let known = [&containers[..], &of_home(&["network", "ls", "--quiet"]), &of_home(&["volume", "ls", "--quiet"])].concat();
    assert!(known.iter().any(|one| one == past), "{past} in {known:?}");
    let mut said: Vec<(String, String)> = known.iter().map(|one| (one.clone(), lines(&docker(["inspect", one])).concat())).collect();
    let format = ["inspect", "--format", "{{.Image}}"].into_iter();
    for image in lines(&docker(format.chain(containers.iter().map(String::as_str)))) {
        said.push((image.clone(), lines(&docker(["history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", &image])).concat()));
    }
    let blocks = docker(["run", "--rm", "--network", "none", "--volume", &format!("{past}:/past:ro"), BASE, "sh", "-c", "cat /past/*/meta.json"]);
    assert!(lines(&blocks).concat().contains("ulid"), "there are no blocks");
    said.push(("blocks".to_owned(), lines(&blocks).concat()));
    said.push((".env".to_owned(), std::fs::read_to_string(workspace.join(".env")).expect("there is one")));
    for secret in &secrets {
        let telling = said.iter().find(|(_, text)| text.contains(secret.as_str()));
        assert!(telling.is_none(), "{} says {secret}", telling.map_or("", |(what, _)| what));
    }
}

/// The whole answer of a published port.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn a_second_start_overwrites_nothing(home: &Home, workspace: &Path) {
    let mine = workspace.join("compose.yaml");
    let mut text = std::fs::read_to_string(&mine).expect("readable");
    text.push_str("# my note\n");
    std::fs::write(&mine, &text).expect("writable");
    let again = home.harness().args(["start", "model-down", "--dir"]).arg(workspace).output().expect("it runs");
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(std::fs::read_to_string(&mine).expect("readable"), text);
    let other = home.harness().args(["start", "model-down", "--seed", "another", "--dir"]).arg(workspace).output().expect("it runs");
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    assert_eq!(std::fs::read_to_string(&mine).expect("readable"), text);
}

fn the_report_is_as_described(out: &Path, report: &Value) {
    let schema = std::fs::read(repository().join("docs/schema/report.json")).expect("it is checked in");
    let schema: Value = serde_json::from_slice(&schema).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let wrong: Vec<String> = validator.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for file in ["report.json", "summary.md", "report.html", "logs/model-blue.log", "history/events.jsonl.zst"] {
        assert!(std::fs::metadata(out.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    assert_eq!(checks_that(report, "passed").len(), report["checks"].as_array().map_or(0, Vec::len));
    let sizes = std::fs::read_dir(out.join("history")).expect("readable").flatten().map(|file| file.metadata().expect("it is there").len());
    assert!(sizes.sum::<u64>() < HISTORY, "the history is larger than {HISTORY} bytes");
}

fn judging_again_says_the_same(home: &Home, out: &Path) {
    let again = home.path("again");
    let judged = home.grader().arg("judge").arg(out.join("history")).arg("--out").arg(&again).output().expect("it runs");
    assert_eq!(judged.status.code(), Some(0), "{}", said(&judged));
    for file in ["report.json", "summary.md", "report.html"] {
        assert_eq!(std::fs::read(out.join(file)).expect("written"), std::fs::read(again.join(file)).expect("written"), "{file}");
    }
}
