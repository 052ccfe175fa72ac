//! The part of the Kubernetes API that a submission may use, as types: a field that does not stand here is refused with its line, such as host
//! namespaces, mounts of the host, and ports of nodes. What a field means stands in the API's own reference.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A number or a text, such as a port or a quantity.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Either {
    Number(f64),
    Text(String),
}

type Texts = BTreeMap<String, String>;
type Quantities = BTreeMap<String, Either>;

/// Declares types that know their fields and no others.
macro_rules! known {
    ($($(#[$doc:meta])* $name:ident { $($(#[$how:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            #[allow(dead_code, clippy::struct_field_names, reason = "most fields need no more than to be known, and have the API's names")]
            pub(super) struct $name {
                $($(#[$how])* pub(super) $field: $type,)*
            }
        )*
    };
}

known! {
    /// What an object is called.
    Metadata {
        name: Option<String>,
        namespace: Option<String>,
        labels: Option<Texts>,
        annotations: Option<Texts>,
        creation_timestamp: Option<Value>,
    }

    Deployment { api_version: String, kind: String, metadata: Metadata, spec: DeploymentSpec, status: Option<Value>, }
    DeploymentSpec {
        replicas: Option<u32>,
        selector: Selector,
        template: Template,
        strategy: Option<Strategy>,
        min_ready_seconds: Option<u32>,
        progress_deadline_seconds: Option<u32>,
        revision_history_limit: Option<u32>,
        paused: Option<bool>,
    }
    Strategy { r#type: Option<String>, rolling_update: Option<RollingUpdate>, }
    RollingUpdate { max_surge: Option<Either>, max_unavailable: Option<Either>, }
    Selector { match_labels: Option<Texts>, match_expressions: Option<Vec<Expression>>, }
    Expression { key: String, operator: String, values: Option<Vec<String>>, }
    Template { metadata: Option<Metadata>, spec: PodSpec, }

    Job { api_version: String, kind: String, metadata: Metadata, spec: JobSpec, }
    JobSpec {
        template: Template,
        backoff_limit: Option<u32>,
        active_deadline_seconds: Option<u32>,
        completions: Option<u32>,
        parallelism: Option<u32>,
        suspend: Option<bool>,
        ttl_seconds_after_finished: Option<u32>,
    }

    PodSpec {
        containers: Vec<Container>,
        init_containers: Option<Vec<Container>>,
        volumes: Option<Vec<Volume>>,
        security_context: Option<PodSecurity>,
        service_account_name: Option<String>,
        automount_service_account_token: Option<bool>,
        enable_service_links: Option<bool>,
        restart_policy: Option<String>,
        termination_grace_period_seconds: Option<u32>,
        topology_spread_constraints: Option<Vec<Spread>>,
        affinity: Option<Value>,
    }
    Spread { max_skew: u32, topology_key: String, when_unsatisfiable: String, label_selector: Option<Selector>, }
    Container {
        name: String,
        image: String,
        image_pull_policy: Option<String>,
        command: Option<Vec<String>>,
        args: Option<Vec<String>>,
        working_dir: Option<String>,
        env: Option<Vec<Variable>>,
        env_from: Option<Vec<VariablesFrom>>,
        ports: Option<Vec<ContainerPort>>,
        resources: Option<Resources>,
        volume_mounts: Option<Vec<Mount>>,
        startup_probe: Option<Probe>,
        readiness_probe: Option<Probe>,
        liveness_probe: Option<Probe>,
        lifecycle: Option<Lifecycle>,
        restart_policy: Option<String>,
        termination_message_policy: Option<String>,
        security_context: Option<ContainerSecurity>,
    }
    Variable { name: String, value: Option<String>, value_from: Option<VariableFrom>, }
    VariableFrom { config_map_key_ref: Option<KeyRef>, field_ref: Option<FieldRef>, resource_field_ref: Option<ResourceRef>, }
    KeyRef { name: String, key: String, optional: Option<bool>, }
    FieldRef { field_path: String, api_version: Option<String>, }
    ResourceRef { resource: String, container_name: Option<String>, divisor: Option<Either>, }
    VariablesFrom { prefix: Option<String>, config_map_ref: NameRef, }
    NameRef { name: String, optional: Option<bool>, }
    ContainerPort { container_port: u16, name: Option<String>, protocol: Option<String>, }
    Resources { requests: Option<Quantities>, limits: Option<Quantities>, }
    Mount { name: String, mount_path: String, read_only: Option<bool>, sub_path: Option<String>, }
    Probe {
        http_get: Option<HttpGet>,
        tcp_socket: Option<TcpSocket>,
        exec: Option<Exec>,
        initial_delay_seconds: Option<u32>,
        period_seconds: Option<u32>,
        timeout_seconds: Option<u32>,
        success_threshold: Option<u32>,
        failure_threshold: Option<u32>,
        termination_grace_period_seconds: Option<u32>,
    }
    HttpGet { path: Option<String>, port: Either, scheme: Option<String>, http_headers: Option<Vec<Header>>, }
    Header { name: String, value: String, }
    TcpSocket { port: Either, }
    Exec { command: Vec<String>, }
    Lifecycle { pre_stop: Option<Handler>, post_start: Option<Handler>, }
    Handler { exec: Option<Exec>, http_get: Option<HttpGet>, sleep: Option<Sleep>, }
    Sleep { seconds: u32, }
    PodSecurity {
        run_as_non_root: Option<bool>,
        run_as_user: Option<u64>,
        run_as_group: Option<u64>,
        fs_group: Option<u64>,
        seccomp_profile: Option<Seccomp>,
    }
    ContainerSecurity {
        run_as_non_root: Option<bool>,
        run_as_user: Option<u64>,
        run_as_group: Option<u64>,
        privileged: Option<bool>,
        allow_privilege_escalation: Option<bool>,
        read_only_root_filesystem: Option<bool>,
        capabilities: Option<Capabilities>,
        seccomp_profile: Option<Seccomp>,
    }
    Capabilities { drop: Vec<String>, add: Option<Vec<String>>, }
    Seccomp { r#type: String, }
    Volume { name: String, config_map: Option<ConfigMapVolume>, empty_dir: Option<EmptyDir>, #[serde(rename = "downwardAPI")] downward_api: Option<DownwardApi>, }
    ConfigMapVolume { name: String, default_mode: Option<u32>, optional: Option<bool>, items: Option<Vec<Item>>, }
    Item { key: String, path: String, mode: Option<u32>, }
    EmptyDir { medium: Option<String>, size_limit: Option<Either>, }
    DownwardApi { items: Vec<DownwardItem>, default_mode: Option<u32>, }
    DownwardItem { path: String, field_ref: Option<FieldRef>, resource_field_ref: Option<ResourceRef>, mode: Option<u32>, }

    Service { api_version: String, kind: String, metadata: Metadata, spec: ServiceSpec, }
    ServiceSpec {
        selector: Texts,
        ports: Vec<ServicePort>,
        r#type: Option<String>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Option<String>,
        session_affinity: Option<String>,
        publish_not_ready_addresses: Option<bool>,
    }
    ServicePort { port: u16, name: Option<String>, target_port: Option<Either>, protocol: Option<String>, app_protocol: Option<String>, }

    ConfigMap { api_version: String, kind: String, metadata: Metadata, data: Option<Texts>, immutable: Option<bool>, }

    PodDisruptionBudget { api_version: String, kind: String, metadata: Metadata, spec: BudgetSpec, }
    BudgetSpec {
        selector: Selector,
        min_available: Option<Either>,
        max_unavailable: Option<Either>,
        unhealthy_pod_eviction_policy: Option<String>,
    }

    ServiceAccount { api_version: String, kind: String, metadata: Metadata, automount_service_account_token: Option<bool>, }
    Role { api_version: String, kind: String, metadata: Metadata, rules: Vec<Rule>, }
    Rule { api_groups: Vec<String>, resources: Vec<String>, resource_names: Option<Vec<String>>, verbs: Vec<String>, }
    RoleBinding { api_version: String, kind: String, metadata: Metadata, role_ref: RoleRef, subjects: Vec<Subject>, }
    RoleRef { api_group: String, kind: String, name: String, }
    Subject { kind: String, name: String, namespace: Option<String>, api_group: Option<String>, }
}

/// An object of a kind that is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    Deployment(Deployment),
    Job(Job),
    Service(Service),
    ConfigMap(ConfigMap),
    PodDisruptionBudget(PodDisruptionBudget),
    ServiceAccount(ServiceAccount),
    Role(Role),
    RoleBinding(RoleBinding),
}

/// Every kind that is known, with its group and version.
pub(super) const KINDS: [(&str, &str); 8] = [
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
];

impl Object {
    /// What it is called.
    pub(super) fn metadata(&self) -> &Metadata {
        match self {
            Self::Deployment(one) => &one.metadata,
            Self::Job(one) => &one.metadata,
            Self::Service(one) => &one.metadata,
            Self::ConfigMap(one) => &one.metadata,
            Self::PodDisruptionBudget(one) => &one.metadata,
            Self::ServiceAccount(one) => &one.metadata,
            Self::Role(one) => &one.metadata,
            Self::RoleBinding(one) => &one.metadata,
        }
    }

    /// The template of the pods that it makes, if it makes any.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Self::Deployment(one) => Some(&one.spec.template),
            Self::Job(one) => Some(&one.spec.template),
            _ => None,
        }
    }
}

/// What a document says that it is.
pub(super) fn head(value: &Value) -> Option<(&str, &str)> {
    Some((value.get("apiVersion")?.as_str()?, value.get("kind")?.as_str()?))
}
