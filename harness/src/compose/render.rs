//! What an environment starts from: the cage for a candidate's machine, and the whole file for grading. Both are pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{DependsOn, Service};
use super::{Images, Mount, Vetted, memory_mib, monitoring, role};
use crate::exercise::{Contract, Files, Manifest, PlatformService, Role};

/// Where grading's Prometheus finds the grader's rules.
pub const RULES_FOLDER: &str = "/etc/modeldown";

/// How many processes a container may have that does not say.
const PIDS: u32 = 128;
/// The weights of processor time when it is scarce: a busy submission must not delay what measures it.
const SHARES: u32 = 512;
const PLATFORM_SHARES: u32 = 8_192;
/// A recording must not be late for a submission's work, nor hold up what measures it.
const SHADOW_SHARES: u32 = 2_048;
/// The role of the submission's Prometheus.
const PROMETHEUS: &str = "prometheus";
/// What a cage calls the volume with the past.
const PAST_VOLUME: &str = "modeldown-past";
/// The user that the platform's images run as.
pub(crate) const USER: u32 = 10_001;

/// To whom everything belongs that is made for an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The lease.
    pub lease: String,
    /// The installation and user.
    pub owner: String,
    /// When it may be stopped, RFC 3339.
    pub expires: String,
}

impl Ownership {
    /// Every label with its value.
    pub fn all(&self) -> [(&'static str, &str); 3] {
        [("modeldown.lease", self.lease.as_str()), ("modeldown.owner", &self.owner), ("modeldown.expires", &self.expires)]
    }

    fn labels(&self) -> Map<String, Value> {
        self.all().map(|(label, value)| (label.to_owned(), json!(value))).into_iter().collect()
    }
}

/// What a grading environment starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Every file of the folder, the Compose file among them.
    pub files: Files,
}

/// The hardening of a service, the same at home and in grading.
fn hardened(name: &str, service: &Service, manifest: &Manifest, ownership: &Ownership) -> Map<String, Value> {
    let wanted = role(service).and_then(|role| manifest.roles.get(&role));
    let memory = format!("{}m", memory_mib(service, manifest));
    let mut rendered = Map::new();
    let mut put = |key: &str, value: Value| rendered.insert(key.to_owned(), value);
    put("cap_drop", json!(["ALL"]));
    put("security_opt", json!(["no-new-privileges:true"]));
    put("init", json!(true));
    put("pids_limit", json!(service.pids_limit.unwrap_or(PIDS).min(512)));
    put("cpu_shares", json!(SHARES));
    put("mem_limit", json!(memory));
    put("memswap_limit", json!(memory));
    put("hostname", json!(name));
    put("logging", json!({ "driver": "json-file", "options": { "max-size": "8m", "max-file": "2" } }));
    put("labels", Value::Object(ownership.labels()));
    if let Some(trusted) = wanted.filter(|role| role.trusted) {
        let mounted: Vec<String> = service
            .volumes
            .iter()
            .filter_map(|volume| Mount::parse(volume))
            .map(|mount| match mount {
                Mount::Folder { target, .. } | Mount::Volume { target, .. } => target,
            })
            .collect();
        let scratch = trusted.scratch.iter().filter(|path| !mounted.contains(path));
        put("read_only", json!(true));
        put("tmpfs", json!(scratch.map(|path| self::scratch(path)).chain(["/tmp:mode=1777".to_owned()]).collect::<Vec<_>>()));
    }
    rendered
}

fn networks(service: &Service, manifest: &Manifest) -> Vec<String> {
    let wanted = role(service).and_then(|role| manifest.roles.get(&role));
    wanted.map_or_else(|| vec!["default".to_owned()], |role| role.networks.iter().cloned().collect())
}

fn network_list(manifest: &Manifest, ownership: &Ownership) -> Map<String, Value> {
    let roles = manifest.roles.values().flat_map(|role| &role.networks);
    let platform = manifest.platform.values().flat_map(|service| &service.networks);
    let names: std::collections::BTreeSet<&String> = roles.chain(platform).collect();
    names.into_iter().map(|name| (name.clone(), json!({ "internal": true, "labels": ownership.labels() }))).collect()
}

fn platform_service(name: &str, service: &PlatformService, images: &Images, ownership: &Ownership) -> Map<String, Value> {
    let image = images.get(&service.image).cloned().unwrap_or_else(|| service.image.clone());
    let memory = format!("{}m", service.memory_mib);
    let rendered = json!({
        "image": image,
        "command": service.command,
        "networks": service.networks,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": true,
        "init": true,
        "stdin_open": true,
        "pids_limit": PIDS,
        "cpu_shares": PLATFORM_SHARES,
        "mem_limit": memory,
        "memswap_limit": memory,
        "labels": ownership.labels(),
        "logging": { "driver": "json-file", "options": { "max-size": "64m", "max-file": "1" } },
    });
    let Value::Object(mut rendered) = rendered else { return Map::new() };
    if let Some(folder) = &service.volume {
        rendered.insert("volumes".to_owned(), json!([format!("{}:{folder}", platform_volume(name))]));
    }
    if !service.scratch.is_empty() {
        rendered.insert("tmpfs".to_owned(), json!(service.scratch.iter().map(|path| scratch(path)).collect::<Vec<_>>()));
    }
    rendered
}

/// A folder in memory that the platform's user may write to.
fn scratch(path: &str) -> String {
    format!("{path}:uid={USER},gid={USER},mode=0755")
}

/// The volume of a platform's service: no submission's has such a name.
fn platform_volume(service: &str) -> String {
    format!("modeldown-{service}")
}

/// The role of the program that can be given a past, and the folder in which it keeps its data.
pub fn past_of(manifest: &Manifest) -> Option<(&Role, &str)> {
    let role = manifest.roles.get(PROMETHEUS)?;
    Some((role, role.scratch.first()?))
}

/// The platform's volumes.
fn platform_volumes(manifest: &Manifest, ownership: &Ownership) -> impl Iterator<Item = (String, Value)> {
    let kept = manifest.platform.iter().filter(|(_, service)| service.volume.is_some());
    kept.map(|(name, _)| (platform_volume(name), json!({ "labels": ownership.labels() })))
}

/// The override that hardens a candidate's own file at home: Compose lays it over `compose.yaml`. `past` is the volume in which their
/// Prometheus finds what was recorded before they came, where there is one.
pub fn cage(vetted: &Vetted, manifest: &Manifest, contract: &Contract, images: &Images, ownership: &Ownership, past: Option<&str>) -> String {
    let mut services = Map::new();
    for (name, service) in &vetted.file.services {
        let mut rendered = hardened(name, service, manifest, ownership);
        let wanted = role(service).and_then(|role| manifest.roles.get(&role));
        let mut joined = networks(service, manifest);
        if let Some(published) = wanted.filter(|role| role.publish) {
            joined.push("edge".to_owned());
            rendered.insert("ports".to_owned(), json!([format!("127.0.0.1::{}", published.port())]));
        }
        rendered.insert("networks".to_owned(), json!(joined));
        if let Some((_, folder)) = past_of(manifest).filter(|_| past.is_some() && role(service).as_deref() == Some(PROMETHEUS)) {
            rendered.insert("volumes".to_owned(), json!([format!("{PAST_VOLUME}:{folder}")]));
            if let Some(tmpfs) = rendered.get_mut("tmpfs").and_then(Value::as_array_mut) {
                tmpfs.retain(|one| one.as_str() != Some(&scratch(folder)));
            }
        }
        if service.build.is_some() {
            rendered.insert("build".to_owned(), json!({ "network": "none", "labels": ownership.labels() }));
        }
        services.insert(name.clone(), Value::Object(rendered));
    }
    let asked = contract.inference.role.as_str();
    let target = vetted.services(manifest).into_iter().find(|service| service.role.as_deref() == Some(asked));
    let host = target.as_ref().map_or(asked, |target| &target.service);
    for (name, service) in manifest.platform.iter().filter(|(_, service)| service.shadows.is_none()) {
        let mut rendered = platform_service(name, service, images, ownership);
        rendered.insert("restart".to_owned(), json!("unless-stopped"));
        if let (true, Some(port)) = (service.publish, service.port) {
            let joined: Vec<&String> = service.networks.iter().collect();
            rendered.insert("networks".to_owned(), json!(joined.into_iter().map(String::as_str).chain(["edge"]).collect::<Vec<_>>()));
            rendered.insert("ports".to_owned(), json!([format!("127.0.0.1::{port}")]));
        }
        rendered.insert("command".to_owned(), json!(service.command_at_home(name, manifest, contract, host)));
        if name == "driver" || name == "features" {
            rendered.insert("volumes".to_owned(), json!(["./.modeldown:/rows:ro"]));
        }
        services.insert(name.clone(), Value::Object(rendered));
    }
    let mut networks = network_list(manifest, ownership);
    // Ports are published from here only, and nothing gets out: no address is translated.
    let edge = json!({ "driver_opts": { "com.docker.network.bridge.enable_ip_masquerade": "false" }, "labels": ownership.labels() });
    networks.insert("edge".to_owned(), edge);
    let own = vetted.file.volumes.keys().map(|name| (name.clone(), json!({ "labels": ownership.labels() })));
    // `docker compose down --volumes` takes what is the file's own, and leaves what is not.
    let kept = past.map(|name| (PAST_VOLUME.to_owned(), json!({ "external": true, "name": name })));
    let volumes: Map<String, Value> = own.chain(platform_volumes(manifest, ownership)).chain(kept).collect();
    write(
        "# Generated by `harness start`: the limits under which your deployment is graded.\n",
        &json!({ "services": services, "networks": networks, "volumes": volumes }),
    )
}

/// The whole file for grading, and the folder that it builds from. Platform services obey whoever has the control token.
pub fn render(vetted: &Vetted, manifest: &Manifest, images: &Images, ownership: &Ownership, control: &str) -> Rendered {
    let mut files: Files =
        vetted.files.iter().filter(|(path, _)| !path.starts_with(".modeldown/")).map(|(path, content)| (path.clone(), content.clone())).collect();
    let waited_for: Vec<&str> =
        vetted.file.services.values().filter_map(|service| service.depends_on.as_ref()).flat_map(DependsOn::healthy).collect();
    let mut services = Map::new();
    let mut volumes: BTreeMap<String, Value> =
        vetted.file.volumes.keys().map(|name| (name.clone(), json!({ "labels": ownership.labels() }))).collect();
    volumes.extend(platform_volumes(manifest, ownership));
    for (name, service) in &vetted.file.services {
        let wanted = role(service);
        let mut rendered = hardened(name, service, manifest, ownership);
        said(service, &mut rendered);
        // Docker does nothing about an unhealthy service, the exam looks at replicas itself, and checking costs half a core in
        // bursts that hold up traffic: only those that others wait for are checked.
        if !waited_for.contains(&name.as_str()) {
            rendered.insert("healthcheck".to_owned(), json!({ "disable": true }));
        }
        rendered.insert("networks".to_owned(), json!(networks(service, manifest)));
        if let (Some(label), Some(labels)) = (&wanted, rendered.get_mut("labels").and_then(Value::as_object_mut)) {
            labels.insert(super::ROLE_LABEL.to_owned(), json!(label));
        }
        let mut mounts: Vec<String> = Vec::new();
        let mut copies = String::new();
        for mount in service.volumes.iter().filter_map(|volume| Mount::parse(volume)) {
            match mount {
                Mount::Folder { source, target } => {
                    edit_monitoring(wanted.as_deref(), &source, &mut files);
                    copies = format!("{copies}COPY {}\n", json!([format!("{source}/"), format!("{target}/")]));
                }
                Mount::Volume { name, target } => mounts.push(format!("{name}:{target}")),
            }
        }
        let generated = format!(".modeldown/{name}.Dockerfile");
        if let (Some(build), Some(dockerfile)) = (&service.build, vetted.dockerfiles.get(name)) {
            let (context, named, target, arguments) = build.parts();
            files.insert(generated.clone(), dockerfile.pinned(images).into_bytes());
            // Beside its Dockerfile, where the builder looks first; else the context's own counts, as at home.
            if let Some(ignored) = super::inside(&super::folder(context).unwrap_or_default(), &format!("{named}.dockerignore"))
                .and_then(|path| files.get(&path).cloned())
            {
                files.insert(format!("{generated}.dockerignore"), ignored);
            }
            let up = "../".repeat(super::folder(context).map_or(0, |context| context.split('/').filter(|part| !part.is_empty()).count()));
            let mut detailed = json!({ "context": format!("./{}", super::folder(context).unwrap_or_default()), "dockerfile": format!("{up}{generated}"), "network": "none", "args": arguments.all(), "labels": ownership.labels() });
            if let Some(target) = target {
                detailed["target"] = json!(target);
            }
            rendered.insert("build".to_owned(), detailed);
        } else if let Some(image) = &service.image {
            let exact = images.get(image).cloned().unwrap_or_else(|| image.clone());
            if copies.is_empty() {
                rendered.insert("image".to_owned(), json!(exact));
            } else {
                files.insert(generated.clone(), format!("FROM {exact}\n{copies}").into_bytes());
                // A mount at home ignores nothing.
                files.insert(format!("{generated}.dockerignore"), Vec::new());
                rendered
                    .insert("build".to_owned(), json!({ "context": ".", "dockerfile": generated, "network": "none", "labels": ownership.labels() }));
            }
        }
        if wanted.as_deref() == Some(PROMETHEUS) {
            mounts.push(format!("modeldown-rules:{RULES_FOLDER}"));
            volumes.insert("modeldown-rules".to_owned(), json!({ "labels": ownership.labels() }));
        }
        if !mounts.is_empty() {
            rendered.insert("volumes".to_owned(), json!(mounts));
        }
        services.insert(name.clone(), Value::Object(rendered));
    }
    for (name, service) in &manifest.platform {
        let mut rendered = platform_service(name, service, images, ownership);
        if let Some(role) = &service.shadows {
            // It is never given the token: it reads files that the submission names, and sends what is in them where that says.
            shadow(name, role, vetted, manifest, &mut rendered, &mut files);
            rendered.insert("cpu_shares".to_owned(), json!(SHADOW_SHARES));
        } else {
            rendered.insert("environment".to_owned(), json!({ "CONTROL_TOKEN": control }));
        }
        services.insert(name.clone(), Value::Object(rendered));
    }
    let text = write("", &json!({ "services": services, "networks": network_list(manifest, ownership), "volumes": volumes }));
    files.insert(super::COMPOSE_FILE.to_owned(), text.into_bytes());
    Rendered { files }
}

/// Lets a trusted Prometheus scrape as the submission's does: its configuration with other intervals and without rules, beside the
/// submission's own files, which service discovery may name.
fn shadow(name: &str, role: &str, vetted: &Vetted, manifest: &Manifest, rendered: &mut Map<String, Value>, files: &mut Files) {
    let of_role = vetted.file.services.iter().find(|(_, service)| self::role(service).as_deref() == Some(role));
    let Some((original, service)) = of_role else { return };
    let config = manifest.roles.get(role).and_then(|role| role.config.as_deref()).unwrap_or("/etc/prometheus");
    let mut text = Vec::new();
    let mut copies = String::new();
    for (source, target) in super::folders(service) {
        if target.trim_end_matches('/') == config {
            text = vetted.files.get(&format!("{source}/prometheus.yml")).cloned().unwrap_or_default();
        }
        copies = format!("{copies}COPY {}\n", json!([format!("{source}/"), format!("{target}/")]));
    }
    let generated = format!(".modeldown/{name}.yml");
    files.insert(generated.clone(), monitoring::shadow(&String::from_utf8_lossy(&text), original).into_bytes());
    let image = rendered.remove("image").unwrap_or_default();
    let copy = format!("COPY {}\n", json!([generated, format!("{config}/{}", monitoring::SHADOW_CONFIG)]));
    let dockerfile = format!(".modeldown/{name}.Dockerfile");
    files.insert(dockerfile.clone(), format!("FROM {}\n{copies}{copy}", image.as_str().unwrap_or_default()).into_bytes());
    files.insert(format!("{dockerfile}.dockerignore"), Vec::new());
    let labels = rendered.get("labels").cloned().unwrap_or_default();
    rendered.insert("build".to_owned(), json!({ "context": ".", "dockerfile": dockerfile, "network": "none", "labels": labels }));
}

/// What the submission says about a service and grading leaves as it is. How many processors it may use is not among it: an
/// engine refuses more than its machine has.
fn said(service: &Service, rendered: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Option<Value>| value.map(|value| rendered.insert(key.to_owned(), value));
    put("command", service.command.as_ref().map(|command| json!(command)));
    put("entrypoint", service.entrypoint.as_ref().map(|entrypoint| json!(entrypoint)));
    put("environment", Some(json!(service.environment.all())));
    put("depends_on", service.depends_on.as_ref().map(|depends| json!(depends)));
    put("healthcheck", service.healthcheck.as_ref().map(|check| json!(check)));
    put("restart", service.restart.as_ref().map(|restart| json!(restart)));
    put("stop_grace_period", service.stop_grace_period.as_ref().map(|period| json!(period)));
    put("stop_signal", service.stop_signal.as_ref().map(|signal| json!(signal)));
    put("working_dir", service.working_dir.as_ref().map(|dir| json!(dir)));
    put("user", service.user.as_ref().map(|user| json!(user.to_string())));
    if service.read_only == Some(true) {
        put("read_only", Some(json!(true)));
    }
}

fn edit_monitoring(role: Option<&str>, folder: &str, files: &mut Files) {
    let (name, edit): (&str, fn(&str) -> String) = match role {
        Some(PROMETHEUS) => ("prometheus.yml", |text| monitoring::with_rules(text, &format!("{RULES_FOLDER}/*.yml"))),
        Some("alertmanager") => ("alertmanager.yml", monitoring::without_waiting),
        _ => return,
    };
    if let Some(content) = files.get_mut(&format!("{folder}/{name}"))
        && let Ok(text) = std::str::from_utf8(content)
    {
        *content = edit(text).into_bytes();
    }
}

fn write(comment: &str, value: &Value) -> String {
    // JSON is YAML in which nobody takes a text for a date or a number. Text, numbers and mappings of ours always are JSON.
    format!("{comment}{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}
