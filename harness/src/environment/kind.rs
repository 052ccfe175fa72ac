//! An environment on Kubernetes: a cluster that `kind` makes of a container of the engine's, and removes. What is applied goes through
//! `kubectl`, as everyone's does; what is looked at comes from the cluster's API.
//!
//! kind gives its containers labels of its own, which hold the cluster's name: that is the project of the lease, and a sweep finds them by it. Each
//! cluster has a network of its own, so that it meets no other of the machine's. The way to the cluster stands in a file of the workspace, never in `~/.kube/config`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, TagImageOptionsBuilder};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::docker::{EnvironmentError, Service, Wait};
use super::lease::Record;
use super::workload::Workloads;
use crate::compose::{Images, Ownership};
use crate::engine::{self, Engine};
use crate::exit::Owner;

/// The label with which kind marks its containers; its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// Where a workspace says how its cluster is reached.
pub const KUBECONFIG: &str = ".modeldown/kubeconfig";
/// Which network kind puts a cluster into, instead of one that all of a machine's clusters share.
const NETWORK: &str = "KIND_EXPERIMENTAL_DOCKER_NETWORK";
/// What a cluster is made of: one node, which runs everything, and an API that this machine alone reaches.
const CONFIG: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {apiServerAddress: 127.0.0.1}
nodes: [{role: control-plane}]
";
/// What stands before the name of an image that names no registry, where containerd keeps it.
const REGISTRY: &str = "docker.io";
/// Who applies, as the API's server notes it.
const MANAGER: &str = "modeldown";
/// How long its API may take for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How often a cluster is looked at while something is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// A cluster.
#[derive(Debug, Clone)]
pub struct Kind {
    engine: Engine,
    /// Its name, which is the lease's project.
    name: String,
    /// The namespace of the submission, which is called like the exercise.
    namespace: String,
    kubeconfig: PathBuf,
}

impl Kind {
    /// The cluster of a lease; nothing is made.
    pub fn new(engine: Engine, record: &Record) -> Self {
        let kubeconfig = record.folder.join(KUBECONFIG);
        Self { engine, name: record.project.clone(), namespace: record.exercise.clone(), kubeconfig }
    }

    /// Makes the cluster, unless it is there; one that was stopped with its engine is started again.
    pub async fn up(&self, node_image: &str, ownership: &Ownership) -> Result<(), EnvironmentError> {
        let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.node().await? {
            Some((_, true)) if self.kubeconfig.exists() => return Ok(()),
            Some((id, false)) if self.kubeconfig.exists() => {
                return Ok(self.engine.api.start_container(&id, None::<StartContainerOptions>).await?);
            }
            // kind writes the kubeconfig last: without one somebody was interrupted, and nobody knows what is there.
            Some((id, _)) => self.engine.api.remove_container(&id, Some(force)).await?,
            None => {}
        }
        self.forget()?;
        self.network(ownership).await?;
        let mut command = self.kind(&["create", "cluster", "--name", &self.name, "--image", node_image, "--config", "-"]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        run(command, "kind create cluster", Some(CONFIG.as_bytes()), Owner::Engine).await.map(drop)
    }

    /// The container that is its node, and whether it runs.
    async fn node(&self) -> Result<Option<(String, bool)>, EnvironmentError> {
        let filters = HashMap::from([("label", vec![format!("{CLUSTER_LABEL}={}", self.name)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.engine.api.list_containers(Some(options)).await?.into_iter().next();
        Ok(found.and_then(|one| Some((one.id?, one.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)))))
    }

    async fn network(&self, ownership: &Ownership) -> Result<(), EnvironmentError> {
        let labels = ownership.all().map(|(label, value)| (label.to_owned(), value.to_owned()));
        let request = NetworkCreateRequest { name: self.name.clone(), labels: Some(labels.into()), ..NetworkCreateRequest::default() };
        match self.engine.api.create_network(request).await {
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts images into the cluster, each under its exact tag and under one that manifests name; nothing where it has them.
    pub async fn load(&self, images: &Images, tag: &str) -> Result<(), EnvironmentError> {
        let Some((node, _)) = self.node().await? else { return Ok(()) };
        let mut listing = self.engine.command();
        listing.args(["exec", &node, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet"]);
        let listed = run(listing, "docker exec", None, Owner::Engine).await?;
        let has = |exact: &String| listed.lines().any(|one| one == format!("{REGISTRY}/{exact}"));
        if images.values().all(has) {
            return Ok(());
        }
        let mut command = self.kind(&["load", "docker-image", "--name", &self.name]);
        for (alias, exact) in images {
            let options = TagImageOptionsBuilder::new().repo(alias).tag(tag).build();
            self.engine.api.tag_image(exact, Some(options)).await?;
            command.args([exact.clone(), format!("{alias}:{tag}")]);
        }
        run(command, "kind load docker-image", None, Owner::Engine).await.map(drop)
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
        let answers = names.status.and_then(|status| status.available_replicas).unwrap_or(0) > 0;
        Ok(if answers { None } else { Some("names do not work yet: CoreDNS is not available") })
    }

    /// Applies objects, each as it stands: what somebody else changed in them is changed back.
    /// `owner` is whose they are: what the cluster refuses of them is theirs.
    pub async fn apply(&self, objects: &[Value], owner: Owner) -> Result<(), EnvironmentError> {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
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
        match self.node().await? {
            // What is wrong with one cluster keeps nobody from hearing of others.
            Some((_, true)) => Ok(match self.workloads(&self.namespace).await {
                Ok(workloads) => workloads.services(),
                Err(error) => vec![Service::unknown("cluster", error.to_string())],
            }),
            _ => Ok(Vec::new()),
        }
    }

    async fn workloads(&self, namespace: &str) -> Result<Workloads, EnvironmentError> {
        let client = self.client().await?;
        let all = ListParams::default();
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let replica_sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace).list(&all).await?.items;
        let pods = Api::<Pod>::namespaced(client, namespace).list(&all).await?.items;
        Ok(Workloads { deployments, replica_sets, pods })
    }

    async fn client(&self) -> Result<kube::Client, EnvironmentError> {
        let wrong = |source| EnvironmentError::Kubeconfig { path: self.kubeconfig.clone(), source };
        let read = Kubeconfig::read_from(&self.kubeconfig).map_err(wrong)?;
        let mut config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(wrong)?;
        // It is on this machine, whatever leads to others.
        config.proxy_url = None;
        (config.connect_timeout, config.read_timeout) = (Some(ANSWER), Some(ANSWER));
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
async fn run(command: Command, name: &str, input: Option<&[u8]>, owner: Owner) -> Result<String, EnvironmentError> {
    let failed = |output: String, owner| EnvironmentError::Command { command: name.to_owned(), output, owner };
    let output = engine::run(command, input).await.map_err(|error| failed(error.to_string(), Owner::Engine))?;
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(failed(engine::tail(&output.stderr), owner)) }
}
