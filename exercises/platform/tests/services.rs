//! Registry and feature store as models, releases and the exam use them.
#![cfg(feature = "programs")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A service that listens on a free port, and ends with its owner.
struct Service {
    child: Child,
    port: u16,
}

impl Service {
    fn start(program: &str, arguments: &[&str], token: Option<&str>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new(program);
        command.args(arguments).env("PORT", port.to_string()).env_remove("CONTROL_TOKEN");
        if let Some(token) = token {
            command.env("CONTROL_TOKEN", token);
        }
        let service = Self { child: command.spawn().expect("it starts"), port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        service
    }

    /// Status and body of an answer.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it is HTTP");
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "", "")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const ALIAS: &str = "/api/2.0/mlflow/registered-models/alias";

fn seed(folder: &Path) {
    for version in ["1", "2"] {
        std::fs::create_dir_all(folder.join("fraud").join(version)).expect("writable");
        std::fs::write(folder.join("fraud").join(version).join("model.onnx"), version).expect("writable");
        std::fs::write(folder.join("fraud").join(version).join("version.json"), "{\"sha256\": \"abc\"}").expect("writable");
    }
    std::fs::write(folder.join("fraud/aliases.json"), "{\"champion\": \"1\"}").expect("writable");
}

#[test]
fn the_registry_keeps_versions_and_aliases_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, first) = (folder.path().join("state"), folder.path().join("seed"));
    std::fs::create_dir(&state).expect("writable");
    seed(&first);
    let arguments = [state.to_str().expect("UTF-8"), first.to_str().expect("UTF-8")];
    let start = || Service::start(env!("CARGO_BIN_EXE_registry"), &arguments, Some("secret"));
    let registry = start();
    let champion = |registry: &Service| registry.get(&format!("{ALIAS}?name=fraud&alias=champion"));
    assert!(champion(&registry).1.contains("\"version\":\"1\""), "{:?}", champion(&registry));
    assert_eq!(registry.get("/api/2.0/mlflow-artifacts/artifacts/fraud/2/model.onnx"), (200, "2".to_owned()));
    assert_eq!(registry.ask("POST", ALIAS, "", r#"{"name":"fraud","alias":"champion","version":"2"}"#).0, 200);
    assert_eq!(registry.ask("POST", ALIAS, "", r#"{"name":"fraud","alias":"champion","version":"9"}"#).0, 404);

    let published = r#"{"name":"fraud","version":"3","sha256":"d","files":{"model.onnx":"6f6b"}}"#;
    assert_eq!(registry.ask("POST", "/control/publish", "", published).0, 403);
    let token = "authorization: Bearer secret\r\n";
    assert_eq!(registry.ask("POST", "/control/publish", token, published).0, 200);
    assert_eq!(registry.ask("POST", "/control/publish", token, published).0, 400);
    assert_eq!(registry.ask("POST", "/control/publish", token, &published.replace("6f6b", "6f6").replace("\"3\"", "\"4\"")).0, 400);
    drop(registry);

    let registry = start();
    assert!(champion(&registry).1.contains("\"version\":\"2\""), "{:?}", champion(&registry));
    assert_eq!(registry.get("/api/2.0/mlflow-artifacts/artifacts/fraud/3/model.onnx"), (200, "ok".to_owned()));
    assert!(registry.get("/metrics").1.contains("registry_model_version_alias{name=\"fraud\",alias=\"champion\",version=\"2\"} 1"));
    assert_eq!(registry.ask("DELETE", "/api/2.0/mlflow/model-versions/delete", "", r#"{"name":"fraud","version":"2"}"#).0, 200);
    assert_eq!(champion(&registry).0, 404);
    let model = registry.get("/api/2.0/mlflow/registered-models/get?name=fraud").1;
    assert!(model.contains("\"version\":\"1\"") && model.contains("\"version\":\"3\"") && !model.contains("\"version\":\"2\""), "{model}");
}

#[test]
fn names_never_leave_the_registry_s_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    seed(&folder.path().join("seed"));
    std::fs::create_dir(folder.path().join("state")).expect("writable");
    let arguments = [folder.path().join("state"), folder.path().join("seed")].map(|path| path.to_string_lossy().into_owned());
    let registry = Service::start(env!("CARGO_BIN_EXE_registry"), &[&arguments[0], &arguments[1]], None);
    for path in ["../../seed/fraud/aliases.json", "fraud/../aliases.json", "fraud/1/..", "fraud/1/", "/fraud/1", "fraud/1/%2e%2e"] {
        let (status, body) = registry.get(&format!("/api/2.0/mlflow-artifacts/artifacts/{path}"));
        assert!(status == 400 || status == 404, "{path}: {status} {body}");
    }
    let body = r#"{"name":"fraud","version":"../../../x","sha256":"d","files":{}}"#;
    assert_eq!(registry.ask("POST", "/control/publish", "", body).0, 400);
    let body = r#"{"name":"fraud","version":"9","sha256":"d","files":{"../../x":"00"}}"#;
    assert_eq!(registry.ask("POST", "/control/publish", "", body).0, 400);
    assert_eq!(registry.ask("POST", ALIAS, "", "not json").0, 400);
}

#[test]
fn the_feature_store_can_be_well_slow_failing_and_stale() {
    let store = Service::start(env!("CARGO_BIN_EXE_features"), &[], Some("secret"));
    let token = "authorization: Bearer secret\r\n";
    let accounts = r#"{"a-1":{"now":{"rate":0.5},"before":{"rate":0.1}}}"#;
    assert_eq!(store.ask("POST", "/control/accounts", "", accounts).0, 403);
    assert_eq!(store.ask("POST", "/control/accounts", token, accounts).0, 200);
    let now = || store.get("/features/a-1");
    let age = |body: &str| {
        let said: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs_f64();
        since - said["as_of"].as_f64().expect("a number")
    };
    assert!(now().1.contains("\"rate\":0.5") && age(&now().1) < 60.0, "{:?}", now());
    assert_eq!(store.get("/features/a-2").0, 404);
    let fault = |body: &str| store.ask("POST", "/control/fault", token, body).0;
    assert_eq!(fault(r#"{"fault":"stale"}"#), 200);
    assert!(now().1.contains("\"rate\":0.1") && age(&now().1) > 3_000.0, "{:?}", now());
    assert_eq!(fault(r#"{"fault":"failing"}"#), 200);
    assert_eq!(now().0, 503);
    assert_eq!(fault(r#"{"fault":"slow","delay_ms":300}"#), 200);
    let began = Instant::now();
    assert_eq!(now().0, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(fault(r#"{"fault":"tired"}"#), 400);
    assert_eq!(fault(r#"{"fault":"none"}"#), 200);
    assert!(store.get("/metrics").1.contains("feature_store_requests_total{code=\"200\"}"), "{}", store.get("/metrics").1);
}
