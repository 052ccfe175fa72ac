//! How a cluster comes, against kind and kubectl alone, and how an exam in one goes: in an engine of its own, of the node that tests assemble.

use std::path::Path;
use std::process::Command;

use acceptance::{Home, Nodes, PrivateEngine, lines, repository, said};
use harness::exercise::{ACCOUNTS_FILE, Exercise, ROWS_FILE};
use harness::manifests;
use serde_json::{Value, json};

use crate::{Page, examined, median, timed};

/// The exercise, and how many pairs of starts are compared.
const EXERCISE: &str = "rollout-stuck";
const PAIRS: usize = 3;
/// The name of the cluster without us, and the nodes that ours has too.
const PLAIN: &str = "plain";
const CONFIG: &str = "{kind: Cluster, apiVersion: kind.x-k8s.io/v1alpha4, nodes: [{role: control-plane}, {role: worker}]}";

/// Measures, and writes the page.
pub(crate) fn measured() {
    let nodes = Nodes::assembled();
    let exercise = Exercise::load(&repository().join("exercises").join(EXERCISE)).expect("it is right");
    let engine = PrivateEngine::with_nodes(&exercise, &nodes);
    let home = Home::new().inside(&engine, &nodes);
    let workspace = home.path("start");
    let start = || timed(home.harness().args(["start", EXERCISE, "--reference", "--dir"]).arg(&workspace));
    let stop = || timed(home.harness().args(["stop", "--remove", "--dir"]).arg(&workspace));
    let mut page = Page::new("Performance on Kubernetes", "make bench-clusters");
    page.row("`harness start`, the first, which makes the nodes' image", &format!("{:.1} s", start()), "");
    stop();
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let plain = plain(&home, &exercise, &workspace);
        let harness = start();
        stop();
        ours.push(harness);
        theirs.push(plain);
        ratios.push(harness / plain);
    }
    page.row("`harness start`, median", &format!("{:.1} s", median(&ours)), "");
    page.row(
        "`kind create cluster`, `kubectl apply` and `kubectl wait` of the same nodes and objects, median",
        &format!("{:.1} s", median(&theirs)),
        "",
    );
    page.row("ratio, median of the pairs", &format!("{:.2}", median(&ratios)), "<= 1.15");
    let exam = examined(&home, EXERCISE, 50);
    page.row("`grader run` of the reference", &format!("{:.1} s", exam.seconds), "");
    page.row("its exam, from its first phase to the end of the last", &format!("{:.1} s", exam.exam_seconds), "<= 360 s");
    page.row("ratio of the exam to the sum of its phases' minimum times", &format!("{:.2}", exam.exam_seconds / exam.minimum), "<= 1.2");
    page.row("grader's resident memory at its highest", &format!("{:.1} MiB", exam.resident_mib), "< 64 MiB");
    page.row(
        &format!("requests sent within 2 ms of their time, of {}", exam.sent),
        &format!("{:.3} % (99.9 % within {:.2} ms)", exam.on_time * 100.0, exam.late_ms),
        "99.9 %",
    );
    page.write("docs/performance-kubernetes.md");
}

/// The seconds that the same objects need without us, on nodes of the same image.
fn plain(home: &Home, exercise: &Exercise, workspace: &Path) -> f64 {
    let exact = lines(&home.docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]));
    let node = exact.iter().find(|tag| tag.starts_with("modeldown/node-")).expect("a start made it");
    // Manifests name the tag that our start gives to images.
    let named = |text: String| {
        let tags = exact.iter().filter(|tag| !tag.ends_with(":latest")).filter_map(|tag| Some((tag.split_once(':')?.0, tag)));
        tags.fold(text, |text, (alias, tag)| text.replace(&format!("{alias}:{}", manifests::TAG), tag))
    };
    let read = |file: &str| std::fs::read_to_string(workspace.join(file)).expect("readable");
    let list = |items: Vec<Value>| named(json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string());
    let platform = manifests::platform(&exercise.manifest, &exercise.contract, &read(ROWS_FILE), &read(ACCOUNTS_FILE));
    let kubeconfig = home.path("kubeconfig");
    let kubectl = |arguments: &[&str]| {
        let mut command = home.tool("kubectl");
        command.env("KUBECONFIG", &kubeconfig).args(arguments);
        command
    };
    let rendered = kubectl(&["kustomize"]).arg(workspace.join("manifests")).output().expect("it runs");
    let submitted = named(String::from_utf8(rendered.stdout).expect("it is text"));
    let fed = |command: &mut Command, input: &str| {
        let output = acceptance::fed(command, input);
        assert!(output.status.success(), "{}", said(&output));
    };
    let apply = |more: &[&str], objects: &str| fed(kubectl(&["apply", "--server-side", "--filename", "-"]).args(more), objects);
    let began = std::time::Instant::now();
    fed(home.tool("kind").args(["create", "cluster", "--name", PLAIN, "--image", node, "--config", "-", "--kubeconfig"]).arg(&kubeconfig), CONFIG);
    apply(&[], &list(manifests::namespaces(&exercise.manifest)));
    apply(&[], &list(platform));
    apply(&["--namespace", EXERCISE], &submitted);
    timed(&mut kubectl(&["wait", "deployment", "--all", "--all-namespaces", "--for", "condition=Available", "--timeout", "5m"]));
    let seconds = began.elapsed().as_secs_f64();
    timed(home.tool("kind").args(["delete", "cluster", "--name", PLAIN, "--kubeconfig"]).arg(&kubeconfig));
    seconds
}
