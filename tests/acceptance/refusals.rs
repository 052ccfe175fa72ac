//! Files that are wrong are refused with file, line and column, and the exit code says whose they are.

use std::path::Path;
use std::process::Output;

use acceptance::{Home, model_down, repository, said};
use harness::exercise::{Key, Variant, render_workspace};

fn workspace(home: &Home, change: impl Fn(&mut String)) -> std::path::PathBuf {
    let folder = home.path("work");
    let mut files = render_workspace(&model_down(), &Variant::reference(), &Key::public()).expect("it renders");
    let mut text = String::from_utf8(files["compose.yaml"].clone()).expect("it is text");
    change(&mut text);
    files.insert("compose.yaml".to_owned(), text.into_bytes());
    harness::submission::write_files(&files.into(), &folder).expect("writable");
    folder
}

fn run(home: &Home, folder: &Path) -> Output {
    home.grader().arg("run").arg(folder).arg("--out").arg(home.path("report")).output().expect("it runs")
}

fn refused(output: &Output, code: i32, expected: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    for text in expected {
        assert!(said(output).contains(text), "`{text}` is missing in {}", said(output));
    }
}

#[test]
fn a_compose_file_that_breaks_the_rules_lists_everything() {
    let home = Home::new();
    let folder = workspace(&home, |text| {
        *text = text.replacen("    mem_limit: 160m\n", "    mem_limit: 160m\n    privileged: true\n", 1);
        *text = text.replacen("./haproxy:/usr/local/etc/haproxy:ro", "/var/run/docker.sock:/var/run/docker.sock", 1);
    });
    // Keys come first: a file whose shape is wrong has no meaning yet.
    refused(&run(&home, &folder), 3, &["compose.yaml:13:5: unknown key `privileged`", "known: "]);
    let text = std::fs::read_to_string(folder.join("compose.yaml")).expect("readable").replace("    privileged: true\n", "    pids_limit: 64\n");
    std::fs::write(folder.join("compose.yaml"), text.replace("image: modeldown/haproxy", "image: nginx")).expect("writable");
    refused(&run(&home, &folder), 3, &["compose.yaml:27:12", "`nginx` is not an image", "compose.yaml:31:9: `/var/run/docker.sock"]);
    let started = home.harness().args(["start", "model-down", "--dir"]).arg(&folder).output().expect("it runs");
    refused(&started, 3, &["`nginx` is not an image", "nothing was started"]);
    home.is_clean();
}

#[test]
fn a_submission_that_does_not_build_is_the_submission_s() {
    let home = Home::new();
    let folder = workspace(&home, |_| {});
    std::fs::write(folder.join("model/Dockerfile"), "FROM modeldown/python\nCOPY nowhere.py /app/\n").expect("writable");
    refused(&run(&home, &folder), 3, &["does not build", "nowhere.py"]);
    home.is_clean();
}

#[test]
fn a_sealed_workspace_is_graded_with_its_key_only() {
    let home = Home::new();
    let (folder, keys) = (home.path("work"), ["key", "other"].map(|name| home.path(name)));
    for (path, letter) in keys.iter().zip(["k", "o"]) {
        std::fs::write(path, letter.repeat(32)).expect("writable");
    }
    let start = |key: Option<&Path>| {
        let mut command = home.harness();
        command.args(["start", "model-down", "--only-files", "--dir"]).arg(&folder);
        key.map(|key| command.env("MODELDOWN_KEY_FILE", key));
        command.output().expect("it runs")
    };
    // Whoever has the key makes it, and the candidate goes on in it without one.
    for key in [Some(&*keys[0]), None] {
        assert!(start(key).status.success(), "{}", said(&start(key)));
    }
    refused(&start(Some(&keys[1])), 2, &["variant.json`: the seal is not of the key"]);
    let reset = home.harness().args(["reset", "--yes", "--dir"]).arg(&folder).output().expect("it runs");
    refused(&reset, 2, &["was sealed by whoever sent it"]);

    let grade = |key: Option<&Path>, said: &[&str]| {
        let mut command = home.grader();
        command.arg("run").arg(&folder).args(said).arg("--out").arg(home.path("report"));
        key.map(|key| command.env("MODELDOWN_KEY_FILE", key));
        command.output().expect("it runs")
    };
    let explicit = ["--exercise", "model-down", "--seed", "acme-1"];
    for said in [&[][..], &explicit] {
        refused(&grade(None, said), 2, &["sealed with a company's key; set `MODELDOWN_KEY_FILE`"]);
    }
    refused(&grade(Some(&keys[1]), &[]), 2, &["the seal is not of the key", "`--exercise EXERCISE --seed SEED`"]);
    refused(&grade(Some(&home.path("none")), &[]), 2, &["none`: No such file", "`MODELDOWN_KEY_FILE` names it"]);
    // What the candidate was given, said by whoever grades: the next thing that is wrong is told.
    std::fs::write(folder.join("compose.yaml"), "services: []\n").expect("writable");
    refused(&grade(Some(&keys[1]), &explicit), 3, &["compose.yaml:1:11"]);
    refused(&grade(Some(&keys[0]), &[]), 3, &["compose.yaml:1:11"]);
    std::fs::write(folder.join(".modeldown/variant.json"), "{\"format\": 2, \"exercise\": \"model-down\"}").expect("writable");
    refused(&grade(Some(&keys[0]), &[]), 2, &["it is not sealed, and `MODELDOWN_KEY_FILE` is set"]);
}

#[test]
fn an_exercise_that_is_wrong_is_the_operator_s() {
    let home = Home::new();
    let exercises = home.path("exercises");
    let copied = std::process::Command::new("cp").arg("-r").arg(repository().join("exercises")).arg(&exercises).status().expect("it runs");
    assert!(copied.success());
    let file = exercises.join("model-down/exercise.yaml");
    let text =
        std::fs::read_to_string(&file).expect("readable").replace("engine: docker", "engine: podman").replace("pass_mark: 70", "pass_mark: 700");
    std::fs::write(&file, text).expect("writable");
    let listed = home.command("harness").arg("list").arg("--exercises").arg(&exercises).output().expect("it runs");
    refused(&listed, 2, &["exercise.yaml:4:9: ", "known: docker", "exercise.yaml:6:12: "]);
    std::fs::copy(repository().join("exercises/model-down/exercise.yaml"), &file).expect("writable");
    let broken = exercises.join("model-down/breaks/alias-forgotten.yaml");
    let text = std::fs::read_to_string(&broken).expect("readable").replace("\nfails: [", "\nfails: [nobody-checks, ");
    std::fs::write(&broken, text).expect("writable");
    let listed = home.command("grader").args(["selftest", "model-down", "--list", "--exercises"]).arg(&exercises).output().expect("it runs");
    refused(&listed, 2, &["breaks/alias-forgotten.yaml:6:9: there is no check `nobody-checks`", "known: answers-available"]);
}

#[test]
fn a_history_that_is_damaged_says_where() {
    let home = Home::new();
    let folder = home.path("history");
    std::fs::create_dir(&folder).expect("writable");
    let judge = || home.grader().arg("judge").arg(&folder).output().expect("it runs");
    refused(&judge(), 2, &["manifest.json"]);
    for file in ["exam.yaml", "checks.yaml", "requirements.json", "events.jsonl.zst"] {
        std::fs::write(folder.join(file), "").expect("writable");
    }
    std::fs::write(folder.join("manifest.json"), "{\n  \"format\": 1,\n  \"colour\": \"red\"\n}").expect("writable");
    refused(&judge(), 2, &["`manifest.json`:3:", "colour"]);
}

#[test]
fn what_is_not_there_is_named() {
    let home = Home::new();
    refused(&home.harness().args(["start", "model-up"]).output().expect("it runs"), 2, &["no exercise `model-up`", "known: model-down"]);
    let unknown = home.harness().args(["start", "model-down", "--break", "gremlin"]).output().expect("it runs");
    refused(&unknown, 2, &["no break `gremlin`", "swapped-features"]);
    refused(&run(&home, &home.path("nowhere")), 2, &["nowhere"]);
    let mut command = home.harness();
    let away = command.env("DOCKER_HOST", "unix:///nowhere.sock").args(["start", "model-down"]).output().expect("it runs");
    refused(&away, 5, &["unix:///nowhere.sock", "make setup"]);
    let mut command = home.harness();
    refused(&command.env("DOCKER_HOST", "ssh://host").arg("doctor").output().expect("it runs"), 5, &["ssh://host"]);
}
