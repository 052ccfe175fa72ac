//! Manifests that Kustomize makes: a submission whose `manifests/` has a `kustomization.yaml` is what `kubectl kustomize` prints of it. It is
//! rendered of the submission's own files and of nothing else: whatever could name a place elsewhere must name a file that is there, and Kustomize
//! reads every YAML file as it was understood here, written anew as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::document::{self, Document, Problem, Problems};
use crate::engine;
use crate::exercise::Files;
use crate::manifests::{MANIFESTS, documents};
use crate::submission::write_files;

/// What complaints about rendered manifests call the file: whoever types it sees the line.
pub const RENDERED: &str = "`kubectl kustomize manifests`";
/// What Kustomize takes a folder's instructions from.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// How long rendering may take, how much may come of it, and of how many objects and patches.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_BYTES: u64 = 1 << 20;
const MOST_DOCUMENTS: usize = 120;
/// How much memory it may ask for, in KiB: Go asks for much more than it uses.
const MEMORY_KIB: u32 = 4 << 20;

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
pub enum KustomizeError {
    /// What the submission asks of Kustomize is not allowed, or does not work: the candidate's to answer for.
    #[error("{0}")]
    Refused(Problems),
    /// Kustomize cannot be run here.
    #[error("`kubectl kustomize` cannot be run: {0}; `harness doctor` says what is missing")]
    Tool(std::io::Error),
}

/// What a `kustomization.yaml` may say; there is more, which would run programs or read what is elsewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "most fields need no more than to be known")]
struct Kustomization {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Value>,
    resources: Option<Vec<String>>,
    components: Option<Vec<String>>,
    patches: Option<Vec<Patch>>,
    config_map_generator: Option<Vec<ConfigMaps>>,
    generator_options: Option<Value>,
    images: Option<Value>,
    replicas: Option<Value>,
    replacements: Option<Vec<Replacement>>,
    name_prefix: Option<String>,
    name_suffix: Option<String>,
    namespace: Option<String>,
    labels: Option<Value>,
    common_labels: Option<Value>,
    common_annotations: Option<Value>,
    sort_options: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, clippy::struct_field_names, reason = "most fields need no more than to be known, and have Kustomize's names")]
struct Patch {
    path: Option<String>,
    patch: Option<String>,
    target: Option<Value>,
    options: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "most fields need no more than to be known")]
struct ConfigMaps {
    name: String,
    namespace: Option<String>,
    behavior: Option<String>,
    literals: Option<Vec<String>>,
    files: Option<Vec<String>>,
    envs: Option<Vec<String>>,
    env: Option<String>,
    options: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "most fields need no more than to be known")]
struct Replacement {
    path: Option<String>,
    source: Option<Value>,
    targets: Option<Value>,
}

/// What Kustomize makes of a submission; nothing where it has no `kustomization.yaml`. Whoever drops the future ends it.
pub async fn render(files: &Files) -> Result<Option<String>, KustomizeError> {
    let wrong = |message: String| KustomizeError::Refused(Problems(vec![Problem::at(&format!("{MANIFESTS}/{}", NAMES[0]), "", 0, message)]));
    let Some(structured) = check(files).map_err(KustomizeError::Refused)? else { return Ok(None) };
    let own = understood(files, &structured).map_err(KustomizeError::Refused)?;
    let dir = tempfile::tempdir().map_err(KustomizeError::Tool)?;
    write_files(&own.into(), dir.path()).map_err(|error| KustomizeError::Tool(std::io::Error::other(error)))?;
    let mut command = Command::new("/bin/sh");
    // Where a system knows no such limit, there is none.
    let limited = format!("ulimit -v {MEMORY_KIB} 2>/dev/null; exec \"$0\" kustomize {MANIFESTS}");
    command.arg("-c").arg(limited).arg(program("kubectl").map_err(KustomizeError::Tool)?);
    // It finds no other program, nobody's settings, and no way out.
    command.env_clear().env("PATH", "").env("HOME", dir.path()).env("HTTPS_PROXY", "127.0.0.1:9").env("HTTP_PROXY", "127.0.0.1:9");
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(KustomizeError::Tool)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ran = async { tokio::try_join!(some(stdout), some(stderr), child.wait()) };
    let Ok(ran) = timeout(PATIENCE, ran).await else {
        return Err(wrong(format!("Kustomize did not come to an end within {} s", PATIENCE.as_secs())));
    };
    let (rendered, complaint, status) = ran.map_err(KustomizeError::Tool)?;
    if rendered.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("Kustomize makes more than {} MiB of it", MOST_BYTES >> 20)));
    }
    // What a shell says of a program that it cannot run.
    if matches!(status.code(), Some(126 | 127)) {
        return Err(KustomizeError::Tool(std::io::Error::other(engine::tail(&complaint))));
    }
    if !status.success() {
        return Err(wrong(format!("Kustomize refuses it: {}", engine::tail(&complaint).replace(&*dir.path().to_string_lossy(), "."))));
    }
    Ok(Some(String::from_utf8_lossy(&rendered).into_owned()))
}

/// What a stream has to say, and one byte more than the most; who goes on is not heard, and ends.
async fn some(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        stream.take(MOST_BYTES + 1).read_to_end(&mut said).await?;
    }
    Ok(said)
}

/// The files below `manifests/`, those that Kustomize reads as objects, patches or instructions as they are understood here: what another reader would
/// make of them is nobody's concern. What is only put into a `ConfigMap` stays as it is.
fn understood(files: &Files, structured: &BTreeSet<String>) -> Result<Files, Problems> {
    let (mut own, mut problems, mut count) = (Files::new(), Vec::new(), 0);
    for (path, content) in files.iter().filter(|(path, _)| is_below(path)) {
        if !structured.contains(path) {
            own.insert(path.clone(), content.clone());
            continue;
        }
        match documents(path, content) {
            Err(Problems(wrong)) => problems.extend(wrong),
            Ok(documents) => {
                count += documents.len();
                let written: Vec<String> = documents.iter().map(|document| document.root.value().to_string()).collect();
                own.insert(path.clone(), written.join("\n---\n").into_bytes());
            }
        }
    }
    if count > MOST_DOCUMENTS {
        problems.push(Problem::at(MANIFESTS, "", 0, format!("at most {MOST_DOCUMENTS} objects and patches are allowed")));
    }
    if problems.is_empty() { Ok(own) } else { Err(Problems(problems)) }
}

/// Where a program is: what is run with an empty `PATH` must be found before.
fn program(name: &str) -> std::io::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |path: &PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(is_program);
    found.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, format!("no `{name}` in PATH")))
}

fn is_below(path: &str) -> bool {
    path.strip_prefix(MANIFESTS).is_some_and(|rest| rest.starts_with('/'))
}

/// The files that Kustomize reads as objects, patches or instructions; nothing where a submission does not ask for it. Refused where it asks for
/// anything that is not in `manifests/`.
fn check(files: &Files) -> Result<Option<BTreeSet<String>>, Problems> {
    let named = files.keys().filter(|path| is_below(path)).filter_map(|path| Some((path.rsplit_once('/')?, path)));
    let folders: BTreeMap<&str, &String> = named.filter(|((_, name), _)| NAMES.contains(name)).map(|((folder, _), path)| (folder, path)).collect();
    let mut check = Check { files, folders: &folders, taken: BTreeSet::new(), structured: BTreeSet::new(), problems: Vec::new() };
    for (folder, path) in &folders {
        check.folder(folder, path);
    }
    let Check { taken, mut structured, mut problems, .. } = check;
    let is_used = |folder: &str| folder == MANIFESTS || taken.contains(folder);
    for (_, path) in folders.iter().filter(|(folder, _)| !is_used(folder)) {
        let root = format!("{MANIFESTS}/{}", NAMES[0]);
        problems.push(Problem::at(path, "", 0, "nothing takes this folder in").with_help(format!("what is applied begins at {root}")));
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    structured.extend(taken);
    structured.extend(folders.into_values().cloned());
    Ok(if structured.is_empty() { None } else { Some(structured) })
}

struct Check<'a> {
    files: &'a Files,
    /// The folders that have instructions, and where these stand.
    folders: &'a BTreeMap<&'a str, &'a String>,
    /// The folders that others take in: each once, so that nothing is multiplied by being taken in again and again.
    taken: BTreeSet<String>,
    /// The patches and replacements that they name.
    structured: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn folder(&mut self, folder: &str, path: &str) {
        let parsed = match std::str::from_utf8(&self.files[path]) {
            Err(_) => Err(Problems(vec![Problem::at(path, "", 0, "the file is not UTF-8 text")])),
            Ok(text) => document::load::<Kustomization>(path, text),
        };
        let (said, document) = match parsed {
            Ok(both) => both,
            Err(Problems(problems)) => return self.problems.extend(problems),
        };
        for (list, entries) in [("resources", said.resources), ("components", said.components)] {
            for (index, entry) in entries.into_iter().flatten().enumerate() {
                self.taken_in(&document, folder, &format!("/{list}/{index}"), &entry);
            }
        }
        let mut read = Vec::new();
        for (index, patch) in said.patches.into_iter().flatten().enumerate() {
            read.extend(patch.path.map(|path| (format!("/patches/{index}/path"), path)));
        }
        for (index, replacement) in said.replacements.into_iter().flatten().enumerate() {
            read.extend(replacement.path.map(|path| (format!("/replacements/{index}/path"), path)));
        }
        self.structured.extend(read.iter().filter_map(|(_, file)| within(folder, file)));
        for (index, one) in said.config_map_generator.into_iter().flatten().enumerate() {
            let here = format!("/configMapGenerator/{index}");
            // `KEY=FILE` gives the file another name.
            let files = one.files.into_iter().flatten().map(|file| file.split_once('=').map_or(file.clone(), |(_, file)| file.to_owned()));
            read.extend(files.enumerate().map(|(at, file)| (format!("{here}/files/{at}"), file)));
            read.extend(one.envs.into_iter().flatten().enumerate().map(|(at, file)| (format!("{here}/envs/{at}"), file)));
            read.extend(one.env.map(|file| (format!("{here}/env"), file)));
        }
        for (pointer, file) in read {
            if within(folder, &file).is_none_or(|file| !self.files.contains_key(&file)) {
                self.problems.push(
                    document.problem(&pointer, format!("`{file}` is no file below `{MANIFESTS}/`")).with_help("nothing is read from elsewhere"),
                );
            }
        }
    }

    fn taken_in(&mut self, document: &Document, folder: &str, pointer: &str, entry: &str) {
        let Some(place) = within(folder, entry).filter(|place| self.files.contains_key(place) || self.folders.contains_key(place.as_str())) else {
            let message = format!("`{entry}` is no file below `{MANIFESTS}/`, and no folder there with a `{}`", NAMES[0]);
            self.problems
                .push(document.problem(pointer, message).with_help("bases that are elsewhere are not there where this is graded: copy them"));
            return;
        };
        if !self.taken.insert(place) {
            self.problems.push(document.problem(pointer, format!("`{entry}` is taken in twice")));
        }
    }
}

/// What a path means that stands in a folder, where it stays below `manifests/`.
fn within(folder: &str, path: &str) -> Option<String> {
    let mut steps: Vec<&str> = folder.split('/').collect();
    for step in Path::new(path).components() {
        match step {
            std::path::Component::Normal(name) => steps.push(name.to_str()?),
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(steps.pop()?),
            _ => return None,
        }
    }
    (steps.first() == Some(&MANIFESTS)).then(|| steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, content)| (format!("{MANIFESTS}/{path}"), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_names_its_own_files_is_taken() {
        assert_eq!(check(&files(&[("model.yaml", "kind: Service\n")])), Ok(None));
        let usual = files(&[
            ("kustomization.yaml", "resources: [base, extra.yaml]\npatches: [{path: patch.yaml}]\nnamePrefix: a-\n"),
            ("extra.yaml", ""),
            ("patch.yaml", ""),
            (
                "base/kustomization.yml",
                "resources: [./model.yaml]\nconfigMapGenerator: [{name: m, files: [rows=rows.csv], literals: [URL=http://a]}]\n",
            ),
            ("base/model.yaml", ""),
            ("base/rows.csv", ""),
        ]);
        let structured = check(&usual).expect("it is fine").expect("it asks for it");
        assert!(structured.contains("manifests/base/model.yaml") && structured.contains("manifests/patch.yaml"), "{structured:?}");
        assert!(!structured.contains("manifests/base/rows.csv"), "{structured:?}");
    }

    #[test]
    fn kustomize_reads_what_was_understood_and_not_what_was_written() {
        let hidden =
            files(&[("kustomization.yaml", "resources: [a.yaml] #\u{2028}components: [../../elsewhere]\n"), ("a.yaml", "a: 1\n---\nb: [2]\n")]);
        let structured = |names: &[&str]| names.iter().map(|name| format!("{MANIFESTS}/{name}")).collect::<BTreeSet<_>>();
        let own = understood(&hidden, &structured(&["kustomization.yaml", "a.yaml"])).expect("it is YAML");
        assert_eq!(String::from_utf8_lossy(&own["manifests/kustomization.yaml"]), r#"{"resources":["a.yaml"]}"#);
        assert_eq!(String::from_utf8_lossy(&own["manifests/a.yaml"]), "{\"a\":1}\n---\n{\"b\":[2]}");
        let bomb = "a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n";
        assert!(understood(&files(&[("a.yaml", bomb)]), &structured(&["a.yaml"])).expect_err("too many").to_string().contains("too many values"));
        let many = "a: 1\n---\n".repeat(121);
        assert!(
            understood(&files(&[("a.yaml", &many)]), &structured(&["a.yaml"])).expect_err("too many").to_string().contains("at most 120 objects")
        );
        let rules = "groups: [] # as they were written\n";
        assert_eq!(understood(&files(&[("rules.yml", rules)]), &structured(&[])).expect("nobody reads it")["manifests/rules.yml"], rules.as_bytes());
    }

    #[test]
    fn what_is_elsewhere_or_runs_programs_is_refused_at_its_line() {
        for (text, place, words) in [
            ("resources:\n- https://example.org/base.yaml\n", "2:3", "`https://example.org/base.yaml` is no file below `manifests/`"),
            ("resources:\n- github.com/example/base?ref=v1\n", "2:3", "is no file below"),
            ("resources:\n- /etc/passwd\n", "2:3", "is no file below"),
            ("resources:\n- ../compose.yaml\n", "2:3", "is no file below"),
            ("resources: [a.yaml]\ncomponents: [./a.yaml]\n", "2:14", "is taken in twice"),
            ("patches: [{path: \"https://example.org\"}]\n", "1:18", "`https://example.org` is no file below"),
            ("configMapGenerator: [{name: a, files: [\"b=https://example.org\"]}]\n", "1:40", "`https://example.org` is no file below"),
            ("configMapGenerator: [{name: a, envs: [/proc/self/environ]}]\n", "1:39", "`/proc/self/environ` is no file below"),
            ("replacements: [{path: b.yaml}]\n", "1:23", "`b.yaml` is no file below"),
            ("generators: [a.yaml]\n", "1:1", "unknown key `generators`"),
            ("helmCharts: [{name: a}]\n", "1:1", "unknown key `helmCharts`"),
            ("openapi: {path: a.yaml}\n", "1:1", "unknown key `openapi`"),
            ("secretGenerator: [{name: a}]\n", "1:1", "unknown key `secretGenerator`"),
        ] {
            let Problems(problems) = check(&files(&[("kustomization.yaml", text), ("a.yaml", "")])).expect_err(text);
            let said = problems[0].to_string();
            assert!(
                problems.len() == 1 && said.starts_with(&format!("manifests/kustomization.yaml:{place}: ")) && said.contains(words),
                "{text}{said}"
            );
        }
        let beside = files(&[("kustomization.yaml", "resources: []\n"), ("other/kustomization.yaml", "resources: []\n")]);
        assert!(
            check(&beside).expect_err("it is beside").to_string().contains("manifests/other/kustomization.yaml:1:1: nothing takes this folder in")
        );
    }
}
