//! What a cluster is given for an exam: the submission's objects, with the same two edits to its monitoring as on Docker, and the trusted services beside
//! them, of which one scrapes what the submission's Prometheus does. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::platform::{PLATFORM, Trusted, rows, trusted};
use super::{MANIFESTS, VettedManifests};
use crate::compose::{ROLE_LABEL, RULES_FOLDER, ServiceRole, monitoring};
use crate::document::Problem;
use crate::exercise::{Files, Manifest};

/// How much a submission may put before a trusted program, in bytes: a `ConfigMap` holds a mebibyte.
const MOST_CONFIGURED: usize = 512 << 10;

/// The role of the submission's Prometheus, and the file that it reads.
const PROMETHEUS: &str = "prometheus";
const PROMETHEUS_FILE: &str = "prometheus.yml";
/// The same of its Alertmanager.
const ALERTMANAGER: &str = "alertmanager";
const ALERTMANAGER_FILE: &str = "alertmanager.yml";
/// How names begin of what is ours in the submission's namespace.
pub(super) const OURS: &str = "modeldown-";
/// What the volume is called that the grader's rules are put into.
const RULES_VOLUME: &str = "modeldown-rules";

/// What an exam applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// The trusted services.
    pub platform: Vec<Value>,
    /// The submission.
    pub submitted: Vec<Value>,
}

/// A file that a Deployment finds in its configuration folder.
struct Mounted<'a> {
    /// Where it is, below that folder.
    path: String,
    config_map: &'a str,
    key: &'a str,
    content: &'a str,
}

impl VettedManifests {
    /// The submission's files, and below folders that are called like their roles what trusted programs find as their configuration.
    pub fn files(&self, manifest: &Manifest) -> Files {
        let mut files = self.files.clone();
        for (role, config) in manifest.roles.iter().filter_map(|(name, role)| Some((name, role.config.as_deref()?))) {
            files.retain(|path, _| !path.starts_with(&format!("{role}/")));
            let mounted = self.of_role(role).into_iter().flat_map(|deployment| self.mounted(deployment, config));
            files.extend(mounted.map(|file| (format!("{role}/{}", file.path), file.content.as_bytes().to_vec())));
        }
        files
    }

    /// The Deployments with their roles.
    pub fn services(&self, manifest: &Manifest) -> Vec<ServiceRole> {
        let described = |deployment: &Value| {
            let role = role_of(deployment);
            let known = role.as_ref().and_then(|role| manifest.roles.get(role));
            // A Service is called like the role that it leads to. One of the submission's may lead elsewhere: the platform's programs are asked by a
            // Service of our own.
            let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
            ServiceRole {
                service: name.to_owned(),
                host: match &role {
                    Some(role) if known.is_some_and(|known| known.trusted) => host(&way(role), manifest),
                    _ => host(role.as_deref().unwrap_or(name), manifest),
                },
                config: role.clone().filter(|_| known.is_some_and(|known| known.config.is_some())),
                memory_mib: known.map_or(crate::compose::DEFAULT_MEMORY_MIB, |known| known.memory_mib),
                role,
            }
        };
        self.deployments().map(described).collect()
    }

    fn deployments(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| object["kind"] == "Deployment")
    }

    fn of_role(&self, role: &str) -> Option<&Value> {
        self.deployments().find(|one| role_of(one).as_deref() == Some(role))
    }

    /// The files that a Deployment's first container finds in a folder, of `ConfigMap`s that are among the objects.
    fn mounted<'a>(&'a self, deployment: &'a Value, folder: &str) -> Vec<Mounted<'a>> {
        let pod = &deployment["spec"]["template"]["spec"];
        let list = |value: &'a Value| value.as_array().into_iter().flatten();
        let mut found = Vec::new();
        for mount in list(&pod["containers"][0]["volumeMounts"]) {
            let at = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
            let Some(below) = at.strip_prefix(folder).filter(|below| below.is_empty() || below.starts_with('/')) else { continue };
            let below = below.trim_start_matches('/');
            let volume = list(&pod["volumes"]).find(|volume| volume["name"] == mount["name"]).map(|volume| &volume["configMap"]);
            let Some(config_map) = volume.and_then(|volume| volume["name"].as_str()) else { continue };
            let is_it = |object: &&Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == config_map;
            let Some(data) = self.objects.iter().find(is_it).and_then(|object| object["data"].as_object()) else { continue };
            for (key, content) in data {
                let items = volume.and_then(|volume| volume["items"].as_array());
                let as_item = |items: &'a Vec<Value>| items.iter().find(|item| item["key"] == key.as_str()).and_then(|item| item["path"].as_str());
                let Some(path) = items.map_or(Some(key.as_str()), as_item) else { continue };
                let place = match mount["subPath"].as_str() {
                    None if below.is_empty() => path.to_owned(),
                    None => format!("{below}/{path}"),
                    Some(sub) if sub == path => below.to_owned(),
                    Some(_) => continue,
                };
                found.push(Mounted { path: place, config_map, key, content: content.as_str().unwrap_or_default() });
            }
        }
        found
    }

    /// What an exam applies; trusted services obey whoever has the control token.
    pub fn graded(&self, manifest: &Manifest, token: &str) -> Graded {
        let mut submitted = self.objects.clone();
        let rules = format!("{RULES_FOLDER}/*.yml");
        self.edit(&mut submitted, manifest, (PROMETHEUS, PROMETHEUS_FILE), |text| monitoring::with_rules(text, &rules));
        self.edit(&mut submitted, manifest, (ALERTMANAGER, ALERTMANAGER_FILE), monitoring::without_waiting);
        for deployment in submitted.iter_mut().filter(|one| one["kind"] == "Deployment" && role_of(one).as_deref() == Some(PROMETHEUS)) {
            let pod = &mut deployment["spec"]["template"]["spec"];
            push(&mut pod["volumes"], json!({ "name": RULES_VOLUME, "emptyDir": { "sizeLimit": "1Mi" } }));
            push(&mut pod["containers"][0]["volumeMounts"], json!({ "name": RULES_VOLUME, "mountPath": RULES_FOLDER }));
        }
        let mut platform = vec![rows("", "")];
        for (name, service) in &manifest.platform {
            let mut wanted = Trusted { command: &service.command, token: Some(token), ..Trusted::default() };
            if let Some(role) = &service.shadows {
                // It reads files that the submission names, and sends what is in them where that says.
                wanted.token = None;
                let account = self.of_role(role).and_then(|one| one["spec"]["template"]["spec"]["serviceAccountName"].as_str());
                wanted.account = Some(name);
                share(&mut submitted, account.unwrap_or("default"), name);
                wanted.files = self.shadow(role, manifest);
                // What it scrapes by a name of one word is in the submission's namespace.
                wanted.searches = vec![domain(manifest)];
            }
            platform.extend(trusted(name, service, &wanted));
        }
        platform.push(pager_policy(manifest));
        platform.extend(ways(manifest));
        Graded { platform, submitted }
    }

    /// Changes a trusted program's file in the `ConfigMap` that it is of.
    fn edit(&self, submitted: &mut [Value], manifest: &Manifest, (role, file): (&str, &str), change: impl Fn(&str) -> String) {
        let config = manifest.roles.get(role).and_then(|role| role.config.as_deref());
        let (Some(config), Some(deployment)) = (config, self.of_role(role)) else { return };
        let Some(mounted) = self.mounted(deployment, config).into_iter().find(|one| one.path == file) else { return };
        let is_it = |object: &&mut Value| object["kind"] == "ConfigMap" && object["metadata"]["name"] == mounted.config_map;
        if let Some(object) = submitted.iter_mut().find(is_it) {
            object["data"][mounted.key] = change(mounted.content).into();
        }
    }

    /// What keeps trusted programs from finding the files that a submission puts before its own: one `ConfigMap` must hold them all, and one more.
    pub(super) fn unshadowable(&self, manifest: &Manifest) -> Vec<Problem> {
        let shadowed = manifest.platform.values().filter_map(|service| service.shadows.as_ref());
        let mut problems = Vec::new();
        for role in shadowed {
            let config = manifest.roles.get(role).and_then(|role| role.config.as_deref()).unwrap_or_default();
            let mounted = self.of_role(role).map(|deployment| self.mounted(deployment, config)).unwrap_or_default();
            let mut wrong = |message: String, help: &str| problems.push(Problem::at(MANIFESTS, "", 0, message).with_help(help.to_owned()));
            let bytes: usize = mounted.iter().map(|one| one.content.len()).sum();
            if bytes > MOST_CONFIGURED {
                let help = "rules and jobs for a deployment like this take a hundredth of that";
                wrong(format!("what is mounted at `{config}` of the role `{role}` takes {bytes} bytes; at most {MOST_CONFIGURED} may be"), help);
            }
            let places: BTreeSet<&str> = mounted.iter().map(|one| one.path.as_str()).collect();
            for place in &places {
                let first = place.split('/').next().unwrap_or_default();
                if first == monitoring::SHADOW_CONFIG {
                    wrong(format!("`{config}/{place}` of the role `{role}` is the platform's"), "call yours otherwise");
                } else if places.iter().any(|other| other.strip_prefix(place).is_some_and(|below| below.starts_with('/'))) {
                    wrong(format!("`{config}/{place}` of the role `{role}` is both a file and a folder"), "mount them at different places");
                }
            }
            if places.len() < mounted.len() {
                wrong(format!("two files are mounted at one place below `{config}` of the role `{role}`"), "mount them at different places");
            }
        }
        problems
    }

    /// The files of a trusted Prometheus that scrapes as a role's does, by their places; its own configuration among them.
    fn shadow(&self, role: &str, manifest: &Manifest) -> BTreeMap<String, String> {
        let config = manifest.roles.get(role).and_then(|role| role.config.as_deref()).unwrap_or("/etc/prometheus");
        let mounted = self.of_role(role).map(|deployment| self.mounted(deployment, config)).unwrap_or_default();
        let original = mounted.iter().find(|one| one.path == PROMETHEUS_FILE).map_or("", |one| one.content);
        let own = at_home(&monitoring::shadow(original, &host(role, manifest)), &manifest.id);
        let mut files: BTreeMap<String, String> = mounted.iter().map(|one| (format!("{config}/{}", one.path), one.content.to_owned())).collect();
        files.insert(format!("{config}/{}", monitoring::SHADOW_CONFIG), own);
        files
    }
}

/// The same configuration for a Prometheus in another namespace: its own is the submission's.
fn at_home(shadow: &str, namespace: &str) -> String {
    let Ok(mut root) = serde_json::from_str::<Value>(shadow) else { return shadow.to_owned() };
    for job in root["scrape_configs"].as_array_mut().into_iter().flatten() {
        for discovery in job.get_mut("kubernetes_sd_configs").and_then(Value::as_array_mut).into_iter().flatten() {
            if discovery["namespaces"]["own_namespace"] == true {
                discovery["namespaces"] = json!({ "names": [namespace] });
            }
        }
    }
    root.to_string()
}

/// Lets a trusted service do what a `ServiceAccount` of the submission may.
fn share(submitted: &mut [Value], account: &str, with: &str) {
    let is_bound = |object: &&mut Value| {
        let subjects = object["subjects"].as_array();
        object["kind"] == "RoleBinding" && subjects.is_some_and(|all| all.iter().any(|one| one["name"] == account))
    };
    for binding in submitted.iter_mut().filter(is_bound) {
        push(&mut binding["subjects"], json!({ "kind": "ServiceAccount", "name": with, "namespace": PLATFORM }));
    }
}

/// What a Service of ours is called that leads to one of the platform's programs in the submission.
fn way(role: &str) -> String {
    format!("{OURS}{role}")
}

/// These Services.
pub(super) fn ways(manifest: &Manifest) -> impl Iterator<Item = Value> {
    manifest.roles.iter().filter(|(_, role)| role.trusted).map(|(name, role)| {
        let spec = json!({ "selector": { (ROLE_LABEL): name }, "ports": [{ "port": role.port(), "targetPort": role.port() }] });
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": way(name), "namespace": manifest.id }, "spec": spec })
    })
}

/// Nobody but Alertmanager, and who watches it, reaches the pager, wherever the cluster's network can see to that.
pub(super) fn pager_policy(manifest: &Manifest) -> Value {
    let here = json!({ "podSelector": {} });
    let theirs = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": manifest.id } },
        "podSelector": { "matchLabels": { (ROLE_LABEL): ALERTMANAGER } },
    });
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "pager", "namespace": PLATFORM },
        "spec": { "podSelector": { "matchLabels": { "app": "pager" } }, "policyTypes": ["Ingress"], "ingress": [{ "from": [here, theirs] }] },
    })
}

/// The whole name under which others find a Service of the submission.
pub(super) fn host(service: &str, manifest: &Manifest) -> String {
    format!("{service}.{}", domain(manifest))
}

/// What these names end with.
fn domain(manifest: &Manifest) -> String {
    format!("{}.svc.cluster.local", manifest.id)
}

fn role_of(deployment: &Value) -> Option<String> {
    deployment["metadata"]["labels"][ROLE_LABEL].as_str().map(str::to_owned)
}

/// Adds something to a list that need not be there yet.
pub(super) fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::tests::{vetted_for, with_roles};

    /// A submission's monitoring.
    const MONITORING: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: prom, labels: {modeldown.role: prometheus}}
spec:
  selector: {matchLabels: {app: prom}}
  template:
    metadata: {labels: {app: prom, modeldown.role: prometheus}}
    spec:
      serviceAccountName: prom
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: prom
          image: modeldown/prometheus:stable
          volumeMounts:
            - {name: config, mountPath: /etc/prometheus/}
            - {name: rules, mountPath: /etc/prometheus/rules}
            - {name: data, mountPath: /prometheus}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumes:
        - {name: config, configMap: {name: prom-5f2}}
        - {name: rules, configMap: {name: rules-1a, items: [{key: a, path: alerts.yml}]}}
        - {name: data, emptyDir: {}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prom-5f2}
data:
  prometheus.yml: |
    rule_files: [rules/*.yml]
    scrape_configs: [{job_name: model, kubernetes_sd_configs: [{role: pod, namespaces: {own_namespace: true}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: rules-1a}
data: {a: 'groups: []', b: nobody mounts it}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: prom}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: prom}
subjects: [{kind: ServiceAccount, name: prom}]
";

    fn manifest() -> Manifest {
        with_roles(&[PROMETHEUS])
    }

    fn vetted(text: &str) -> Result<VettedManifests, String> {
        vetted_for(text, &manifest()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn what_a_trusted_program_finds_is_known() {
        let files = vetted(MONITORING).expect("it is fine").files(&manifest());
        let found: Vec<&str> = files.keys().map(String::as_str).filter(|path| path.starts_with("prometheus/")).collect();
        assert_eq!(found, ["prometheus/prometheus.yml", "prometheus/rules/alerts.yml"]);
        assert_eq!(files["prometheus/rules/alerts.yml"], b"groups: []");
    }

    #[test]
    fn what_would_keep_our_own_programs_from_starting_is_refused() {
        let said = |find: &str, replace: &str| {
            assert!(MONITORING.contains(find), "{find}");
            vetted(&MONITORING.replace(find, replace)).expect_err("it must be refused")
        };
        let padded = format!("data: {{a: 'groups: []{}'", " ".repeat(MOST_CONFIGURED));
        for (find, replace, words) in [
            ("data: {a: 'groups: []'", &*padded, "takes 524"),
            ("mountPath: /etc/prometheus/rules", "mountPath: /etc/prometheus/modeldown-shadow.yml", "is the platform's"),
            ("mountPath: /etc/prometheus/rules", "mountPath: /etc/prometheus/prometheus.yml", "is both a file and a folder"),
        ] {
            let said = said(find, replace);
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }

    #[test]
    fn an_exam_adds_its_rules_and_scrapes_the_same() {
        let graded = vetted(MONITORING).expect("it is fine").graded(&manifest(), "token");
        let of = |objects: &[Value], kind: &str, name: &str| -> Value {
            objects.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name).cloned().unwrap_or_default()
        };
        let config = of(&graded.submitted, "ConfigMap", "prom-5f2")["data"][PROMETHEUS_FILE].as_str().unwrap_or_default().to_owned();
        assert!(config.contains(RULES_FOLDER), "{config}");
        let pod = &of(&graded.submitted, "Deployment", "prom")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["volumeMounts"][3]["mountPath"], RULES_FOLDER);
        let subjects = &of(&graded.submitted, "RoleBinding", "prom")["subjects"];
        assert_eq!(subjects[1], json!({ "kind": "ServiceAccount", "name": "shadow", "namespace": PLATFORM }));
        let files = of(&graded.platform, "ConfigMap", "shadow")["data"].clone();
        let own = files.as_object().into_iter().flatten().filter_map(|(_, file)| file.as_str()).find(|file| file.contains("\"1s\""));
        let own: Value = serde_json::from_str(own.expect("it has one")).expect("it is JSON");
        assert_eq!(own["scrape_configs"][0]["kubernetes_sd_configs"][0]["namespaces"], json!({ "names": ["model-down"] }));
        let pod = &of(&graded.platform, "Deployment", "shadow")["spec"]["template"]["spec"];
        assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&json!("shadow"), &json!(true)));
        assert_eq!(pod["containers"][0]["env"], json!([]), "what reads files for a submission has no secret");
        let registry = &of(&graded.platform, "Deployment", "registry")["spec"]["template"]["spec"];
        assert_eq!((&registry["containers"][0]["env"][0]["value"], &registry["automountServiceAccountToken"]), (&json!("token"), &json!(false)));
    }

    #[test]
    fn a_trusted_program_is_given_its_configuration_and_nothing_else() {
        for (find, replace, words) in [
            (
                "          volumeMounts:",
                "          args: [--config.file=/tmp/a]\n          volumeMounts:",
                "`args` of the role `prometheus` is the platform's",
            ),
            ("modeldown/prometheus:stable", "modeldown/python:stable", "the role `prometheus` runs `modeldown/prometheus:stable`"),
            ("mountPath: /prometheus}", "mountPath: /usr/bin}", "nothing of yours may be at `/usr/bin`"),
            (
                "labels: {app: prom, modeldown.role: prometheus}",
                "labels: {app: prom}",
                "a Deployment and its pods must have the same label `modeldown.role`",
            ),
            ("name: prom, labels: {modeldown.role: prometheus}", "name: prom", "a Deployment and its pods must have the same label `modeldown.role`"),
            ("name: prom, labels: {modeldown.role: prometheus}", "name: prom, labels: {modeldown.role: oracle}", "there is no role `oracle`"),
            ("metadata: {name: prom, labels", "metadata: {name: pager, labels", "`pager` is the platform's"),
        ] {
            assert_eq!(MONITORING.matches(find).count(), 1, "{find}");
            let said = vetted(&MONITORING.replace(find, replace)).expect_err("it must be refused");
            assert!(said.contains(words), "{words} is not in {said}");
        }
        let nobody = MONITORING.replace(", labels: {modeldown.role: prometheus}", "").replace("app: prom, modeldown.role: prometheus", "app: prom");
        let said = vetted(&nobody).expect_err("it must be refused");
        assert!(said.contains("0 Deployments have the role `prometheus`; exactly one must"), "{said}");
    }
}
