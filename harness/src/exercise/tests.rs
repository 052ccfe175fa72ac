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
    assert!(said(b"{\"format\": 5}", &Key::public()).contains("there is no format 5; known: 1 to 4"));
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
            &["exercise.yaml:12:3: no set of 5 to 7 breaks takes 400 minutes to within a tenth and covers Alerting, Di"],
        ),
        ("exercise.yaml", "min: 5, max: 7", "min: 7, max: 5", &["no set of 7 to 5 breaks"]),
        (
            "exercise.yaml",
            "[Alerting, Diagnosis",
            "[Alerting, Poetry",
            &["exercise.yaml:14:22: no break is of the competency `Poetry` (known: Alerting, Cost, "],
        ),
        (
            "exercise.yaml",
            "haproxy/haproxy.cfg, past.yaml, prometheus/prometheus.yml]",
            "haproxy/haproxy.cfg, compose.yaml]",
            &["does not stand in `compose.yaml` as a whole word"],
        ),
        (
            "exercise.yaml",
            "[haproxy/haproxy.cfg, past.yaml, prometheus/prometheus.yml]",
            "[haproxy.cfg]",
            &["exercise.yaml:26:13: no file `haproxy.cfg` below reference/ (known: "],
        ),
        (
            "exercise.yaml",
            "\"8404\", \"8405\"",
            "\"8403\", \"8405\"",
            &["`8403`, the first choice of `balancer-metrics-port`, does not stand in `haproxy/haproxy.cfg`"],
        ),
        (
            "past.yaml",
            "dependency: [features], first_metric: [feature_lookups",
            "first_metric: [feature_lookup",
            &["nothing answers `dependency`", "`feature_lookup` is no answer to `first_metric`"],
        ),
        ("past.yaml", "from: 17, to: 20", "from: 17, to: 22", &["it must be over before 22:45 whenever it begins"]),
        ("past.yaml", "{min: 15, max: 35}, marks: {store_slow", "{min: 15, max: 14}, marks: {store_slow", &["`min` is at most `max`"]),
        ("past.yaml", "every_seconds: 30", "every_seconds: 25", &["a minute must be a whole number of counts"]),
        ("past.yaml", "id: status", "id: version", &["two facts have this id"]),
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
        ("past", document::schema::<Past>()),
        ("diagnosis", document::schema::<Diagnosis>()),
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
    let twice = case.replace("fail: []\n", "").replace("nowhere", "import").replace("without: [gone.txt]\n", "");
    std::fs::create_dir(dir.join("cheats/twice")).expect("writable");
    std::fs::write(dir.join("cheats/twice/case.yaml"), twice).expect("writable");
    let said = Case::all(&exercise).expect_err("it must be refused").to_string();
    assert!(said.contains("cheats/twice/case.yaml:2:39: this text stands ") && !said.contains("twice/case.yaml:2:39: this text stands 0"), "{said}");
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

/// What the day before is for the variant of a seed.
fn day_of(exercise: &Exercise, text: &str) -> Day {
    let variant = Variant { seed: Some(seed(text)), ..Variant::reference() };
    day(exercise, &variant, &Key::public()).expect("it can be played").expect("the exercise has one").1
}

#[test]
fn the_reference_knows_its_day_and_a_break_takes_that_away() {
    let exercise = model_down();
    let (past, day) = day(&exercise, &Variant::reference(), &Key::public()).expect("it can be played").expect("the exercise has one");
    let told = |files: &Files| diagnosed(&past, day.wanted.clone().into_iter(), files);
    let wrong = told(&exercise.reference).into_iter().filter(|fact| fact.wanted.accepts(fact.said.as_deref().unwrap_or_default()) != Ok(true));
    let wrong: Vec<String> = wrong.map(|fact| format!("{}: {}", fact.fact, fact.wanted)).collect();
    assert!(wrong.is_empty(), "reference/diagnosis.yaml should say {wrong:#?}");
    let blank = rendered(&exercise, &Variant::named(&exercise, &["undiagnosed".to_owned()]).expect("it is known"));
    assert!(told(&blank).iter().all(|fact| fact.said.is_none() && fact.complaint.ends_with("is empty")), "{:?}", told(&blank));
    let with = |text: &str| told(&Files::from([(DIAGNOSIS_FILE.to_owned(), text.as_bytes().to_vec())]))[0].clone();
    assert_eq!(with("version: 3").said.as_deref(), Some("3"));
    assert!(with("version: [3]").complaint.contains("diagnosis.yaml:1:10: one word or number"), "{:?}", with("version: [3]"));
    // A slip in one line takes away nothing of the others; what is on no line of its own is told with where the file is wrong.
    let slipped = "status: `500`\nversion: \"3\"   # at first\nstatus: [\n";
    assert_eq!(with(slipped).said.as_deref(), Some("3"));
    assert!(with("status: `500`").complaint.contains("diagnosis.yaml:1:9"), "{:?}", with("status: `500`"));
    assert!(told(&Files::new())[0].complaint.contains("there is no"));
}

#[test]
fn days_differ_and_their_metrics_and_logs_say_the_same() {
    let exercise = model_down();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for number in 0..40 {
        let day = day_of(&exercise, &format!("seed-{number}"));
        let wanted: BTreeMap<&str, &Wanted> = day.wanted.iter().map(|(fact, wanted)| (fact.as_str(), wanted)).collect();
        let (Wanted::Time { minute, .. }, Wanted::Count { count, .. }) = (wanted["first_bad_minute"], wanted["failed_requests"]) else {
            panic!("{wanted:?}")
        };
        seen.entry(day.incident.clone()).or_default().insert(wanted["version"].to_string());
        assert!((17 * 60..21 * 60).contains(minute) && (300..9_000).contains(count), "{}: {wanted:?}", day.incident);
        // The log has a line for each of them, and few beside them.
        let log = String::from_utf8(day.logs["logs/balancer.log"].clone()).expect("it is text");
        let evening = log.lines().filter(|line| line[..5] >= *format!("{:02}:{:02}", minute / 60, minute % 60)).count();
        assert!((*count..count + count / 20 + 20).contains(&(evening as u64)), "{}: {evening} lines, {count} failures", day.incident);
        let most = |status: &str| log.lines().filter(|line| line.contains(&format!(" {status} "))).count() > log.lines().count() / 2;
        assert!(most(&wanted["status"].to_string()), "{}: {wanted:?}", day.incident);
        // So does the balancer's counter, at the end of the day.
        let failures = day.recorded.series.iter().find(|one| one.metric == "haproxy_backend_http_responses_total" && one.labels["code"] == "5xx");
        let counted: i64 = failures.expect("it is there").runs.iter().flat_map(|(_, steps)| steps).sum();
        assert_eq!(counted, i64::try_from(log.lines().count()).expect("it fits"));
        // Counters fall where a process starts anew, and nowhere else.
        for series in day.recorded.series.iter().filter(|one| one.metric.starts_with("haproxy") || one.metric.starts_with("feature_store")) {
            assert!(series.runs.len() == 1 && series.runs[0].1.iter().all(|step| *step >= 0), "{series:?}");
        }
        assert!(day.recorded.open_metrics(0).lines().all(|line| line == "# EOF" || line.split(' ').count() == 3));
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.values().flatten().collect::<BTreeSet<_>>().len() == 2, "{seen:?}");
}

#[test]
fn nothing_in_a_workspace_tells_what_happened() {
    let exercise = model_down();
    let reference = render_workspace(&exercise, &Variant::reference(), &key()).expect("it renders");
    for number in 0..12 {
        let variant = Variant::pick(&exercise, seed(&format!("seed-{number}")), &key()).expect("there are some");
        let (_, day) = day(&exercise, &variant, &key()).expect("it can be played").expect("the exercise has one");
        let files = render_workspace(&exercise, &variant, &key()).expect("it renders");
        let (Wanted::Time { minute, .. }, Wanted::Count { count, .. }) = (&day.wanted[1].1, &day.wanted[2].1) else { panic!("{:?}", day.wanted) };
        let times = [format!("{:02}:{:02}", minute / 60, minute % 60), minute.to_string()];
        let secrets = [day.incident.clone(), count.to_string()].into_iter().chain(times);
        let is_evidence = |path: &String| path.starts_with("logs/") || path == RECORDED_FILE;
        // The rows of the background traffic are random numbers.
        let is_random = |path: &String| path == ".modeldown/rows.jsonl" || path == ".modeldown/accounts.json" || path == "release/golden.csv";
        for secret in secrets {
            for (path, content) in files.iter().filter(|(path, _)| !is_evidence(path) && !is_random(path)) {
                let says = |content: &Vec<u8>| edits::has_word(&String::from_utf8_lossy(content), &secret);
                // A number that everyone's file has tells nothing.
                assert!(!says(content) || reference.get(path).is_some_and(says), "{path} says {secret}");
            }
        }
        let logs = [&files["logs/balancer.log"], &files["logs/release.log"]].map(|log| String::from_utf8_lossy(log).into_owned()).concat();
        assert!(!logs.contains(&day.incident));
        // Every file of a workspace that is not the variant's own is the same for all: what is left is what was recorded.
        let diagnosis = String::from_utf8_lossy(&files[DIAGNOSIS_FILE]);
        assert!(diagnosis.lines().all(|line| line.is_empty() || line.starts_with('#') || line.ends_with(':')), "{diagnosis}");
    }
}

/// By how much a series counts or shows in some minutes: a request, or each time.
#[allow(clippy::cast_precision_loss, reason = "a day's counts fit")]
fn shown(recorded: &Recorded, series: &past::day::Series, minutes: std::ops::Range<usize>, requests: f64) -> f64 {
    let counts = |minute: usize| minute * 60 / recorded.every_seconds as usize;
    let window = counts(minutes.start)..counts(minutes.end);
    let is_gauge = !["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| series.metric.ends_with(suffix));
    let mut sum = 0;
    for (first, steps) in &series.runs {
        let mut value = 0;
        for (place, (at, step)) in (*first..).zip(steps).enumerate() {
            value += step;
            if window.contains(&at) {
                sum += if is_gauge { value } else { step * i64::from(place > 0) };
            }
        }
    }
    sum as f64 / if is_gauge { window.len() as f64 } else { requests } / f64::from(series.per)
}

#[test]
fn whatever_shows_an_incident_first_is_accepted_and_nothing_else() {
    let exercise = model_down();
    for number in 0..40 {
        let day = day_of(&exercise, &format!("seed-{number}"));
        let wanted: BTreeMap<&str, &Wanted> = day.wanted.iter().map(|(fact, wanted)| (fact.as_str(), wanted)).collect();
        let (Wanted::Time { minute, .. }, Wanted::Metric { right: accepted, .. }) = (wanted["first_bad_minute"], wanted["first_metric"]) else {
            panic!("{wanted:?}")
        };
        let minute = *minute as usize;
        let (before, first) = (minute - 58..minute - 52, minute - 14..minute - 10);
        let recorded = &day.recorded;
        let requests = |minutes: &std::ops::Range<usize>| {
            let counts = recorded.series.iter().filter(|one| one.metric == "inference_duration_seconds_count");
            counts.map(|one| shown(recorded, one, minutes.clone(), 1.0)).sum::<f64>()
        };
        let (requests_before, requests_first) = (requests(&before), requests(&first));
        let differs = |series: &&past::day::Series| {
            let (usual, now) = (shown(recorded, series, before.clone(), requests_before), shown(recorded, series, first.clone(), requests_first));
            (now - usual).abs() > 0.05 * usual.max(0.5) || now > 3.0 * usual && now > 0.001
        };
        let changed: BTreeSet<String> = recorded.series.iter().filter(differs).map(|one| past::diagnosis::family(&one.metric).to_owned()).collect();
        assert_eq!(&changed, accepted, "{} of seed-{number}, at minute {minute}", day.incident);
    }
}
