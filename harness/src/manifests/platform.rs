//! What the harness applies itself: the namespaces with their limits, what they admit, and the trusted services beside the submission. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::TAG;
use super::admission::admission;
use super::grading::{host, pager_policy, ways};
use crate::compose::{DEFAULT_MEMORY_MIB, MEMORY_FACTOR, USER};
use crate::exercise::{Contract, Manifest, PlatformService};

/// The namespace of the trusted services: `http://registry.platform:8080`.
pub const PLATFORM: &str = "platform";
/// How the cluster marks the node that is not the submission's.
pub(crate) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// How many objects a submission's namespace may have, by what quotas call them. What would be reached from outside, or stay on a disk, is none of it.
const MOST: [(&str, u32); 9] = [
    ("pods", 30),
    ("services", 60),
    ("services.loadbalancers", 0),
    ("services.nodeports", 0),
    ("persistentvolumeclaims", 0),
    ("count/configmaps", 100),
    ("count/secrets", 10),
    ("count/deployments.apps", 60),
    ("count/jobs.batch", 60),
];
/// What a container may write unless it states something else, what it may state at most, what it asks the node for, and what all containers
/// together may, in MiB.
const WRITES_MIB: u64 = 256;
const MOST_WRITES_MIB: u64 = 1024;
const ASKS_MIB: u64 = 16;
const ALL_WRITE_MIB: u64 = 8 * 1024;

/// The namespaces, each at Pod Security's level `restricted`; the submission's with a quota, limits for what states none, and what it admits.
pub fn namespaces(manifest: &Manifest) -> Vec<Value> {
    let of = |name: &str| {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest" });
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
    };
    let name = json!({ "name": "submission", "namespace": manifest.id });
    let mut hard = json!({
        "limits.memory": format!("{}Mi", manifest.budget.memory_mib * MEMORY_FACTOR),
        "limits.ephemeral-storage": format!("{ALL_WRITE_MIB}Mi"),
    });
    for (what, most) in MOST {
        hard[what] = most.to_string().into();
    }
    let default = json!({ "memory": format!("{DEFAULT_MEMORY_MIB}Mi"), "ephemeral-storage": format!("{WRITES_MIB}Mi") });
    let request = json!({ "memory": format!("{DEFAULT_MEMORY_MIB}Mi"), "ephemeral-storage": format!("{ASKS_MIB}Mi") });
    let most = json!({ "ephemeral-storage": format!("{MOST_WRITES_MIB}Mi") });
    let limits = json!([{ "type": "Container", "default": default, "defaultRequest": request, "max": most }]);
    let mut objects = vec![
        of(PLATFORM),
        of(&manifest.id),
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": name, "spec": { "hard": hard } }),
        json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": name, "spec": { "limits": limits } }),
    ];
    objects.extend(admission(manifest));
    objects
}

/// How a trusted service is run.
#[derive(Default)]
pub(super) struct Trusted<'a> {
    pub(super) command: &'a [String],
    /// What whoever steers it must know; at home everyone may.
    pub(super) token: Option<&'a str>,
    /// The account under which it asks the cluster, if it does.
    pub(super) account: Option<&'a str>,
    /// Files that it finds, by their places.
    pub(super) files: BTreeMap<String, String>,
    /// Domains below which it finds names that are not whole, after its own.
    pub(super) searches: Vec<String>,
}

/// The trusted services as they are at home, with the requests that users send there, and the accounts that they are about.
pub fn platform(manifest: &Manifest, contract: &Contract, requests: &str, accounts: &str) -> Vec<Value> {
    let mut objects = vec![rows(requests, accounts)];
    let host = host(&contract.inference.role, manifest);
    for (name, service) in manifest.platform.iter().filter(|(_, service)| service.shadows.is_none()) {
        let command = service.command_at_home(name, manifest, contract, &host);
        objects.extend(trusted(name, service, &Trusted { command: &command, ..Trusted::default() }));
    }
    objects.push(pager_policy(manifest));
    objects.extend(ways(manifest));
    objects
}

/// What users send at home, and whom it is about.
pub(super) fn rows(requests: &str, accounts: &str) -> Value {
    let data = json!({ "rows.jsonl": requests, "accounts.json": accounts });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "rows", "namespace": PLATFORM }, "data": data })
}

/// The objects of a trusted service. It runs on the node that is not the submission's.
pub(super) fn trusted(name: &str, service: &PlatformService, wanted: &Trusted<'_>) -> Vec<Value> {
    let labels = json!({ "app": name });
    let memory = format!("{}Mi", service.memory_mib);
    let metadata = json!({ "name": name, "namespace": PLATFORM });
    let mut objects = Vec::new();
    let mut mounts = vec![json!({ "name": "rows", "mountPath": "/rows", "readOnly": true }), json!({ "name": "tmp", "mountPath": "/tmp" })];
    let mut volumes = vec![json!({ "name": "rows", "configMap": { "name": "rows" } }), json!({ "name": "tmp", "emptyDir": {} })];
    for (index, path) in service.volume.iter().chain(&service.scratch).filter(|path| *path != "/tmp").enumerate() {
        mounts.push(json!({ "name": format!("data-{index}"), "mountPath": path }));
        volumes.push(json!({ "name": format!("data-{index}"), "emptyDir": {} }));
    }
    if !wanted.files.is_empty() {
        // Keys have no folders.
        let keyed = || wanted.files.iter().enumerate().map(|(index, (path, content))| (format!("file-{index}"), path, content));
        let data: Map<String, Value> = keyed().map(|(key, _, content)| (key, json!(content))).collect();
        objects.push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }));
        volumes.push(json!({ "name": "files", "configMap": { "name": name } }));
        mounts.extend(keyed().map(|(key, path, _)| json!({ "name": "files", "mountPath": path, "subPath": key, "readOnly": true })));
    }
    let environment: Vec<Value> = wanted.token.iter().map(|token| json!({ "name": "CONTROL_TOKEN", "value": token })).collect();
    let container = json!({
        "name": name,
        "image": format!("{}:{TAG}", service.image),
        "imagePullPolicy": "Never",
        "args": wanted.command,
        "env": environment,
        "stdin": true,
        "resources": { "requests": { "cpu": "50m", "memory": memory }, "limits": { "memory": memory } },
        "volumeMounts": mounts,
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
    });
    let mut pod = json!({
        "nodeSelector": { (CONTROL_PLANE): "" },
        "tolerations": [{ "key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule" }],
        "securityContext": { "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" } },
        "automountServiceAccountToken": wanted.account.is_some(),
        "enableServiceLinks": false,
        // A whole name is asked for once, and not below every domain first; one of two words is below the cluster's.
        "dnsConfig": { "options": [{ "name": "ndots", "value": "2" }], "searches": wanted.searches },
        "containers": [container],
        "volumes": volumes,
    });
    if let Some(account) = wanted.account {
        objects.push(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account, "namespace": PLATFORM } }));
        pod["serviceAccountName"] = account.into();
    }
    let spec = json!({
        "replicas": 1,
        "selector": { "matchLabels": labels },
        "strategy": { "type": "Recreate" },
        "template": { "metadata": { "labels": labels }, "spec": pod },
    });
    objects.push(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec }));
    if let Some(port) = service.port {
        let spec = json!({ "selector": labels, "ports": [{ "port": port, "targetPort": port }] });
        objects.push(json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec }));
    }
    objects
}
