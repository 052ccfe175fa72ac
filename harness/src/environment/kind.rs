//! An environment on Kubernetes: a cluster that `kind` makes of a container of the engine's, and removes. What is applied goes through
//! `kubectl`, as everyone's does; what is looked at comes from the cluster's API.
//!
//! kind gives its containers labels of its own, which hold the cluster's name: that is the project of the lease, and a sweep finds them by it. Each
//! cluster has a network of its own, so that it meets no other of the machine's. The way to the cluster stands in a file of the workspace, never in `~/.kube/config`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody, NetworkCreateRequest};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, TagImageOptionsBuilder};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::docker::{EnvironmentError, Service, Wait};
use super::lease::Record;
use super::workload::Workloads;
use crate::compose::{Images, Ownership};
use crate::engine::{self, Engine};
use crate::exit::Owner;
use crate::manifests;

/// The label with which kind marks its containers; its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The label that says what a node is for.
pub(super) const NODE_LABEL: &str = "io.x-k8s.kind.role";
/// The node of the cluster itself and of what is trusted, and the submission's.
pub(super) const CONTROL_PLANE: &str = "control-plane";
pub(super) const WORKER: &str = "worker";
/// Where a workspace says how its cluster is reached.
pub const KUBECONFIG: &str = ".modeldown/kubeconfig";
/// Which network kind puts a cluster into, instead of one that all of a machine's clusters share.
const NETWORK: &str = "KIND_EXPERIMENTAL_DOCKER_NETWORK";
/// What a cluster is made of: a node for the cluster and what is trusted, one for the submission, which may be restarted or full without the
/// other, and an API that this machine alone reaches.
const CONFIG: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {apiServerAddress: 127.0.0.1}
nodes: [{role: control-plane}, {role: worker}]
";
/// The weights of processor time of the two nodes when it is scarce: a busy submission must not delay what measures it.
const SHARES: [(&str, i64); 2] = [(CONTROL_PLANE, 8_192), (WORKER, 512)];
/// What stands before the name of an image that names no registry, where containerd keeps it.
const REGISTRY: &str = "docker.io";
/// Who applies, as the API's server notes it.
const MANAGER: &str = "modeldown";
/// How long its API may take for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How often a cluster is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// A cluster.
#[derive(Clone)]
pub struct Kind {
    pub(super) engine: Engine,
    /// Its name, which is the lease's project.
    pub(super) name: String,
    pub(super) lease: String,
    /// The namespace of the submission, which is called like the exercise.
    pub(super) namespace: String,
    kubeconfig: PathBuf,
    /// What an exam applies, and applies again.
    pub(super) submitted: Arc<Vec<Value>>,
    /// The Deployments and `ConfigMap`s with which it last served users well.
    pub(super) remembered: Arc<Mutex<Vec<Value>>>,
    /// Whoever asks the API, and whoever listens to it for as long as it takes.
    client: Arc<OnceCell<kube::Client>>,
    listener: Arc<OnceCell<kube::Client>>,
}

/// A container that is a node.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) role: String,
    is_running: bool,
}

impl Kind {
    /// The cluster of a lease; nothing is made.
    pub fn new(engine: Engine, record: &Record) -> Self {
        let kubeconfig = record.folder.join(KUBECONFIG);
        let (name, lease, namespace) = (record.project.clone(), record.id.clone(), record.exercise.clone());
        let (submitted, remembered, client, listener) = Default::default();
        Self { engine, name, lease, namespace, kubeconfig, submitted, remembered, client, listener }
    }

    /// The same, with the objects that an exam is held on.
    #[must_use]
    pub fn with(self, submitted: Vec<Value>) -> Self {
        Self { submitted: Arc::new(submitted), ..self }
    }

    /// Makes the cluster, unless it is there; one that was stopped with its engine is started again.
    pub async fn up(&self, node_image: &str, ownership: &Ownership) -> Result<(), EnvironmentError> {
        let nodes = self.nodes().await?;
        let is_whole = SHARES.iter().all(|(role, _)| nodes.iter().any(|node| node.role == *role)) && self.kubeconfig.exists();
        if is_whole {
            for node in nodes.iter().filter(|node| !node.is_running) {
                self.engine.api.start_container(&node.id, None::<StartContainerOptions>).await?;
            }
            return Ok(());
        }
        // kind writes the kubeconfig last: without one somebody was interrupted, and nobody knows what is there.
        for node in nodes {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            self.engine.api.remove_container(&node.id, Some(force)).await?;
        }
        self.forget()?;
        if let Some(folder) = self.kubeconfig.parent() {
            std::fs::create_dir_all(folder).map_err(EnvironmentError::Leases)?;
        }
        self.network(ownership).await?;
        let mut command = self.kind(&["create", "cluster", "--name", &self.name, "--image", node_image, "--config", "-"]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        run(command, "kind create cluster", Some(CONFIG.as_bytes()), Owner::Engine).await?;
        for node in self.nodes().await? {
            let shares = SHARES.iter().find(|(role, _)| *role == node.role).map(|(_, shares)| *shares);
            let body = ContainerUpdateBody { cpu_shares: shares, ..ContainerUpdateBody::default() };
            self.engine.api.update_container(&node.id, body).await?;
        }
        self.keep_names().await
    }

    /// Keeps what answers for names off the submission's node.
    async fn keep_names(&self) -> Result<(), EnvironmentError> {
        let patch = Patch::Merge(json!({ "spec": { "template": { "spec": { "nodeSelector": { (manifests::CONTROL_PLANE): "" } } } } }));
        Api::<Deployment>::namespaced(self.client().await?, "kube-system").patch("coredns", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The containers that are its nodes.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", self.name)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.engine.api.list_containers(Some(options)).await?;
        let read = |one: ContainerSummary| {
            let is_running = one.state == Some(ContainerSummaryStateEnum::RUNNING);
            Some(Node { id: one.id?, role: one.labels?.remove(NODE_LABEL)?, is_running })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// The container that is the node of a role.
    pub(super) async fn node(&self, role: &str) -> Result<String, EnvironmentError> {
        let missing = || EnvironmentError::Command {
            command: "kind get nodes".to_owned(),
            output: format!("the cluster `{}` has no node of the role `{role}`", self.name),
            owner: Owner::Engine,
        };
        self.nodes().await?.into_iter().find(|node| node.role == role).map(|node| node.id).ok_or_else(missing)
    }

    async fn network(&self, ownership: &Ownership) -> Result<(), EnvironmentError> {
        let labels = ownership.all().map(|(label, value)| (label.to_owned(), value.to_owned()));
        let request = NetworkCreateRequest { name: self.name.clone(), labels: Some(labels.into()), ..NetworkCreateRequest::default() };
        match self.engine.api.create_network(request).await {
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the images of the submission and of what is trusted on the node where they are needed, each under its exact tag and under one that manifests
    /// name; nothing where they are there.
    pub async fn load(&self, submitted: &Images, trusted: &Images, tag: &str) -> Result<(), EnvironmentError> {
        let (worker, control) = (self.load_on(WORKER, submitted, tag), self.load_on(CONTROL_PLANE, trusted, tag));
        tokio::try_join!(worker, control).map(drop)
    }

    async fn load_on(&self, role: &str, images: &Images, tag: &str) -> Result<(), EnvironmentError> {
        let node = self.node(role).await?;
        let listed = self.on_node(&node, &["ctr", "--namespace", "k8s.io", "images", "list", "--quiet"]).await?;
        let has = |exact: &String| listed.lines().any(|one| one == format!("{REGISTRY}/{exact}"));
        if images.values().all(has) {
            return Ok(());
        }
        let mut command = self.kind(&["load", "docker-image", "--name", &self.name, "--nodes", &format!("{}-{role}", self.name)]);
        for (alias, exact) in images {
            let options = TagImageOptionsBuilder::new().repo(alias).tag(tag).build();
            self.engine.api.tag_image(exact, Some(options)).await?;
            command.args([exact.clone(), format!("{alias}:{tag}")]);
        }
        run(command, "kind load docker-image", None, Owner::Engine).await.map(drop)
    }

    /// What a command on a node says.
    pub(super) async fn on_node(&self, node: &str, command: &[&str]) -> Result<String, EnvironmentError> {
        let mut docker = self.engine.command();
        docker.args(["exec", node]).args(command);
        run(docker, "docker exec", None, Owner::Engine).await
    }

    /// Waits until pods reach each other by Service and name: a node is ready some seconds before that.
    pub async fn wait_usable(&self, limit: Duration) -> Result<Wait<()>, EnvironmentError> {
        let deadline = Instant::now() + limit;
        let mut last_seen = "its API does not answer".to_owned();
        loop {
            match self.usable().await {
                Ok(None) => return Ok(Wait::Met(())),
                Ok(Some(lacking)) => lacking.clone_into(&mut last_seen),
                // It comes up; what is wrong by then is said when time is over.
                Err(error) => last_seen = error.to_string(),
            }
            if Instant::now() > deadline {
                return Ok(Wait::Pending { last_seen });
            }
            sleep(LOOK).await;
        }
    }

    async fn usable(&self) -> Result<Option<&'static str>, EnvironmentError> {
        let client = self.client().await?;
        let proxies = Api::<DaemonSet>::namespaced(client.clone(), "kube-system").get("kube-proxy").await?;
        let is_there = proxies.status.is_some_and(|status| status.number_ready > 0 && status.number_ready == status.desired_number_scheduled);
        if !is_there {
            return Ok(Some("Services do not work yet: kube-proxy is not ready"));
        }
        let names = Api::<Deployment>::namespaced(client, "kube-system").get("coredns").await?;
        let answers = names.status.as_ref().is_some_and(|status| {
            let is_seen = status.observed_generation >= names.metadata.generation;
            is_seen && status.updated_replicas == status.replicas && status.available_replicas.unwrap_or(0) > 0
        });
        Ok(if answers { None } else { Some("names do not work yet: CoreDNS is not available") })
    }

    /// Applies objects, each as it stands: what somebody else changed in them is changed back.
    /// `owner` is whose they are: what the cluster refuses of them is theirs.
    pub async fn apply(&self, objects: &[Value], owner: Owner) -> Result<(), EnvironmentError> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let mut command = self.kubectl();
        command.args(["apply", "--server-side", "--force-conflicts", "--field-manager", MANAGER, "--filename", "-"]);
        let applied = run(command, "kubectl apply", Some(list.to_string().as_bytes()), owner).await;
        if applied.is_err() {
            self.client().await?.apiserver_version().await?;
        }
        applied.map(drop)
    }

    /// Waits until all Deployments of a namespace are there, or until one of them cannot come; `owner` is whose they are.
    pub async fn wait_settled(&self, namespace: &str, owner: Owner, limit: Duration) -> Result<Wait<Vec<Service>>, EnvironmentError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.workloads(namespace).await?.settled(owner) {
                Wait::Pending { .. } if Instant::now() < deadline => sleep(LOOK).await,
                over => return Ok(over),
            }
        }
    }

    /// The submission's Deployments as they are now; none where there is no cluster.
    pub async fn services(&self) -> Result<Vec<Service>, EnvironmentError> {
        let nodes = self.nodes().await?;
        if nodes.is_empty() || nodes.iter().any(|node| !node.is_running) {
            return Ok(Vec::new());
        }
        // What is wrong with one cluster keeps nobody from hearing of others.
        Ok(match self.workloads(&self.namespace).await {
            Ok(workloads) => workloads.services(),
            Err(error) => vec![Service::unknown("cluster", error.to_string())],
        })
    }

    pub(super) async fn workloads(&self, namespace: &str) -> Result<Workloads, EnvironmentError> {
        let client = self.client().await?;
        let all = ListParams::default();
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let replica_sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let pods = Api::<Pod>::namespaced(client, namespace).list(&all).await?.items;
        Ok(Workloads { deployments, replica_sets, pods })
    }

    /// Whoever asks the API, and does not wait long.
    pub(super) async fn client(&self) -> Result<kube::Client, EnvironmentError> {
        Ok(self.client.get_or_try_init(|| self.connected(Some(ANSWER))).await?.clone())
    }

    /// Whoever listens to the API: what it says may come at any time, and what it refuses is not asked for again.
    pub(super) async fn listener(&self) -> Result<kube::Client, EnvironmentError> {
        Ok(self.listener.get_or_try_init(|| self.connected(None)).await?.clone())
    }

    async fn connected(&self, patience: Option<Duration>) -> Result<kube::Client, EnvironmentError> {
        let wrong = |source| EnvironmentError::Kubeconfig { path: self.kubeconfig.clone(), source };
        let read = Kubeconfig::read_from(&self.kubeconfig).map_err(wrong)?;
        let mut config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(wrong)?;
        // It is on this machine, whatever leads to others.
        config.proxy_url = None;
        (config.connect_timeout, config.read_timeout) = (Some(ANSWER), patience);
        // What an answer may take counts from its question, however long a connection lay idle before.
        (config.reset_reader_on_write, config.default_retry) = (true, patience.is_some());
        Ok(kube::Client::try_from(config)?)
    }

    /// Forgets the way to the cluster. The cluster itself goes with what else belongs to the lease.
    pub fn forget(&self) -> Result<(), EnvironmentError> {
        match std::fs::remove_file(&self.kubeconfig) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(EnvironmentError::Leases(error)),
            _ => Ok(()),
        }
    }

    fn kind(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.command_of("kind");
        command.env(NETWORK, &self.name).args(arguments);
        command
    }

    fn kubectl(&self) -> Command {
        let mut command = self.engine.command_of("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// Runs a command to its end, and says what it said.
pub(super) async fn run(command: Command, name: &str, input: Option<&[u8]>, owner: Owner) -> Result<String, EnvironmentError> {
    let failed = |output: String, owner| EnvironmentError::Command { command: name.to_owned(), output, owner };
    let output = engine::run(command, input).await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(failed(engine::tail(&output.stderr), owner)) }
}
