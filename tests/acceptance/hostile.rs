//! Submissions that try to be ungradable are graded: whatever one does to itself, to the platform or to the machine, its checks pass or
//! fail.

use acceptance::{Cut, Home, checks_that, said};
use harness::exercise::Files;
use serde_json::Value;

/// What happens, while users ask and the feature store fails.
const STORM: [Cut<'static>; 3] = [("baseline", Some(20)), ("wiring", None), ("store-failing", None)];
/// Everything that is sent to the driver and the pager.
const ANSWERS: [Cut<'static>; 3] = [("baseline", Some(20)), ("wiring", None), ("survey", None)];
/// What a release runner can do.
const RELEASES: [Cut<'static>; 3] = [("release-good", None), ("rollback", None), ("rollback-again", None)];
/// The most that a history may hold on disk, in bytes.
const HISTORY: u64 = 20 << 20;

/// The report and the logs of an exam of the reference with something added; nothing in it may be ungraded.
fn graded(exam: &[Cut<'_>], edit: impl FnOnce(&mut Files)) -> (Home, Value) {
    let home = Home::new().with_exam(exam);
    let workspace = home.reference(edit);
    let out = home.path("report");
    let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(&out).output().expect("it runs");
    let report: Value = serde_json::from_slice(&graded.stdout).unwrap_or_else(|_| panic!("{}", said(&graded)));
    assert!(checks_that(&report, "not graded").is_empty(), "{}\n{report:#}", String::from_utf8_lossy(&graded.stderr));
    assert!(matches!(graded.status.code(), Some(0 | 1)), "{}", said(&graded));
    let events = std::fs::metadata(out.join("history/events.jsonl.zst")).expect("there is one").len();
    assert!(events < HISTORY, "{events} bytes");
    home.is_clean();
    (home, report)
}

fn text(files: &mut Files, path: &str, edit: impl FnOnce(String) -> String) {
    let content = files.get_mut(path).expect("the reference has it");
    *content = edit(String::from_utf8(std::mem::take(content)).expect("it is text")).into_bytes();
}

/// Adds services that run `storm.py`.
fn storms(files: &mut Files, kinds: &[(&str, &str, &str)]) {
    files.insert("storm/Dockerfile".to_owned(), b"FROM modeldown/python\nCOPY storm.py /storm.py\n".to_vec());
    files.insert("storm/storm.py".to_owned(), include_bytes!("hostile/storm.py").to_vec());
    let services: Vec<String> = kinds
        .iter()
        .map(|(name, words, more)| {
            format!("  {name}:\n    build: ./storm\n    command: [python3, /storm.py, {words}]\n    mem_limit: 96m\n    pids_limit: 256\n{more}")
        })
        .collect();
    text(files, "compose.yaml", |text| text.replacen("services:\n", &format!("services:\n{}", services.concat()), 1));
}

/// Hogs of processors and memory, floods of registry, feature store, names and connections, a flood of log lines, a full disk, and a
/// service that ends whenever it is started, all at once.
#[test]
#[ignore = "two minutes; `make test-all` runs it"]
fn a_storm_is_no_reason_not_to_be_graded() {
    let (home, report) = graded(&STORM, |files| {
        storms(
            files,
            &[
                ("hog", "hog", ""),
                ("hog-too", "hog", ""),
                ("memory", "memory", ""),
                ("logs", "logs", ""),
                ("disk", "disk", ""),
                ("names", "names", ""),
                ("connections", "connections, registry", ""),
                ("features-storm", "connections, features", ""),
                ("bodies", "requests, registry, /api/2.0/mlflow/registered-models/alias, '8000000'", ""),
                ("flaps", "nothing", "    entrypoint: ['false']\n    restart: always\n"),
            ],
        );
    });
    // They did what they are for.
    for service in ["hog", "memory", "names", "connections", "bodies"] {
        let log = std::fs::read_to_string(home.path("report/logs").join(format!("{service}.log"))).unwrap_or_default();
        assert!(log.contains("storm:"), "`{service}` said: {log}");
    }
    let notes = report["notes"].to_string();
    assert!(notes.contains("`disk` was ended"), "{notes}");
}

/// Answers without an end, without a beginning, of a billion pieces or of odd bytes, and a storm of large alerts.
#[test]
fn answers_that_are_none_are_graded() {
    let (_home, report) = graded(&ANSWERS, |files| {
        files.insert("model/app.py".to_owned(), include_bytes!("hostile/answers.py").to_vec());
        text(files, "model/Dockerfile", |text| {
            text.replace(
                r#"["python3", "-m", "uvicorn", "app:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log"]"#,
                r#"["python3", "/app/app.py"]"#,
            )
        });
        // Bytes go through as they are.
        files.insert("haproxy/haproxy.cfg".to_owned(), b"defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\nfrontend users\n    bind :8080\n    default_backend models\nbackend models\n    server blue model-blue:8000\n    server green model-green:8000\n".to_vec());
        let large = "a".repeat(100_000);
        let rules: Vec<String> = (0..8)
            .map(|number| {
                format!("      - {{alert: Storm{number}, expr: vector(1), labels: {{severity: page}}, annotations: {{summary: '{large}'}}}}\n")
            })
            .collect();
        files.insert(
            "prometheus/rules/storm.yml".to_owned(),
            format!("groups:\n  - name: storm\n    interval: 1s\n    rules:\n{}", rules.concat()).into_bytes(),
        );
        let routes = "route: {receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1s}\n";
        let receivers = "receivers:\n  - name: all\n    webhook_configs:\n      - {url: 'http://pager:8080/page'}\n      - {url: 'http://pager:8080/ticket'}\n      - {url: 'http://pager:8080/heartbeat'}\n";
        files.insert("alertmanager/alertmanager.yml".to_owned(), format!("{routes}{receivers}").into_bytes());
    });
    let failed = checks_that(&report, "failed");
    for check in ["answers-available", "replicas-ready"] {
        assert!(failed.contains(&check.to_owned()), "{check} in {failed:?}: {report:#}");
    }
    // The storm reached the pager: every alert went everywhere.
    assert!(!checks_that(&report, "passed").contains(&"page-arrives".to_owned()), "{report:#}");
}

/// A deploy that floods its output, and a rollback that empties the registry, fills its aliases and kills what it runs in.
#[test]
#[ignore = "two minutes; `make test-all` runs it"]
fn commands_that_destroy_are_graded() {
    let (_home, report) = graded(&RELEASES, |files| {
        files.insert("release/release.py".to_owned(), include_bytes!("hostile/release.py").to_vec());
    });
    let failed = checks_that(&report, "failed");
    assert!(failed.contains(&"deploy-good".to_owned()) && failed.contains(&"rollback-done".to_owned()), "{failed:?}");
    assert!(report["restored"].to_string().contains("version 3 as the champion"), "{report:#}");
}

/// The requirement that a check cites.
fn requirement(report: &Value, check: &str) -> String {
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|one| one["id"] == check).expect("it is there");
    found["requirement"].as_str().expect("it cites one").to_owned()
}

/// One service waits for another that never ends, one can never start, and Alertmanager has no configuration that it could read.
#[test]
#[ignore = "four minutes; `make test-all` runs it"]
fn what_cannot_start_fails_and_is_not_ungraded() {
    let home = Home::new();
    let workspace = home.reference(|files| {
        let ghost = "services:\n  ghost:\n    image: modeldown/python\n    user: nobody-here\n    command: [sleep, '9']\n    mem_limit: 32m\n";
        text(files, "compose.yaml", |text| {
            let text = text.replacen("  lb:\n", "  lb:\n    depends_on: {model-blue: {condition: service_completed_successfully}}\n", 1);
            text.replacen("services:\n", ghost, 1)
        });
        files.insert("alertmanager/alertmanager.yml".to_owned(), b"route: {receiver: nowhere}\n".to_vec());
    });
    let graded = home.grader().arg("run").arg(&workspace).args(["--json", "--out"]).arg(home.path("report")).output().expect("it runs");
    let report: Value = serde_json::from_slice(&graded.stdout).unwrap_or_else(|_| panic!("{}", said(&graded)));
    assert!(checks_that(&report, "not graded").is_empty(), "{report:#}");
    // Nobody is told of anything by an Alertmanager that cannot read its configuration; and nothing else fails.
    let of_alerts = |check: &String| check.ends_with("-arrives") || check == "dashboard-moves" || requirement(&report, check).starts_with('A');
    let failed = checks_that(&report, "failed");
    let must = ["page-arrives", "ticket-arrives", "rules-sound"];
    assert!(must.iter().all(|check| failed.contains(&(*check).to_owned())) && failed.iter().all(of_alerts), "{report:#}");
    home.is_clean();
}
