//! What the cluster itself refuses of a submission: pods that it makes through the API with a Role of its own stand in no manifest, and the same goes
//! for them. Pure.

use serde_json::{Value, json};

use crate::exercise::Manifest;

/// What the policy and its binding are called.
const NAME: &str = "submission";

/// A policy for the pods of the submission's namespace, in the language of Kubernetes (CEL), and its binding: images of the exercise only, from
/// nowhere else, and no class of priority, by which pods push out others.
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
    let spec = json!({
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
        ],
    });
    let here = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": manifest.id } } });
    let object = |kind: &str, spec: Value| json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": NAME }, "spec": spec });
    let binding = json!({ "policyName": NAME, "validationActions": ["Deny"], "matchResources": here });
    [object("ValidatingAdmissionPolicy", spec), object("ValidatingAdmissionPolicyBinding", binding)]
}
