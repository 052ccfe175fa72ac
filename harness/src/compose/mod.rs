//! The strict Compose model: what a submission may say, and the two renderings of it.
//!
//! [`vet`] lists every violation of the policy. What passed can be caged (an override for the candidate's own machine) or
//! rendered (a new file for grading, whose engine never reads the candidate's).

mod dockerfile;
mod model;
pub(crate) mod monitoring;
mod render;

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{self, Document, Kind, Problem, Problems};
use crate::duration;
use crate::exercise::{Files, Manifest};
use crate::size;

use model::Dependency;

pub use model::ComposeFile;
pub(crate) use render::USER;
pub use render::{Ownership, RULES_FOLDER, Rendered, cage, past_of, render};

/// The name of the file that is read.
pub const COMPOSE_FILE: &str = "compose.yaml";

/// The label that says what a service is to the exam.
pub const ROLE_LABEL: &str = "modeldown.role";

/// Exact image tags by alias.
pub type Images = BTreeMap<String, String>;

/// A submission whose Compose file and Dockerfiles passed the policy.
#[derive(Debug, Clone)]
pub struct Vetted {
    file: ComposeFile,
    files: Files,
    dockerfiles: BTreeMap<String, dockerfile::Dockerfile>,
}

/// What a service is to the exam.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRole {
    /// The service.
    pub service: String,
    /// Its role, if it has one.
    pub role: Option<String>,
    /// The memory limit with which it runs, in MiB.
    pub memory_mib: u64,
    /// The folder of the submission that it reads as its configuration, if its role is one of the platform's programs.
    pub config: Option<String>,
    /// The name under which others find it.
    pub host: String,
}

impl Vetted {
    /// The submission's files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The services with their roles and limits.
    pub fn services(&self, manifest: &Manifest) -> Vec<ServiceRole> {
        let described = |(name, service): (&String, &model::Service)| {
            let role = role(service);
            let config = role.as_ref().and_then(|role| manifest.roles.get(role)?.config.as_deref());
            let config = config.and_then(|config| folders(service).find(|(_, target)| target.trim_end_matches('/') == config));
            let (host, memory_mib, config) = (name.clone(), memory_mib(service, manifest), config.map(|(source, _)| source));
            ServiceRole { service: name.clone(), role, memory_mib, config, host }
        };
        self.file.services.iter().map(described).collect()
    }
}

/// The submission's folders that a service mounts, and where.
fn folders(service: &model::Service) -> impl Iterator<Item = (String, String)> {
    service.volumes.iter().filter_map(|volume| Mount::parse(volume)).filter_map(|mount| match mount {
        Mount::Folder { source, target } => Some((source, target)),
        Mount::Volume { .. } => None,
    })
}

/// The memory limit of a service that states none, in MiB.
pub(crate) const DEFAULT_MEMORY_MIB: u64 = 128;
/// How many times the budget a submission may ask for and still be examined.
pub(crate) const MEMORY_FACTOR: u64 = 4;

/// Checks a submission's files against the policy of an exercise and lists everything that is not allowed.
pub fn vet(files: &Files, manifest: &Manifest) -> Result<Vetted, Problems> {
    let Some(content) = files.get(COMPOSE_FILE) else {
        return Err(Problems(vec![Problem::at(COMPOSE_FILE, "", 0, "there is no such file in the submission")]));
    };
    let Ok(text) = std::str::from_utf8(content) else {
        return Err(Problems(vec![Problem::at(COMPOSE_FILE, "", 0, "the file is not UTF-8 text")]));
    };
    let (file, document) = document::load::<ComposeFile>(COMPOSE_FILE, text)?;
    let mut check = Check { manifest, files, file: &file, document: &document, problems: interpolations(&document), dockerfiles: BTreeMap::new() };
    for (name, service) in &file.services {
        check.service(name, service);
    }
    check.roles();
    check.whole();
    let Check { mut problems, dockerfiles, .. } = check;
    if problems.is_empty() {
        return Ok(Vetted { file, files: files.clone(), dockerfiles });
    }
    problems.sort();
    problems.dedup();
    Err(Problems(problems))
}

struct Check<'a> {
    manifest: &'a Manifest,
    files: &'a Files,
    file: &'a ComposeFile,
    document: &'a Document,
    problems: Vec<Problem>,
    dockerfiles: BTreeMap<String, dockerfile::Dockerfile>,
}

impl Check<'_> {
    fn wrong(&mut self, pointer: &str, message: String, help: &str) {
        let problem = self.document.problem(pointer, message);
        self.problems.push(if help.is_empty() { problem } else { problem.with_help(help) });
    }

    fn service(&mut self, name: &str, service: &model::Service) {
        let here = format!("/services/{name}");
        if !is_name(name) {
            self.wrong(&here, format!("`{name}` is not a name for a service"), "small letters, digits and `-`, at most 32, a letter first");
        }
        if self.manifest.platform.contains_key(name) {
            self.wrong(&here, format!("the service `{name}` is the platform's"), "choose another name");
        }
        self.labels(&here, service);
        self.healthcheck(&here, service);
        self.image(name, &here, service);
        self.volumes(&here, service);
        if let Some(limit) = &service.mem_limit {
            match mebibytes(&limit.to_string()) {
                Some(6..=65_536) => {}
                _ => self.wrong(&format!("{here}/mem_limit"), format!("`{limit}` is not a memory limit"), "such as `192m`; from 6m to 64g"),
            }
        }
        if let Some(cpus) = &service.cpus
            && !cpus.to_string().parse::<f64>().is_ok_and(|cpus| cpus > 0.0 && cpus <= 64.0)
        {
            self.wrong(&format!("{here}/cpus"), format!("`{cpus}` is not a number of processors"), "");
        }
        if let Some(restart) = &service.restart {
            let known = ["no", "always", "unless-stopped", "on-failure"];
            if !known.contains(&restart.as_str()) {
                self.wrong(&format!("{here}/restart"), format!("`{restart}` is not a restart policy"), &format!("known: {}", known.join(", ")));
            }
        }
        if let Some(period) = service.stop_grace_period.as_ref().filter(|period| !is_duration(period)) {
            self.wrong(&format!("{here}/stop_grace_period"), format!("`{period}` is not a duration"), "such as `10s` or `1m30s`");
        }
        for dependency in service.depends_on.iter().flat_map(model::DependsOn::names) {
            if !self.file.services.contains_key(dependency) {
                self.wrong(&format!("{here}/depends_on"), format!("there is no service `{dependency}`"), "");
            }
        }
        if let Some(model::DependsOn::Mapping(mapping)) = &service.depends_on {
            let known = ["service_started", "service_healthy", "service_completed_successfully"];
            for (dependency, Dependency { condition }) in mapping.iter().filter(|(_, one)| !known.contains(&one.condition.as_str())) {
                let at = format!("{here}/depends_on/{dependency}/condition");
                self.wrong(&at, format!("`{condition}` is not a condition"), &format!("known: {}", known.join(", ")));
            }
        }
        if self.depends_on_itself(name) {
            self.wrong(&format!("{here}/depends_on"), format!("`{name}` depends on itself in the end"), "");
        }
    }

    /// Whether following `depends_on` from a service leads back to it.
    fn depends_on_itself(&self, name: &str) -> bool {
        let needs = |name: &str| self.file.services.get(name).and_then(|service| service.depends_on.as_ref()).map(model::DependsOn::names);
        let mut waiting: Vec<&str> = needs(name).unwrap_or_default();
        let mut seen = BTreeSet::new();
        while let Some(next) = waiting.pop() {
            if next == name {
                return true;
            }
            if seen.insert(next) {
                waiting.extend(needs(next).unwrap_or_default());
            }
        }
        false
    }

    /// Durations that Compose takes, and no program of the candidate's in a trusted service.
    fn healthcheck(&mut self, here: &str, service: &model::Service) {
        let Some(check) = &service.healthcheck else { return };
        for (key, value) in [("interval", &check.interval), ("timeout", &check.timeout), ("start_period", &check.start_period)] {
            if let Some(value) = value.as_ref().filter(|value| !is_duration(value)) {
                self.wrong(&format!("{here}/healthcheck/{key}"), format!("`{value}` is not a duration"), "such as `2s` or `1m30s`");
            }
        }
        let Some(role) = role(service).and_then(|role| self.manifest.roles.get(&role)).filter(|role| role.trusted) else { return };
        let address = format!("http://127.0.0.1:{}/", role.port());
        let is_probe = match &check.test {
            None => true,
            Some(model::Words::List(words)) => {
                matches!(&words[..], [cmd, driver, probe, url] if cmd == "CMD" && driver == "driver" && probe == "probe" && url.starts_with(&address))
                    || words == &["NONE"]
            }
            Some(model::Words::Line(_)) => false,
        };
        if !is_probe {
            let help = format!("`[\"CMD\", \"driver\", \"probe\", \"{address}-/ready\"]`, or leave it out");
            self.wrong(&format!("{here}/healthcheck/test"), "a trusted service is checked by the platform's own probe".to_owned(), &help);
        }
    }

    fn labels(&mut self, here: &str, service: &model::Service) {
        for (label, value) in service.labels.all() {
            let at = format!("{here}/labels/{label}");
            if label == ROLE_LABEL {
                if !self.manifest.roles.contains_key(&value) {
                    let known: Vec<&str> = self.manifest.roles.keys().map(String::as_str).collect();
                    self.wrong(&at, format!("there is no role `{value}`"), &format!("known: {}", known.join(", ")));
                }
            } else if label.starts_with("modeldown.") || label.starts_with("com.docker.") {
                self.wrong(&at, format!("the label `{label}` is the platform's"), &format!("of these only `{ROLE_LABEL}` is yours"));
            }
        }
    }

    fn image(&mut self, name: &str, here: &str, service: &model::Service) {
        let aliases: Vec<&str> = self.manifest.aliases.iter().map(String::as_str).collect();
        let known = format!("known: {}", aliases.join(", "));
        match (&service.image, &service.build) {
            (Some(image), None) => {
                if !self.manifest.aliases.contains(image) {
                    self.wrong(&format!("{here}/image"), format!("`{image}` is not an image of this exercise"), &known);
                }
            }
            (None, Some(build)) => self.build(name, here, build),
            (Some(_), Some(_)) => self.wrong(here, format!("`{name}` has both `image` and `build`"), "keep one of them"),
            (None, None) => self.wrong(here, format!("`{name}` has neither `image` nor `build`"), &known),
        }
        let Some((role_name, role)) = role(service).and_then(|role| self.manifest.roles.get_key_value(&role)) else { return };
        if role.image != "build" && service.image.as_deref() != Some(role.image.as_str()) {
            self.wrong(here, format!("a service of role `{role_name}` runs `{}`", role.image), "set `image` to it and leave `build` out");
        }
        if role.trusted {
            for (key, present) in [
                ("command", service.command.is_some()),
                ("entrypoint", service.entrypoint.is_some()),
                ("user", service.user.is_some()),
                ("working_dir", service.working_dir.is_some()),
                ("environment", !service.environment.all().is_empty()),
            ] {
                if present {
                    self.wrong(&format!("{here}/{key}"), format!("`{key}` of a service of role `{role_name}` is the platform's"), "leave it out");
                }
            }
        }
    }

    fn build(&mut self, name: &str, here: &str, build: &model::Build) {
        let (context, dockerfile, _, arguments) = build.parts();
        let Some(context) = folder(context) else {
            let help = "a folder of the submission, such as `./model`";
            return self.wrong(&format!("{here}/build"), format!("`{context}` is not a build context"), help);
        };
        let path = inside(&context, dockerfile);
        let Some(found) = path.as_ref().and_then(|path| self.files.get(path)) else {
            return self.wrong(&format!("{here}/build"), format!("there is no file `{}`", path.unwrap_or_else(|| dockerfile.to_owned())), "");
        };
        let path = path.unwrap_or_default();
        match dockerfile::vet(&path, &String::from_utf8_lossy(found), &self.manifest.aliases) {
            Ok(vetted) => {
                for argument in arguments.all().keys().filter(|argument| !vetted.arguments.contains(*argument)) {
                    let known: Vec<&str> = vetted.arguments.iter().map(String::as_str).collect();
                    let help = format!("known: {}", known.join(", "));
                    self.wrong(&format!("{here}/build/args/{argument}"), format!("`{path}` declares no argument `{argument}`"), &help);
                }
                self.dockerfiles.insert(name.to_owned(), vetted);
            }
            Err(problems) => self.problems.extend(problems),
        }
        let ignore = inside(&context, ".dockerignore").unwrap_or_default();
        for ignored in [ignore, format!("{path}.dockerignore")] {
            if self.files.get(&ignored).is_some_and(|content| content.len() > 64 * 1024) {
                self.wrong(&format!("{here}/build"), format!("`{ignored}` is longer than 64 KiB"), "");
            }
        }
    }

    fn volumes(&mut self, here: &str, service: &model::Service) {
        let role = role(service).and_then(|role| self.manifest.roles.get(&role));
        for (index, volume) in service.volumes.iter().enumerate() {
            let at = format!("{here}/volumes/{index}");
            match Mount::parse(volume) {
                Some(Mount::Folder { source, target }) => {
                    if service.build.is_some() {
                        self.wrong(&at, "a service with an image of its own gets its files by COPY".to_owned(), "copy them in its Dockerfile");
                    }
                    if !self.files.keys().any(|path| path.starts_with(&format!("{source}/"))) {
                        self.wrong(&at, format!("there is no folder `{source}` in the submission"), "");
                    }
                    if self.files.keys().any(|path| path.starts_with(&format!("{source}/{}", monitoring::SHADOW_CONFIG))) {
                        self.wrong(&at, format!("`{source}/{}` is the platform's", monitoring::SHADOW_CONFIG), "call yours otherwise");
                    }
                    if let Some(role) = role.filter(|role| role.trusted)
                        && role.config.as_deref() != Some(target.as_str())
                    {
                        let config = role.config.clone().unwrap_or_default();
                        self.wrong(&at, format!("`{target}` is the platform's"), &format!("its configuration is read from `{config}`"));
                    }
                }
                Some(Mount::Volume { name, target }) => {
                    if !self.file.volumes.contains_key(&name) {
                        self.wrong(&at, format!("the volume `{name}` is not declared"), "add it below `volumes:` at the end of the file");
                    }
                    if role.is_some_and(|role| role.trusted && !role.scratch.contains(&target)) {
                        self.wrong(&at, format!("`{target}` is the platform's"), "");
                    }
                }
                None => {
                    let help = "a folder as `./folder:/path:ro` or a named volume as `name:/path`";
                    self.wrong(&at, format!("`{volume}` is not allowed here"), help);
                }
            }
        }
    }

    /// What no single service is to blame for.
    fn whole(&mut self) {
        for name in self.file.volumes.keys().filter(|name| !is_name(name) || name.starts_with("modeldown")) {
            let help = "small letters, digits and `-`, not beginning with `modeldown`";
            self.wrong(&format!("/volumes/{name}"), format!("`{name}` is not a name for a volume"), help);
        }
        let total: u64 = self.file.services.values().map(|service| memory_mib(service, self.manifest)).sum();
        let most = self.manifest.budget.memory_mib * MEMORY_FACTOR;
        if total > most {
            let help = format!("the budget is {} MiB; this is where an exam is not held at all", self.manifest.budget.memory_mib);
            self.wrong("/services", format!("all services together ask for {total} MiB of memory; {most} are the most"), &help);
        }
    }

    fn roles(&mut self) {
        for (name, wanted) in &self.manifest.roles {
            let count = self.file.services.values().filter(|service| role(service).as_deref() == Some(name)).count();
            let exact = wanted.image != "build";
            if count == 0 || (exact && count != wanted.replicas) {
                let wanted = if exact { wanted.replicas.to_string() } else { "at least one".to_owned() };
                self.wrong(
                    "/services",
                    format!("{count} services have the role `{name}`; {wanted} must"),
                    &format!("the label `{ROLE_LABEL}: {name}`"),
                );
            }
        }
    }
}

/// Compose would fill these from the environment of whoever starts it.
fn interpolations(document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut waiting = vec![&document.root];
    while let Some(node) = waiting.pop() {
        match &node.kind {
            Kind::Scalar { text, .. } if text.replace("$$", "").contains('$') => {
                let problem = document.problem_at(node.span.start, "a variable: nothing is filled in from an environment here");
                problems.push(problem.with_help("write the value; a dollar sign itself is `$$`"));
            }
            Kind::Scalar { .. } => {}
            Kind::Sequence(items) => waiting.extend(items),
            Kind::Mapping(entries) => waiting.extend(entries.iter().flat_map(|(key, value)| [key, value])),
        }
    }
    problems
}

/// A duration as Compose takes it, such as `1m30s`; a day at most.
fn is_duration(text: &str) -> bool {
    !text.is_empty() && duration::parse(text, &duration::COMPOSE).is_some_and(|us| us <= 86_400_000_000)
}

enum Mount {
    Folder { source: String, target: String },
    Volume { name: String, target: String },
}

impl Mount {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (source, target, mode) = (parts.next()?, parts.next()?, parts.next());
        let target = target.strip_suffix('/').filter(|bare| !bare.is_empty()).unwrap_or(target);
        let absolute = target.starts_with('/') && target.len() > 1 && !target.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
        let outside = ["/proc", "/sys", "/dev", "/etc/modeldown"].iter().any(|kept| target == *kept || target.starts_with(&format!("{kept}/")));
        if parts.next().is_some() || !absolute || outside {
            return None;
        }
        if source.starts_with('.') {
            let source = folder(source).filter(|source| !source.is_empty())?;
            return (mode == Some("ro")).then(|| Self::Folder { source, target: target.to_owned() });
        }
        let volume = !source.is_empty() && !source.contains(['/', '~', '\\']) && matches!(mode, None | Some("rw" | "ro"));
        volume.then(|| Self::Volume { name: source.to_owned(), target: target.to_owned() })
    }
}

/// A folder of the submission without `./`; empty for the submission itself. `None` for anything outside.
fn folder(text: &str) -> Option<String> {
    let bare = text.strip_prefix("./").unwrap_or(if text == "." { "" } else { text });
    let bare = bare.trim_end_matches('/');
    let fine = bare.is_empty() || !bare.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains([':', '\\', '~']));
    (fine && !bare.starts_with('/') && !bare.starts_with(".modeldown")).then(|| bare.to_owned())
}

/// The path of a file below a folder, if it stays there.
fn inside(folder_path: &str, file: &str) -> Option<String> {
    let file = folder(file).filter(|file| !file.is_empty())?;
    Some(if folder_path.is_empty() { file } else { format!("{folder_path}/{file}") })
}

pub(crate) fn is_name(name: &str) -> bool {
    let bytes: BTreeSet<u8> = name.bytes().collect();
    (1..=32).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn role(service: &model::Service) -> Option<String> {
    service.labels.all().remove(ROLE_LABEL)
}

fn memory_mib(service: &model::Service, manifest: &Manifest) -> u64 {
    let stated = service.mem_limit.as_ref().and_then(|limit| mebibytes(&limit.to_string()));
    stated.unwrap_or_else(|| role(service).and_then(|role| manifest.roles.get(&role)).map_or(DEFAULT_MEMORY_MIB, |role| role.memory_mib))
}

/// A size in Docker's spelling, rounded up to whole MiB.
fn mebibytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] =
        [("", 1), ("b", 1), ("k", 1 << 10), ("kb", 1 << 10), ("m", 1 << 20), ("mb", 1 << 20), ("g", 1 << 30), ("gb", 1 << 30)];
    let (number, bytes) = size::read::<u64>(&text.to_ascii_lowercase(), &UNITS)?;
    Some(number.checked_mul(bytes)?.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests;
