//! The policy: what is refused, with its place, and that the reference passes.

use std::path::Path;

use super::*;
use crate::exercise::{Exercise, Key, Variant, render_workspace};

fn exercise() -> Exercise {
    Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("the exercise is right")
}

fn reference(exercise: &Exercise) -> Files {
    render_workspace(exercise, &Variant::reference(), &Key::public()).expect("it renders")
}

/// What is said about the reference after one edit of its Compose file.
fn refused(find: &str, replace: &str) -> String {
    let exercise = exercise();
    let mut files = reference(&exercise);
    let text = String::from_utf8(files[COMPOSE_FILE].clone()).expect("it is text");
    assert!(text.contains(find), "`{find}` is not in the reference");
    files.insert(COMPOSE_FILE.to_owned(), text.replacen(find, replace, 1).into_bytes());
    vet(&files, &exercise.manifest).expect_err("it must be refused").to_string()
}

fn ownership() -> Ownership {
    Ownership { lease: "l1".to_owned(), owner: "o1".to_owned(), expires: "2030-01-01T00:00:00Z".to_owned() }
}

#[test]
fn the_reference_and_every_break_pass() {
    let exercise = exercise();
    for id in exercise.breaks.keys() {
        let variant = Variant::named(&exercise, std::slice::from_ref(id)).expect("it is known");
        vet(&render_workspace(&exercise, &variant, &Key::public()).expect("it renders"), &exercise.manifest)
            .unwrap_or_else(|problems| panic!("{id}: {problems}"));
    }
    vet(&reference(&exercise), &exercise.manifest).expect("the reference passes");
}

#[test]
fn ways_out_of_the_cage_are_refused_with_their_lines() {
    for key in [
        "privileged: true",
        "network_mode: host",
        "pid: host",
        "ipc: host",
        "devices: [/dev/kmsg]",
        "cap_add: [ALL]",
        "security_opt: [x]",
        "env_file: .env",
        "extends: {file: x}",
        "secrets: [x]",
        "configs: [x]",
        "ports: ['80:80']",
        "container_name: x",
        "profiles: [x]",
        "deploy: {}",
        "networks: [paging]",
        "volumes_from: [x]",
        "cgroup_parent: x",
        "userns_mode: host",
        "sysctls: {}",
        "extra_hosts: [a]",
        "dns: 1.1.1.1",
        "links: [x]",
        "external_links: [x]",
        "runtime: x",
        "group_add: [0]",
        "uts: host",
        "tmpfs: /x",
        "oom_kill_disable: true",
    ] {
        let said = refused("  lb:\n", &format!("  lb:\n    {key}\n"));
        let name = key.split(':').next().expect("it has a name");
        assert!(said.contains(&format!("unknown key `{name}`")), "{key}: {said}");
        assert!(said.starts_with("compose.yaml:"), "{key}: {said}");
    }
}

#[test]
fn mounts_and_images_from_elsewhere_are_refused() {
    let folder = "./haproxy:/usr/local/etc/haproxy:ro";
    for mount in [
        "/:/host:ro",
        "/var/run/docker.sock:/s:ro",
        "../x:/x:ro",
        "./haproxy/../..:/x:ro",
        "~/x:/x:ro",
        "./haproxy:/x",
        "./haproxy:/x:rw",
        "./haproxy:/proc:ro",
        "./haproxy:/etc/modeldown:ro",
        "./:/x:ro",
        "./.modeldown:/x:ro",
        "undeclared:/x",
        "/x",
        "./haproxy:x:ro",
    ] {
        let said = refused(folder, mount);
        assert!(said.starts_with("compose.yaml:"), "{mount}: {said}");
    }
    let exercise = exercise();
    let mut files = reference(&exercise);
    files.insert("prometheus/modeldown-shadow.yml/a".to_owned(), Vec::new());
    let said = vet(&files, &exercise.manifest).expect_err("it must be refused").to_string();
    assert!(said.contains("`prometheus/modeldown-shadow.yml` is the platform's"), "{said}");
    assert!(refused("image: modeldown/haproxy", "image: haproxy").contains("is not an image of this exercise"));
    assert!(refused("image: modeldown/haproxy", "image: modeldown/python").contains("a service of role `lb` runs"));
    assert!(refused("./prometheus:/etc/prometheus:ro", "./prometheus:/usr/bin:ro").contains("is the platform's"));
    assert!(refused("image: modeldown/prometheus", "image: modeldown/prometheus\n    command: [sh]").contains("`command` of a service"));
    assert!(refused("build: ./model", "build: ..").contains("not a build context"));
    assert!(refused("FEATURES_MAX_AGE_S: \"900\"", "FEATURES_MAX_AGE_S: ${HOME}").contains("a variable"));
    assert!(refused("modeldown.role: model\n", "modeldown.role: model\n      modeldown.lease: x\n").contains("is the platform's"));
    assert!(refused("  lb:\n", "  pager:\n").contains("the service `pager` is the platform's"));
    assert!(refused("modeldown.role: lb", "modeldown.role: blancer").contains("known: alertmanager, lb, model, prometheus, release"));
}

#[test]
fn all_violations_are_listed() {
    let said = refused("  lb:\n    image: modeldown/haproxy\n", "  lb:\n    image: nginx\n    privileged: true\n");
    assert!(said.contains("unknown key `privileged`"), "{said}");
    let said = refused("    mem_limit: 64m\n", "    mem_limit: lots\n    restart: sometimes\n    cpus: -1\n").lines().count();
    // The second `restart` is a duplicate key, which ends the reading.
    assert_eq!(said, 1);
}

#[test]
fn both_renderings_hold_the_same_limits() {
    let exercise = exercise();
    let vetted = vet(&reference(&exercise), &exercise.manifest).expect("it passes");
    let images: Images = exercise.manifest.aliases.iter().map(|alias| (alias.clone(), format!("{alias}:0123"))).collect();
    let parse = |text: &str| crate::document::Document::parse("x", text).expect("it is YAML").root.value();
    let caged = parse(&cage(&vetted, &exercise.manifest, &exercise.contract, &images, &ownership(), None));
    let rendered = render(&vetted, &exercise.manifest, &images, &ownership(), "token");
    let rendered_file = parse(std::str::from_utf8(&rendered.files[COMPOSE_FILE]).expect("text"));
    for name in ["model-blue", "model-green", "lb", "prometheus", "alertmanager"] {
        for key in ["cap_drop", "security_opt", "pids_limit", "mem_limit", "memswap_limit", "init", "read_only", "tmpfs"] {
            assert_eq!(caged["services"][name][key], rendered_file["services"][name][key], "{name} {key}");
        }
        assert!(rendered_file["services"][name].get("ports").is_none());
    }
    // What reads files for a submission has no secret.
    let has_token = |name: &str| rendered_file["services"][name]["environment"]["CONTROL_TOKEN"] == "token";
    assert!(has_token("features") && has_token("registry") && !rendered_file["services"]["shadow"].to_string().contains("TOKEN"));
    assert!(rendered_file["networks"].as_object().expect("networks").values().all(|network| network["internal"] == true));
    assert!(!rendered_file["services"]["model-blue"]["networks"].to_string().contains("paging"));
    let prometheus = std::str::from_utf8(&rendered.files["prometheus/prometheus.yml"]).expect("text");
    assert!(prometheus.contains("/etc/modeldown/*.yml"), "{prometheus}");
    assert_eq!(rendered.files[".modeldown/lb.Dockerfile"], b"FROM modeldown/haproxy:0123\nCOPY [\"haproxy/\",\"/usr/local/etc/haproxy/\"]\n");
}

#[test]
fn what_compose_itself_would_refuse_or_never_start_is_refused_before() {
    let lb = |more: &str| refused("  lb:\n", &format!("  lb:\n{more}"));
    assert!(lb("    depends_on: {model-blue: {condition: service_happy}}\n").contains("known: service_started"));
    assert!(lb("    stop_grace_period: '5'\n").contains("`5` is not a duration"));
    assert!(lb("    stop_grace_period: 999999999h\n").contains("is not a duration"));
    assert!(lb("    depends_on: [lb]\n").contains("depends on itself"));
    assert!(refused("interval: 5s", "interval: 2 sec").contains("`2 sec` is not a duration"));
    assert!(refused("  prometheus-data:\n", "  prometheus-data:\n  Bad_Name:\n").contains("`Bad_Name` is not a name"));
    assert!(refused("mem_limit: 64m", "mem_limit: 60g").contains("are the most"));
    assert!(refused("FEATURES_MAX_AGE_S: \"900\"", "FEATURES_MAX_AGE_S: \"\\x24{HOME}\"").contains("a variable"));
}

#[test]
fn nothing_of_the_candidate_s_runs_in_a_trusted_service() {
    let prometheus = "test: [\"CMD\", \"driver\", \"probe\", \"http://127.0.0.1:9090/-/ready\"]";
    for test in ["test: [CMD-SHELL, id]", "test: id", "test: [CMD, driver, probe, 'http://pager:8080/']", "test: [CMD, sh, -c, id]"] {
        assert!(refused(prometheus, test).contains("the platform's own probe"), "{test}");
    }
}

#[test]
fn build_arguments_are_those_that_the_dockerfile_declares() {
    let said = refused("build: ./model", "build: {context: ./model, args: {BUILDKIT_SYNTAX: evil}}");
    assert!(said.contains("declares no argument `BUILDKIT_SYNTAX`"), "{said}");
}

#[test]
fn texts_stay_texts() {
    let exercise = exercise();
    let mut files = reference(&exercise);
    let text = String::from_utf8(files[COMPOSE_FILE].clone()).expect("it is text");
    let odd = "FEATURES_MAX_AGE_S: \"900\"\n      RELEASE: \"2024-05-01\"\n      COUNT: \"1_000\"\n      SWITCH: \"on\"";
    files.insert(COMPOSE_FILE.to_owned(), text.replacen("FEATURES_MAX_AGE_S: \"900\"", odd, 1).into_bytes());
    let images = Images::new();
    let rendered = render(&vet(&files, &exercise.manifest).expect("it passes"), &exercise.manifest, &images, &ownership(), "token");
    let file = std::str::from_utf8(&rendered.files[COMPOSE_FILE]).expect("text");
    for quoted in ["\"2024-05-01\"", "\"1_000\"", "\"on\""] {
        assert!(file.contains(quoted), "{quoted}");
    }
}
