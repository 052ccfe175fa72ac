//! The model registry: versions of models, their artifacts and digests, and the aliases that point to them. It speaks the part of
//! `MLflow`'s REST API that a release needs, on port 8080, and keeps everything in a folder.
//!
//! ```text
//! registry FOLDER SEED        keeps its state in FOLDER; an empty one begins as a copy of SEED
//!
//! GET    /api/2.0/mlflow/registered-models/get?name=N                  the model with its aliases and versions
//! GET    /api/2.0/mlflow/registered-models/alias?name=N&alias=A        the version that an alias points to
//! POST   /api/2.0/mlflow/registered-models/alias                       {"name": N, "alias": A, "version": V}
//! DELETE /api/2.0/mlflow/registered-models/alias                       {"name": N, "alias": A}
//! GET    /api/2.0/mlflow/model-versions/get?name=N&version=V           a version; its tag `sha256` is the digest of model.onnx
//! DELETE /api/2.0/mlflow/model-versions/delete                         {"name": N, "version": V}
//! GET    /api/2.0/mlflow-artifacts/artifacts/N/V/FILE                  an artifact
//! GET    /healthz, /metrics
//! POST   /control/publish     {"name": N, "version": V, "sha256": D, "files": {"model.onnx": "<hexadecimal>"}}
//! ```
//!
//! Folder and seed look alike: `N/aliases.json`, and for each version `N/V/version.json` beside its artifacts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::{Method, StatusCode};
use platform::server::{Answer, Call, json, reply, serve, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The largest request in bytes: of whoever may publish, and of everyone else. What everyone may send at once must fit into memory.
const LIMIT: usize = 8 * 1024 * 1024;
const LIMIT_OF_NAMES: usize = 4 * 1024;
/// What the exam needs to set, however many others there are.
const CHAMPION: &str = "champion";
/// The most versions and aliases of a model.
const MOST: usize = 200;

const API: &str = "/api/2.0/mlflow";
const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts/";

/// What `version.json` says.
#[derive(Clone, Serialize, Deserialize)]
struct Version {
    /// The digest that whoever published it gave; the registry does not check it.
    sha256: String,
}

/// What a request names.
#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    alias: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Published {
    name: String,
    version: String,
    sha256: String,
    files: BTreeMap<String, String>,
}

/// Why a request is refused, in `MLflow`'s words.
enum Refusal {
    Missing(String),
    Invalid(String),
    Forbidden,
    Broken(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Refusal {
    fn answer(self) -> Answer {
        let (status, code, message) = match self {
            Self::Missing(message) => (StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", message),
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", message),
            Self::Forbidden => (StatusCode::FORBIDDEN, "PERMISSION_DENIED", "control requests are the exam's".to_owned()),
            Self::Broken(error) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", error.to_string()),
        };
        json(status, &json!({ "error_code": code, "message": message }))
    }
}

/// The registry's folder; one request at a time changes or reads it.
struct Registry {
    folder: PathBuf,
}

type Shared = Arc<Mutex<Registry>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seed] = &arguments[..] else { return Err("usage: registry FOLDER SEED".to_owned()) };
    let registry = Registry { folder: folder.into() };
    registry.begin(Path::new(seed)).map_err(|error| format!("`{folder}`: {error}"))?;
    let registry = Arc::new(Mutex::new(registry));
    serve(move |call| answer(call, Arc::clone(&registry))).await.map_err(|error| error.to_string())
}

async fn answer(call: Call, registry: Shared) -> Answer {
    answered(call, registry).await.unwrap_or_else(Refusal::answer)
}

async fn answered(call: Call, registry: Shared) -> Result<Answer, Refusal> {
    let lock = || registry.lock().unwrap_or_else(PoisonError::into_inner);
    let ok = |body: Value| Ok(json(StatusCode::OK, &body));
    if call.path.starts_with("/control/") && !call.may_control() {
        return Err(Refusal::Forbidden);
    }
    let asked = |key: &str| call.query(key).map(str::to_owned).ok_or_else(|| Refusal::Invalid(format!("the query needs `{key}`")));
    if call.method == Method::GET {
        if let Some(path) = call.path.strip_prefix(ARTIFACTS) {
            return Ok(reply(StatusCode::OK, "application/octet-stream", lock().artifact(path)?));
        }
        return match call.path.strip_prefix(API).unwrap_or(&call.path) {
            "/registered-models/get" => ok(json!({ "registered_model": lock().model(&asked("name")?)? })),
            "/registered-models/alias" => ok(json!({ "model_version": lock().alias(&asked("name")?, &asked("alias")?)? })),
            "/model-versions/get" => ok(json!({ "model_version": lock().version(&asked("name")?, &asked("version")?)? })),
            "/healthz" => Ok(text(StatusCode::OK, "ok\n")),
            "/metrics" => Ok(text(StatusCode::OK, lock().metrics()?)),
            _ => Ok(unknown()),
        };
    }
    let (method, path) = (call.method.clone(), call.path.strip_prefix(API).unwrap_or(&call.path).to_owned());
    if method == Method::POST && path == "/control/publish" {
        let published = call.json(LIMIT).await.map_err(Refusal::Invalid)?;
        lock().publish(&published)?;
        return ok(json!({}));
    }
    let change: fn(&Registry, &Named) -> Result<(), Refusal> = match (method.as_str(), path.as_str()) {
        ("POST", "/registered-models/alias") => Registry::set_alias,
        ("DELETE", "/registered-models/alias") => Registry::delete_alias,
        ("DELETE", "/model-versions/delete") => Registry::delete_version,
        _ => return Ok(unknown()),
    };
    let named = call.json(LIMIT_OF_NAMES).await.map_err(Refusal::Invalid)?;
    change(&lock(), &named)?;
    ok(json!({}))
}

fn unknown() -> Answer {
    text(
        StatusCode::NOT_FOUND,
        "known: /api/2.0/mlflow/registered-models/get and /alias, /api/2.0/mlflow/model-versions/get and /delete, \
         /api/2.0/mlflow-artifacts/artifacts/NAME/VERSION/FILE, /healthz, /metrics\n",
    )
}

/// A name that is safe as the name of a file.
fn safe(name: &str) -> Result<&str, Refusal> {
    let fine = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if fine { Ok(name) } else { Err(Refusal::Invalid(format!("`{}` is not a name", name.escape_default()))) }
}

impl Registry {
    /// Copies the seed into a folder that has nothing yet. Whole models are moved into place, so that none is ever half there.
    fn begin(&self, seed: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(seed)? {
            let (from, name) = {
                let entry = entry?;
                (entry.path(), entry.file_name())
            };
            let to = self.folder.join(&name);
            if to.exists() {
                continue;
            }
            let half = self.folder.join(format!(".{}", name.to_string_lossy()));
            if half.exists() {
                std::fs::remove_dir_all(&half)?;
            }
            copy(&from, &half)?;
            std::fs::rename(&half, &to)?;
        }
        Ok(())
    }

    fn of_model(&self, name: &str) -> Result<PathBuf, Refusal> {
        let folder = self.folder.join(safe(name)?);
        if folder.is_dir() { Ok(folder) } else { Err(Refusal::Missing(format!("no model `{name}`"))) }
    }

    fn aliases(&self, name: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let content = std::fs::read(self.of_model(name)?.join("aliases.json"))?;
        serde_json::from_slice(&content).map_err(|error| Refusal::Broken(error.into()))
    }

    fn write_aliases(&self, name: &str, aliases: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let folder = self.of_model(name)?;
        let half = folder.join(".aliases.json");
        std::fs::write(&half, serde_json::to_vec(aliases).unwrap_or_default())?;
        Ok(std::fs::rename(half, folder.join("aliases.json"))?)
    }

    fn version(&self, name: &str, version: &str) -> Result<Value, Refusal> {
        let file = self.of_model(name)?.join(safe(version)?).join("version.json");
        let content = std::fs::read(file).map_err(|_| Refusal::Missing(format!("model `{name}` has no version `{version}`")))?;
        let stored: Version = serde_json::from_slice(&content).map_err(|error| Refusal::Broken(error.into()))?;
        let aliases = self.aliases(name)?;
        let aliases: Vec<&String> = aliases.iter().filter(|(_, to)| *to == version).map(|(alias, _)| alias).collect();
        Ok(json!({
            "name": name, "version": version, "status": "READY", "source": format!("mlflow-artifacts:/{name}/{version}"),
            "aliases": aliases, "tags": [{ "key": "sha256", "value": stored.sha256 }],
        }))
    }

    fn versions(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let mut versions = Vec::new();
        for entry in std::fs::read_dir(self.of_model(name)?)? {
            let entry = entry?;
            if entry.path().join("version.json").is_file() {
                versions.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        versions.sort_by_key(|version| (version.len(), version.clone()));
        Ok(versions)
    }

    fn model(&self, name: &str) -> Result<Value, Refusal> {
        let aliases: Vec<Value> = self.aliases(name)?.into_iter().map(|(alias, version)| json!({ "alias": alias, "version": version })).collect();
        let versions = self.versions(name)?.iter().map(|version| self.version(name, version)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "name": name, "aliases": aliases, "versions": versions }))
    }

    fn alias(&self, name: &str, alias: &str) -> Result<Value, Refusal> {
        match self.aliases(name)?.get(alias) {
            Some(version) => self.version(name, version),
            None => Err(Refusal::Missing(format!("model `{name}` has no alias `{}`", alias.escape_default()))),
        }
    }

    fn set_alias(&self, named: &Named) -> Result<(), Refusal> {
        self.version(&named.name, &named.version)?;
        let mut aliases = self.aliases(&named.name)?;
        aliases.insert(safe(&named.alias)?.to_owned(), named.version.clone());
        if aliases.len() > MOST && named.alias != CHAMPION {
            return Err(Refusal::Invalid(format!("at most {MOST} aliases")));
        }
        self.write_aliases(&named.name, &aliases)
    }

    fn delete_alias(&self, named: &Named) -> Result<(), Refusal> {
        let mut aliases = self.aliases(&named.name)?;
        aliases.remove(&named.alias);
        self.write_aliases(&named.name, &aliases)
    }

    fn delete_version(&self, named: &Named) -> Result<(), Refusal> {
        self.version(&named.name, &named.version)?;
        let mut aliases = self.aliases(&named.name)?;
        aliases.retain(|_, version| *version != named.version);
        self.write_aliases(&named.name, &aliases)?;
        Ok(std::fs::remove_dir_all(self.of_model(&named.name)?.join(safe(&named.version)?))?)
    }

    fn artifact(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        let parts: Vec<&str> = path.split('/').collect();
        let [name, version, file] = parts[..] else { return Err(Refusal::Invalid("an artifact is NAME/VERSION/FILE".to_owned())) };
        let file = self.of_model(name)?.join(safe(version)?).join(safe(file)?);
        std::fs::read(file).map_err(|_| Refusal::Missing(format!("there is no artifact `{path}`")))
    }

    fn publish(&self, published: &Published) -> Result<(), Refusal> {
        let folder = self.of_model(&published.name)?;
        if self.versions(&published.name)?.len() >= MOST {
            return Err(Refusal::Invalid(format!("at most {MOST} versions")));
        }
        let (half, whole) = (folder.join(".publishing"), folder.join(safe(&published.version)?));
        if whole.exists() {
            return Err(Refusal::Invalid(format!("version `{}` is there already", published.version)));
        }
        if half.exists() {
            std::fs::remove_dir_all(&half)?;
        }
        std::fs::create_dir(&half)?;
        for (file, content) in &published.files {
            let content = bytes(content).ok_or_else(|| Refusal::Invalid(format!("`{file}` is not hexadecimal")))?;
            std::fs::write(half.join(safe(file)?), content)?;
        }
        let version = Version { sha256: published.sha256.clone() };
        std::fs::write(half.join("version.json"), serde_json::to_vec(&version).unwrap_or_default())?;
        Ok(std::fs::rename(half, whole)?)
    }

    fn metrics(&self) -> Result<String, Refusal> {
        let mut page = "# HELP registry_model_version_alias Which version an alias points to: 1 for it.\n\
                        # TYPE registry_model_version_alias gauge\n"
            .to_owned();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            for (alias, version) in self.aliases(&name).unwrap_or_default() {
                // Writing to a String cannot fail.
                let _ = writeln!(page, "registry_model_version_alias{{name=\"{name}\",alias=\"{alias}\",version=\"{version}\"}} 1");
            }
        }
        Ok(page)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Bytes of their hexadecimal spelling.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect()
}
