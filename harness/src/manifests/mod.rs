//! The Kubernetes manifests of a submission: [`vet`] lists everything in them that is not allowed, at home and before an exam alike. What
//! passed asks for nothing outside its namespace, and for pods that Pod Security's level `restricted` admits. What a pod makes through the API, with
//! a Role that it was given, the cluster itself refuses where it must (`admission.rs`, quotas).

mod admission;
mod grading;
mod model;
mod platform;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::compose::ROLE_LABEL;
use crate::document::{self, Document, Node, Problem, Problems};
use crate::exercise::{Files, Manifest};

pub use grading::Graded;
pub(crate) use platform::CONTROL_PLANE;
pub use platform::{PLATFORM, namespaces, platform};

use model::{
    Capabilities, ConfigMap, Container, Deployment, Job, KINDS, Metadata, Object, PodDisruptionBudget, PodSecurity, PodSpec, Role, RoleBinding,
    Seccomp, Service, ServiceAccount, Volume, head,
};

/// The folder of a workspace in which every YAML or JSON file is a manifest.
pub const MANIFESTS: &str = "manifests";
/// The tag under which the exercise's images are in a cluster.
pub const TAG: &str = "stable";

/// How many objects a submission may have, and replicas a Deployment.
const MOST_OBJECTS: usize = 60;
const MOST_REPLICAS: u32 = 8;
/// How many containers a pod may have.
const MOST_CONTAINERS: usize = 4;
/// How long a name may be.
const MOST_LETTERS: usize = 253;

/// What a Role may be about, by API group, and what it may change: what releases do. Neither roles nor tokens are among it, and where Services
/// and their endpoints lead is for the manifests to say.
const ROLES: [(&str, &[&str], &[&str]); 6] = [
    ("", &["endpoints", "events", "pods", "pods/log", "services"], &["configmaps"]),
    ("apps", &["deployments/status", "replicasets"], &["deployments", "deployments/scale"]),
    ("batch", &["jobs/status"], &["jobs"]),
    ("discovery.k8s.io", &["endpointslices"], &[]),
    ("events.k8s.io", &["events"], &[]),
    ("policy", &["poddisruptionbudgets"], &[]),
];
const READ: [&str; 3] = ["get", "list", "watch"];
const CHANGE: [&str; 4] = ["create", "delete", "patch", "update"];
/// How annotations begin that let a container out of what confines it.
const UNCONFINED: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Manifests that passed the policy.
#[derive(Debug, Clone)]
pub struct VettedManifests {
    /// The objects, each with its namespace.
    pub objects: Vec<Value>,
    /// The submission's files.
    files: Files,
}

/// Checks a submission's manifests, and lists everything that is not allowed. They are applied in a namespace that is called like the exercise.
pub fn vet(files: &Files, manifest: &Manifest) -> Result<VettedManifests, Problems> {
    let manifests = files.iter().filter(|(path, _)| is_manifest(path));
    vet_each(manifests.map(|(path, content)| (path.as_str(), content.as_slice())), files, manifest)
}

/// The same for manifests that are in no file of the submission; each has what complaints call it.
pub fn vet_each<'a>(
    manifests: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    files: &Files,
    manifest: &Manifest,
) -> Result<VettedManifests, Problems> {
    let mut count = 0;
    let mut check =
        Check { manifest, namespace: &manifest.id, problems: Vec::new(), seen: BTreeMap::new(), roles: BTreeMap::new(), objects: Vec::new() };
    for (path, content) in manifests {
        match documents(path, content) {
            Err(Problems(problems)) => check.problems.extend(problems),
            Ok(documents) => {
                count += documents.len();
                // Whoever sends too many is told so, and of nothing else.
                if count > MOST_OBJECTS {
                    return Err(Problems(vec![Problem::at(path, "", 0, format!("at most {MOST_OBJECTS} objects are allowed"))]));
                }
                for document in &documents {
                    check.document(document);
                }
            }
        }
    }
    if check.seen.is_empty() && check.problems.is_empty() {
        check.problems.push(Problem::at(MANIFESTS, "", 0, "there is no manifest in this folder of the submission"));
    } else if check.problems.is_empty() {
        check.counts();
    }
    let Check { mut problems, objects, .. } = check;
    if problems.is_empty() {
        let vetted = VettedManifests { objects, files: files.clone() };
        problems = vetted.unshadowable(manifest);
        if problems.is_empty() {
            return Ok(vetted);
        }
    }
    problems.sort();
    problems.dedup();
    Err(Problems(problems))
}

/// The documents of a file of a submission.
pub(crate) fn documents(path: &str, content: &[u8]) -> Result<Vec<Document>, Problems> {
    let text = std::str::from_utf8(content).map_err(|_| Problems(vec![Problem::at(path, "", 0, "the file is not UTF-8 text")]))?;
    Document::parse_all(path, text)
}

struct Check<'a> {
    manifest: &'a Manifest,
    namespace: &'a str,
    problems: Vec<Problem>,
    /// Where each object stands, by kind and name.
    seen: BTreeMap<(String, String), String>,
    /// How many Deployments have each role.
    roles: BTreeMap<String, usize>,
    objects: Vec<Value>,
}

impl Check<'_> {
    fn document(&mut self, document: &Document) {
        let mut value = document.root.value();
        let Some((version, kind)) = head(&value) else {
            self.wrong(document, "", "an object begins with `apiVersion` and `kind`", "");
            return;
        };
        if !KINDS.contains(&(version, kind)) {
            let known = KINDS.map(|(version, kind)| format!("{kind} ({version})")).join(", ");
            self.wrong(
                document,
                "/kind",
                format!("`{kind}` of `{version}` is no kind of object that a submission may have"),
                &format!("known: {known}"),
            );
            return;
        }
        let read = match kind {
            "Deployment" => self.read::<Deployment>(document).map(Object::Deployment),
            "Job" => self.read::<Job>(document).map(Object::Job),
            "Service" => self.read::<Service>(document).map(Object::Service),
            "ConfigMap" => self.read::<ConfigMap>(document).map(Object::ConfigMap),
            "PodDisruptionBudget" => self.read::<PodDisruptionBudget>(document).map(Object::PodDisruptionBudget),
            "ServiceAccount" => self.read::<ServiceAccount>(document).map(Object::ServiceAccount),
            "Role" => self.read::<Role>(document).map(Object::Role),
            _ => self.read::<RoleBinding>(document).map(Object::RoleBinding),
        };
        let Some(object) = read else { return };
        self.named(document, kind, &object);
        match &object {
            Object::Deployment(one) => self.deployment(document, one),
            Object::Service(one) if one.spec.r#type.as_deref().is_some_and(|kind| kind != "ClusterIP") => {
                self.wrong(document, "/spec/type", "a Service may be of type `ClusterIP` only", "nobody outside the cluster reaches it");
            }
            Object::Job(one)
                if one.spec.template.metadata.as_ref().is_some_and(|metadata| metadata.labels.iter().any(|all| all.contains_key(ROLE_LABEL))) =>
            {
                self.wrong(document, "/spec/template", format!("the pods of a Job have no label `{ROLE_LABEL}`"), "");
            }
            Object::Role(one) => self.role(document, one),
            Object::RoleBinding(one) => self.binding(document, one),
            _ => {}
        }
        if let Some(template) = object.template() {
            let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
            if annotations.is_some_and(|annotations| annotations.keys().any(|key| key.starts_with(UNCONFINED))) {
                self.wrong(document, "/spec/template/metadata/annotations", format!("no annotation may begin with `{UNCONFINED}`"), "");
            }
            self.pod(document, &template.spec);
        }
        value["metadata"]["namespace"] = self.namespace.into();
        // Images are those that the cluster has: nobody else's, by whatever name.
        for list in ["containers", "initContainers"] {
            let containers = value.pointer_mut(&format!("/spec/template/spec/{list}")).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                container["imagePullPolicy"] = "Never".into();
            }
        }
        self.objects.push(value);
    }

    fn wrong(&mut self, document: &Document, pointer: &str, message: impl Into<String>, help: &str) {
        let problem = document.problem(pointer, message);
        self.problems.push(if help.is_empty() { problem } else { problem.with_help(help) });
    }

    fn read<T: DeserializeOwned + JsonSchema>(&mut self, document: &Document) -> Option<T> {
        document::read(document).map_err(|Problems(problems)| self.problems.extend(problems)).ok()
    }

    fn named(&mut self, document: &Document, kind: &str, object: &Object) {
        let metadata = object.metadata();
        if metadata.namespace.as_ref().is_some_and(|namespace| namespace != self.namespace) {
            self.wrong(document, "/metadata/namespace", format!("the only namespace is `{}`", self.namespace), "leave it out");
        }
        // What DNS answers for is one word; everything else may have several.
        let (most, dots) = if kind == "Service" { (1, "") } else { (usize::MAX, ", or several such words with dots between them") };
        let Some(name) = metadata.name.as_ref().filter(|name| is_name(name, most)) else {
            self.wrong(document, "/metadata", format!("an object needs a name: small letters, digits and `-`, at most 63, a letter first{dots}"), "");
            return;
        };
        if kind == "Service" && name.starts_with(grading::OURS) {
            self.wrong(
                document,
                "/metadata/name",
                format!("a Service whose name begins with `{}` is the platform's", grading::OURS),
                "choose another name",
            );
        }
        let place = document.problem("/metadata/name", "").place();
        if let Some(other) = self.seen.insert((kind.to_owned(), name.clone()), place) {
            self.wrong(document, "/metadata/name", format!("there is another {kind} `{name}`, at {other}"), "");
        }
    }

    fn deployment(&mut self, document: &Document, deployment: &Deployment) {
        if deployment.spec.replicas.is_some_and(|replicas| replicas > MOST_REPLICAS) {
            self.wrong(document, "/spec/replicas", format!("at most {MOST_REPLICAS} replicas are allowed"), "");
        }
        if let Some(name) = deployment.metadata.name.as_ref().filter(|name| self.manifest.platform.contains_key(*name)) {
            self.wrong(document, "/metadata/name", format!("`{name}` is the platform's"), "choose another name");
        }
        let label = |metadata: Option<&Metadata>| metadata.and_then(|metadata| metadata.labels.as_ref()?.get(ROLE_LABEL)).cloned();
        let role = label(Some(&deployment.metadata));
        if label(deployment.spec.template.metadata.as_ref()) != role {
            let message = format!("a Deployment and its pods must have the same label `{ROLE_LABEL}`, or none");
            self.wrong(document, "/spec/template", message, "it stands below `metadata` of both");
        }
        let Some(role) = role else { return };
        let Some(known) = self.manifest.roles.get(&role) else {
            let known: Vec<&str> = self.manifest.roles.keys().map(String::as_str).collect();
            self.wrong(document, "/metadata/labels", format!("there is no role `{role}`"), &format!("known: {}", known.join(", ")));
            return;
        };
        *self.roles.entry(role.clone()).or_default() += 1;
        if known.trusted {
            self.trusted(document, &role, deployment);
        }
    }

    /// What a Deployment of a program of the platform's may say: its configuration, and nothing of how it is run.
    fn trusted(&mut self, document: &Document, role: &str, deployment: &Deployment) {
        let Some(known) = self.manifest.roles.get(role) else { return };
        let pod = &deployment.spec.template.spec;
        let here = "/spec/template/spec/containers";
        let [container] = &pod.containers[..] else {
            self.wrong(document, here, format!("a pod of the role `{role}` has one container"), "");
            return;
        };
        if pod.init_containers.is_some() || deployment.spec.replicas.unwrap_or(1) != 1 {
            self.wrong(document, "/spec", format!("the role `{role}` has one replica, and its pod no container but one"), "");
        }
        if container.image.rsplit_once(':').map(|(alias, _)| alias) != Some(known.image.as_str()) {
            self.wrong(document, &format!("{here}/0/image"), format!("the role `{role}` runs `{}:{TAG}`", known.image), "");
        }
        let said = [
            ("command", container.command.is_some()),
            ("args", container.args.is_some()),
            ("env", container.env.is_some()),
            ("envFrom", container.env_from.is_some()),
            ("workingDir", container.working_dir.is_some()),
            ("lifecycle", container.lifecycle.is_some()),
        ];
        for (field, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
            let message = format!("`{field}` of the role `{role}` is the platform's: you supply its configuration");
            self.wrong(document, &format!("{here}/0/{field}"), message, "");
        }
        let is_below = |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|below| below.is_empty() || below.starts_with('/'));
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let path = mount.mount_path.trim_end_matches('/');
            let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name);
            let is_configuration = known.config.as_deref().is_some_and(|config| is_below(path, config));
            let is_scratch = known.scratch.iter().any(|folder| path == folder) || path == "/tmp";
            let fits = |volume: &Volume| (is_configuration && volume.config_map.is_some()) || (is_scratch && volume.empty_dir.is_some());
            if !volume.is_some_and(fits) {
                let scratch: Vec<&str> = known.scratch.iter().map(String::as_str).collect();
                let help = format!("a ConfigMap below `{}`, an `emptyDir` at {}", known.config.as_deref().unwrap_or("nowhere"), scratch.join(", "));
                self.wrong(
                    document,
                    &format!("{here}/0/volumeMounts/{index}"),
                    format!("nothing of yours may be at `{path}` of the role `{role}`"),
                    &help,
                );
            }
        }
    }

    /// Whether every role is there, and each of the platform's programs once.
    fn counts(&mut self) {
        for (role, wanted) in &self.manifest.roles {
            let count = self.roles.get(role).copied().unwrap_or(0);
            if count == 0 || (wanted.trusted && count != 1) {
                let wanted = if wanted.trusted { "exactly one" } else { "at least one" };
                let message = format!("{count} Deployments have the role `{role}`; {wanted} must");
                self.problems.push(Problem::at(MANIFESTS, "", 0, message).with_help(format!("the label `{ROLE_LABEL}: {role}`")));
            }
        }
    }

    /// What Pod Security's level `restricted` asks for that the types do not rule out.
    fn pod(&mut self, document: &Document, pod: &PodSpec) {
        let here = "/spec/template/spec";
        let security = pod.security_context.as_ref();
        let all = [("containers", Some(&pod.containers)), ("initContainers", pod.init_containers.as_ref())];
        for (list, containers) in all.into_iter().filter_map(|(list, containers)| Some((list, containers?))) {
            if containers.is_empty() || containers.len() > MOST_CONTAINERS {
                self.wrong(document, &format!("{here}/{list}"), format!("a pod has 1 to {MOST_CONTAINERS} containers"), "");
            }
            for (index, container) in containers.iter().enumerate() {
                let non_root = security.is_some_and(|security| security.run_as_non_root == Some(true));
                let confined = security.and_then(|security| security.seccomp_profile.as_ref());
                self.container(document, &format!("{here}/{list}/{index}"), container, non_root, confined);
            }
        }
        let is_root = |security: &PodSecurity| security.run_as_user == Some(0) || security.run_as_non_root == Some(false);
        if security.is_some_and(is_root) {
            self.wrong(document, &format!("{here}/securityContext"), "a pod may not run as root", "`runAsNonRoot: true`, and no user 0");
        }
        if security.and_then(|security| security.seccomp_profile.as_ref()).is_some_and(|profile| profile.r#type != "RuntimeDefault") {
            self.wrong(document, &format!("{here}/securityContext/seccompProfile"), "the profile of a pod is `RuntimeDefault`", "");
        }
        for index in 0..pod.volumes.as_ref().map_or(0, Vec::len) {
            for source in ["configMap", "downwardAPI"] {
                let source = format!("{here}/volumes/{index}/{source}");
                self.mode(document, &format!("{source}/defaultMode"));
                let items = (0..).map(|item| format!("{source}/items/{item}")).take_while(|item| document.root.pointer(item).is_some());
                items.for_each(|item| self.mode(document, &format!("{item}/mode")));
            }
        }
    }

    /// A mode whose digits mean something else to whoever reads YAML's newer edition.
    fn mode(&mut self, document: &Document, place: &str) {
        if let Some(mode) = document.root.pointer(place).and_then(Node::text).filter(|mode| mode.len() > 1 && mode.starts_with('0')) {
            let help = "0644 is 420, 0555 is 365, 0444 is 292, 0400 is 256";
            self.wrong(document, place, format!("`{mode}` is read in more ways than one: write the mode as a decimal number"), help);
        }
    }

    fn container(&mut self, document: &Document, here: &str, container: &Container, non_root: bool, confined: Option<&Seccomp>) {
        let alias = container.image.rsplit_once(':').map_or(container.image.as_str(), |(alias, _)| alias);
        if !self.manifest.aliases.contains(alias) || alias == container.image {
            let known: Vec<String> = self.manifest.aliases.iter().map(|alias| format!("{alias}:{TAG}")).collect();
            let message = format!("`{}` is not an image of this exercise", container.image);
            self.wrong(document, &format!("{here}/image"), message, &format!("known: {}", known.join(", ")));
        }
        let security = container.security_context.as_ref();
        let (place, help) = match security {
            Some(_) => (format!("{here}/securityContext"), "Pod Security `restricted` asks for it"),
            None => (here.to_owned(), "it stands in `securityContext`, and Pod Security `restricted` asks for it"),
        };
        let is_root = security.and_then(|security| security.run_as_user) == Some(0);
        if is_root || !security.and_then(|security| security.run_as_non_root).unwrap_or(non_root) {
            self.wrong(document, &place, "`runAsNonRoot: true` is missing, for the pod or the container", help);
        }
        let profile = security.and_then(|security| security.seccomp_profile.as_ref()).or(confined).map(|profile| profile.r#type.as_str());
        if profile != Some("RuntimeDefault") {
            self.wrong(document, &place, "`seccompProfile: {type: RuntimeDefault}` is missing, for the pod or the container", help);
        }
        if security.and_then(|security| security.allow_privilege_escalation) != Some(false) {
            self.wrong(document, &place, "`allowPrivilegeEscalation: false` is missing", help);
        }
        let drops_all = |capabilities: &Capabilities| capabilities.drop.iter().any(|one| one == "ALL");
        if security.and_then(|security| security.privileged) == Some(true) {
            self.wrong(document, &format!("{place}/privileged"), "a container may not be privileged", "");
        }
        let added = security.and_then(|security| security.capabilities.as_ref()?.add.as_ref()).into_iter().flatten();
        for one in added.filter(|one| *one != "NET_BIND_SERVICE") {
            self.wrong(document, &format!("{place}/capabilities/add"), format!("the capability `{one}` may not be added"), "known: NET_BIND_SERVICE");
        }
        if !security.and_then(|security| security.capabilities.as_ref()).is_some_and(drops_all) {
            self.wrong(document, &place, "`capabilities: {drop: [ALL]}` is missing", help);
        }
    }

    fn role(&mut self, document: &Document, role: &Role) {
        for (index, rule) in role.rules.iter().enumerate() {
            let here = format!("/rules/{index}");
            let groups: Vec<_> = rule.api_groups.iter().map(|group| ROLES.iter().find(|(known, ..)| known == group)).collect();
            for (at, group) in rule.api_groups.iter().enumerate().filter(|(at, _)| groups[*at].is_none()) {
                let known: Vec<String> = ROLES.iter().map(|(group, ..)| format!("\"{group}\"")).collect();
                let message = format!("a Role may not be about the API group `{group}`");
                self.wrong(document, &format!("{here}/apiGroups/{at}"), message, &format!("known: {}", known.join(", ")));
            }
            let known = || groups.iter().flatten();
            let all: Vec<&str> = known().flat_map(|(_, read, changed)| read.iter().chain(*changed)).copied().collect();
            let changed: Vec<&str> = known().flat_map(|(.., changed)| changed.iter()).copied().collect();
            for (at, resource) in rule.resources.iter().enumerate().filter(|(_, resource)| !all.contains(&resource.as_str())) {
                let message = format!("a Role may not be about `{resource}` of these API groups");
                self.wrong(document, &format!("{here}/resources/{at}"), message, &format!("known: {}", all.join(", ")));
            }
            let is_changed = rule.resources.iter().all(|resource| changed.contains(&resource.as_str()));
            for (at, verb) in rule.verbs.iter().enumerate() {
                let place = format!("{here}/verbs/{at}");
                match (READ.contains(&verb.as_str()), CHANGE.contains(&verb.as_str())) {
                    (true, _) => {}
                    (_, true) if is_changed => {}
                    (_, true) => {
                        let help =
                            if changed.is_empty() { "give it a rule of its own".to_owned() } else { format!("only of: {}", changed.join(", ")) };
                        self.wrong(document, &place, format!("a Role may not allow `{verb}` of all these resources"), &help);
                    }
                    _ => self.wrong(
                        document,
                        &place,
                        format!("a Role may not allow `{verb}`"),
                        &format!("known: {}", [&READ[..], &CHANGE].concat().join(", ")),
                    ),
                }
            }
        }
    }

    fn binding(&mut self, document: &Document, binding: &RoleBinding) {
        if binding.role_ref.kind != "Role" || binding.role_ref.api_group != "rbac.authorization.k8s.io" {
            self.wrong(document, "/roleRef", "only a Role of the submission can be bound", "`kind: Role` of `rbac.authorization.k8s.io`");
        }
        for (index, subject) in binding.subjects.iter().enumerate() {
            let is_here = subject.namespace.as_ref().is_none_or(|namespace| namespace == self.namespace);
            if subject.kind != "ServiceAccount" || !is_here || subject.api_group.as_ref().is_some_and(|group| !group.is_empty()) {
                self.wrong(document, &format!("/subjects/{index}"), "a Role can be given to a ServiceAccount of its namespace only", "");
            }
        }
    }
}

/// Whether a file is a manifest, as `kubectl apply --recursive --filename manifests` takes it.
pub(crate) fn is_manifest(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(std::ffi::OsStr::to_str);
    path.starts_with(&format!("{MANIFESTS}/")) && matches!(extension, Some("json" | "yaml" | "yml"))
}

/// Whether a text is a name of some words as RFC 1123 has labels, with dots between them, that begins with a letter.
fn is_name(text: &str, most_words: usize) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_word = |word: &str| (1..=63).contains(&word.len()) && word.chars().all(fits) && !word.starts_with('-') && !word.ends_with('-');
    let words = text.split('.').count();
    text.len() <= MOST_LETTERS && words <= most_words && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('.').all(is_word)
}

#[cfg(test)]
mod tests;
