//! What the harness applies itself: the namespaces with their limits, and the trusted services beside the submission. Pure.

use serde_json::{Value, json};

use super::TAG;
use crate::compose::{DEFAULT_MEMORY_MIB, MEMORY_FACTOR, USER};
use crate::exercise::{Contract, Manifest, PlatformService};

/// The namespace of the trusted services: `http://registry.platform:8080`.
pub const PLATFORM: &str = "platform";
/// How many pods a submission's namespace may have.
const PODS: u32 = 30;

/// The namespaces, each at Pod Security's level `restricted`; the submission's with a quota, and limits for what states none.
pub fn namespaces(manifest: &Manifest) -> Vec<Value> {
    let of = |name: &str| {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest" });
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
    };
    let name = json!({ "name": "submission", "namespace": manifest.id });
    let hard = json!({ "pods": PODS, "limits.memory": format!("{}Mi", manifest.budget.memory_mib * MEMORY_FACTOR) });
    let default = json!({ "memory": format!("{DEFAULT_MEMORY_MIB}Mi") });
    let limits = json!([{ "type": "Container", "default": default, "defaultRequest": default }]);
    vec![
        of(PLATFORM),
        of(&manifest.id),
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": name, "spec": { "hard": hard } }),
        json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": name, "spec": { "limits": limits } }),
    ]
}

/// The trusted services as they are at home, with the requests that users send there, and the accounts that they are about.
pub fn platform(manifest: &Manifest, contract: &Contract, rows: &str, accounts: &str) -> Vec<Value> {
    let data = json!({ "rows.jsonl": rows, "accounts.json": accounts });
    let mut objects = vec![json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "rows", "namespace": PLATFORM }, "data": data })];
    // A Service is called like the role that it leads to.
    let host = format!("{}.{}", contract.inference.role, manifest.id);
    for (name, service) in manifest.platform.iter().filter(|(_, service)| service.shadows.is_none()) {
        let command = service.command_at_home(name, manifest, contract, &host);
        objects.extend(trusted(name, service, &command));
    }
    objects
}

fn trusted(name: &str, service: &PlatformService, command: &[String]) -> Vec<Value> {
    let labels = json!({ "app": name });
    let memory = format!("{}Mi", service.memory_mib);
    let mut mounts = vec![json!({ "name": "rows", "mountPath": "/rows", "readOnly": true }), json!({ "name": "tmp", "mountPath": "/tmp" })];
    let mut volumes = vec![json!({ "name": "rows", "configMap": { "name": "rows" } }), json!({ "name": "tmp", "emptyDir": {} })];
    for (index, path) in service.volume.iter().chain(&service.scratch).enumerate() {
        mounts.push(json!({ "name": format!("data-{index}"), "mountPath": path }));
        volumes.push(json!({ "name": format!("data-{index}"), "emptyDir": {} }));
    }
    let container = json!({
        "name": name,
        "image": format!("{}:{TAG}", service.image),
        "imagePullPolicy": "Never",
        "args": command,
        "resources": { "requests": { "cpu": "50m", "memory": memory }, "limits": { "memory": memory } },
        "volumeMounts": mounts,
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
    });
    let pod = json!({
        "securityContext": { "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": { "type": "RuntimeDefault" } },
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "containers": [container],
        "volumes": volumes,
    });
    let spec = json!({
        "replicas": 1,
        "selector": { "matchLabels": labels },
        "strategy": { "type": "Recreate" },
        "template": { "metadata": { "labels": labels }, "spec": pod },
    });
    let metadata = json!({ "name": name, "namespace": PLATFORM });
    let mut objects = vec![json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })];
    if let Some(port) = service.port {
        let spec = json!({ "selector": labels, "ports": [{ "port": port, "targetPort": port }] });
        objects.push(json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec }));
    }
    objects
}
