use std::path::Path;

use super::*;
use crate::exercise::Exercise;

/// The namespace of the exercise that these are tested with.
const NAMESPACE: &str = "model-down";

/// A submission that asks for nothing that it may not have.
const FINE: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: model, labels: {app: model}}
spec:
  replicas: 2
  selector: {matchLabels: {app: model}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: model}, annotations: {prometheus.io/port: \"8000\"}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      serviceAccountName: model
      containers:
        - name: server
          image: modeldown/python:stable
          env: [{name: VERSION, valueFrom: {configMapKeyRef: {name: model-3, key: version}}}]
          ports: [{containerPort: 8000}]
          resources: {requests: {cpu: 100m, memory: 96Mi}, limits: {memory: 160Mi}}
          readinessProbe: {httpGet: {path: /ready, port: 8000}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 3}}}
          volumeMounts: [{name: rows, mountPath: /rows, readOnly: true}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumes: [{name: rows, configMap: {name: model-3}}]
---
apiVersion: v1
kind: Service
metadata: {name: model, namespace: model-down}
spec: {selector: {app: model}, ports: [{port: 80, targetPort: 8000}], clusterIP: None}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: model-3}
data: {version: \"3\"}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: model}
spec: {minAvailable: 1, selector: {matchLabels: {app: model}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: release}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: release}
rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: release}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: release}
subjects: [{kind: ServiceAccount, name: release}]
";

/// The flagship's manifest with some of its roles.
pub(super) fn with_roles(roles: &[&str]) -> Manifest {
    let mut manifest = Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("it is right").manifest;
    manifest.roles.retain(|role, _| roles.contains(&role.as_str()));
    manifest
}

/// What the policy says of a submission whose manifests are one file.
pub(super) fn vetted_for(text: &str, manifest: &Manifest) -> Result<VettedManifests, Problems> {
    vet(&[("manifests/all.yaml".to_owned(), text.as_bytes().to_vec())].into(), manifest)
}

fn vetted(text: &str) -> Result<VettedManifests, Problems> {
    // Which roles there must be is asked elsewhere.
    vetted_for(text, &with_roles(&[]))
}

fn said(text: &str) -> Vec<String> {
    vetted(text).expect_err("it must be refused").0.iter().map(ToString::to_string).collect()
}

/// What is said where one text of [`FINE`] is another; the line is that of what changed.
fn said_of(find: &str, replace: &str) -> Vec<String> {
    assert_eq!(FINE.matches(find).count(), 1, "{find}");
    said(&FINE.replace(find, replace))
}

#[test]
fn what_asks_for_nothing_special_passes_and_stays_what_it_was() {
    let objects = vetted(FINE).expect("it is fine").objects;
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "ServiceAccount", "Role", "RoleBinding"]);
    assert!(objects.iter().all(|object| object["metadata"]["namespace"] == NAMESPACE));
    assert_eq!(objects[0]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], "25%");
    assert_eq!(objects[2]["data"]["version"], "3");
    assert_eq!(objects[0]["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Never");
    let usual = "apiGroups: [\"\", apps], resources: [pods, deployments], verbs: [get, list]";
    vetted(&FINE.replace("apiGroups: [apps], resources: [deployments], verbs: [get, patch]", usual)).expect("it grants no more");
    vetted(&FINE.replace("metadata: {name: model-3}", "metadata: {name: model-v1.2.0}")).expect("a ConfigMap's name may have dots");
    assert_eq!(said_of("metadata: {name: model, namespace: model-down}", "metadata: {name: model.v1}").len(), 1, "a Service's may not");
    // What a user of Kubernetes writes is read by Kubernetes' own types, whole.
    let read: k8s_openapi::api::apps::v1::Deployment = serde_json::from_value(objects[0].clone()).expect("it is one");
    let back = serde_json::to_value(read).expect("it is JSON");
    assert_eq!(back["spec"]["template"]["spec"]["containers"][0]["lifecycle"], objects[0]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]);
}

#[test]
fn what_reaches_beyond_the_namespace_is_refused_at_its_line() {
    for (find, replace, at, words) in [
        ("      serviceAccountName: model\n", "      hostNetwork: true\n", "hostNetwork", "unknown key `hostNetwork`"),
        ("      serviceAccountName: model\n", "      hostPID: true\n", "hostPID", "unknown key `hostPID`"),
        ("      serviceAccountName: model\n", "      nodeName: one\n", "nodeName", "unknown key `nodeName`"),
        ("configMap: {name: model-3}", "hostPath: {path: /}", "hostPath", "unknown key `hostPath`"),
        ("configMap: {name: model-3}", "secret: {secretName: token}", "secret", "unknown key `secret`"),
        ("{containerPort: 8000}", "{containerPort: 8000, hostPort: 80}", "hostPort", "unknown key `hostPort`"),
        ("clusterIP: None", "type: NodePort", "NodePort", "of type `ClusterIP` only"),
        ("clusterIP: None", "type: LoadBalancer", "LoadBalancer", "of type `ClusterIP` only"),
        ("clusterIP: None", "externalIPs: [10.0.0.1]", "externalIPs", "unknown key `externalIPs`"),
        ("name: model, namespace", "name: modeldown-prometheus, namespace", "modeldown-prometheus", "begins with `modeldown-` is the platform's"),
        ("namespace: model-down", "namespace: kube-system", "kube-system", "the only namespace is `model-down`"),
        ("modeldown/python:stable", "nginx:stable", "nginx", "`nginx:stable` is not an image of this exercise (known: "),
        ("modeldown/python:stable", "modeldown/python", "modeldown/python", "is not an image of this exercise"),
        ("kind: ServiceAccount\nm", "kind: Secret\nm", "Secret", "`Secret` of `v1` is no kind of object"),
        ("policy/v1\nkind: PodDisruptionBudget", "example.org/v1\nkind: Webhook", "Webhook", "is no kind of object"),
        ("kind: Role, name: release", "kind: ClusterRole, name: cluster-admin", "{apiGroup", "only a Role of the submission"),
        ("[{kind: ServiceAccount, name: release}]", "[{kind: User, name: admin}]", "{kind: User", "to a ServiceAccount of its namespace only"),
        ("name: release}]", "name: release, namespace: kube-system}]", "{kind: ServiceAccount", "to a ServiceAccount of its namespace only"),
        ("resources: [deployments]", "resources: [deployments, \"*\"]", "\"*\"", "about `*`"),
        ("[apps], resources", "[\"\"], resources", "deployments", "about `deployments` of these API groups"),
        ("apiGroups: [apps]", "apiGroups: [\"*\"]", "\"*\"", "about the API group `*`"),
        ("verbs: [get, patch]", "verbs: [get, escalate]", "escalate", "may not allow `escalate`"),
        (
            "[apps], resources: [deployments]",
            "[\"\"], resources: [services]",
            "patch",
            "may not allow `patch` of all these resources (only of: configmaps)",
        ),
    ] {
        let said = said_of(find, replace);
        let text = FINE.replace(find, replace);
        let line = FINE[..FINE.find(find).expect("it is there")].rfind('\n').map_or(0, |end| end + 1);
        let begins = Problem::at("manifests/all.yaml", &text, line + text[line..].find(at).expect("it is there"), "").place() + ": ";
        assert!(said.iter().any(|one| one.starts_with(&begins) && one.contains(words)), "{replace}: {begins}{words} is not in {said:#?}");
    }
}

#[test]
fn what_pod_security_would_not_admit_is_told_before() {
    for (find, replace, words) in [
        ("runAsNonRoot: true, ", "", "`runAsNonRoot: true` is missing"),
        ("runAsNonRoot: true, ", "runAsNonRoot: true, runAsUser: 0, ", "a pod may not run as root"),
        (", seccompProfile: {type: RuntimeDefault}", "", "`seccompProfile: {type: RuntimeDefault}` is missing"),
        (
            "annotations: {prometheus.io/port: \"8000\"}",
            "annotations: {container.apparmor.security.beta.kubernetes.io/server: unconfined}",
            "no annotation may begin",
        ),
        ("configMap: {name: model-3}}", "configMap: {name: model-3, defaultMode: 0644}}", "write the mode as a decimal number"),
        ("configMap: {name: model-3}}", "configMap: {name: model-3, items: [{key: a, path: a, mode: 0400}]}}", "write the mode as a decimal number"),
        ("configMap: {name: model-3}}", "downwardAPI: {items: [{path: a, mode: 0400}]}}", "write the mode as a decimal number"),
        ("allowPrivilegeEscalation: false, ", "", "`allowPrivilegeEscalation: false` is missing"),
        ("allowPrivilegeEscalation: false, ", "allowPrivilegeEscalation: false, runAsNonRoot: false, ", "`runAsNonRoot: true` is missing"),
        ("allowPrivilegeEscalation: false, ", "allowPrivilegeEscalation: false, runAsUser: 0, ", "`runAsNonRoot: true` is missing"),
        ("allowPrivilegeEscalation: false, ", "allowPrivilegeEscalation: false, privileged: true, ", "a container may not be privileged"),
        ("drop: [ALL]", "drop: [NET_RAW]", "`capabilities: {drop: [ALL]}` is missing"),
        ("drop: [ALL]", "drop: [ALL], add: [SYS_ADMIN]", "the capability `SYS_ADMIN` may not be added"),
    ] {
        let said = said_of(find, replace);
        assert!(said.len() == 1 && said[0].contains(words), "{replace}: {words} is not all of {said:#?}");
    }
    for (find, replace) in [("runAsNonRoot: true, ", "runAsNonRoot: false, "), ("{type: RuntimeDefault}", "{type: Unconfined}")] {
        let said = said_of(find, replace);
        assert!(said.iter().all(|one| one.contains("root") || one.contains("runAsNonRoot") || one.contains("RuntimeDefault")), "{said:#?}");
    }
    let bare = said_of("          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n", "");
    assert!(bare.len() == 2 && bare.iter().all(|one| one.starts_with("manifests/all.yaml:14:11: ")), "{bare:#?}");
}

#[test]
fn everything_is_listed_at_once_and_nothing_is_nothing() {
    let twice = FINE.replace("metadata: {name: model-3}", "metadata: {name: Model_3}").replace("replicas: 2", "replicas: 9");
    let said = said(&format!("{twice}---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: release}}\n---\nkind: Pod\n"));
    for words in [
        "an object needs a name",
        "at most 8 replicas",
        "there is another ServiceAccount `release`, at manifests/all.yaml:42:18",
        "an object begins with",
    ] {
        assert!(said.iter().any(|one| one.contains(words)), "{words} is not in {said:#?}");
    }
    assert_eq!(said.len(), 4, "{said:#?}");
    let manifest = Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("it is right").manifest;
    assert!(vet(&Files::new(), &manifest).is_err());
    let one = |number: u32| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c-{number}}}\n");
    let many: Vec<String> = (0..61).map(one).collect();
    assert!(vetted(&many.join("---\n")).expect_err("too many").to_string().contains("at most 60 objects"));
    let binary = [("manifests/a.yaml".to_owned(), vec![0xff, 0xfe])].into();
    assert!(vet(&binary, &manifest).expect_err("no text").to_string().contains("not UTF-8"));
}

#[test]
fn trusted_services_keep_the_rules_that_submissions_keep() {
    let mut exercise = Exercise::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../exercises/model-down")).expect("it is right");
    exercise.manifest.aliases.extend(exercise.manifest.platform.values().map(|service| service.image.clone()));
    let objects = platform(&exercise.manifest, &exercise.contract, "{}\n", "{}");
    let names: Vec<&str> = objects.iter().filter(|one| one["kind"] == "Deployment").filter_map(|one| one["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["driver", "features", "pager", "registry"], "the shadow is there in grading only");
    let driver = &objects.iter().find(|one| one["metadata"]["name"] == "driver").expect("it is there")["spec"]["template"]["spec"]["containers"][0];
    assert!(
        driver["args"].as_array().is_some_and(|words| words.contains(&"http://lb.model-down.svc.cluster.local:8080/v2/models/fraud/infer".into())),
        "{driver}"
    );
    let moved = |mut object: Value| {
        assert_eq!(object["metadata"]["namespace"], PLATFORM);
        object["metadata"]["namespace"] = "model-down".into();
        // Where they run, and how they are told something, is nobody else's choice.
        if let Some(pod) = object.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut) {
            for key in ["dnsConfig", "nodeSelector", "tolerations"] {
                pod.remove(key).expect("it is there");
            }
            assert_eq!(pod["containers"][0].as_object_mut().expect("it is one").remove("stdin"), Some(true.into()));
        }
        object.to_string()
    };
    // What keeps others from them, and what leads to the submission, are no services.
    let is_service = |object: &Value| object["metadata"]["namespace"] == PLATFORM && object["kind"] != "NetworkPolicy";
    let text: Vec<String> = objects.into_iter().filter(is_service).map(moved).collect();
    let manifests = [("manifests/platform.json".to_owned(), text.join("\n---\n").into_bytes())].into();
    (exercise.manifest.roles, exercise.manifest.platform) = Default::default();
    vet(&manifests, &exercise.manifest).expect("they ask for nothing that submissions may not");
    let namespaces = namespaces(&exercise.manifest);
    let restricted = |one: &&Value| one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted";
    assert_eq!(namespaces.iter().filter(restricted).count(), 2);
    assert!(namespaces.iter().any(|one| one["spec"]["hard"]["limits.memory"] == "3072Mi"), "{namespaces:?}");
    let images = &namespaces.iter().find(|one| one["kind"] == "ValidatingAdmissionPolicy").expect("there is one")["spec"]["validations"][0];
    assert!(images["expression"].as_str().is_some_and(|text| text.contains("\"modeldown/python:\"")), "{images}");
}
