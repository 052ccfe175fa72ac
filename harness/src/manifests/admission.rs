//! What the cluster itself refuses of a submission: pods that it makes through the API with a Role of its own stand in no manifest, and the same goes
//! for them. Pure.

use serde_json::{Value, json};

use super::grading::push;
use crate::compose::{ROLE_LABEL, RULES_FOLDER};
use crate::exercise::{Manifest, Role};

/// What the policy and its binding are called.
const NAME: &str = "submission";

/// What a pod of one of the platform's programs is like, or a pod of another role: what `vet` asks of a manifest, said of a pod.
fn as_the_platform_runs_it(name: &str, role: &Role) -> String {
    let own = ["/tmp", RULES_FOLDER, "/var/run/secrets/"];
    let places: Vec<&str> = role.config.iter().chain(&role.scratch).map(String::as_str).chain(own).collect();
    let said = ["command", "args", "env", "envFrom", "workingDir", "lifecycle"].map(|field| format!("!has(one.{field})")).join(" && ");
    format!(
        "object.metadata.?labels['{ROLE_LABEL}'].orValue('') != '{name}' || (object.spec.containers.size() == 1 && !has(object.spec.initContainers) \
         && object.spec.containers.all(one, one.image.startsWith('{}:') && {said} \
         && one.?volumeMounts.orValue([]).all(mount, {}.exists(place, mount.mountPath.startsWith(place)))))",
        role.image,
        json!(places)
    )
}

/// A policy for the pods of the submission's namespace, in the language of Kubernetes (CEL), and its binding: images of the exercise only, from
/// nowhere else, no class of priority, by which pods push out others, and no way to the node on which the platform runs.
pub(super) fn admission(manifest: &Manifest) -> [Value; 2] {
    // Whichever tag: another than the exercise's is not there, which Kubernetes says itself.
    let aliases: Vec<String> = manifest.aliases.iter().map(|alias| format!("{alias}:")).collect();
    let rule =
        json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods", "pods/ephemeralcontainers"] });
    // Each list has a type of its own.
    let of_all = |field: &str| {
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        lists.map(|list| format!("object.spec.?{list}.orValue([]).map(one, one.{field})")).join(" + ")
    };
    let trusted = manifest.roles.iter().filter(|(_, role)| role.trusted).map(|(name, role)| {
        json!({
            "expression": as_the_platform_runs_it(name, role),
            "message": format!("a pod of the role `{name}` runs `{}` as the platform does, with nothing of yours but its configuration", role.image),
        })
    });
    let mut spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [rule] },
        "variables": [
            { "name": "images", "expression": of_all("image") },
            { "name": "policies", "expression": of_all("imagePullPolicy") },
        ],
        "validations": [
            {
                "expression": format!("variables.images.all(image, {}.exists(alias, image.startsWith(alias)))", json!(aliases)),
                "message": format!("a container's image is one of this exercise: {}", manifest.aliases.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
            },
            {
                "expression": "variables.policies.all(policy, policy == 'Never')",
                "message": "a container has `imagePullPolicy: Never`: the cluster has every image, and gets none from elsewhere",
            },
            {
                "expression": "object.spec.?priorityClassName.orValue('') == ''",
                "message": "a pod has no `priorityClassName`",
            },
            {
                // Updates of a pod that was given a node have one.
                "expression": "request.operation != 'CREATE' || !has(object.spec.nodeName)",
                "message": "a pod has no `nodeName`: the scheduler says where it runs",
            },
            {
                // Kubernetes adds these itself.
                "expression": "object.spec.?tolerations.orValue([]).all(one, one.?key.orValue('').startsWith('node.kubernetes.io/'))",
                "message": "a pod tolerates no taint but those of `node.kubernetes.io/`: the control plane's node is not yours",
            },
        ],
    });
    for one in trusted {
        push(&mut spec["validations"], one);
    }
    let here = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": manifest.id } } });
    let object = |kind: &str, spec: Value| json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": NAME }, "spec": spec });
    let binding = json!({ "policyName": NAME, "validationActions": ["Deny"], "matchResources": here });
    [object("ValidatingAdmissionPolicy", spec), object("ValidatingAdmissionPolicyBinding", binding)]
}
