//! Exercises as they are read and refused, and the workspaces that are made of them.

use super::*;
use crate::compose::vet;

#[test]
fn requirements_are_list_items_with_an_id() {
    let brief =
        "# Title\n\n- **H1** Scores are\n  right.\n- plain\n- **M2** Pages arrive.\n\n| | what | soon |\n|---|---|---|\n| **A1** | fire | 5 min |\n";
    let expected = [("H1", "Scores are right."), ("M2", "Pages arrive."), ("A1", "fire; 5 min")];
    assert_eq!(requirements(brief), expected.map(|(id, text)| (id.to_owned(), text.to_owned())).into());
}

fn model_down() -> Exercise {
    Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("the exercise is right")
}

fn seed(text: &str) -> Seed {
    Seed::new(text).expect("it is a seed")
}

/// A key for tests.
fn key() -> Key {
    Key::company(b"a secret of thirty-two bytes, just").expect("it is long enough")
}

/// A variant's files, of which the policy says that they may run.
fn rendered(exercise: &Exercise, variant: &Variant) -> Files {
    let files = workspace::deployment(exercise, variant, &Key::public()).expect("it renders");
    if let Err(problems) = vet(&files, &exercise.manifest) {
        panic!("{variant:?}: {problems}");
    }
    files
}

#[test]
fn five_hundred_seeds_are_alike_and_not_the_same() {
    let exercise = model_down();
    let rule = &exercise.manifest.variants;
    let (mut sets, mut picked, mut counts, mut parameters) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..500 {
        let variant = Variant::pick(&exercise, seed(&format!("seed-{number}")), &Key::public()).expect("there are some");
        let breaks: Vec<&Break> = variant.breaks.iter().map(|id| &exercise.breaks[id]).collect();
        assert!((rule.breaks.min..=rule.breaks.max).contains(&breaks.len()), "{variant:?}");
        assert!(rule.span().contains(&breaks.iter().map(|one| one.minutes).sum()), "{variant:?}");
        let competencies: BTreeSet<&String> = breaks.iter().map(|one| &one.competency).collect();
        assert!(rule.covers.iter().all(|competency| competencies.contains(competency)), "{variant:?}");
        for (one, other) in breaks.iter().flat_map(|one| breaks.iter().map(move |other| (one, other))) {
            assert!(one.id == other.id || !exercise.hides(&one.id, &other.id), "{variant:?}: {} hides {}", one.id, other.id);
        }
        assert!(exercise.tell_apart(&breaks), "{variant:?}");
        rendered(&exercise, &variant);
        counts.insert(breaks.len());
        parameters.extend(variant.parameters);
        picked.extend(variant.breaks.clone());
        sets.insert(variant.breaks);
    }
    assert!(sets.len() >= 450, "{} sets of breaks", sets.len());
    assert_eq!(counts.len(), rule.breaks.max - rule.breaks.min + 1, "{counts:?}");
    assert_eq!(picked.len(), exercise.breaks.len(), "some are never picked: only {picked:?}");
    assert_eq!(parameters.len(), exercise.manifest.parameters.iter().map(|one| one.choices.len()).sum::<usize>(), "{parameters:?}");
}

#[test]
fn every_break_renders_with_every_choice() {
    let exercise = model_down();
    let parameters = &exercise.manifest.parameters;
    let most = parameters.iter().map(|one| one.choices.len()).max().expect("there are some");
    let reference = rendered(&exercise, &Variant::reference());
    for id in exercise.breaks.keys() {
        let variant = Variant::named(&exercise, std::slice::from_ref(id)).expect("it is known");
        let broken = rendered(&exercise, &variant);
        assert!(broken != reference, "{id}");
        for nth in 1..most {
            let choice = |one: &Parameter| one.choices[nth % one.choices.len()].clone();
            let drawn = parameters.iter().map(|one| (one.id.clone(), choice(one))).collect();
            let changed = rendered(&exercise, &Variant { parameters: drawn, ..variant.clone() });
            // With the reference's words put back it is the same: none of the new ones stood there before.
            let back = |(name, content): (String, Vec<u8>)| {
                let drawn: Vec<(String, &str)> =
                    parameters.iter().filter(|one| one.files.contains(&name)).map(|one| (choice(one), one.default())).collect();
                let words: Vec<(&str, &str)> = drawn.iter().map(|(choice, word)| (choice.as_str(), *word)).collect();
                let text = String::from_utf8(content).expect("it is text");
                (name, if words.is_empty() { text } else { edits::reworded(&text, &words) }.into_bytes())
            };
            assert!(changed.into_iter().map(back).collect::<Files>() == broken, "{id}: choice {nth}");
        }
    }
}

/// A file that says a word that a seed replaces elsewhere would say something wrong. Golden data are numbers, and those of every length.
#[test]
fn no_other_file_has_a_parameter_s_word() {
    let exercise = model_down();
    for (name, content) in rendered(&exercise, &Variant::reference()).iter().filter(|(name, _)| *name != "release/golden.csv") {
        let text = std::str::from_utf8(content).expect("it is text");
        for parameter in exercise.manifest.parameters.iter().filter(|parameter| !parameter.files.contains(name)) {
            assert!(
                !edits::has_word(text, parameter.default()),
                "`{}` stands in {name}: add it to the files of `{}`",
                parameter.default(),
                parameter.id
            );
        }
    }
}

#[test]
fn a_new_parameter_changes_nothing_that_old_seeds_draw() {
    let exercise = model_down();
    let mut more = exercise.clone();
    more.manifest.parameters.insert(0, Parameter { id: "new".to_owned(), choices: vec!["a".to_owned(), "b".to_owned()], files: BTreeSet::new() });
    let pick = |exercise: &Exercise| Variant::pick(exercise, seed("acme"), &Key::public()).expect("there are some");
    let (old, mut new) = (pick(&exercise), pick(&more));
    assert!(new.parameters.remove("new").is_some());
    assert_eq!(old, new);
}

#[test]
fn a_key_makes_other_variants_and_tells_nobody() {
    let exercise = model_down();
    let pick = |key: &Key| Variant::pick(&exercise, seed("acme-42"), key).expect("there are some");
    let (public, secret) = (pick(&Key::public()), pick(&key()));
    assert_ne!(public.breaks, secret.breaks);
    let files = render_workspace(&exercise, &secret, &key()).expect("it renders");
    let content = &files[VARIANT_FILE];
    let text = String::from_utf8_lossy(content);
    assert!(!text.contains("model-down") && !text.contains("acme-42") && !secret.breaks.iter().any(|id| text.contains(id)), "{text}");
    let rows = |files: &Files| files[".modeldown/rows.jsonl"].clone();
    assert!(rows(&files) != rows(&render_workspace(&exercise, &public, &Key::public()).expect("it renders")), "rows tell the seed");
    let found = VariantFile::read(content, &key()).expect("it is sealed with this key");
    assert_eq!(found.variant(&exercise, &key()).expect("there are some"), secret);
    let named = Variant::named(&exercise, &["scrape-port".to_owned()]).expect("it is known");
    let sealed = &render_workspace(&exercise, &named, &key()).expect("it renders")[VARIANT_FILE];
    assert_eq!(sealed.len(), content.len(), "the length tells what is in it");
    assert_eq!(VariantFile::read(sealed, &key()).expect("it is sealed").breaks, ["scrape-port"]);
}

#[test]
fn a_bad_seal_is_refused_and_says_what_to_do() {
    let exercise = model_down();
    let file =
        |variant: &Variant, key: &Key| render_workspace(&exercise, variant, key).expect("it renders").remove(VARIANT_FILE).expect("there is one");
    let said = |content: &[u8], key: &Key| VariantFile::read(content, key).expect_err("it must be refused").to_string();
    let sealed = file(&Variant::reference(), &key());
    let other = Key::company(b"another secret that has 32 bytes").expect("it is long enough");
    assert!(said(&sealed, &Key::public()).contains("sealed with a company's key; set `MODELDOWN_KEY_FILE`"), "{}", said(&sealed, &Key::public()));
    assert!(said(&sealed, &other).contains("the seal is not of the key that `MODELDOWN_KEY_FILE` names"));
    assert!(said(b"{\"format\": 2, \"sealed\": \"00\"}", &key()).contains("the seal is not of the key"));
    assert!(said(&file(&Variant::reference(), &Key::public()), &key()).contains("it is not sealed"));
    assert!(said(b"{\"format\": 3}", &Key::public()).contains("there is no format 3; known: 1, 2"));
    let old =
        |seed: &str| format!("{{\"format\":1,\"exercise\":\"model-down\",\"seed\":{seed},\"breaks\":[],\"exercise_digest\":\"\"}}").into_bytes();
    assert!(said(&old("\"acme-1\""), &Key::public()).contains("seeds picked other breaks"));
    assert!(VariantFile::read(&old("null"), &Key::public()).is_ok());
}

/// The same seed and key give the same bytes on every machine. What is drawn must stay for ever: workspaces that candidates have at home
/// are graded by it. The digests change with every edit to the flagship, and are renewed by
/// `INSTA_UPDATE=always cargo test --package harness --lib same_bytes`: look at the difference, and see that the lines above them stay.
#[test]
fn the_same_seed_and_key_give_the_same_bytes() {
    let exercise = model_down();
    let said = [("without a key", Key::public()), ("with a key", key())].map(|(name, key)| {
        let variant = Variant::pick(&exercise, seed("golden"), &key).expect("there are some");
        let files = render_workspace(&exercise, &variant, &key).expect("it renders");
        let mut digest = Sha256::new();
        for (path, content) in &files {
            digest.update(format!("{path} {}\n", content.len()));
            digest.update(content);
        }
        format!("{name}\n{}\n{:?}\n{}\n", variant.breaks.join(" "), variant.parameters, hex(&digest.finalize()))
    });
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_seed_gives_the_same_rows_for_ever() {
    let exercise = model_down();
    let mut random = seed("fixed").stream("model-down", "rows");
    let drawn = rows(&exercise.manifest.inputs, Population::Usual, 2, &mut random);
    insta::assert_snapshot!(request_body(&exercise.manifest.inputs, Some("account"), &drawn[0]));
    assert_eq!(accounts(&exercise.manifest.inputs, &drawn).as_object().map(serde_json::Map::len), Some(2));
}

/// What is wrong with a copy of the flagship in which some files were changed.
fn complaints(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("model-down");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down");
    for (path, content) in files_below(&from).expect("it is readable") {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
        std::fs::write(path, content).expect("writable");
    }
    change(&dir);
    let Err(ExerciseError::Malformed(problems)) = Exercise::load(&dir) else { panic!("it must be refused") };
    problems.to_string()
}

/// What is wrong with it after a text in one file was replaced.
fn complaints_about(file: &str, from: &str, to: &str) -> String {
    complaints(|dir| {
        let path = dir.join(file);
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "{file}: {from}");
        std::fs::write(path, text.replacen(from, to, 1)).expect("writable");
    })
}

#[test]
fn a_malformed_exercise_names_every_place() {
    let said = complaints(|dir| {
        let broken =
            "id: other\ntitle: t\ncompetency: c\ndifficulty: trivial\nminutes: 1\nfails: [a]\nedits: [{file: nowhere, find: a, replace: b}]\n";
        std::fs::write(dir.join("breaks/odd.yaml"), broken).expect("writable");
        std::fs::write(dir.join("contract.yaml"), "inference: {role: lb, path: /x, account: a, output: score, colour: red}\n").expect("writable");
    });
    for expected in ["odd.yaml:4:13: ", "known: easy, medium, hard", "contract.yaml:1:60: unknown key `colour`", "contract.yaml:1:1: "] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn what_does_not_fit_together_is_told_with_its_place() {
    for (file, from, to, expected) in [
        (
            "breaks/hang-unnoticed.yaml",
            "masks: [balancer-timeout]",
            "masks: [balancer]",
            &["hang-unnoticed.yaml:7:9: there is no break `balancer` (known: alerts-l"][..],
        ),
        (
            "breaks/blocking-call.yaml",
            "masks: [no-timeout, store-errors]",
            "masks: [no-timeout, hang-unnoticed]",
            &[
                "blocking-call.yaml:7:21: `blocking-call` masks itself: it masks `hang-unnoticed`, which masks `balancer-timeout`, which masks `blocking-call`",
                "hang-unnoticed.yaml:7:9: `hang-unnoticed` masks itself",
            ],
        ),
        (
            "breaks/no-restart.yaml",
            "fails: [crash-recovered]",
            "fails: [crash-recovered]\nmasks: [no-restart]",
            &["no-restart.yaml:7:9: `no-restart` masks itself: it masks `no-restart`"],
        ),
        (
            "exercise.yaml",
            "minutes: 70",
            "minutes: 400",
            &["exercise.yaml:12:3: no set of 5 to 7 breaks takes 400 minutes to within a tenth and covers Alerting, Ma"],
        ),
        ("exercise.yaml", "min: 5, max: 7", "min: 7, max: 5", &["no set of 7 to 5 breaks"]),
        (
            "exercise.yaml",
            "[Alerting, Machine learning",
            "[Alerting, Poetry",
            &["exercise.yaml:14:22: no break is of the competency `Poetry` (known: Alerting, Cost, "],
        ),
        (
            "exercise.yaml",
            "haproxy/haproxy.cfg, prometheus/prometheus.yml]",
            "haproxy/haproxy.cfg, compose.yaml]",
            &["does not stand in `compose.yaml` as a whole word"],
        ),
        (
            "exercise.yaml",
            "[haproxy/haproxy.cfg, prometheus/prometheus.yml]",
            "[haproxy.cfg]",
            &["exercise.yaml:26:13: no file `haproxy.cfg` below reference/ (known: "],
        ),
        (
            "exercise.yaml",
            "\"8404\", \"8405\"",
            "\"8403\", \"8405\"",
            &["`8403`, the first choice of `balancer-metrics-port`, does not stand in `haproxy/haproxy.cfg`"],
        ),
        ("exercise.yaml", "green, amber", "green, blue", &["exercise.yaml:22:22: `blue` is a choice twice"]),
        ("exercise.yaml", "id: second-replica", "id: first-replica", &["exercise.yaml:21:9: there are two parameters `first-replica`"]),
    ] {
        let said = complaints_about(file, from, to);
        for expected in expected {
            assert!(said.contains(expected), "{expected} is missing in\n{said}");
        }
    }
}

#[test]
fn breaks_that_edit_the_same_text_are_never_together() {
    let exercise = model_down();
    assert!(exercise.meets("balancer-timeout", "hang-unnoticed") && exercise.meets("memory-limit", "no-restart"));
    assert!(!exercise.excludes("always-pages", "store-stale") && !exercise.meets("memory-limit", "memory-limit"));
    let both = Variant::named(&exercise, &["memory-limit".to_owned(), "registry-port".to_owned()]).expect("they are known");
    let said = render_workspace(&exercise, &both, &Key::public()).expect_err("it must be refused").to_string();
    assert!(said.contains("breaks/memory-limit.yaml") && said.contains("`registry-port` edits too"), "{said}");
}

/// Editors complete and check what people write by the schemas in `docs/schema`, so they must be those of the types.
#[test]
fn the_schemas_in_docs_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    for (name, wanted) in [
        ("exercise", document::schema::<Manifest>()),
        ("contract", document::schema::<Contract>()),
        ("break", document::schema::<Break>()),
        ("case", document::schema::<CaseFile>()),
        ("compose", document::schema::<crate::compose::ComposeFile>()),
    ] {
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("MODELDOWN_WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &wanted).expect("writable");
        }
        assert!(std::fs::read_to_string(&path).unwrap_or_default() == wanted, "{name}: run `make schemas`");
    }
}

/// What the template shows: parts of the contract that an exercise does without, and cases.
#[test]
fn the_template_is_right_whatever_is_broken() {
    let exercise = Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/warm-up")).expect("the exercise is right");
    assert!(exercise.contract.release.is_none() && exercise.contract.alerts.is_none());
    let breaks: Vec<String> = exercise.breaks.keys().cloned().collect();
    rendered(&exercise, &Variant::named(&exercise, &breaks).expect("they are known"));
    let cases = Case::all(&exercise).expect("they are right");
    assert!(CaseKind::ALL.iter().all(|kind| cases.iter().any(|case| case.kind == *kind)), "{cases:?}");
    // Nothing of them reaches a candidate.
    let variant = Variant::pick(&exercise, seed("one"), &Key::public()).expect("it picks");
    let files = render_workspace(&exercise, &variant, &Key::public()).expect("it renders");
    assert!(!files.keys().any(|path| path.contains("cheats") || path.contains("alternatives")), "{:?}", files.keys());
}

#[test]
fn a_case_that_is_wrong_names_every_place() {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/warm-up");
    let folder = tempfile::tempdir().expect("room");
    let dir = folder.path().join("warm-up");
    crate::submission::write_files(&files_below(&original).expect("readable").into(), &dir).expect("writable");
    let exercise = Exercise::load(&dir).expect("it is right");
    let case = "title: wrong\nfail: []\nedits: [{file: model/server.py, find: nowhere, replace: x}]\nwithout: [gone.txt]\n";
    std::fs::write(dir.join("cheats/always-half/case.yaml"), case).expect("writable");
    std::fs::write(dir.join("alternatives/fastapi/case.yaml"), case.replace("fail: []\n", "")).expect("writable");
    let said = Case::all(&exercise).expect_err("it must be refused").to_string();
    for expected in [
        "cheats/always-half/case.yaml:2:1: unknown key `fail`",
        "alternatives/fastapi/case.yaml:2:39: this text stands 0 times in reference/model/server.py",
        "alternatives/fastapi/case.yaml:3:11: no file `gone.txt` below reference/",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn what_a_break_fails_or_explains_it_hides() {
    let exercise = model_down();
    // Both fail the memory budget and nothing else; whoever cannot be paged is not paged of a wrong version either.
    for (one, other) in [("generous-limit", "left-running"), ("page-to-nowhere", "version-among-replicas"), ("rules-elsewhere", "dashboard-renamed")]
    {
        assert!(exercise.hides(one, other) && exercise.excludes(other, one), "{one} and {other}");
    }
    assert!(!exercise.hides("version-among-replicas", "page-to-nowhere") && !exercise.excludes("gate-metric", "page-to-nowhere"));
    // Each of the three fails something beyond each other one, and the middle one nothing beyond both.
    let set = ["memory-limit", "scrape-port", "rules-elsewhere"].map(|id| &exercise.breaks[id]);
    assert!(!exercise.tell_apart(&set) && exercise.tell_apart(&[set[0]]));
}
