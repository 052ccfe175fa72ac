//! Exercises on Kubernetes, at home: a real cluster, made by `kind` in an engine of the test's own, whose network no other test sees.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Home, Nodes, PrivateEngine, lines, said};
use harness::exercise::Exercise;
use serde_json::{Value, json};

/// The folder of exercises whose only one runs on Kubernetes.
fn exercises(folder: &Path) -> PathBuf {
    let (original, here) = (acceptance::repository().join("exercises"), acceptance::repository().join("tests/kind/parcels"));
    let parcels = folder.join("parcels");
    acceptance::copy_platform(folder);
    acceptance::copy(&here, &parcels);
    std::fs::create_dir(parcels.join("images")).expect("writable");
    std::fs::rename(parcels.join("Dockerfile"), parcels.join("images/Dockerfile")).expect("writable");
    for (from, to) in [("warm-up/images/oracle.py", "parcels/images/oracle.py"), ("warm-up/reference/model/server.py", "parcels/images/server.py")] {
        std::fs::copy(original.join(from), folder.join(to)).expect("writable");
    }
    folder.to_owned()
}

/// A candidate whose clusters are in an engine of their own.
struct Candidate {
    home: Home,
    /// It ends after what is in it.
    _engine: PrivateEngine,
}

impl Candidate {
    fn new() -> Self {
        let home = Home::new();
        let folder = exercises(&home.path("exercises"));
        let exercise = Exercise::load(&folder.join("parcels")).expect("it is right");
        let nodes = Nodes::assembled();
        let engine = PrivateEngine::with_nodes(&exercise, &nodes);
        let home = home.with_exercises(folder).inside(&engine, &nodes);
        Self { home, _engine: engine }
    }

    fn harness(&self, arguments: &[&str], workspace: &Path) -> Output {
        self.home.harness().args(arguments).arg("--dir").arg(workspace).output().expect("it runs")
    }

    /// What plain `kubectl` says, with the workspace's way to its cluster.
    fn kubectl(&self, workspace: &Path, arguments: &[&str]) -> Output {
        let mut command = self.home.tool("kubectl");
        command.env("KUBECONFIG", workspace.join(".modeldown/kubeconfig")).args(arguments);
        command.output().expect("it runs")
    }

    /// The same, with something to read.
    fn kubectl_with(&self, workspace: &Path, arguments: &[&str], input: &str) -> Output {
        let mut command = self.home.tool("kubectl");
        command.env("KUBECONFIG", workspace.join(".modeldown/kubeconfig")).args(arguments);
        acceptance::fed(&mut command, input)
    }

    /// Every container and network in the engine that is not its own.
    fn left(&self) -> Vec<String> {
        let containers = lines(&self.home.docker(["ps", "--all", "--format", "{{.Names}}"]));
        let networks = lines(&self.home.docker(["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]));
        [containers, networks].concat()
    }
}

/// A pod as `restricted` admits it, with another value at a place of its `spec`.
fn pod(place: &str, value: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "other", "namespace": "parcels" },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "other",
                "image": "modeldown/late-server:stable",
                "imagePullPolicy": "Never",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    });
    match pod["spec"].pointer_mut(place) {
        Some(there) => *there = value.clone(),
        None => pod["spec"][place.trim_start_matches('/')] = value.clone(),
    }
    pod.to_string()
}

/// Whether a `kind` makes a cluster somewhere.
fn is_kind_at_work() -> bool {
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    let mut commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.any(|words| words.split(|byte| *byte == 0).take(3).eq([&b"kind"[..], b"create", b"cluster"]))
}

fn edit(workspace: &Path, from: &str, to: &str) {
    let path = workspace.join("manifests/model.yaml");
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
#[ignore = "needs root, Go, and a node image that takes ten minutes once; `make test` runs it where these are"]
fn a_cluster_comes_says_what_is_wrong_and_goes() {
    let candidate = Candidate::new();
    let (one, other) = (candidate.home.path("one"), candidate.home.path("other"));
    let started = candidate.harness(&["start", "parcels", "--reference"], &one);
    assert!(started.status.success() && !said(&started).contains("Not every service"), "{}", said(&started));

    // The candidate's tools work, and find what they should.
    let listed = candidate.kubectl(&one, &["--namespace", "parcels", "get", "deployments", "--output", "name"]);
    assert_eq!(lines(&listed), ["deployment.apps/model"], "{}", said(&listed));
    let asked = ["--namespace", "platform", "exec", "deploy/driver", "--", "driver", "probe", "http://model.parcels:8000/v2/health/ready"];
    // Pods are available a moment before every node knows their Service's way to them.
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = candidate.kubectl(&one, &asked);
        if answer.status.success() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", said(&answer));
    }
    let status: Value = serde_json::from_slice(&candidate.harness(&["status", "--json"], &one).stdout).expect("it is JSON");
    let service = &status["environments"][0]["services"][0];
    assert_eq!(
        (service["name"].as_str(), service["state"].as_str(), service["role"].as_str()),
        (Some("model"), Some("running"), Some("model")),
        "{status:#}"
    );

    // What cannot come is told, and why; it is not waited for.
    edit(&one, "late-server:stable", "late-server:stabel");
    let unwell = candidate.harness(&["start", "parcels"], &one);
    assert!(unwell.status.success() && said(&unwell).contains("ErrImageNeverPull"), "{}", said(&unwell));
    edit(&one, "late-server:stabel", "late-server:stable");
    edit(&one, "cpu: 50m", "cpu: \"64\"");
    let unwell = candidate.harness(&["start", "parcels"], &one);
    assert!(unwell.status.success() && said(&unwell).contains("fits on no node"), "{}", said(&unwell));
    edit(&one, "cpu: \"64\"", "cpu: 50m");

    // What is not allowed is refused at its line, and changes nothing.
    edit(&one, "      automountServiceAccountToken: false\n", "      automountServiceAccountToken: false\n      hostNetwork: true\n");
    let refused = candidate.harness(&["start", "parcels"], &one);
    assert!(
        refused.status.code() == Some(3) && said(&refused).contains("manifests/model.yaml:21:7: unknown key `hostNetwork`"),
        "{}",
        said(&refused)
    );
    edit(&one, "      hostNetwork: true\n", "");

    // What a pod makes through the API, with whatever rights, is held to the same images, and stays on the submission's node.
    let dry_run = ["create", "--dry-run=server", "--filename", "-"];
    let tolerated = json!([{ "operator": "Exists" }]);
    for (place, value, words) in [
        ("/containers/0/image", json!("modeldown/platform:stable"), "a container's image is one of this exercise: modeldown/late-server"),
        ("/containers/0/imagePullPolicy", json!("Always"), "a container has `imagePullPolicy: Never`"),
        ("/priorityClassName", json!("system-cluster-critical"), "a pod has no `priorityClassName`"),
        ("/nodeName", json!("parcels-control-plane"), "a pod has no `nodeName`"),
        ("/tolerations", tolerated, "a pod tolerates no taint but those of `node.kubernetes.io/`"),
    ] {
        let made = candidate.kubectl_with(&one, &dry_run, &pod(place, &value));
        assert!(!made.status.success() && said(&made).contains(words), "{}", said(&made));
    }
    let made = candidate.kubectl_with(&one, &dry_run, &pod("/priorityClassName", &json!("")));
    assert!(made.status.success(), "{}", said(&made));

    // What Kustomize makes of the submission's own files is applied, and held to the same rules.
    let kustomization = one.join("manifests/kustomization.yaml");
    std::fs::write(&kustomization, "resources: [model.yaml]\ncommonAnnotations: {made-by: kustomize}\n").expect("writable");
    let rendered = candidate.harness(&["start", "parcels"], &one);
    assert!(rendered.status.success() && !said(&rendered).contains("Not every service"), "{}", said(&rendered));
    let annotated = ["--namespace", "parcels", "get", "deployment", "model", "--output", "jsonpath={.metadata.annotations.made-by}"];
    assert_eq!(lines(&candidate.kubectl(&one, &annotated)), ["kustomize"]);
    let patch = r#"patches: [{patch: '[{"op": "add", "path": "/spec/template/spec/hostNetwork", "value": true}]', target: {kind: Deployment}}]"#;
    std::fs::write(&kustomization, format!("resources: [model.yaml]\n{patch}")).expect("writable");
    let refused = candidate.harness(&["start", "parcels"], &one);
    let words = "`kubectl kustomize manifests`:";
    assert!(
        refused.status.code() == Some(3) && said(&refused).contains(words) && said(&refused).contains("unknown key `hostNetwork`"),
        "{}",
        said(&refused)
    );
    std::fs::remove_file(&kustomization).expect("it is there");

    // A second cluster is another one; what becomes of it is nothing to the first.
    let beside = candidate.harness(&["start", "parcels", "--break", "no-image"], &other);
    assert!(beside.status.success() && said(&beside).contains("ErrImageNeverPull"), "{}", said(&beside));
    let stopped = candidate.harness(&["stop"], &other);
    assert!(stopped.status.success() && !other.join(".modeldown/kubeconfig").exists(), "{}", said(&stopped));
    let again = candidate.harness(&["start", "parcels"], &one);
    assert!(again.status.success() && !said(&again).contains("Not every service"), "{}", said(&again));

    assert!(candidate.harness(&["stop", "--remove"], &one).status.success());
    assert!(candidate.harness(&["stop", "--remove"], &other).status.success());
    assert_eq!(candidate.left(), Vec::<String>::new());
    assert!(!candidate.home.path("home/.kube/config").exists(), "the user's own configuration was touched");
}

#[test]
#[ignore = "needs root, Go, and a node image that takes ten minutes once; `make test` runs it where these are"]
fn an_exam_is_held_in_a_cluster() {
    let candidate = Candidate::new();
    let workspace = candidate.home.path("work");
    let made = candidate.harness(&["start", "parcels", "--reference", "--only-files"], &workspace);
    assert!(made.status.success(), "{}", said(&made));
    let out = candidate.home.path("report");
    let graded = candidate.home.grader().arg("run").arg(&workspace).arg("--out").arg(&out).output().expect("it runs");
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).expect("there is a report")).expect("it is JSON");
    let unmet = report["checks"].as_array().into_iter().flatten().filter(|check| check["word"] != "passed");
    let unmet: Vec<String> = unmet.map(|check| format!("{}: {} ({})", check["id"], check["word"], check["observed"])).collect();
    assert!(graded.status.success() && unmet.is_empty(), "{unmet:#?}\n{}", said(&graded));
    assert_eq!(candidate.left(), Vec::<String>::new());

    // What has no budget for disruptions, takes all its pods away at once and never says that it is stuck is told so, check by check. The old ones serve on
    // until they end, three seconds later: the new ones come after that.
    edit(&workspace, "progressDeadlineSeconds: 10", "progressDeadlineSeconds: 600");
    edit(&workspace, "rollingUpdate: {maxSurge: 1, maxUnavailable: 0}", "rollingUpdate: {maxSurge: 0, maxUnavailable: 100%}");
    edit(&workspace, "            periodSeconds: 1\n", "            periodSeconds: 1\n            initialDelaySeconds: 6\n");
    edit(&workspace, "  maxUnavailable: 1\n", "  maxUnavailable: 2\n");
    let out = candidate.home.path("another");
    candidate.home.grader().arg("run").arg(&workspace).arg("--out").arg(&out).output().expect("it runs");
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).expect("there is a report")).expect("it is JSON");
    let failed = report["checks"].as_array().into_iter().flatten().filter(|check| check["word"] == "failed");
    let failed: Vec<&str> = failed.filter_map(|check| check["id"].as_str()).collect();
    for wanted in ["evicted", "rolled-lossless", "stalled", "stalled-lossless"] {
        assert!(failed.contains(&wanted), "{wanted} is not in {failed:?}");
    }
    assert_eq!(candidate.left(), Vec::<String>::new());
}

#[test]
#[ignore = "needs root, Go, and a node image that takes ten minutes once; `make test` runs it where these are"]
fn a_cluster_whose_command_was_killed_goes_with_the_next() {
    let candidate = Candidate::new();
    let workspace = candidate.home.path("work");
    // What its nodes are made in, its network, its node as well, and the way to it.
    let networks = || lines(&candidate.home.docker(["network", "ls", "--filter", "type=custom", "--quiet"]));
    let reached: [&dyn Fn() -> bool; 4] = [
        &|| !candidate.left().is_empty(),
        &|| !networks().is_empty(),
        &|| candidate.left().iter().any(|name| name.ends_with("-control-plane")),
        &|| workspace.join(".modeldown/kubeconfig").exists(),
    ];
    for (point, is_reached) in reached.into_iter().enumerate() {
        let mut starting = candidate.home.harness();
        starting.args(["start", "parcels", "--reference", "--dir"]).arg(&workspace).stderr(Stdio::null());
        let mut started = starting.spawn().expect("it runs");
        let deadline = Instant::now() + Duration::from_mins(4);
        while !is_reached() {
            assert!(Instant::now() < deadline && started.try_wait().expect("it can be asked").is_none(), "point {point} was never reached");
            std::thread::sleep(Duration::from_millis(20));
        }
        started.kill().expect("it can be");
        started.wait().expect("it ends");
        let swept = candidate.home.harness().arg("gc").output().expect("it runs");
        assert!(swept.status.success(), "{}", said(&swept));
        // It lives on without its command, and ends when what it makes is taken away.
        while is_kind_at_work() {
            assert!(Instant::now() < deadline, "kind goes on and on");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(candidate.left(), Vec::<String>::new(), "point {point}");
        if workspace.exists() {
            std::fs::remove_dir_all(&workspace).expect("writable");
        }
    }
}
