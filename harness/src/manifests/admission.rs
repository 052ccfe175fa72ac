//! What the cluster itself refuses of a submission: pods that it makes through the API with a Role of its own stand in no manifest, and the same goes
//! for them. Pure.

use serde_json::{Value, json};

use crate::exercise::Manifest;

/// What the policy and its binding are called.
const NAME: &str = "submission";

/// A policy for the pods of the submission's namespace, in the language of Kubernetes (CEL), and its binding: images of the exercise only, and no
/// class of priority, by which pods push out others.
pub(super) fn admission(manifest: &Manifest) -> [Value; 2] {
    // Whichever tag: another than the exercise's is not there, which Kubernetes says itself.
    let aliases: Vec<String> = manifest.aliases.iter().map(|alias| format!("{alias}:")).collect();
    let rule =
        json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods", "pods/ephemeralcontainers"] });
    // Each list has a type of its own.
    let used = ["containers", "initContainers", "ephemeralContainers"].map(|list| format!("object.spec.?{list}.orValue([]).map(one, one.image)"));
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [rule] },
        "variables": [{ "name": "images", "expression": used.join(" + ") }],
        "validations": [
            {
                "expression": format!("variables.images.all(image, {}.exists(alias, image.startsWith(alias)))", json!(aliases)),
                "message": format!("a container's image is one of this exercise: {}", manifest.aliases.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
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
